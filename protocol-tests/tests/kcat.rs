//! The embedded broker, and clients that are not ours: kcat and Kafka's own tools.

use milena::{Client, Compression, Record, Start};
use milena_broker::Broker;
use protocol_tests::real_kafka::{console_consume, console_produce, kcat, tool};
use tokio::task::block_in_place;

const RECORDS: usize = 20_000;
const TOPIC: &str = "words";

async fn start() -> (Broker, String) {
    let broker = Broker::builder().listen("127.0.0.1:0").topic(TOPIC, 1);
    let broker = broker.start().await.unwrap();
    let bootstrap = broker.bootstrap();
    (broker, bootstrap)
}

fn lines(label: &str) -> String {
    (0..RECORDS).map(|n| format!("{label} {n}\n")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn kcat_writes_and_reads_in_every_codec() {
    let (broker, bootstrap) = start().await;
    let mut expected = String::new();
    for codec in Compression::ALL {
        let codec = codec.to_string();
        let input = lines(&codec);
        expected += &input;
        let to = ["-b", &bootstrap, "-t", TOPIC, "-p", "0"];
        let arguments = [&["-P", "-z", &codec], &to[..]].concat();
        block_in_place(|| kcat(&arguments, input));
    }
    assert_text(&block_in_place(|| kcat_read(&bootstrap)), &expected);
    assert_eq!(our_read(&bootstrap).await, expected);
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn kcat_reads_what_we_write_and_lists_the_cluster() {
    let (broker, bootstrap) = start().await;
    let client = Client::connect(&bootstrap).await.unwrap();
    let producer = client.producer().compression(Compression::Zstd);
    let producer = producer.build().await.unwrap();
    let expected = lines("ours");
    for value in expected.lines() {
        let record = Record::to(TOPIC).value(value);
        drop(producer.send(record).await.unwrap());
    }
    producer.flush().await.unwrap();
    assert_text(&block_in_place(|| kcat_read(&bootstrap)), &expected);

    let listed = block_in_place(|| kcat(&["-L", "-b", &bootstrap], ""));
    let listed = String::from_utf8(listed).unwrap();
    for part in [" 1 brokers:", " broker 1 at ", " 1 topics:", TOPIC] {
        assert!(listed.contains(part), "no {part} in {listed}");
    }
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn kafka_s_console_tools_write_and_read() {
    let (broker, bootstrap) = start().await;
    let expected = lines("java");
    let read = block_in_place(|| {
        let codec = ["--compression-codec", "lz4"];
        console_produce(&bootstrap, TOPIC, &codec, expected.clone());
        console_consume(&bootstrap, (TOPIC, 0), RECORDS, &[])
    });
    assert_text(&read, &expected);
    assert_eq!(our_read(&bootstrap).await, expected);
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn kafka_s_topic_tool_creates_describes_and_deletes() {
    let (broker, bootstrap) = start().await;
    let topics = |arguments: &[&str]| {
        let class = "org.apache.kafka.tools.TopicCommand";
        let to = ["--bootstrap-server", bootstrap.as_str()];
        let output = block_in_place(|| tool(class, &[&to, arguments].concat(), ""));
        String::from_utf8(output).unwrap()
    };
    topics(&["--create", "--topic", "new", "--partitions", "3"]);
    let described = topics(&["--describe", "--topic", "new"]);
    assert!(described.contains("PartitionCount: 3"), "{described}");
    topics(&["--delete", "--topic", TOPIC]);
    assert_eq!(topics(&["--list"]), "new\n");
    broker.close().await;
}

fn kcat_read(bootstrap: &str) -> Vec<u8> {
    let from = ["-b", bootstrap, "-t", TOPIC, "-p", "0", "-o", "beginning"];
    kcat(&[&["-C", "-e", "-q"], &from[..]].concat(), "")
}

async fn our_read(bootstrap: &str) -> String {
    let client = Client::connect(bootstrap).await.unwrap();
    let consumer = client.consumer().topics([TOPIC]).from(Start::Beginning);
    let mut consumer = consumer.stop_at_end(true).build().await.unwrap();
    let mut text = String::new();
    while let Some(record) = consumer.recv().await.unwrap() {
        text += std::str::from_utf8(record.value().unwrap()).unwrap();
        text.push('\n');
    }
    text
}

/// Names the first line that differs.
fn assert_text(found: &[u8], expected: &str) {
    let found = std::str::from_utf8(found).unwrap();
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}
