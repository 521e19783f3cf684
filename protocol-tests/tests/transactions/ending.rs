//! EndTxn lost, late and twice; tokens.

use std::time::Duration;

use milena_broker::Verdict;
use milena_codec::ApiKey;
use milena_producer::{BeginError, CommitError, Complete, ErrorCode, Token, TransactionalProducer};
use tokio::time::sleep;

use crate::world::{BOTH, World, attempt, commit, within, write};

/// A transaction with the record "x" whose commit was not answered.
async fn doubted(world: &World, producer: &TransactionalProducer, verdict: Verdict) -> Token {
    let transaction = producer.begin().await.unwrap();
    write(&transaction, "x").await;
    world.every(ApiKey::EndTxn, verdict);
    let error = transaction.commit_by(within(5)).await.unwrap_err();
    world.heal();
    let CommitError::Unknown(token) = error else {
        panic!("{error}");
    };
    assert_eq!(producer.in_doubt(), Some(token));
    token
}

/// Scenario 28: `endtxn_timeout_inflight`, for a commit that was executed, and one that was not.
#[tokio::test(start_paused = true)]
async fn an_abort_of_a_doubted_commit_tells_what_became_of_it() {
    for level in BOTH {
        for applied in [true, false] {
            let world = World::start(level).await;
            let producer = world.hasty("id");
            let verdict = match applied {
                true => Verdict::ApplyThenDisconnect,
                false => Verdict::Disconnect,
            };
            let token = doubted(&world, &producer, verdict).await;
            let ended = producer.resume(token, Complete::Abort).await.unwrap();
            assert_eq!(ended == Complete::Commit, applied, "version {level}");
            assert_eq!(producer.in_doubt(), None);
            attempt(&producer, 1).await.unwrap();
            let expected: &[&str] = if applied { &["x", "1"] } else { &["1"] };
            world.assert_committed(expected).await;
        }
    }
}

/// As a new process does it that was left the token.
#[tokio::test(start_paused = true)]
async fn another_producer_completes_a_doubted_commit_before_it_begins() {
    for level in BOTH {
        for applied in [true, false] {
            for complete in [Complete::Commit, Complete::Abort] {
                let world = World::start(level).await;
                let old = world.hasty("id");
                let verdict = match applied {
                    true => Verdict::ApplyThenDisconnect,
                    false => Verdict::Disconnect,
                };
                let token = doubted(&world, &old, verdict).await;
                let new = world.hasty("id");
                let ended = new.resume(token, complete).await.unwrap();
                let committed = applied || complete == Complete::Commit;
                assert_eq!(ended == Complete::Commit, committed, "version {level}");
                attempt(&new, 1).await.unwrap();
                let expected: &[&str] = if committed { &["x", "1"] } else { &["1"] };
                world.assert_committed(expected).await;
            }
        }
    }
}

/// Nobody is told how it ended, but it is whole or nothing.
#[tokio::test(start_paused = true)]
async fn a_doubted_commit_can_be_abandoned() {
    for level in BOTH {
        for applied in [true, false] {
            let world = World::start(level).await;
            let producer = world.hasty("id");
            let verdict = match applied {
                true => Verdict::ApplyThenDisconnect,
                false => Verdict::Disconnect,
            };
            doubted(&world, &producer, verdict).await;
            let error = producer.begin().await.unwrap_err();
            assert!(matches!(error, BeginError::InDoubt(_)), "{error}");
            producer.abandon().await.unwrap();
            attempt(&producer, 1).await.unwrap();
            let expected: &[&str] = if applied { &["x", "1"] } else { &["1"] };
            world.assert_committed(expected).await;
        }
    }
}

/// A resumption that fails is in doubt as before, and can be made again.
#[tokio::test(start_paused = true)]
async fn a_resumption_without_an_answer_can_be_repeated() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        let token = doubted(&world, &producer, Verdict::Silence).await;
        world.every(ApiKey::EndTxn, Verdict::ApplyThenDisconnect);
        let error = producer.resume(token, Complete::Commit).await.unwrap_err();
        assert!(matches!(error, BeginError::InDoubt(_)), "{error}");
        world.heal();
        let token = producer.in_doubt().expect("it is still unknown");
        let ended = producer.resume(token, Complete::Commit).await.unwrap();
        assert_eq!(ended, Complete::Commit);
        attempt(&producer, 1).await.unwrap();
        world.assert_committed(&["x", "1"]).await;
    }
}

