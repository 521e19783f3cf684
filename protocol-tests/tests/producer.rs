//! The producer on the embedded broker, on a paused clock.

#[path = "producer/auth.rs"]
mod auth;
#[path = "producer/blocking.rs"]
mod blocking;
#[path = "producer/cancel.rs"]
mod cancel;
#[path = "producer/codecs.rs"]
mod codecs;
#[path = "producer/deadlines.rs"]
mod deadlines;
#[path = "producer/driving.rs"]
mod driving;
#[path = "producer/expiry.rs"]
mod expiry;
#[path = "producer/flights.rs"]
mod flights;
#[path = "producer/flow.rs"]
mod flow;
#[path = "producer/fuse.rs"]
mod fuse;
#[path = "producer/idempotence.rs"]
mod idempotence;
#[path = "producer/interceptors.rs"]
mod interceptors;
#[path = "producer/leaders.rs"]
mod leaders;
#[path = "producer/limits.rs"]
mod limits;
#[path = "producer/observe.rs"]
mod observe;
#[path = "producer/partitioning.rs"]
mod partitioning;
#[path = "producer/refused.rs"]
mod refused;
#[path = "producer/splits.rs"]
mod splits;
#[path = "producer/tamper.rs"]
mod tamper;
#[path = "producer/topics_gone.rs"]
mod topics_gone;
#[path = "producer/world.rs"]
mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use milena_broker::{KafkaVersion, Verdict};
use milena_codec::ApiKey;
use milena_producer::{
    Acks, BumpReason, Compression, DeliveryCause, ErrorCode, Fate, Hook, ProducerConfig,
    ProducerEvent, Record, SendError,
};

use world::{World, nth_produce};

#[tokio::test(start_paused = true)]
async fn records_arrive_once_in_order_and_receipts_name_their_offsets() {
    let world = World::start(1, 3).await;
    let producer = world.producer(ProducerConfig::default());
    let mut receipts = Vec::new();
    for number in 0..300_u32 {
        let value = number.to_string();
        let partition = (number % 3).cast_signed();
        let record = Record::to("t").value(&value).partition(partition);
        receipts.push(producer.send(record).await.unwrap());
    }
    for (receipt, number) in receipts.into_iter().zip(0_i64..) {
        let ack = receipt.await.unwrap();
        assert_eq!(
            (i64::from(ack.partition), ack.offset),
            (number % 3, Some(number / 3))
        );
    }
    for partition in 0..3_i32 {
        let own = |number: &u64| number % 3 == u64::from(partition.cast_unsigned());
        let expected: Vec<_> = (0..300).filter(own).collect();
        assert_eq!(world.numbers(partition), expected);
    }
    assert_eq!(producer.flush().await.unwrap().delivered, 300);
}

#[tokio::test(start_paused = true)]
async fn keys_headers_timestamps_and_every_codec_survive() {
    for compression in Compression::ALL {
        let world = World::start(1, 1).await;
        let mut config = ProducerConfig::default();
        config.compression = compression;
        let producer = world.producer(config);
        let value = vec![b'v'; 100_000];
        let record = Record::to("t")
            .key("k")
            .value(&value)
            .header("a", "1")
            .null_header("a")
            .timestamp(1_234);
        let ack = producer.send(record).await.unwrap().await.unwrap();
        assert_eq!((ack.offset, ack.timestamp), (Some(0), 1_234));
        let batch = world.batches(0).remove(0);
        assert_eq!(batch.header().attributes.compression(), Ok(compression));
        let record = batch.iter().next().unwrap();
        assert_eq!(record.key, Some(&b"k"[..]));
        assert_eq!(record.value, Some(&value[..]));
        assert_eq!(record.timestamp, 1_234);
        let headers: Vec<_> = record.headers.map(|h| (h.name, h.value)).collect();
        assert_eq!(headers, [(&b"a"[..], Some(&b"1"[..])), (b"a", None)]);
    }
}

