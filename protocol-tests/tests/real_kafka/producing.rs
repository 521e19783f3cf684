//! What brokers do to a producer without any fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use milena::admin::NewTopic;
use milena::{
    Ack, Client, DeliveryCause, DeliveryError, ErrorCode, Fate, Hook, Linger, Producer,
    ProducerConfig, ProducerEvent, Record, Str, TopicPartition, Uuid,
};
use protocol_tests::dice::XorShift;
use protocol_tests::real_kafka::variable;
use tokio::time::{Instant, interval, sleep, timeout_at};

use crate::requests::{delete_records, known_producers, limit_writes};
use crate::world::{client, create, read, soon, topic, unique};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What came of a record, and whether it was accepted at all.
type Outcome = Option<Result<Ack, DeliveryError>>;

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn batches_that_the_broker_finds_too_large_arrive_in_parts() {
    const LIMIT: usize = 20_000;
    let client = client("MILENA_TEST_KAFKA").await;
    let topic = unique("too-large");
    let limit = LIMIT.to_string();
    let new = new_topic(&topic).config("max.message.bytes", limit.as_str());
    create(&client, new).await;
    let mut config = ProducerConfig::default();
    config.linger = Linger::Fixed(Duration::from_millis(50));
    let (producer, events) = producer(&client, config).await;
    // One is too large by itself, and fails alone.
    let values = (0..3_000).map(|number| noise(number, if number == 700 { LIMIT } else { 500 }));
    let values: Vec<String> = values.collect();
    let mut receipts = Vec::new();
    for value in &values {
        let record = Record::to(&topic).value(value);
        receipts.push(producer.send(record).await.unwrap());
    }
    let mut written = Vec::new();
    for (number, receipt) in receipts.into_iter().enumerate() {
        match receipt.await {
            Ok(ack) => {
                assert_eq!(ack.offset, Some(offset(written.len())), "record {number}");
                written.push(values[number].clone());
            }
            Err(error) => {
                assert_eq!((number, error.fate()), (700, Fate::NotWritten), "{error}");
                let cause = error.cause();
                assert!(matches!(cause, DeliveryCause::TooLarge { .. }), "{error}");
            }
        }
    }
    assert_eq!(written.len(), values.len() - 1);
    assert_eq!(read(&client, &topic).await, [written]);
    assert!(events.splits.load(Ordering::Relaxed) > 0);
}

/// What is written carries times of long ago, by which the broker measures when to forget.
#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn a_producer_that_the_broker_forgets_again_and_again_goes_on() {
    let client = client("MILENA_TEST_KAFKA").await;
    let topic = topic(&client, "forgotten", 1).await;
    let (producer, _) = producer(&client, tiny()).await;
    let time = client.cluster().env().clock.wall_millis() - 2 * DAY_MS;
    let mut expected = Vec::new();
    for round in 0..4 {
        let values: Vec<String> = (0..50).map(|number| format!("{round} {number}")).collect();
        let records = values.iter().map(|it| Record::to(&topic).value(it));
        let sent = producer.send_all(records.map(|it| it.timestamp(time)));
        for receipt in sent.await.unwrap() {
            let ack = receipt.await.unwrap();
            assert_eq!(ack.offset, Some(offset(expected.len())));
            expected.push(values[expected.len() % 50].clone());
        }
        let forgotten = async {
            while known_producers(&client, &topic).await > 0 {
                sleep(Duration::from_millis(50)).await;
            }
        };
        let forgotten = timeout_at(soon().into(), forgotten).await;
        forgotten.expect("producer.id.expiration.ms has passed");
    }
    assert_eq!(read(&client, &topic).await, [expected]);
}

