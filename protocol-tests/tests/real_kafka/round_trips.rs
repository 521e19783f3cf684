//! What one side writes, the other reads: all of it, in order, unchanged.

use std::collections::BTreeMap;
use std::time::Duration;

use milena::{Acks, Client, Compression, Record, Start, TopicPartition};
use protocol_tests::real_kafka::{console_consume, console_produce, variable};
use tokio::task::block_in_place;

use crate::world::{assert_same, client, lines, produce, read, soon, text, topic};

/// Of each codec with each acks, and of each codec of Kafka's producer.
const RECORDS: usize = 100_000;
const ACKS: [Acks; 3] = [Acks::None, Acks::Leader, Acks::All];
const KEYS: usize = 400;

fn values(label: String) -> impl Iterator<Item = String> {
    let words = ["Zürich", "deliver", "", "two pizzas", "{\"a\":1}", "日本"];
    (0..RECORDS).map(move |n| format!("{label} {n} {} {}", words[n % 6], n * 7919))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn kafka_reads_what_we_write_with_every_codec_and_acks() {
    let client = client("MILENA_TEST_KAFKA").await;
    let topic = topic(&client, "ours", 1).await;
    let pairs = || Compression::ALL.map(|codec| ACKS.map(|acks| (codec, acks)));
    let label = |codec, acks| format!("{codec} acks={acks:?}");
    let mut end = 0;
    for (codec, acks) in pairs().into_iter().flatten() {
        let producer = client.producer().compression(codec).acks(acks);
        produce(producer, &topic, values(label(codec, acks))).await;
        end += i64::try_from(RECORDS).unwrap();
        if acks == Acks::None {
            await_end(&client, &topic, end).await;
        }
    }

    let count = RECORDS * pairs().as_flattened().len();
    let bootstrap = variable("MILENA_TEST_KAFKA");
    let read = block_in_place(|| console_consume(&bootstrap, (&topic, 0), count, &[]));
    let expected = pairs().into_iter().flatten();
    assert_same(
        lines(&read),
        expected.flat_map(|(codec, acks)| values(label(codec, acks))),
    );
}

/// Without acks, records have been sent when a producer closes, and are still on their way.
async fn await_end(client: &Client, topic: &str, end: i64) {
    let partition = TopicPartition::new(topic, 0);
    let consumer = client.consumer().build().await.unwrap();
    let partitions = [partition.clone()];
    let arrived = async {
        while consumer.end_offsets(&partitions).await.unwrap()[&partition] < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout_at(soon().into(), arrived)
        .await
        .expect("records sent without acks arrive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn we_read_what_kafka_writes_with_every_codec() {
    let client = client("MILENA_TEST_KAFKA").await;
    let bootstrap = variable("MILENA_TEST_KAFKA");
    for codec in Compression::ALL {
        let topic = topic(&client, &format!("theirs-{codec}"), 1).await;
        let label = codec.to_string();
        let input: String = values(label.clone()).map(|value| value + "\n").collect();
        let arguments = ["--compression-codec", &label];
        block_in_place(|| console_produce(&bootstrap, &topic, &arguments, input));
        assert_same(read(&client, &topic).await.remove(0), values(label));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn kafka_reads_our_keys_headers_timestamps_and_nulls() {
    let client = client("MILENA_TEST_KAFKA").await;
    let topic = topic(&client, "parts", 1).await;
    let producer = client.producer().build().await.unwrap();
    let time = client.cluster().env().clock.wall_millis();
    let records = [
        Record::to(&topic).key("k").value("v").header("a", "1"),
        Record::to(&topic)
            .value("")
            .header("b", "2")
            .header("b", ""),
        Record::to(&topic).key("").null_header("c"),
        Record::to(&topic),
    ];
    for (record, time) in records.into_iter().zip(time..) {
        let receipt = producer.send(record.timestamp(time)).await.unwrap();
        assert_eq!(receipt.await.unwrap().timestamp, time);
    }

    let show = ["timestamp", "key", "headers", "value"].map(|part| format!("print.{part}=true"));
    let show = show.iter().map(String::as_str).chain(["null.literal=NULL"]);
    let arguments: Vec<&str> = show.flat_map(|it| ["--formatter-property", it]).collect();
    let bootstrap = variable("MILENA_TEST_KAFKA");
    let read = block_in_place(|| console_consume(&bootstrap, (&topic, 0), 4, &arguments));
    let expected = [
        format!("CreateTime:{time}\ta:1\tk\tv"),
        format!("CreateTime:{}\tb:2,b:\tNULL\t", time + 1),
        format!("CreateTime:{}\tc:NULL\t\tNULL", time + 2),
        format!("CreateTime:{}\tNO_HEADERS\tNULL\tNULL", time + 3),
    ];
    assert_same(lines(&read), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn keys_go_to_the_partitions_that_java_chooses() {
    let client = client("MILENA_TEST_KAFKA").await;
    let topic = topic(&client, "keys", 13).await;
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    let input: String = keys.iter().map(|key| format!("{key}\tvalue\n")).collect();
    let arguments = [
        ["--reader-property", "parse.key=true"],
        ["--command-property", "linger.ms=50"],
    ];
    let bootstrap = variable("MILENA_TEST_KAFKA");
    block_in_place(|| console_produce(&bootstrap, &topic, arguments.as_flattened(), input));

    let consumer = client.consumer().topics([&topic]).from(Start::Beginning);
    let mut consumer = consumer.stop_at_end(true).build().await.unwrap();
    let mut theirs = BTreeMap::new();
    while let Some(record) = consumer.recv().await.unwrap() {
        theirs.insert(text(record.key()), record.partition());
    }
    let producer = client.producer().build().await.unwrap();
    let mut ours = BTreeMap::new();
    for key in &keys {
        let receipt = producer.send(Record::to(&topic).key(key).value("value"));
        let ack = receipt.await.unwrap().await.unwrap();
        ours.insert(key.clone(), ack.partition);
    }
    assert_eq!(ours.len(), KEYS);
    assert_eq!(ours, theirs);
}

/// Of all lengths modulo 4, which the hash treats apart.
fn key(n: usize) -> String {
    let long = "schlüssel".repeat(n % 5);
    format!("{n:x}{long}{}", &"abc"[..n % 4])
}
