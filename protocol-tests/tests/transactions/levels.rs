//! What the level of `transaction.version` and the age of the brokers change.

use std::time::Duration;

use milena_broker::KafkaVersion;
use milena_codec::ApiKey;
use milena_producer::{
    BeginError, CommitError, ConsumedOffset, ErrorCode, GroupMetadata, OffsetsError,
    TransactionCause,
};
use tokio::time::sleep;

use crate::world::{World, attempt, commit, write};

async fn kafka_2_1() -> World {
    World::build(|builder| builder.as_version(KafkaVersion::V2_1)).await
}

/// Scenario 30: TV1 fallback.
#[tokio::test(start_paused = true)]
async fn at_level_1_partitions_and_groups_are_added_by_calls() {
    let world = World::start(0).await;
    attempt(&world.hasty("id"), 1).await.unwrap();
    assert_eq!(world.versions(ApiKey::AddOffsetsToTxn).len(), 1);
    assert!(!world.versions(ApiKey::AddPartitionsToTxn).is_empty());
    assert!(
        world
            .versions(ApiKey::AddPartitionsToTxn)
            .iter()
            .all(|v| *v <= 3)
    );
    assert!(world.versions(ApiKey::Produce).iter().all(|v| *v <= 11));
    assert_eq!(world.versions(ApiKey::TxnOffsetCommit), [4]);
    assert_eq!(world.versions(ApiKey::EndTxn), [4]);
}

/// Scenario 30.
#[tokio::test(start_paused = true)]
async fn at_level_2_they_add_themselves() {
    let world = World::start(2).await;
    attempt(&world.hasty("id"), 1).await.unwrap();
    assert_eq!(world.requests(ApiKey::AddOffsetsToTxn), 0);
    assert_eq!(world.requests(ApiKey::AddPartitionsToTxn), 0);
    assert!(world.versions(ApiKey::Produce).iter().all(|v| *v >= 12));
    assert_eq!(world.versions(ApiKey::TxnOffsetCommit), [5]);
    assert_eq!(world.versions(ApiKey::EndTxn), [5]);
}

/// Scenario 30: downgrade and upgrade between transactions, which connections opened since tell.
#[tokio::test(start_paused = true)]
async fn a_level_that_changes_counts_from_the_next_transaction() {
    for (before, after) in [(2, 0), (0, 2)] {
        let world = World::start(before).await;
        let producer = world.hasty("id");
        attempt(&producer, 1).await.unwrap();
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "2").await;
        world.broker.with_model(|model| {
            model.set_transaction_version(after);
            // Opens new connections.
            for node in 1..=3 {
                model.kill_node(node).unwrap();
                model.start_node(node).unwrap();
            }
        });
        transaction.commit().await.unwrap();
        for number in 3..8 {
            attempt(&producer, number).await.unwrap();
        }
        let last = world.versions(ApiKey::EndTxn).pop();
        let expected = if after == 2 { 5 } else { 4 };
        assert_eq!(last, Some(expected), "from {before} to {after}");
        world
            .assert_committed(&["1", "2", "3", "4", "5", "6", "7"])
            .await;
        assert_eq!(world.committed_offset("g").await, 7);
    }
}

/// Note 11: the producer that was made after the change follows it at once.
#[tokio::test(start_paused = true)]
async fn a_producer_with_its_own_connection_sees_the_level_of_its_day() {
    let world = World::start(2).await;
    attempt(&world.hasty("a"), 1).await.unwrap();
    world
        .broker
        .with_model(|model| model.set_transaction_version(0));
    attempt(&world.hasty("b"), 2).await.unwrap();
    assert_eq!(world.versions(ApiKey::EndTxn), [5, 4]);
    world.assert_committed(&["1", "2"]).await;
}

/// Scenario 26 on Kafka 2.1.1.
#[tokio::test(start_paused = true)]
async fn kafka_2_1_commits_aborts_and_fences() {
    let world = kafka_2_1().await;
    let old = world.hasty("id");
    attempt(&old, 1).await.unwrap();
    let transaction = old.begin().await.unwrap();
    write(&transaction, "aborted").await;
    transaction.abort().await.unwrap();
    let zombie = old.begin().await.unwrap();
    write(&zombie, "zombie").await;
    let new = world.hasty("id");
    attempt(&new, 2).await.unwrap();
    let error = zombie.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::Fatal(_)), "{error}");
    world.assert_committed(&["1", "2"]).await;
    assert_eq!(world.committed_offset("g").await, 2);
    assert!(
        world
            .versions(ApiKey::InitProducerId)
            .iter()
            .all(|v| *v <= 1)
    );
}

/// Scenario 34 and KIP-447: below Kafka 2.5 a group's member cannot be named.
#[tokio::test(start_paused = true)]
async fn a_member_of_a_group_is_refused_below_kafka_2_5() {
    let world = kafka_2_1().await;
    let producer = world.hasty("id");
    let transaction = producer.begin().await.unwrap();
    write(&transaction, "x").await;
    let group = GroupMetadata::new("g").member("m", 1);
    let sent = transaction
        .send_offsets(group, [ConsumedOffset::new("t", 0, 1)])
        .await;
    let Err(OffsetsError::Failed(cause)) = sent else {
        panic!("{sent:?}");
    };
    assert!(
        matches!(*cause, TransactionCause::Unsupported(_)),
        "{cause}"
    );
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::NotCommitted(_)), "{error}");
    attempt(&producer, 1).await.unwrap();
    world.assert_committed(&["1"]).await;
}

/// Note 13: a bare InitProducerId could fence the rightful owner.
#[tokio::test(start_paused = true)]
async fn an_error_that_needs_another_epoch_is_fatal_below_kafka_2_5() {
    for code in [
        ErrorCode::OutOfOrderSequenceNumber,
        ErrorCode::UnknownProducerId,
        ErrorCode::InvalidProducerIdMapping,
    ] {
        let world = kafka_2_1().await;
        let producer = world.hasty("id");
        attempt(&producer, 1).await.unwrap();
        world.refuse(ApiKey::Produce, code);
        attempt(&producer, 2).await.unwrap_err();
        let error = producer.begin().await.unwrap_err();
        let BeginError::Fatal(cause) = error else {
            panic!("{code}: {error}");
        };
        assert_eq!(*cause, TransactionCause::BumpUnsupported, "{code}");
        commit(&world.hasty("id"), "3").await;
        world.assert_committed(&["1", "3"]).await;
    }
}

/// What needs no other epoch is not.
#[tokio::test(start_paused = true)]
async fn a_refused_record_is_not_fatal_below_kafka_2_5() {
    let world = kafka_2_1().await;
    let producer = world.hasty("id");
    attempt(&producer, 1).await.unwrap();
    world.refuse(ApiKey::Produce, ErrorCode::TopicAuthorizationFailed);
    attempt(&producer, 2).await.unwrap_err();
    attempt(&producer, 3).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    world.assert_committed(&["1", "3"]).await;
}