/// A command that is refused changes nothing.
#[tokio::test(start_paused = true)]
async fn another_transactions_token_is_refused_and_the_own_one_still_counts() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        let token = doubted(&world, &producer, Verdict::ApplyThenDisconnect).await;
        let mut other = token;
        other.identity.producer_id += 1;
        let error = producer.resume(other, Complete::Commit).await.unwrap_err();
        assert!(matches!(error, BeginError::Misuse(_)), "{error}");
        assert_eq!(producer.in_doubt(), Some(token));
        let error = producer.begin().await.unwrap_err();
        assert!(matches!(error, BeginError::InDoubt(_)), "{error}");
        let ended = producer.resume(token, Complete::Commit).await.unwrap();
        assert_eq!(ended, Complete::Commit);
        let error = producer.resume(token, Complete::Commit).await.unwrap_err();
        assert!(matches!(error, BeginError::Misuse(_)), "it is done with");
        attempt(&producer, 1).await.unwrap();
        world.assert_committed(&["x", "1"]).await;
    }
}

/// Note 12: at level 1 a late copy of a commit would end the next transaction.
#[tokio::test(start_paused = true)]
async fn a_late_copy_of_an_end_does_not_end_the_next_transaction() {
    for level in BOTH {
        for commits in [true, false] {
            let world = World::start(level).await;
            let producer = world.hasty("id");
            let transaction = producer.begin().await.unwrap();
            write(&transaction, "1").await;
            // Executed long after its caller gave it up and asked again.
            let late = Verdict::Delay(Duration::from_secs(9));
            world.next(ApiKey::EndTxn, [late]);
            if commits {
                transaction.commit().await.unwrap();
            } else {
                transaction.abort().await.unwrap();
            }
            let transaction = producer.begin().await.unwrap();
            write(&transaction, "2").await;
            sleep(Duration::from_secs(20)).await;
            if commits {
                assert!(!world.committed(0).contains(&"2".to_owned()), "{level}");
                transaction.abort().await.unwrap();
            } else {
                transaction.commit().await.unwrap();
            }
            let expected = if commits { ["1"] } else { ["2"] };
            world.assert_committed(&expected).await;
        }
    }
}

/// Scenario 30: kfake `TxnEndTxnTV2Retry*`: the same EndTxn again, with the old epoch, is answered
/// as the first one.
#[tokio::test(start_paused = true)]
async fn an_end_that_was_executed_and_not_answered_is_repeated() {
    for level in BOTH {
        for commits in [true, false] {
            let world = World::start(level).await;
            let producer = world.hasty("id");
            for number in 0..3 {
                let transaction = producer.begin().await.unwrap();
                write(&transaction, &number.to_string()).await;
                world.next(ApiKey::EndTxn, [Verdict::ApplyThenDisconnect; 2]);
                if commits {
                    transaction.commit().await.unwrap();
                } else {
                    transaction.abort().await.unwrap();
                }
            }
            let expected: &[&str] = if commits { &["0", "1", "2"] } else { &[] };
            world.assert_committed(expected).await;
        }
    }
}

/// Scenario 30: at level 2 each end raises the epoch, and no InitProducerId is needed.
#[tokio::test(start_paused = true)]
async fn each_end_raises_the_epoch_at_level_2_and_none_at_level_1() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        producer.init().await.unwrap();
        let before = world.transaction("id");
        for round in 0..4 {
            commit(&producer, "x").await;
            let transaction = producer.begin().await.unwrap();
            write(&transaction, &round.to_string()).await;
            transaction.abort().await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        let after = world.transaction("id");
        assert_eq!(after.producer_id, before.producer_id);
        let raised = if level == 2 { 8 } else { 0 };
        assert_eq!(after.producer_epoch, before.producer_epoch + raised);
        assert_eq!(world.requests(ApiKey::InitProducerId), 1);
    }
}

/// Scenario 30: kfake `TxnEndTxnTV2EmptyAbort`: the first batch was refused, so that the broker has
/// no transaction, but the epoch has to rise.
#[tokio::test(start_paused = true)]
async fn an_abort_of_nothing_written_works() {
    for level in BOTH {
        for code in [
            ErrorCode::InvalidRecord,
            ErrorCode::OutOfOrderSequenceNumber,
            ErrorCode::TransactionAbortable,
        ] {
            let world = World::start(level).await;
            let producer = world.hasty("id");
            world.refuse(ApiKey::Produce, code);
            attempt(&producer, 1).await.unwrap_err();
            attempt(&producer, 2).await.unwrap();
            world.assert_committed(&["2"]).await;
        }
    }
}

/// Scenario 28: `endtxn_infinite`.
#[tokio::test(start_paused = true)]
async fn a_commit_waits_until_its_deadline_and_no_longer() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "x").await;
        // Refused for sure each time: so it is not committed.
        let busy = Verdict::Error(ErrorCode::CoordinatorLoadInProgress);
        world.every(ApiKey::EndTxn, busy);
        let begun = tokio::time::Instant::now();
        let error = transaction.commit_by(within(7)).await.unwrap_err();
        assert!(matches!(error, CommitError::NotCommitted(_)), "{error}");
        assert_eq!(begun.elapsed().as_secs(), 7);
        world.heal();
        attempt(&producer, 1).await.unwrap();
        world.assert_committed(&["1"]).await;
    }
}
