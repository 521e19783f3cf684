//! What a transaction, or its producer, does not survive.

use milena_broker::Verdict;
use milena_codec::ApiKey;
use milena_producer::{
    BeginError, CommitError, ConsumedOffset, ErrorCode, GroupMetadata, OffsetsError, Record,
    SendError, TransactionCause,
};

use crate::world::{BOTH, World, apis, attempt, commit, write};

/// Codes with which an API fails the transaction, and the next one works.
fn abortable(api: ApiKey) -> Vec<ErrorCode> {
    let mut codes = vec![ErrorCode::TransactionAbortable];
    codes.extend_from_slice(match api {
        ApiKey::Produce => &[
            ErrorCode::InvalidProducerEpoch,
            ErrorCode::InvalidRecord,
            ErrorCode::InvalidTxnState,
            ErrorCode::OutOfOrderSequenceNumber,
            ErrorCode::TopicAuthorizationFailed,
            ErrorCode::UnknownProducerId,
        ],
        ApiKey::AddPartitionsToTxn => &[ErrorCode::TopicAuthorizationFailed],
        ApiKey::AddOffsetsToTxn => &[ErrorCode::GroupAuthorizationFailed],
        ApiKey::TxnOffsetCommit => &[
            ErrorCode::FencedInstanceId,
            ErrorCode::GroupAuthorizationFailed,
            ErrorCode::IllegalGeneration,
            ErrorCode::OffsetMetadataTooLarge,
            ErrorCode::StaleMemberEpoch,
            ErrorCode::TopicAuthorizationFailed,
            ErrorCode::UnknownMemberId,
        ],
        _ => &[],
    });
    codes
}

/// Codes with which an API ends the producer.
fn fatal(api: ApiKey) -> Vec<ErrorCode> {
    let mut codes = vec![
        ErrorCode::ProducerFenced,
        ErrorCode::TransactionalIdAuthorizationFailed,
    ];
    if api != ApiKey::Produce {
        codes.extend([ErrorCode::InvalidProducerEpoch, ErrorCode::InvalidTxnState]);
    }
    codes
}

/// Scenarios 28, 29: `requires_abort_errors`, `testTransactionAbortableExceptionIn*`,
/// `testBumpTransactionalEpochOn*`, `testDisallowCommitOnProduceFailure`.
#[tokio::test(start_paused = true)]
async fn an_error_that_fails_the_transaction_lets_the_next_one_work() {
    for level in BOTH {
        for &api in apis(level) {
            for code in abortable(api) {
                let case = format!("version {level}, {api:?}, {code}");
                let world = World::start(level).await;
                let producer = world.hasty("id");
                attempt(&producer, 1).await.unwrap();
                world.refuse(api, code);
                let error = attempt(&producer, 2).await.unwrap_err();
                let CommitError::NotCommitted(cause) = error else {
                    panic!("{case}: {error}");
                };
                assert!(!matches!(*cause, TransactionCause::Deadline), "{case}");
                let next = attempt(&producer, 3).await;
                next.unwrap_or_else(|error| panic!("{case}, then: {error}"));
                world.assert_committed(&["1", "3"]).await;
                assert_eq!(world.committed_offset("g").await, 3, "{case}");
            }
        }
    }
}

/// Scenarios 27, 28: `fatal_idempo_errors`, `fenced_reinit`.
#[tokio::test(start_paused = true)]
async fn an_error_that_ends_the_producer_leaves_the_id_to_the_next() {
    for level in BOTH {
        for &api in apis(level) {
            for code in fatal(api) {
                let case = format!("version {level}, {api:?}, {code}");
                let world = World::start(level).await;
                let producer = world.hasty("id");
                attempt(&producer, 1).await.unwrap();
                world.refuse(api, code);
                let error = attempt(&producer, 2).await.unwrap_err();
                assert!(matches!(error, CommitError::Fatal(_)), "{case}: {error}");
                let error = producer.begin().await.unwrap_err();
                assert!(matches!(error, BeginError::Fatal(_)), "{case}: {error}");
                attempt(&world.hasty("id"), 3).await.unwrap();
                world.assert_committed(&["1", "3"]).await;
                assert_eq!(world.committed_offset("g").await, 3, "{case}");
            }
        }
    }
}

