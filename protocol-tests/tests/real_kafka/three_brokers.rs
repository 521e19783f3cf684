//! A broker that goes and comes back under load.

use std::time::Duration;

use milena::admin::NewTopic;
use milena::{Client, Compression, Receipt, Record, Str};
use protocol_tests::real_kafka::{variable, xtask};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::world::{assert_same, client, create, read, soon, unique};

const RECORDS: u64 = 100_000;
const PARTITIONS: i32 = 3;
/// Records between two pauses, so that all of the restart takes place under load.
const CHUNK: u64 = 500;
const PAUSE: Duration = Duration::from_millis(25);

/// Replicated to all three, writable with two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn every_acknowledged_record_is_there_once_after_a_restart() {
    let client = client("MILENA_TEST_KAFKA_3").await;
    let topic = unique("restart");
    let new = NewTopic::new(topic.as_str())
        .partitions(PARTITIONS)
        .replication_factor(3)
        .config("min.insync.replicas", "2");
    create(&client, new).await;
    let victim = leader_of_first(&client, &topic).await;

    let producer = client.producer().compression(Compression::Lz4);
    let producer = producer.build().await.unwrap();
    let mut receipts: Vec<Receipt> = Vec::new();
    let mut restart = None;
    let mut sent = 0;
    while sent < RECORDS || !restart.as_ref().is_some_and(JoinHandle::is_finished) {
        for number in sent..sent + CHUNK {
            let (value, partition) = (number.to_string(), partition_of(number));
            let record = Record::to(&topic).partition(partition).value(&value);
            receipts.push(producer.send(record).await.unwrap());
        }
        sent += CHUNK;
        if sent == RECORDS / 10 {
            restart = Some(spawn_blocking(move || stop_and_start(victim)));
        }
        tokio::time::sleep(PAUSE).await;
    }
    restart.expect("it was begun").await.unwrap();

    let mut expected = vec![Vec::new(); PARTITIONS.unsigned_abs() as usize];
    for (number, receipt) in (0..).zip(receipts) {
        let ack = receipt.await.unwrap();
        let own = &mut expected[ack.partition.unsigned_abs() as usize];
        if let Some(offset) = ack.offset {
            assert_eq!(offset, i64::try_from(own.len()).unwrap(), "{number}");
        }
        own.push(u64::to_string(&number));
    }
    assert!(producer.close(soon()).await.is_success());
    for (found, expected) in read(&client, &topic).await.into_iter().zip(expected) {
        assert_same(found, expected);
    }
    client.close(soon()).await;
}

fn partition_of(number: u64) -> i32 {
    i32::try_from(number % 3).expect("it is below 3")
}

async fn leader_of_first(client: &Client, topic: &str) -> i32 {
    let names = [Str::from(topic)];
    let described = client.admin().describe_topics(&names, soon()).await;
    let described = described.unwrap().remove(0).result.unwrap();
    described.partitions[0].leader.unwrap()
}

fn stop_and_start(node: i32) {
    let (node, dir) = (node.to_string(), variable("MILENA_TEST_KAFKA_3_DIR"));
    xtask(&["stop", &node, "-d", &dir]);
    xtask(&["start", &node, "-d", &dir]);
}