#[tokio::test(start_paused = true)]
async fn acks_zero_reports_no_offset_and_acks_one_does() {
    for (acks, offset) in [(Acks::None, None), (Acks::Leader, Some(0))] {
        let world = World::start(1, 1).await;
        let mut config = ProducerConfig::default();
        config.acks = acks;
        let producer = world.producer(config);
        let ack = producer.send(Record::to("t").value("0")).await.unwrap();
        assert_eq!(ack.await.unwrap().offset, offset);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.numbers(0), [0]);
        assert_eq!(world.batches(0)[0].header().producer_id, -1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_broker_and_a_cold_one_are_written_to() {
    let world = World::build(1, 1, |builder| {
        builder
            .as_version(KafkaVersion::V2_1)
            .settings(|settings| settings.cold_start = true)
    })
    .await;
    let producer = world.producer(ProducerConfig::default());
    let ack = producer.send(Record::to("t").value("0")).await.unwrap();
    assert_eq!(ack.await.unwrap().offset, Some(0));
    assert!(world.batches(0)[0].header().producer_id >= 0);
}

#[tokio::test(start_paused = true)]
async fn lost_answers_neither_duplicate_nor_reorder() {
    let world = World::start(1, 1).await;
    world.broker.faults(nth_produce(|nth| match nth % 4 {
        1 => Verdict::ApplyThenDisconnect,
        2 => Verdict::Disconnect,
        _ => Verdict::Pass,
    }));
    let producer = world.producer(ProducerConfig::default());
    for number in 0..40 {
        let value = number.to_string();
        let receipt = producer.send(Record::to("t").value(&value)).await.unwrap();
        assert_eq!(receipt.await.unwrap().offset, Some(number));
    }
    assert_eq!(world.numbers(0), (0..40).collect::<Vec<_>>());
}

/// The reproducer of franz-go #1217: the broker writes, answers REQUEST_TIMED_OUT, and the client
/// gives up; the next record must not be taken for a duplicate of the lost one.
#[tokio::test(start_paused = true)]
async fn after_an_outcome_in_doubt_later_records_are_not_deduplicated_away() {
    let world = World::start(1, 1).await;
    let bumps = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bumps);
    let mut config = ProducerConfig::default();
    config.on_event = Some(Hook::new(move |event| {
        if let ProducerEvent::EpochBump { bump, .. } = event {
            seen.lock().unwrap().push(bump.reason);
        }
    }));
    let producer = world.producer(config);
    world.broker.faults(nth_produce(|_| {
        Verdict::ApplyThenError(ErrorCode::RequestTimedOut)
    }));
    let lost = producer.send(Record::to("t").value("0")).await.unwrap();
    let error = lost.await.unwrap_err();
    assert_eq!(error.fate(), Fate::MaybeWritten);
    assert!(matches!(error.cause(), DeliveryCause::TimedOut { .. }));
    assert!(error.to_string().contains("REQUEST_TIMED_OUT"), "{error}");
    assert_eq!(error.record().unwrap().value, Some(&b"0"[..]));
    world.broker.faults(|_| Verdict::Pass);
    for number in 1..5 {
        let value = number.to_string();
        let receipt = producer.send(Record::to("t").value(&value)).await.unwrap();
        assert_eq!(receipt.await.unwrap().offset, Some(number));
    }
    assert_eq!(world.numbers(0), [0, 1, 2, 3, 4]);
    assert_eq!(*bumps.lock().unwrap(), [BumpReason::InDoubt]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_refused_on_every_attempt_was_not_written() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    let begun = tokio::time::Instant::now();
    world.broker.faults(nth_produce(|_| {
        Verdict::Error(ErrorCode::NotEnoughReplicas)
    }));
    let receipt = producer.send(Record::to("t").value("0")).await.unwrap();
    let error = receipt.await.unwrap_err();
    assert_eq!(error.fate(), Fate::NotWritten);
    assert!(error.attempts() > 50, "{error}");
    assert_eq!(begun.elapsed().as_secs(), 120);
    world.broker.faults(|_| Verdict::Pass);
    let receipt = producer.send(Record::to("t").value("1")).await.unwrap();
    assert_eq!(receipt.await.unwrap().offset, Some(0));
    assert_eq!(world.batches(0)[0].header().producer_epoch, 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_fails_records_in_time_and_in_doubt() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    world.broker.faults(nth_produce(|_| Verdict::Silence));
    let begun = tokio::time::Instant::now();
    let first = producer.send(Record::to("t").value("0")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let second = producer.send(Record::to("t").value("1")).await.unwrap();
    let error = first.await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 120);
    assert_eq!((error.fate(), error.attempts()), (Fate::MaybeWritten, 4));
    second.await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 180);
}

#[tokio::test(start_paused = true)]
async fn too_large_a_batch_fails_alone_and_names_its_size() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::Error(ErrorCode::MessageTooLarge),
        _ => Verdict::Pass,
    }));
    let receipt = producer.send(Record::to("t").value("0")).await.unwrap();
    let error = receipt.await.unwrap_err();
    assert_eq!((error.fate(), error.attempts()), (Fate::NotWritten, 1));
    let text = error.to_string();
    assert!(
        text.contains("69 bytes") && text.contains("max.message.bytes"),
        "{text}"
    );
    let receipt = producer.send(Record::to("t").value("1")).await.unwrap();
    assert_eq!(receipt.await.unwrap().offset, Some(0));
}

