//! When batches go, and which of them together.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use milena_broker::{Broker, Verdict};
use milena_codec::ApiKey;
use milena_net::{Environment, Offload};
use milena_producer::{
    Compression, DeliveryCause, ErrorCode, Fate, Linger, Producer, ProducerConfig, Receipt, Record,
    TrySendError,
};
use milena_rpc::RefreshReason;
use tokio::time::{Instant, sleep, timeout};

use crate::world::{World, nth_produce, within};

/// A producer that has written record 0 to partition 0.
async fn warm(world: &World, change: impl FnOnce(&mut ProducerConfig)) -> Producer {
    let mut config = ProducerConfig::default();
    change(&mut config);
    let producer = world.producer(config);
    let receipt = send(&producer, 0).await;
    assert_eq!(receipt.await.unwrap().offset, Some(0));
    producer
}

async fn send(producer: &Producer, number: u64) -> Receipt {
    send_to(producer, 0, number).await
}

async fn send_to(producer: &Producer, partition: i32, number: u64) -> Receipt {
    let value = number.to_string();
    let record = Record::to("t").value(&value).partition(partition);
    producer.send(record).await.unwrap()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The numbers of records in each batch of the log.
fn sizes(world: &World, partition: i32) -> Vec<usize> {
    let batches = world.batches(partition);
    batches.iter().map(|batch| batch.iter().count()).collect()
}

#[tokio::test(start_paused = true)]
async fn batches_in_flight_keep_their_order_when_one_in_the_middle_is_refused() {
    for nth in 1..8 {
        let world = World::start(1, 1).await;
        let producer = warm(&world, |config| config.batch_size = 1).await;
        world.broker.faults(nth_produce(move |at| match at {
            _ if at == nth => Verdict::Error(ErrorCode::NotEnoughReplicas),
            _ => Verdict::Delay(millis(10)),
        }));
        let mut receipts = Vec::new();
        for number in 1..=20 {
            receipts.push(send(&producer, number).await);
        }
        for (receipt, offset) in receipts.into_iter().zip(1..) {
            assert_eq!(receipt.await.unwrap().offset, Some(offset));
        }
        assert_eq!(world.numbers(0), (0..=20).collect::<Vec<_>>());
        // The refused one and those behind it, which are out of order then.
        let again = world.requests(ApiKey::Produce) - 21;
        assert!((2..=5).contains(&again), "{again} requests again");
    }
}

/// It waits for nothing but those before it: taken for one to be sent, it kept its connection's
/// task busy for ever.
#[tokio::test(start_paused = true)]
async fn a_batch_written_before_the_one_in_front_of_it_is_no_work() {
    let world = World::start(1, 1).await;
    let producer = warm(&world, |config| config.batch_size = 300).await;
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::ApplyThenError(ErrorCode::RequestTimedOut),
        1 => Verdict::Pass,
        _ => Verdict::Delay(millis(1_000)),
    }));
    // Two full batches, and one that is open while the first of them is sent again.
    for number in 1..60 {
        let value = number.to_string();
        let record = Record::to("t").value(&value).partition(0);
        drop(producer.try_send(record).unwrap());
    }
    sleep(millis(900)).await;
    assert_eq!(sizes(&world, 0).len(), 3, "the open one waits for quiet");
    assert_eq!(producer.flush().await.unwrap().delivered, 60);
    assert_eq!(world.numbers(0), (0..60).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn max_in_flight_of_one_sends_one_request_at_a_time() {
    let world = World::start(1, 1).await;
    let producer = warm(&world, |config| {
        config.batch_size = 1;
        config.max_in_flight = 1;
    })
    .await;
    world.broker.faults(nth_produce(move |nth| match nth {
        3 => Verdict::Error(ErrorCode::NotEnoughReplicas),
        _ => Verdict::Delay(millis(10)),
    }));
    for number in 1..=20 {
        drop(send(&producer, number).await);
    }
    producer.flush().await.unwrap();
    assert_eq!(world.requests(ApiKey::Produce), 22);
}

#[tokio::test(start_paused = true)]
async fn the_first_batch_of_a_partition_travels_alone() {
    let world = World::start(1, 1).await;
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::Delay(millis(1_000)),
        _ => Verdict::Pass,
    }));
    let mut config = ProducerConfig::default();
    config.batch_size = 1;
    let producer = world.producer(config);
    for number in 0..10 {
        drop(send(&producer, number).await);
    }
    sleep(millis(500)).await;
    assert_eq!(world.requests(ApiKey::Produce), 1);
    producer.flush().await.unwrap();
    assert_eq!(world.requests(ApiKey::Produce), 10);
    assert_eq!(world.numbers(0), (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_lone_record_goes_at_once() {
    let world = World::start(1, 1).await;
    let producer = warm(&world, |config| assert_eq!(config.linger, Linger::Adaptive)).await;
    for number in 1..5 {
        let begun = Instant::now();
        send(&producer, number).await.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn records_sent_while_a_request_is_in_flight_share_the_next_batch() {
    let world = World::start(1, 1).await;
    let producer = warm(&world, |_| {}).await;
    world
        .broker
        .faults(nth_produce(|_| Verdict::Delay(millis(100))));
    let mut receipts = vec![send(&producer, 1).await];
    sleep(millis(1)).await;
    for number in 2..=50 {
        receipts.push(send(&producer, number).await);
        sleep(millis(1)).await;
    }
    for receipt in receipts {
        receipt.await.unwrap();
    }
    assert_eq!(sizes(&world, 0), [1, 1, 49]);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_linger_is_kept_though_nothing_is_in_flight() {
    let world = World::start(1, 2).await;
    let producer = warm(&world, |config| config.linger = millis(300).into()).await;
    let begun = Instant::now();
    let first = send(&producer, 1).await;
    sleep(millis(100)).await;
    let second = send_to(&producer, 1, 2).await;
    first.await.unwrap();
    assert_eq!(begun.elapsed().as_millis(), 300);
    second.await.unwrap();
    assert_eq!(begun.elapsed().as_millis(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_flush_ends_a_linger_and_so_does_a_wait_for_room() {
    let world = World::start(1, 1).await;
    let producer = warm(&world, |config| {
        config.linger = Duration::from_secs(10).into();
        config.batch_size = 20_000;
        config.buffer_memory = 20_000;
    })
    .await;
    let begun = Instant::now();
    drop(send(&producer, 1).await);
    producer.flush().await.unwrap();
    let value = format!("2 {}", "x".repeat(11_000));
    let record = || Record::to("t").value(&value);
    drop(producer.try_send(record()).unwrap());
    assert!(matches!(
        producer.try_send(record()),
        Err(TrySendError::Full)
    ));
    drop(producer.send(record()).await.unwrap());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(world.numbers(0), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_permit_sends_without_waiting_when_there_is_no_room() {
    let world = World::start(1, 1).await;
    let producer = warm(&world, |config| {
        config.batch_size = 20_000;
        config.buffer_memory = 40_000;
    })
    .await;
    world
        .broker
        .faults(nth_produce(|_| Verdict::Delay(millis(1_000))));
    let permit = producer.reserve(5_000).await.unwrap();
    let large = format!("1 {}", "x".repeat(4_990));
    while producer.try_send(Record::to("t").value("1")).is_ok() {}
    let receipt = permit.send(Record::to("t").value(&large)).unwrap();
    let again = producer.try_send(Record::to("t").value(&large));
    assert!(matches!(again, Err(TrySendError::Full)));
    receipt.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn abort_buffered_fails_only_what_was_never_sent() {
    for linger in [Linger::Adaptive, Linger::Fixed(Duration::from_secs(60))] {
        let world = World::start(1, 1).await;
        let producer = warm(&world, |config| config.max_in_flight = 1).await;
        drop(producer);
        let mut config = ProducerConfig::default();
        config.max_in_flight = 1;
        config.batch_size = 1;
        config.linger = linger;
        let producer = world.producer(config);
        producer.topic("t").await.unwrap();
        world
            .broker
            .faults(nth_produce(|_| Verdict::Delay(millis(5_000))));
        let sent = send(&producer, 1).await;
        let flush = timeout(millis(10), producer.flush()).await;
        assert!(flush.is_err(), "it is in flight");
        let mut unsent = Vec::new();
        for number in 2..6 {
            unsent.push(send(&producer, number).await);
        }
        sleep(millis(100)).await;
        assert_eq!(producer.abort_buffered(), 4);
        for receipt in unsent {
            let error = receipt.await.unwrap_err();
            assert_eq!((error.fate(), error.attempts()), (Fate::NotWritten, 0));
            assert!(matches!(error.cause(), DeliveryCause::Aborted));
        }
        assert!(sent.outcome().is_none());
        assert_eq!(producer.abort_buffered(), 0);
        assert_eq!(sent.await.unwrap().offset, Some(1));
        drop(send(&producer, 6).await);
        let report = producer.flush().await.unwrap_err().report;
        assert_eq!(
            (report.delivered, report.not_written, report.maybe_written),
            (2, 4, 0)
        );
        assert_eq!(world.numbers(0), [0, 1, 6]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_sees_partitions_that_are_added_later() {
    let world = World::start(1, 1).await;
    let producer = warm(&world, |_| {}).await;
    let topic = producer.topic("t").await.unwrap();
    assert_eq!(topic.partitions(), Some(1));
    let admin = milena::admin::Admin::new(world.cluster.clone());
    let wanted = [("t".into(), 3)];
    let grown = admin.create_partitions(&wanted, false, within(5));
    assert!(
        grown
            .await
            .unwrap()
            .iter()
            .all(|topic| topic.result.is_ok())
    );
    // A record that names a partition asks for it.
    let record = Record::to(&topic).value("1").partition(2);
    let ack = producer.send(record).await.unwrap().await.unwrap();
    assert_eq!((ack.partition, ack.offset), (2, Some(0)));
    assert_eq!(topic.partitions(), Some(3));
    let mut used = BTreeSet::new();
    for number in 0..100 {
        let key = number.to_string();
        let record = Record::to(&topic).key(&key).value(&key);
        used.insert(
            producer
                .send(record)
                .await
                .unwrap()
                .await
                .unwrap()
                .partition,
        );
    }
    assert_eq!(used, BTreeSet::from([0, 1, 2]));
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_another_producer_works_by_its_name() {
    let world = World::start(1, 1).await;
    let (one, other) = (
        warm(&world, |_| {}).await,
        world.producer(ProducerConfig::default()),
    );
    let topic = one.topic("t").await.unwrap();
    let receipt = other.send(Record::to(&topic).value("1")).await.unwrap();
    assert_eq!(receipt.await.unwrap().offset, Some(1));
    assert_eq!(one.flush().await.unwrap().delivered, 1);
    assert_eq!(other.flush().await.unwrap().delivered, 1);
    let ids: BTreeSet<_> = world
        .batches(0)
        .iter()
        .map(|b| b.header().producer_id)
        .collect();
    assert_eq!(ids.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_partitions_travel_in_one_request_one_batch_each() {
    let world = World::start(1, 8).await;
    let producer = warm(&world, |_| {}).await;
    world
        .broker
        .faults(nth_produce(|_| Verdict::Delay(millis(100))));
    drop(send(&producer, 1).await);
    sleep(millis(1)).await;
    for partition in 0..8 {
        for number in 2..5 {
            drop(send_to(&producer, partition, number).await);
        }
    }
    sleep(millis(1_000)).await;
    assert_eq!(producer.flush().await.unwrap().delivered, 2 + 24);
    assert_eq!(world.requests(ApiKey::Produce), 3);
    assert_eq!(sizes(&world, 0), [1, 1, 3]);
    for partition in 1..8 {
        assert_eq!(sizes(&world, partition), [3]);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_leader_move_nothing_is_sent_before_the_old_leader_has_answered() {
    let world = World::start(2, 1).await;
    let move_to = |to| {
        let moved = world
            .broker
            .with_model(|model| model.move_leader("t", 0, to, None));
        moved.unwrap();
    };
    move_to(1);
    let producer = warm(&world, |config| config.batch_size = 1).await;
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::Delay(millis(2_000)),
        _ => Verdict::Pass,
    }));
    let begun = Instant::now();
    let in_flight = send(&producer, 1).await;
    sleep(millis(10)).await;
    move_to(2);
    world.cluster.refresh(RefreshReason::Requested);
    world.cluster.refreshed(within(1)).await.unwrap();
    let behind = send(&producer, 2).await;
    sleep(millis(1_900)).await;
    assert_eq!(
        world.requests(ApiKey::Produce),
        2,
        "the first, and that in flight"
    );
    in_flight.await.unwrap();
    behind.await.unwrap();
    assert!(begun.elapsed() >= millis(2_000));
    assert_eq!(world.numbers(0), [0, 1, 2]);
}

/// Runs each job some time later, the first ones last.
#[derive(Debug)]
struct Later(Arc<AtomicUsize>);

impl Offload for Later {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        let nth = self.0.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            sleep(millis(20_u64.saturating_sub(nth as u64 * 7))).await;
            job();
        });
    }
}

#[tokio::test(start_paused = true)]
async fn batches_compressed_elsewhere_keep_their_order() {
    for compression in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let broker = Broker::builder().topic("t", 2).start().await.unwrap();
        let jobs = Arc::new(AtomicUsize::new(0));
        let mut env = Environment::seeded(3, broker.connector());
        env.offload = Arc::new(Later(Arc::clone(&jobs)));
        let world = World::within(broker, env).await;
        let producer = warm(&world, |config| {
            config.batch_size = 40_000;
            config.compression = compression;
        })
        .await;
        for number in 1..=200_u64 {
            let value = format!("{number} {}", "x".repeat(4_000));
            let partition = i32::from(number % 3 == 0);
            let record = Record::to("t").value(&value).partition(partition);
            drop(producer.send(record).await.unwrap());
        }
        assert_eq!(producer.flush().await.unwrap().delivered, 201);
        let third = |number: &u64| *number != 0 && number.is_multiple_of(3);
        let (ones, zeros): (Vec<_>, Vec<_>) = (0..=200).partition(third);
        assert_eq!((world.numbers(0), world.numbers(1)), (zeros, ones));
        let codecs = world.batches(0);
        let codec = |batch: &milena_records::CheckedBatch| batch.header().attributes.compression();
        assert!(codecs.iter().all(|batch| codec(batch) == Ok(compression)));
        assert!(jobs.load(Ordering::Relaxed) > 2, "{jobs:?}");
    }
}

/// An alarm may ring while the connection's task looks at the batch with an older clock. On real
/// time and several threads, since only then it can.
#[test]
fn no_lingering_batch_is_forgotten_when_its_alarm_meets_the_connection() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let broker = Broker::builder().topic("t", 40).start().await.unwrap();
        let env = Environment::system().with_connector(broker.connector());
        let world = World::within(broker, env).await;
        let mut config = ProducerConfig::default();
        config.linger = millis(1).into();
        let producer = world.producer(config);
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..40 {
            let producer = producer.clone();
            senders.spawn(async move {
                for number in 0..150 {
                    let receipt = send_to(&producer, sender, number).await;
                    let outcome = timeout(Duration::from_secs(30), receipt).await;
                    outcome.expect("a batch was forgotten").unwrap();
                }
            });
        }
        while let Some(ended) = senders.join_next().await {
            ended.unwrap();
        }
        assert_eq!(producer.flush().await.unwrap().delivered, 40 * 150);
    });
}