/// Scenario 29: `testTransactionAbortableExceptionInInitProducerId`, `…InFindCoordinator`.
#[tokio::test(start_paused = true)]
async fn an_initialisation_that_is_refused_ends_the_producer() {
    let codes = [
        ErrorCode::InvalidTransactionTimeout,
        ErrorCode::TransactionAbortable,
        ErrorCode::TransactionalIdAuthorizationFailed,
        ErrorCode::ProducerFenced,
    ];
    for level in BOTH {
        for code in codes {
            let world = World::start(level).await;
            let producer = world.hasty("id");
            world.refuse(ApiKey::InitProducerId, code);
            let error = producer.begin().await.unwrap_err();
            assert!(matches!(error, BeginError::Fatal(_)), "{code}: {error}");
            assert!(error.to_string().contains("InitProducerId"), "{error}");
            commit(&world.hasty("id"), "1").await;
            world.assert_committed(&["1"]).await;
        }
    }
}

/// Scenario 29: `testTransactionAbortableExceptionInFindCoordinator`.
#[tokio::test(start_paused = true)]
async fn a_group_whose_coordinator_is_refused_fails_the_transaction() {
    for level in BOTH {
        for code in [
            ErrorCode::GroupAuthorizationFailed,
            ErrorCode::TransactionAbortable,
        ] {
            let world = World::start(level).await;
            let producer = world.hasty("id");
            let transaction = producer.begin().await.unwrap();
            write(&transaction, "x").await;
            world.refuse(ApiKey::FindCoordinator, code);
            let offset = ConsumedOffset::new("t", 0, 1);
            let group = GroupMetadata::new("g");
            let sent = transaction.send_offsets(group, [offset]).await;
            assert!(matches!(sent, Err(OffsetsError::Failed(_))), "{sent:?}");
            let error = transaction.commit().await.unwrap_err();
            assert!(matches!(error, CommitError::NotCommitted(_)), "{error}");
            attempt(&producer, 3).await.unwrap();
            world.assert_committed(&["3"]).await;
        }
    }
}

/// Scenario 29: `testTransactionAbortableExceptionInEndTxn`: on an abort it is fatal.
#[tokio::test(start_paused = true)]
async fn an_abort_that_can_only_be_aborted_ends_the_producer() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "x").await;
        world.refuse(ApiKey::EndTxn, ErrorCode::TransactionAbortable);
        transaction.abort().await.unwrap_err();
        let error = producer.begin().await.unwrap_err();
        assert!(matches!(error, BeginError::Fatal(_)), "{error}");
        commit(&world.hasty("id"), "1").await;
        world.assert_committed(&["1"]).await;
    }
}

/// Scenario 28: `endtxn_errors`: what says nothing of the transaction.
#[tokio::test(start_paused = true)]
async fn a_commit_with_an_answer_that_says_nothing_is_unknown() {
    for level in BOTH {
        for applied in [true, false] {
            let world = World::start(level).await;
            let producer = world.hasty("id");
            let transaction = producer.begin().await.unwrap();
            write(&transaction, "x").await;
            let code = ErrorCode::InvalidRequiredAcks;
            let verdict = if applied {
                Verdict::ApplyThenError(code)
            } else {
                Verdict::Error(code)
            };
            world.next(ApiKey::EndTxn, [verdict]);
            let error = transaction.commit().await.unwrap_err();
            let CommitError::Unknown(token) = error else {
                panic!("{error}");
            };
            let other = world.hasty("id");
            let ended = other.resume(token, milena_producer::Complete::Abort).await;
            let ended = ended.unwrap();
            let committed = ended == milena_producer::Complete::Commit;
            assert_eq!(committed, applied, "version {level}");
            let expected: &[&str] = if applied { &["x"] } else { &[] };
            world.assert_committed(expected).await;
        }
    }
}

/// Scenario 28: `requires_abort_errors`: nothing more is accepted.
#[tokio::test(start_paused = true)]
async fn a_failed_transaction_accepts_neither_records_nor_offsets() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        let transaction = producer.begin().await.unwrap();
        world.refuse(ApiKey::Produce, ErrorCode::TopicAuthorizationFailed);
        let receipt = transaction.send(Record::to("t").value("x")).await.unwrap();
        receipt.await.unwrap_err();
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        let sent = transaction.send(Record::to("t").value("y")).await;
        assert!(matches!(sent, Err(SendError::Transaction(_))), "{sent:?}");
        let group = GroupMetadata::new("g");
        let sent = transaction
            .send_offsets(group, [ConsumedOffset::new("t", 0, 1)])
            .await;
        assert!(matches!(sent, Err(OffsetsError::Failed(_))), "{sent:?}");
        transaction.abort().await.unwrap();
        attempt(&producer, 1).await.unwrap();
        world.assert_committed(&["1"]).await;
    }
}
