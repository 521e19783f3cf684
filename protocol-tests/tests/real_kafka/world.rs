//! What these tests share.

use std::process;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use milena::admin::NewTopic;
use milena::{AutoCreate, Client, ErrorCode, ProducerBuilder, Record, RecordRef, Start};
use protocol_tests::real_kafka::{variable, xtask};

/// A client of the cluster in this variable, with default settings.
pub(crate) async fn client(name: &str) -> Client {
    Client::connect(&variable(name)).await.unwrap()
}

/// The deadline of a step that takes less unless something hangs.
pub(crate) fn soon() -> Instant {
    (tokio::time::Instant::now() + Duration::from_secs(60)).into_std()
}

/// A name of this run, so that the tests can run again on the same cluster.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}", process::id())
}

/// A new topic on one broker. Returns its name.
pub(crate) async fn topic(client: &Client, name: &str, partitions: i32) -> String {
    let name = unique(name);
    let new = NewTopic::new(name.as_str())
        .partitions(partitions)
        .replication_factor(1);
    create(client, new).await;
    name
}

/// Creates a topic, and waits until the brokers know it.
pub(crate) async fn create(client: &Client, topic: NewTopic) {
    let (deadline, topics) = (soon(), [topic]);
    let created = loop {
        let created = client.admin().create_topics(&topics, false, deadline).await;
        let created = created.unwrap().remove(0);
        match created.result {
            // Another test has a broker away.
            Err(error) if error.code == ErrorCode::InvalidReplicationFactor => {
                let now = tokio::time::Instant::now();
                assert!(now < deadline.into(), "{error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // The broker that answered first did so as it went away.
            Err(error) if error.code == ErrorCode::TopicAlreadyExists => break created.topic,
            result => break result.map(|_| created.topic).unwrap(),
        }
    };
    let known = client
        .cluster()
        .topic(&created, AutoCreate::Never, deadline);
    known.await.unwrap();
}

/// The leader of partition 0. Waits for it: a topic just created is not known to every broker at
/// once, and a broker that has gone leads until another one does.
pub(crate) async fn leader_of_first(client: &Client, topic: &str) -> i32 {
    loop {
        let found = client.cluster().topic(topic, AutoCreate::Never, soon());
        if let Some(leader) = found.await.unwrap().partitions[0].leader {
            return leader;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        client.cluster().refreshed(soon()).await.unwrap();
    }
}

/// Ends a node by `kill` (SIGKILL) or `stop` (SIGTERM), and starts it again.
pub(crate) fn restart(how: &str, node: i32) {
    let (node, dir) = (node.to_string(), variable("MILENA_TEST_KAFKA_3_DIR"));
    xtask(&[how, &node, "-d", &dir]);
    xtask(&["start", &node, "-d", &dir]);
}

/// Held while a broker is away: with two away at once nothing can be written, nor either come back.
pub(crate) static AWAY: Mutex<()> = Mutex::new(());

/// Writes the values to partition 0, in order, and waits until they are delivered.
pub(crate) async fn produce(
    producer: ProducerBuilder,
    topic: &str,
    values: impl IntoIterator<Item = String>,
) {
    let producer = producer.build().await.unwrap();
    let mut count = 0;
    for value in values {
        let record = Record::to(topic).partition(0).value(&value);
        drop(producer.send(record).await.unwrap());
        count += 1;
    }
    let report = producer.close(soon()).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.delivered, count);
}

/// All values of a topic, those of each partition in order, and its offsets checked to have no gap.
pub(crate) async fn read(client: &Client, topic: &str) -> Vec<Vec<String>> {
    read_as(client, topic, |record| text(record.value)).await
}

/// The same of all records, each as what `take` makes of it.
pub(crate) async fn read_as<T>(
    client: &Client,
    topic: &str,
    take: impl Fn(&RecordRef<'_>) -> T,
) -> Vec<Vec<T>> {
    let consumer = client.consumer().topics([topic]).from(Start::Beginning);
    let mut consumer = consumer.stop_at_end(true).build().await.unwrap();
    let count = consumer.assignment().len();
    let mut found: Vec<_> = std::iter::repeat_with(Vec::new).take(count).collect();
    while let Some(batch) = consumer.next_batch().await.unwrap() {
        let own = &mut found[usize::try_from(batch.partition()).unwrap()];
        for record in &batch {
            assert_eq!(record.offset, i64::try_from(own.len()).unwrap());
            own.push(take(&record));
        }
    }
    assert!(consumer.close(soon()).await.in_time);
    found
}

pub(crate) fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.expect("it is not null").to_vec()).unwrap()
}

/// Names the first difference, instead of printing all of both.
pub(crate) fn assert_same<A, B>(
    found: impl IntoIterator<Item = A>,
    expected: impl IntoIterator<Item = B>,
) where
    A: AsRef<[u8]>,
    B: AsRef<[u8]>,
{
    let (mut found, mut expected) = (found.into_iter(), expected.into_iter());
    for place in 0_usize.. {
        match (found.next(), expected.next()) {
            (None, None) => return,
            (Some(one), Some(other)) if one.as_ref() == other.as_ref() => {}
            (one, other) => {
                let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let one = one.map(|it| show(it.as_ref()));
                let other = other.map(|it| show(it.as_ref()));
                panic!("record {place} is {one:?} and should be {other:?}");
            }
        }
    }
}

/// The lines that a tool printed.
pub(crate) fn lines(output: &[u8]) -> impl Iterator<Item = &[u8]> {
    let output = output.strip_suffix(b"\n").unwrap_or(output);
    output.split(|byte| *byte == b'\n')
}
