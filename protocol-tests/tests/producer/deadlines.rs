//! Whatever is missing, records fail on time, and the error says what was missing.
//!
//! Scenarios 2, 11.

use std::time::Duration;

use milena_broker::{RequestInfo, Verdict};
use milena_codec::ApiKey;
use milena_producer::{
    Acks, DeliveryCause, DeliveryError, Fate, ProducerConfig, Record, SendError, TopicError,
};
use tokio::time::{Instant, sleep};

use crate::world::{World, nth_produce, offsets, one_a_batch, outcomes, send, send_each};

const SECOND: Duration = Duration::from_secs(1);

fn silent(api: ApiKey) -> impl FnMut(&RequestInfo) -> Verdict + Send + 'static {
    move |request| match request.api {
        asked if asked == api => Verdict::Silence,
        _ => Verdict::Pass,
    }
}

#[tokio::test(start_paused = true)]
async fn without_metadata_a_send_fails_at_max_block() {
    let world = World::start(1, 1).await;
    world.broker.faults(silent(ApiKey::Metadata));
    let mut config = ProducerConfig::default();
    config.max_block = 20 * SECOND;
    let producer = world.producer(config);
    let begun = Instant::now();
    let error = producer.send(Record::to("t").value("0")).await.unwrap_err();
    assert_eq!(begun.elapsed(), 20 * SECOND);
    assert!(
        matches!(error, SendError::Topic(TopicError::TimedOut(_))),
        "{error}"
    );
    assert!(error.is_retriable());
    let text = error.to_string();
    assert!(text.contains("looking up topic t"), "{text}");
    assert!(text.contains("Metadata"), "what every broker did: {text}");
}