#[tokio::test(start_paused = true)]
async fn records_follow_a_leader_that_moves() {
    let world = World::start(3, 1).await;
    let moves = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&moves);
    let mut config = ProducerConfig::default();
    config.on_event = Some(Hook::new(move |event| {
        if matches!(event, ProducerEvent::LeaderChanged { .. }) {
            *seen.lock().unwrap() += 1;
        }
    }));
    let producer = world.producer(config);
    let mut receipts = Vec::new();
    for number in 0..60 {
        if number % 10 == 5 {
            let to = number / 10 % 3 + 1;
            world
                .broker
                .with_model(|model| model.move_leader("t", 0, to, None))
                .unwrap();
        }
        let value = number.to_string();
        receipts.push(producer.send(Record::to("t").value(&value)).await.unwrap());
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    for receipt in receipts {
        receipt.await.unwrap();
    }
    assert_eq!(world.numbers(0), (0..60).collect::<Vec<_>>());
    assert!(*moves.lock().unwrap() >= 3);
}

#[tokio::test(start_paused = true)]
async fn records_wait_out_a_killed_cluster() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    producer
        .send(Record::to("t").value("0"))
        .await
        .unwrap()
        .await
        .unwrap();
    world.broker.with_model(|model| model.kill_node(1)).unwrap();
    let receipt = producer.send(Record::to("t").value("1")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(receipt.outcome().is_none());
    world
        .broker
        .with_model(|model| model.start_node(1))
        .unwrap();
    assert_eq!(receipt.await.unwrap().offset, Some(1));
    assert_eq!(world.numbers(0), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_created_again_gets_the_records_that_follow() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    for number in ["0", "1"] {
        let receipt = producer.send(Record::to("t").value(number)).await.unwrap();
        receipt.await.unwrap();
    }
    world.delete_topic().await;
    let created = world.broker.with_model(|model| model.create_topic("t", 1));
    created.unwrap();
    let receipt = producer.send(Record::to("t").value("2")).await.unwrap();
    assert_eq!(receipt.await.unwrap().offset, Some(0));
    assert_eq!(world.numbers(0), [2]);
    let header = *world.batches(0)[0].header();
    assert_eq!((header.producer_epoch, header.base_sequence), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_forgot_the_producer_is_written_to_all_the_same() {
    for version in [KafkaVersion::V2_1, KafkaVersion::V4_3] {
        let world = World::build(1, 1, |builder| builder.as_version(version)).await;
        let producer = world.producer(ProducerConfig::default());
        for number in 0..6 {
            let forget = |model: &mut milena_broker::ClusterModel| model.forget_producers("t", 0);
            world.broker.with_model(forget).unwrap();
            let value = number.to_string();
            let receipt = producer.send(Record::to("t").value(&value)).await.unwrap();
            assert_eq!(receipt.await.unwrap().offset, Some(number));
        }
        assert_eq!(world.numbers(0), [0, 1, 2, 3, 4, 5]);
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_topics_and_partitions_are_refused_in_time() {
    let world = World::build(1, 2, |builder| {
        builder.settings(|settings| settings.auto_create_topics = false)
    })
    .await;
    let producer = world.producer(ProducerConfig::default());
    let error = producer.send(Record::to("u").value("0")).await.unwrap_err();
    assert!(
        error.to_string().contains("topic u does not exist"),
        "{error}"
    );
    let record = Record::to("t").value("0").partition(2);
    let error = producer.send(record).await.unwrap_err();
    assert!(matches!(
        error,
        SendError::UnknownPartition { count: 2, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn keyless_records_stick_and_then_spread() {
    let world = World::start(1, 4).await;
    let mut config = ProducerConfig::default();
    config.batch_size = 1_000;
    let producer = world.producer(config);
    for number in 0..2_000 {
        let value = format!("{number}");
        drop(producer.send(Record::to("t").value(&value)).await.unwrap());
    }
    producer.flush().await.unwrap();
    let mut all = Vec::new();
    for partition in 0..4 {
        let numbers = world.numbers(partition);
        assert!(
            numbers.len() > 200,
            "partition {partition}: {}",
            numbers.len()
        );
        assert!(numbers.is_sorted());
        all.extend(numbers);
    }
    all.sort_unstable();
    assert_eq!(all, (0..2_000).collect::<Vec<_>>());
    let produces = world.requests(ApiKey::Produce);
    assert!(produces < 200, "{produces} requests for 2,000 records");
}
