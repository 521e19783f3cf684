//! What a producer says of itself: metrics, and the verdict made of them.

use std::time::Duration;

use milena_broker::Verdict as Fault;
use milena_producer::{
    Compression, ErrorCode, ErrorKind, Linger, Producer, ProducerConfig, Record, Verdict,
};

use crate::world::{World, nth_produce, within};

const MILLIS: fn(u64) -> Duration = Duration::from_millis;

async fn send(producer: &Producer, value: &str, partition: i32) {
    let record = Record::to("t").value(value).partition(partition);
    drop(producer.send(record).await.unwrap());
}

/// Sends as fast as it may for this long.
async fn flood(producer: &Producer, time: Duration, size: usize, partitions: i32) {
    let until = tokio::time::Instant::now() + time;
    let value = "v".repeat(size);
    let mut partition = 0;
    while tokio::time::Instant::now() < until {
        send(producer, &value, partition).await;
        partition = (partition + 1) % partitions;
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_record_is_counted_once_by_its_outcome() {
    let world = World::start(1, 2).await;
    let producer = world.producer(ProducerConfig::default());
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Fault::Error(ErrorCode::NotEnoughReplicas),
        3 => Fault::Error(ErrorCode::TopicAuthorizationFailed),
        _ => Fault::Pass,
    }));
    for number in 0..10 {
        send(&producer, &number.to_string(), number % 2).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let error = producer.flush().await.unwrap_err();
    let metrics = producer.metrics();
    let counts = metrics.totals;
    assert_eq!((counts.batches, counts.records), (10, 10));
    assert_eq!((counts.delivered, counts.not_written), (9, 1));
    assert_eq!(counts.delivered, error.report.delivered);
    assert_eq!(metrics.topics["t"], counts);
    assert_eq!(counts.compression_ratio(), 1.0);
    let refused = |code| vec![(ErrorKind::Broker(code), 1)];
    assert_eq!(metrics.retries, refused(ErrorCode::NotEnoughReplicas));
    assert_eq!(
        metrics.failures,
        refused(ErrorCode::TopicAuthorizationFailed)
    );
    let node = metrics.nodes[&1];
    assert_eq!((node.requests, node.answered, node.in_flight), (11, 11, 0));
    assert_eq!((metrics.outstanding_batches, metrics.buffer_used), (0, 0));
    assert_eq!(metrics.delivery.count(), 9);
    assert_eq!(metrics.queued.count(), 10);
    assert_eq!(metrics.round_trip.count(), 11);
    assert_eq!(metrics.metadata_waits.count, 1);
    assert_eq!(metrics.uptime.as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn the_ledger_adds_up_to_the_time_that_deliveries_took() {
    let world = World::start(1, 2).await;
    let mut config = ProducerConfig::default();
    config.batch_size = 500;
    config.linger = Linger::Fixed(MILLIS(70));
    let producer = world.producer(config);
    world.broker.faults(nth_produce(|nth| match nth % 5 {
        1 => Fault::Error(ErrorCode::NotEnoughReplicas),
        2 => Fault::Error(ErrorCode::NotLeaderOrFollower),
        3 => Fault::Disconnect,
        _ => Fault::Delay(MILLIS(40)),
    }));
    for number in 0..200 {
        send(&producer, &number.to_string(), number % 2).await;
        tokio::time::sleep(MILLIS(7)).await;
    }
    producer.flush().await.unwrap();
    let metrics = producer.metrics();
    let time = metrics.time;
    let parts = [
        time.open,
        time.queued,
        time.throttled,
        time.in_flight,
        time.backoff,
        time.metadata,
    ];
    let sum: Duration = parts.iter().sum();
    let deliveries = metrics.delivery.sum();
    assert!(
        sum.abs_diff(deliveries) < MILLIS(1),
        "{sum:?} {deliveries:?} {time:?}"
    );
    assert!(time.throttled.is_zero());
    for part in [time.open, time.in_flight, time.backoff, time.metadata] {
        assert!(part > MILLIS(40), "{time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn fill_and_compression_are_those_of_the_batches() {
    let world = World::start(1, 1).await;
    let mut config = ProducerConfig::default();
    config.batch_size = 10_000;
    config.compression = Compression::Zstd;
    config.linger = Linger::Fixed(Duration::from_secs(1));
    let producer = world.producer(config);
    for _ in 0..1_000 {
        send(&producer, &"v".repeat(100), 0).await;
    }
    producer.flush().await.unwrap();
    let metrics = producer.metrics();
    assert_eq!(metrics.totals.sealed_batches, metrics.totals.batches);
    assert_eq!(metrics.totals.unsealed_bytes, metrics.totals.bytes);
    let ratio = metrics.totals.compression_ratio();
    assert!(ratio < 0.1, "{ratio}");
    assert_eq!(metrics.compression.count, metrics.totals.batches);
    let fill = metrics.batch_fill;
    assert!((0.8..=1.0).contains(&fill), "{fill}");
    assert_eq!(metrics.nodes[&1].bytes, metrics.totals.sealed_bytes);
}

#[tokio::test(start_paused = true)]
async fn batches_end_at_their_number_of_records_and_go_at_once() {
    let world = World::start(1, 1).await;
    let mut config = ProducerConfig::default();
    config.batch_records = Some(10);
    config.linger = Linger::Fixed(Duration::from_secs(5));
    let producer = world.producer(config);
    let begun = tokio::time::Instant::now();
    let mut receipts = Vec::new();
    for number in 0..25 {
        let value = number.to_string();
        receipts.push(producer.send(Record::to("t").value(&value)).await.unwrap());
    }
    for receipt in receipts.drain(..20) {
        receipt.await.unwrap();
    }
    assert_eq!(begun.elapsed().as_secs(), 0);
    for receipt in receipts {
        assert_eq!(receipt.await.unwrap().attempts, 1);
    }
    assert_eq!(begun.elapsed().as_secs(), 5);
    let sizes: Vec<_> = world
        .batches(0)
        .iter()
        .map(|batch| batch.iter().count())
        .collect();
    assert_eq!(sizes, [10, 10, 5]);
    assert_eq!(world.numbers(0), (0..25).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_enough_to_flush_goes_at_once_and_grows_while_it_cannot() {
    for by_records in [true, false] {
        let world = World::start(1, 1).await;
        let mut config = ProducerConfig::default();
        config.linger = Linger::Fixed(Duration::from_secs(5));
        config.max_in_flight = 1;
        match by_records {
            true => config.flush_records = Some(3),
            false => config.flush_bytes = Some(380),
        }
        let producer = world.producer(config);
        world
            .broker
            .faults(nth_produce(|_| Fault::Delay(MILLIS(500))));
        let value = format!("7 {}", "v".repeat(100));
        let begun = tokio::time::Instant::now();
        for _ in 0..3 {
            send(&producer, &value, 0).await;
        }
        // On its way; meanwhile the next one gets more than it needs.
        tokio::time::sleep(MILLIS(100)).await;
        for _ in 0..9 {
            send(&producer, &value, 0).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(begun.elapsed().as_millis(), 1_100);
        let sizes: Vec<_> = world
            .batches(0)
            .iter()
            .map(|it| it.iter().count())
            .collect();
        assert_eq!(sizes, [3, 9], "{by_records}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_says_how_many_attempts_it_took() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    world.broker.faults(nth_produce(|nth| match nth {
        0 | 1 => Fault::Disconnect,
        _ => Fault::Pass,
    }));
    let receipt = producer.send(Record::to("t").value("0")).await.unwrap();
    assert_eq!(receipt.await.unwrap().attempts, 3);
    let receipt = producer.send(Record::to("t").value("1")).await.unwrap();
    assert_eq!(receipt.await.unwrap().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_producer_with_little_to_send_is_starved() {
    let world = World::start(1, 1).await;
    world
        .broker
        .faults(nth_produce(|_| Fault::Delay(MILLIS(50))));
    let producer = world.producer(ProducerConfig::default());
    for number in 0..10 {
        send(&producer, &number.to_string(), 0).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let verdict = producer.verdict();
    assert!(
        matches!(verdict, Verdict::Starved { share } if share > 0.9),
        "{verdict}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_awaits_each_record_is_limited_by_the_round_trip() {
    let world = World::start(1, 1).await;
    world
        .broker
        .faults(nth_produce(|_| Fault::Delay(MILLIS(50))));
    let producer = world.producer(ProducerConfig::default());
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(matches!(producer.verdict(), Verdict::Starved { .. }));
    for number in 0..40 {
        let value = number.to_string();
        let receipt = producer.send(Record::to("t").value(&value)).await.unwrap();
        receipt.await.unwrap();
    }
    // Since the last verdict only.
    let verdict = producer.verdict();
    let Verdict::RoundTrip {
        share,
        round_trip,
        saturated: false,
        ..
    } = verdict
    else {
        panic!("{verdict}");
    };
    assert!(share > 0.9, "{verdict}");
    assert!(round_trip.abs_diff(MILLIS(50)) < MILLIS(5), "{verdict}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_all_the_requests_it_may_have_is_the_limit() {
    let world = World::start(1, 1).await;
    world
        .broker
        .faults(nth_produce(|_| Fault::Delay(MILLIS(10))));
    let mut config = ProducerConfig::default();
    config.batch_size = 1_000;
    config.buffer_memory = 1_000_000;
    let producer = world.producer(config);
    flood(&producer, Duration::from_secs(5), 100, 1).await;
    let verdict = producer.verdict();
    let Verdict::RoundTrip {
        share,
        bdp,
        saturated: true,
        ..
    } = verdict
    else {
        panic!("{verdict}");
    };
    assert!(share > 0.9, "{verdict}");
    assert!((3_000..6_000).contains(&bdp), "{verdict}");
    producer.close(within(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_buffer_that_is_all_on_its_way_is_too_small() {
    let world = World::start(1, 2).await;
    world
        .broker
        .faults(nth_produce(|_| Fault::Delay(MILLIS(50))));
    let mut config = ProducerConfig::default();
    config.batch_size = 10_000;
    config.buffer_memory = 20_000;
    let producer = world.producer(config);
    flood(&producer, Duration::from_secs(5), 1_000, 2).await;
    let verdict = producer.verdict();
    assert!(matches!(verdict, Verdict::LocalBuffer { .. }), "{verdict}");
    let waits = producer.metrics().memory_waits;
    assert!(waits.count > 50 && waits.any > MILLIS(500), "{waits:?}");
    producer.close(within(5)).await;
}

#[tokio::test(start_paused = true)]
async fn the_one_slow_leader_of_two_is_named() {
    let world = World::start(2, 2).await;
    world.broker.faults(|request| match request.api {
        milena_codec::ApiKey::Produce if request.node == 2 => Fault::Delay(MILLIS(20)),
        _ => Fault::Pass,
    });
    let mut config = ProducerConfig::default();
    config.batch_size = 1_000;
    config.buffer_memory = 100_000;
    let producer = world.producer(config);
    flood(&producer, Duration::from_secs(5), 100, 2).await;
    let verdict = producer.verdict();
    assert!(
        matches!(verdict, Verdict::HotLeader { node: 2, .. }),
        "{verdict}"
    );
    producer.close(within(5)).await;
}