/// Below 2.5 a broker forgets a producer with its last record, and refuses what follows.
#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn a_producer_whose_records_are_deleted_goes_on_with_kafka_2_1() {
    let client = client("MILENA_TEST_KAFKA_21").await;
    let topic = topic(&client, "deleted-records", 1).await;
    let (producer, events) = producer(&client, tiny()).await;
    for round in 1..=3 {
        let values: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        let sent = producer.send_all(values.iter().map(|it| Record::to(&topic).value(it)));
        for (number, receipt) in sent.await.unwrap().into_iter().enumerate() {
            let ack = receipt.await.unwrap();
            assert_eq!(ack.offset, Some(offset((round - 1) * 50 + number)));
        }
        delete_records(&client, &topic, offset(round * 50)).await;
    }
    assert_eq!(events.bumps.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn a_topic_that_is_created_again_gets_what_follows_and_nothing_twice() {
    let client = client("MILENA_TEST_KAFKA").await;
    let topic = topic(&client, "recreated", 1).await;
    let (producer, _) = producer(&client, tiny()).await;
    let over = AtomicBool::new(false);
    let replace = async {
        for _ in 0..3 {
            sleep(Duration::from_millis(700)).await;
            let names = [Str::from(topic.as_str())];
            let deleted = client.admin().delete_topics(&names, soon()).await.unwrap();
            deleted[0].result.as_ref().unwrap();
            let id = create_again(&client, &topic).await;
            let created = Instant::now();
            await_records(&client, &topic, id).await;
            println!("written to after {:.1} s", created.elapsed().as_secs_f64());
        }
        over.store(true, Ordering::Relaxed);
    };
    let (outcomes, ()) = tokio::join!(write(&producer, &topic, &over), replace);
    let log = read(&client, &topic).await.remove(0);
    let log: Vec<usize> = log.iter().map(|it| it.parse().unwrap()).collect();
    assert!(log.is_sorted_by(|one, other| one < other), "{log:?}");
    assert!(matches!(outcomes.last(), Some(Some(Ok(_)))));
    assert_eq!(log.last(), Some(&(outcomes.len() - 1)));

    let (mut acked, mut failed, mut refused) = (0, 0, 0);
    for (number, outcome) in outcomes.iter().enumerate() {
        let place = log.binary_search(&number);
        match outcome {
            // The topics before are gone with what they had.
            Some(Ok(_)) if number < log[0] => acked += 1,
            Some(Ok(ack)) => {
                let place = place.unwrap_or_else(|_| panic!("record {number} is lost"));
                assert!(ack.offset.is_none_or(|told| told == offset(place)));
                acked += 1;
            }
            Some(Err(error)) => {
                let present = place.is_ok();
                assert!(error.fate() == Fate::MaybeWritten || !present, "{error}");
                failed += 1;
            }
            None => refused += 1,
        }
    }
    let kept = log.len();
    println!("{acked} acked, {kept} of them in the last topic, {failed} failed, {refused} refused");
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn records_without_a_key_fail_by_themselves_in_a_compacted_topic() {
    let client = client("MILENA_TEST_KAFKA").await;
    let topic = unique("compacted");
    create(
        &client,
        new_topic(&topic).config("cleanup.policy", "compact"),
    )
    .await;
    let mut config = tiny();
    config.batch_size = 1; // Each record is a batch, with others of both kinds in flight.
    let (producer, _) = producer(&client, config).await;
    let values: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    let records = values.iter().enumerate().map(|(number, value)| {
        let record = Record::to(&topic).value(value);
        if number % 7 == 3 {
            record
        } else {
            record.key(value)
        }
    });
    let receipts = producer.send_all(records).await.unwrap();
    let mut written = Vec::new();
    for (number, receipt) in receipts.into_iter().enumerate() {
        let outcome = receipt.await;
        if number % 7 == 3 {
            let error = outcome.unwrap_err();
            assert_eq!(error.fate(), Fate::NotWritten);
            let DeliveryCause::Refused { code, .. } = error.cause() else {
                panic!("{error}");
            };
            assert_eq!(*code, ErrorCode::InvalidRecord);
            let blamed = error.record_error().expect("KIP-467");
            assert!(blamed.message.is_some(), "{blamed:?}");
            assert_eq!(
                error.record().unwrap().value,
                Some(values[number].as_bytes())
            );
        } else {
            assert_eq!(
                outcome.unwrap().offset,
                Some(offset(written.len())),
                "{number}"
            );
            written.push(values[number].clone());
        }
    }
    assert_eq!(read(&client, &topic).await, [written]);
}

/// A request that the broker leaves lying while it has muted the connection has not failed.
#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn a_producer_over_its_quota_is_slow_and_nothing_else() {
    const QUOTA: usize = 100_000;
    const VALUE: usize = 1_000;
    /// The quota of 10 s comes without a wait, half as much again with one.
    const RECORDS: u64 = 1_500;
    let id = unique("over-quota");
    let limited = Client::builder().bootstrap(variable("MILENA_TEST_KAFKA"));
    let limited = limited.set("client.id", &id).unwrap();
    let limited = limited.connect().await.unwrap();
    let topic = topic(&limited, "quota", 1).await;
    limit_writes(&limited, &id, QUOTA as f64).await;
    let mut config = ProducerConfig::default();
    config.batch_size = 2 * QUOTA;
    config.request_timeout = Duration::from_secs(1);
    let (producer, events) = producer(&limited, config).await;
    let begun = Instant::now();
    let values: Vec<String> = (0..RECORDS).map(|number| noise(number, VALUE)).collect();
    let sent = producer.send_all(values.iter().map(|it| Record::to(&topic).value(it)));
    for (number, receipt) in sent.await.unwrap().into_iter().enumerate() {
        assert_eq!(receipt.await.unwrap().offset, Some(offset(number)));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let retries = events.retries.load(Ordering::Relaxed);
    println!("{seconds:.1} s over the quota, {retries} retries");
    assert!(seconds > 2.0, "{seconds} s");
    assert_eq!(retries, 0);
    let unlimited = client("MILENA_TEST_KAFKA").await;
    assert_eq!(read(&unlimited, &topic).await, [values]);
}

#[derive(Debug, Default)]
struct Events {
    splits: AtomicUsize,
    bumps: AtomicUsize,
    retries: AtomicUsize,
}

async fn producer(client: &Client, mut config: ProducerConfig) -> (Producer, Arc<Events>) {
    let events = Arc::<Events>::default();
    let seen = Arc::clone(&events);
    config.on_event = Some(Hook::new(move |event| {
        let count = match event {
            ProducerEvent::BatchSplit { .. } => &seen.splits,
            ProducerEvent::EpochBump { .. } => &seen.bumps,
            ProducerEvent::Retry { .. } => &seen.retries,
            _ => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }));
    let producer = client.producer().config(config).build().await.unwrap();
    (producer, events)
}

/// Batches of few records, of which five are in flight when many are sent at once.
fn tiny() -> ProducerConfig {
    let mut config = ProducerConfig::default();
    config.linger = Linger::Fixed(Duration::ZERO);
    config.batch_size = 128;
    config
}

/// Sends numbers until it is over.
async fn write(producer: &Producer, topic: &str, over: &AtomicBool) -> Vec<Outcome> {
    let mut ticks = interval(Duration::from_millis(10));
    let mut receipts = Vec::new();
    while !over.load(Ordering::Relaxed) {
        ticks.tick().await;
        for _ in 0..20 {
            let value = receipts.len().to_string();
            let record = Record::to(topic).partition(0).value(&value);
            receipts.push(producer.send(record).await.ok());
        }
    }
    let mut outcomes = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        outcomes.push(match receipt {
            Some(receipt) => Some(receipt.await),
            None => None,
        });
    }
    outcomes
}

fn new_topic(name: &str) -> NewTopic {
    NewTopic::new(name).partitions(1).replication_factor(1)
}

/// A deleted topic is in the way for a moment.
async fn create_again(client: &Client, name: &str) -> Uuid {
    loop {
        let new = [new_topic(name)];
        let created = client.admin().create_topics(&new, false, soon()).await;
        match created.unwrap().remove(0).result {
            Ok(created) => return created.id,
            Err(error) => assert_eq!(error.code, ErrorCode::TopicAlreadyExists),
        }
    }
}

/// Waits until the broker serves the topic of this id and has something in its partition 0.
async fn await_records(client: &Client, topic: &str, id: Uuid) {
    let consumer = client.consumer().build().await.unwrap();
    let partition = TopicPartition::new(topic, 0);
    let partitions = [partition.clone()];
    let names = [Str::from(topic)];
    let arrived = async {
        loop {
            let described = client
                .admin()
                .describe_topics(&names, soon())
                .await
                .unwrap();
            let current = described[0].result.as_ref().is_ok_and(|it| it.id == id);
            let ends = consumer.end_offsets(&partitions).await;
            if current && ends.is_ok_and(|ends| ends[&partition] > 0) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let arrived = timeout_at(soon().into(), arrived).await;
    arrived.expect("what is sent gets there");
}

/// A text of this size that begins with its number.
fn noise(number: u64, size: usize) -> String {
    let mut dice = XorShift::new(number);
    let mut text = format!("{number} ");
    while text.len() < size {
        text.push(char::from(b'a' + u8::try_from(dice.below(26)).unwrap()));
    }
    text
}

fn offset(place: usize) -> i64 {
    i64::try_from(place).unwrap()
}
