//! Brokers that go and come back under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use milena::admin::NewTopic;
use milena::{Client, Compression, Producer, ProducerEvent, Receipt, Record, Start};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::world::{
    AWAY, assert_same, client, create, leader_of_first, read, restart, soon, text, unique,
};

const RECORDS: u64 = 100_000;
const PARTITIONS: u64 = 3;
/// Records between two pauses, so that all restarts take place under load.
const CHUNK: u64 = 250;
const PAUSE: Duration = Duration::from_millis(25);
/// The value behind all others, in each partition.
const LAST: &str = "last";

/// Replicated to all three, writable with two. One consumer reads along, one afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn every_acknowledged_record_is_there_once_after_a_shutdown_and_a_crash() {
    let client = client("MILENA_TEST_KAFKA_3").await;
    let topic = unique("restart");
    let new = NewTopic::new(topic.as_str())
        .partitions(3)
        .replication_factor(3)
        .config("min.insync.replicas", "2");
    create(&client, new).await;
    let leader = leader_of_first(&client, &topic).await;
    let reader = tokio::spawn(follow(client.clone(), topic.clone()));

    let events = Arc::new(Events::default());
    let producer = client.producer().compression(Compression::Lz4);
    let producer = producer.on_event(events.hook()).build().await.unwrap();
    let receipts = write(&producer, &topic, leader).await;
    let count = receipts.len();
    let expected = acknowledged(receipts).await;
    for partition in 0..3 {
        let last = Record::to(&topic).partition(partition).value(LAST);
        let receipt = producer.send(last).await.unwrap();
        receipt.await.unwrap();
    }
    assert!(producer.close(soon()).await.is_success());
    println!("{count} records, {events:?}");
    assert!(events.retries.load(Ordering::Relaxed) > 0, "{events:?}");
    assert!(events.moves.load(Ordering::Relaxed) > 0, "{events:?}");

    let afterwards = read(&client, &topic).await;
    let along = tokio::time::timeout_at(soon().into(), reader).await;
    for found in [afterwards, along.expect("it is at the end").unwrap()] {
        for (found, expected) in found.into_iter().zip(&expected) {
            assert_same(found, expected);
        }
    }
    client.close(soon()).await;
}

#[derive(Debug, Default)]
struct Events {
    retries: AtomicUsize,
    moves: AtomicUsize,
}

impl Events {
    fn hook(self: &Arc<Self>) -> impl Fn(&ProducerEvent) + Send + Sync + 'static {
        let events = Arc::clone(self);
        move |event| {
            let count = match event {
                ProducerEvent::Retry { .. } => &events.retries,
                ProducerEvent::LeaderChanged { .. } => &events.moves,
                _ => return,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes until both brokers have gone and come back, and at least `RECORDS`.
async fn write(producer: &Producer, topic: &str, leader: i32) -> Vec<Receipt> {
    let mut receipts: Vec<Receipt> = Vec::new();
    let mut restarts: Option<JoinHandle<()>> = None;
    let mut sent = 0;
    while sent < RECORDS || !restarts.as_ref().is_some_and(JoinHandle::is_finished) {
        for number in sent..sent + CHUNK {
            let value = number.to_string();
            let partition = i32::try_from(number % PARTITIONS).expect("it is below 3");
            let record = Record::to(topic).partition(partition).value(&value);
            receipts.push(producer.send(record).await.unwrap());
        }
        sent += CHUNK;
        if sent == RECORDS / 10 {
            restarts = Some(spawn_blocking(move || stop_and_crash(leader)));
        }
        tokio::time::sleep(PAUSE).await;
    }
    restarts.expect("it was begun").await.unwrap();
    receipts
}

/// What has to be in each partition. Offsets, where brokers told them, have no gaps.
async fn acknowledged(receipts: Vec<Receipt>) -> Vec<Vec<String>> {
    let mut expected = vec![Vec::new(); 3];
    for (number, receipt) in receipts.into_iter().enumerate() {
        let ack = receipt.await.unwrap();
        let own = &mut expected[usize::try_from(ack.partition).unwrap()];
        if let Some(offset) = ack.offset {
            assert_eq!(offset, i64::try_from(own.len()).unwrap(), "{number}");
        }
        own.push(number.to_string());
    }
    for own in &mut expected {
        own.push(LAST.to_owned());
    }
    expected
}

/// The values of each partition as they come, up to the last.
async fn follow(client: Client, topic: String) -> Vec<Vec<String>> {
    let consumer = client.consumer().topics([topic]).from(Start::Beginning);
    let mut consumer = consumer.build().await.unwrap();
    let mut values = vec![Vec::new(); 3];
    let mut open = values.len();
    while open > 0 {
        let record = consumer.recv().await.unwrap().expect("it is not closed");
        let value = text(record.value());
        open -= usize::from(value == LAST);
        values[usize::try_from(record.partition()).unwrap()].push(value);
    }
    values
}

/// Both nodes are up again when it returns.
fn stop_and_crash(first: i32) {
    let _away = AWAY.lock().unwrap();
    restart("stop", first);
    restart("kill", first % 3 + 1);
}