#[tokio::test(start_paused = true)]
async fn max_block_counts_metadata_and_memory_together() {
    let world = World::build(1, 1, |builder| builder.topic("u", 1)).await;
    let mut config = ProducerConfig::default();
    config.buffer_memory = 20_000;
    config.batch_size = 20_000;
    config.max_block = 7 * SECOND;
    let producer = world.producer(config);
    producer.topic("t").await.unwrap();
    world.broker.faults(|request| match request.api {
        ApiKey::Produce => Verdict::Silence,
        ApiKey::Metadata => Verdict::Delay(Duration::from_millis(2_500)),
        _ => Verdict::Pass,
    });
    let value = [b'0'; 15_000];
    drop(producer.try_send(Record::to("t").value(&value)).unwrap());
    let begun = Instant::now();
    let sent = producer.send(Record::to("u").value(&value)).await;
    assert_eq!(begun.elapsed(), 7 * SECOND);
    assert!(matches!(sent, Err(SendError::BufferFull { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_topic_or_partition_that_is_not_there_is_said_in_seconds() {
    let world = World::build(1, 2, |builder| {
        builder.settings(|settings| settings.auto_create_topics = false)
    })
    .await;
    let producer = world.producer(ProducerConfig::default());
    let begun = Instant::now();
    let error = producer.send(Record::to("tt").value("0")).await;
    assert!(matches!(
        error.unwrap_err(),
        SendError::Topic(TopicError::Unknown { similar, .. }) if similar.is_empty()
    ));
    let elapsed = begun.elapsed();
    assert!((5 * SECOND..7 * SECOND).contains(&elapsed), "{elapsed:?}");

    drop(producer.send(Record::to("t").value("0")).await.unwrap());
    let error = producer
        .send(Record::to("tt").value("0"))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("topic tt does not exist"), "{text}");
    assert!(text.contains("t"), "names that resemble it: {text}");

    let begun = Instant::now();
    let record = Record::to("t").value("0").partition(7);
    let error = producer.send(record).await.unwrap_err();
    assert!(begun.elapsed() < 2 * SECOND, "{:?}", begun.elapsed());
    let text = error.to_string();
    assert_eq!(text, "topic t has no partition 7, only 0 to 1");
}

fn assert_on_time(error: &DeliveryError, begun: Instant, says: &str) {
    assert_eq!(begun.elapsed(), 120 * SECOND);
    assert_eq!(error.fate(), Fate::NotWritten, "{error}");
    let cause = error.cause();
    assert!(matches!(cause, DeliveryCause::TimedOut { .. }), "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_records_fail_at_the_delivery_timeout() {
    let world = World::build(2, 1, |builder| {
        builder.settings(|settings| settings.replication_factor = Some(1))
    })
    .await;
    let producer = world.producer(ProducerConfig::default());
    assert_eq!(offsets(send_each(&producer, [0]).await).await, [0]);
    let node = world.produced_to()[0];
    let down = |model: &mut milena_broker::ClusterModel| model.kill_node(node);
    world.broker.with_model(down).unwrap();
    world
        .cluster
        .refreshed(crate::world::within(9))
        .await
        .unwrap();
    let begun = Instant::now();
    let error = send(&producer, 0, 1).await.await.unwrap_err();
    assert_on_time(&error, begun, "no known leader");
}

#[tokio::test(start_paused = true)]
async fn without_a_broker_records_fail_at_the_delivery_timeout() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    producer.topic("t").await.unwrap();
    world.broker.with_model(|model| model.kill_node(1)).unwrap();
    let begun = Instant::now();
    let error = send(&producer, 0, 1).await.await.unwrap_err();
    assert_on_time(&error, begun, "node-1.mock:9092");
}

#[tokio::test(start_paused = true)]
async fn without_a_producer_id_records_fail_at_the_delivery_timeout() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    world.broker.faults(silent(ApiKey::InitProducerId));
    let begun = Instant::now();
    let error = send(&producer, 0, 1).await.await.unwrap_err();
    assert_on_time(&error, begun, "no producer id");
    world.broker.faults(|_| Verdict::Pass);
    assert_eq!(offsets(send_each(&producer, [2]).await).await, [0]);
}

#[tokio::test(start_paused = true)]
async fn each_batch_fails_at_its_own_time_whatever_it_waits_behind() {
    let world = World::start(1, 3).await;
    let producer = world.producer(one_a_batch());
    producer.topic("t").await.unwrap();
    world.broker.faults(nth_produce(|_| Verdict::Silence));
    let begun = Instant::now();
    let mut receipts = Vec::new();
    for number in 0..30_u64 {
        let partition = i32::try_from(number % 3).unwrap();
        receipts.push(send(&producer, partition, number).await);
        sleep(SECOND).await;
    }
    for (receipt, number) in receipts.into_iter().zip(0_u32..) {
        receipt.await.unwrap_err();
        let expected = 120 * SECOND + number * SECOND;
        let late = begun.elapsed().saturating_sub(expected);
        assert!(
            begun.elapsed() >= expected && late <= SECOND / 10,
            "{late:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn unacknowledged_records_fail_on_time_too() {
    let world = World::start(1, 1).await;
    let mut config = ProducerConfig::default();
    config.acks = Acks::None;
    let producer = world.producer(config);
    producer.topic("t").await.unwrap();
    world.broker.with_model(|model| model.kill_node(1)).unwrap();
    let begun = Instant::now();
    let error = send(&producer, 0, 0).await.await.unwrap_err();
    assert_on_time(&error, begun, "node-1.mock:9092");
    world
        .broker
        .with_model(|model| model.start_node(1))
        .unwrap();
    let ack = send(&producer, 0, 1).await.await.unwrap();
    assert_eq!(ack.offset, None);
}

/// A broker that answers what it should never say keeps nobody waiting either.
#[tokio::test(start_paused = true)]
async fn errors_of_other_apis_and_unknown_ones_end_the_batch_in_doubt_at_once() {
    for code in [
        milena_producer::ErrorCode::UnknownServerError,
        milena_producer::ErrorCode::RebalanceInProgress,
        milena_producer::ErrorCode::from(9_999),
    ] {
        let world = World::start(1, 1).await;
        let producer = world.producer(one_a_batch());
        assert_eq!(offsets(send_each(&producer, [0]).await).await, [0]);
        world.broker.faults(nth_produce(move |nth| match nth {
            0 => Verdict::ApplyThenError(code),
            _ => Verdict::Pass,
        }));
        let mut outcomes = outcomes(send_each(&producer, 1..=3).await).await;
        let error = outcomes.remove(0).unwrap_err();
        assert_eq!((error.fate(), error.attempts()), (Fate::MaybeWritten, 1));
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(world.numbers(0), [0, 1, 2, 3], "{code}");
    }
}
