//! What a transaction survives: each of its requests refused for now, lost, late or slow.

use std::time::Duration;

use milena_broker::Verdict;
use milena_codec::ApiKey;
use milena_producer::ErrorCode;

use crate::world::{BOTH, World, apis, attempt};

/// What an API's answer or its lack can be without harm.
fn verdicts(api: ApiKey) -> Vec<Verdict> {
    let mut verdicts = vec![
        Verdict::Disconnect,
        Verdict::ApplyThenDisconnect,
        Verdict::Silence,
        Verdict::Delay(Duration::from_millis(1_500)),
        // Later than its caller waits.
        Verdict::Delay(Duration::from_millis(3_500)),
        Verdict::Throttle(Duration::from_secs(1)),
    ];
    let codes: &[ErrorCode] = if api == ApiKey::Produce {
        verdicts.push(Verdict::ApplyThenError(ErrorCode::NotLeaderOrFollower));
        &[
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::NotEnoughReplicas,
            ErrorCode::ConcurrentTransactions,
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::NotCoordinator,
        ]
    } else {
        verdicts.push(Verdict::ApplyThenError(ErrorCode::NotCoordinator));
        &[
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::CoordinatorNotAvailable,
            ErrorCode::NotCoordinator,
            ErrorCode::ConcurrentTransactions,
        ]
    };
    verdicts.extend(codes.iter().map(|code| Verdict::Error(*code)));
    verdicts
}

/// Scenario 28: `txn_recoverable_errors`, `endtxn_errors`, `endtxn_timeout`,
/// `disconnected_group_coord`, `coordinator_null_not_fatal`.
#[tokio::test(start_paused = true)]
async fn a_request_that_fails_for_now_is_made_again() {
    for level in BOTH {
        for &api in apis(level) {
            for verdict in verdicts(api) {
                for times in [1, 3] {
                    if times == 3 && !matches!(verdict, Verdict::Error(_)) {
                        continue;
                    }
                    let case = format!("version {level}, {api:?}, {verdict:?}");
                    let world = World::start(level).await;
                    let producer = world.hasty("id");
                    attempt(&producer, 1).await.unwrap();
                    world.next(api, std::iter::repeat_n(verdict, times));
                    let committed = attempt(&producer, 2).await;
                    committed.unwrap_or_else(|error| panic!("{case}: {error}"));
                    let committed = attempt(&producer, 3).await;
                    committed.unwrap_or_else(|error| panic!("{case}, then: {error}"));
                    world.assert_committed(&["1", "2", "3"]).await;
                    assert_eq!(world.committed_offset("g").await, 3, "{case}");
                }
            }
        }
    }
}

/// Scenario 28: `slow_reinit`, `resumable_init`; 29: `testRetryInitTransactionsAfterTimeout`.
#[tokio::test(start_paused = true)]
async fn an_initialisation_that_fails_for_now_is_made_again() {
    for level in BOTH {
        for verdict in verdicts(ApiKey::InitProducerId) {
            for api in [ApiKey::InitProducerId, ApiKey::FindCoordinator] {
                let world = World::start(level).await;
                let old = world.hasty("id");
                let zombie = old.begin().await.unwrap();
                crate::world::write(&zombie, "old").await;
                let producer = world.hasty("id");
                world.next(api, [verdict; 2]);
                let case = format!("version {level}, {api:?}, {verdict:?}");
                producer
                    .init()
                    .await
                    .unwrap_or_else(|error| panic!("{case}: {error}"));
                attempt(&producer, 1).await.unwrap();
                zombie.commit().await.unwrap_err();
                world.assert_committed(&["1"]).await;
            }
        }
    }
}

/// Scenario 29: `testRetryInitTransactionsAfterTimeout`.
#[tokio::test(start_paused = true)]
async fn an_initialisation_that_timed_out_goes_on_at_the_next_begin() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        world.every(ApiKey::InitProducerId, Verdict::Silence);
        let error = producer.init().await.unwrap_err();
        assert!(
            error.to_string().contains("did not make it in 10.0 s"),
            "{error}"
        );
        producer.begin().await.unwrap_err();
        world.heal();
        attempt(&producer, 1).await.unwrap();
        world.assert_committed(&["1"]).await;
    }
}

/// Scenario 28: `endtxn_infinite`; 29: `testRetryAbortTransactionAfterTimeout`.
#[tokio::test(start_paused = true)]
async fn an_abort_that_timed_out_goes_on_and_begin_waits_for_it() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        let transaction = producer.begin().await.unwrap();
        crate::world::write(&transaction, "aborted").await;
        world.every(ApiKey::EndTxn, Verdict::Disconnect);
        let error = transaction.abort().await.unwrap_err();
        assert!(error.to_string().contains("still being aborted"), "{error}");
        producer.begin().await.unwrap_err();
        world.heal();
        attempt(&producer, 1).await.unwrap();
        world.assert_committed(&["1"]).await;
    }
}

/// Scenario 28: `resumable_calls_timeout`.
#[tokio::test(start_paused = true)]
async fn offsets_that_timed_out_are_waited_for_by_the_commit() {
    use milena_producer::{ConsumedOffset, GroupMetadata, OffsetsError};
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        let transaction = producer.begin().await.unwrap();
        crate::world::write(&transaction, "1").await;
        let refused = Verdict::Error(ErrorCode::CoordinatorLoadInProgress);
        world.every(ApiKey::TxnOffsetCommit, refused);
        let offset = ConsumedOffset::new("t", 0, 5);
        let sent = transaction
            .send_offsets(GroupMetadata::new("g"), [offset])
            .await;
        assert!(
            matches!(sent, Err(OffsetsError::TimedOut { .. })),
            "{sent:?}"
        );
        world.heal();
        transaction.commit().await.unwrap();
        world.assert_committed(&["1"]).await;
        assert_eq!(world.committed_offset("g").await, 5);
    }
}

/// A coordinator that has just been elected is loading; scenario 28: `slow_reinit`.
#[tokio::test(start_paused = true)]
async fn cold_coordinators_and_slow_markers_only_take_time() {
    for level in BOTH {
        let world = World::build(|builder| {
            builder.transaction_version(level).settings(|settings| {
                settings.cold_start = true;
                settings.marker_delay = Duration::from_secs(1);
            })
        });
        let world = world.await;
        let producer = world.hasty("id");
        for number in 1..=5 {
            let to = number as i32 % 3 + 1;
            attempt(&producer, number).await.unwrap();
            let moved = world
                .broker
                .with_model(|model| model.move_transaction_coordinator("id", to));
            moved.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.assert_committed(&["1", "2", "3", "4", "5"]).await;
    }
}
