//! Topics that are deleted, created again, or created late.
//!
//! Scenario 20; note 9 (new topic ids).

use std::time::Duration;

use milena_broker::{ClusterModel, Verdict};
use milena_codec::ApiKey;
use milena_producer::{
    BumpReason, DeliveryCause, ErrorCode, Fate, ProducerConfig, Record, SendError, TopicError,
};
use tokio::time::{Instant, sleep};

use crate::world::{
    Events, World, millis, nth_produce, offsets, one_a_batch, send, send_each, within,
};

async fn world(partitions: i32, auto_create: bool) -> World {
    World::build(1, partitions, |builder| {
        builder.settings(|settings| settings.auto_create_topics = auto_create)
    })
    .await
}

fn create(world: &World, name: &str, partitions: i32) {
    let created = |model: &mut ClusterModel| model.create_topic(name, partitions);
    world.broker.with_model(created).unwrap();
}

fn exists(world: &World, name: &str) -> bool {
    world.broker.with_model(|model| model.log(name, 0).is_ok())
}

/// 0107, ProducerSendWhileDeletion.
#[tokio::test(start_paused = true)]
async fn records_of_a_topic_that_is_gone_fail_on_time_and_later_ones_are_refused() {
    let world = world(1, false).await;
    let producer = world.producer(ProducerConfig::default());
    assert_eq!(offsets(send_each(&producer, [0]).await).await, [0]);
    world.delete_topic().await;
    let begun = Instant::now();
    let receipt = send(&producer, 0, 1).await;
    let error = receipt.await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 120);
    assert_eq!(error.fate(), Fate::NotWritten, "{error}");
    assert!(matches!(error.cause(), DeliveryCause::TimedOut { .. }));
    let error = producer.send(Record::to("t").value("2")).await.unwrap_err();
    assert!(matches!(
        error,
        SendError::Topic(TopicError::Unknown { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_comes_back_in_time_gets_what_waited_for_it() {
    let world = world(1, false).await;
    let producer = world.producer(one_a_batch());
    assert_eq!(offsets(send_each(&producer, [0]).await).await, [0]);
    world.delete_topic().await;
    let receipts = send_each(&producer, 1..=5).await;
    sleep(Duration::from_secs(60)).await;
    create(&world, "t", 1);
    assert_eq!(offsets(receipts).await, [0, 1, 2, 3, 4]);
    assert_eq!(world.numbers(0), [1, 2, 3, 4, 5]);
}

/// 0111: delayed creation.
#[tokio::test(start_paused = true)]
async fn a_topic_created_within_five_seconds_is_waited_for_and_a_later_one_is_not() {
    for (after, found) in [(1_000, true), (4_000, true), (9_000, false)] {
        let world = world(1, false).await;
        let producer = world.producer(ProducerConfig::default());
        let broker = world.broker.clone();
        tokio::spawn(async move {
            sleep(millis(after)).await;
            let created = |model: &mut ClusterModel| model.create_topic("late", 1);
            broker.with_model(created).unwrap();
        });
        let sent = producer.send(Record::to("late").value("0")).await;
        assert_eq!(sent.is_ok(), found, "after {after} ms: {sent:?}");
        if let Ok(receipt) = sent {
            assert_eq!(receipt.await.unwrap().offset, Some(0));
        } else {
            sleep(millis(after)).await;
            let again = producer.send(Record::to("late").value("0")).await;
            assert_eq!(again.unwrap().await.unwrap().offset, Some(0));
        }
    }
}

/// What may be in the old topic is never sent to the new one; what certainly is not, is.
#[tokio::test(start_paused = true)]
async fn batches_in_doubt_are_not_sent_to_a_topic_created_again() {
    let world = world(1, false).await;
    let mut config = one_a_batch();
    config.linger = Duration::ZERO.into();
    let events = Events::of(&mut config);
    let producer = world.producer(config);
    assert_eq!(offsets(send_each(&producer, [0]).await).await, [0]);
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::ApplyThenDisconnect,
        _ => Verdict::Error(ErrorCode::NotEnoughReplicas),
    }));
    let doubtful = send(&producer, 0, 1).await;
    sleep(millis(300)).await;
    let clean = send_each(&producer, 2..=4).await;
    sleep(millis(300)).await;
    world.delete_topic().await;
    create(&world, "t", 1);
    world.cluster.refreshed(within(10)).await.unwrap();
    world.broker.faults(|_| Verdict::Pass);
    let error = doubtful.await.unwrap_err();
    assert_eq!(error.fate(), Fate::MaybeWritten);
    assert!(
        matches!(error.cause(), DeliveryCause::TopicReplaced),
        "{error}"
    );
    assert_eq!(offsets(clean).await, [0, 1, 2]);
    assert_eq!(world.numbers(0), [2, 3, 4]);
    assert_eq!(world.stamps(0)[0], (1, 0, 1));
    assert_eq!(events.bumps()[0].reason, BumpReason::TopicReplaced);
}

/// A request in flight when its topic is deleted may have been written to it.
#[tokio::test(start_paused = true)]
async fn a_topic_deleted_while_replicas_are_waited_for_leaves_doubt() {
    let world = World::start(3, 1).await;
    let producer = world.producer(one_a_batch());
    assert_eq!(offsets(send_each(&producer, [0]).await).await, [0]);
    let hold = |model: &mut ClusterModel| model.hold_replication("t", 0, true);
    world.broker.with_model(hold).unwrap();
    let waits = send(&producer, 0, 1).await;
    sleep(millis(100)).await;
    world.delete_topic().await;
    create(&world, "t", 1);
    let error = waits.await.unwrap_err();
    assert_eq!(error.fate(), Fate::MaybeWritten, "{error}");
    assert_eq!(offsets(send_each(&producer, 2..=3).await).await, [0, 1]);
    assert_eq!(world.numbers(0), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_the_new_topic_lacks_fails_its_records_on_time() {
    let world = world(3, false).await;
    let producer = world.producer(ProducerConfig::default());
    for partition in 0..3 {
        send(&producer, partition, 0).await.await.unwrap();
    }
    world.delete_topic().await;
    create(&world, "t", 1);
    let begun = Instant::now();
    let (stays, goes) = (send(&producer, 0, 1).await, send(&producer, 2, 1).await);
    assert_eq!(stays.await.unwrap().offset, Some(0));
    let error = goes.await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 120);
    assert_eq!(error.fate(), Fate::NotWritten, "{error}");
    let record = Record::to("t").value("2").partition(2);
    let error = producer.send(record).await.unwrap_err();
    assert!(matches!(
        error,
        SendError::UnknownPartition {
            partition: 2,
            count: 1,
            ..
        }
    ));
}

/// 0109: only the first look-up may create a topic; one that was deleted is not brought back by a
/// producer that still has it in use.
#[tokio::test(start_paused = true)]
async fn a_deleted_topic_is_not_created_again_by_a_refresh() {
    let world = world(1, true).await;
    let producer = world.producer(ProducerConfig::default());
    let first = producer.send(Record::to("auto").value("0")).await.unwrap();
    assert_eq!(first.await.unwrap().offset, Some(0));
    let admin = milena::admin::Admin::new(world.cluster.clone());
    let deleted = admin.delete_topics(&["auto".into()], within(10)).await;
    assert!(deleted.unwrap().iter().all(|topic| topic.result.is_ok()));
    for _ in 0..100 {
        world.cluster.refreshed(within(10)).await.unwrap();
        drop(producer.try_send(Record::to("auto").value("1")));
        sleep(Duration::from_secs(2)).await;
    }
    assert!(!exists(&world, "auto"));
    assert!(world.requests(ApiKey::Metadata) > 100);
}
