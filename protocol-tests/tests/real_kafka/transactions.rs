//! Transactions on real brokers: both levels of `transaction.version` and the oldest releases, and
//! two-phase commit where brokers are told to offer it.

use milena::{
    BeginError, Client, CommitError, Complete, ConsumedOffset, GroupMetadata, Record, Token,
    Transaction,
};
use milena_codec::VersionRange;
use milena_codec::messages::OffsetFetchRequest;
use milena_codec::messages::offset_fetch_request::OffsetFetchRequestTopic;
use milena_net::Lane;
use milena_rpc::{CoordinatorKind, Target};
use protocol_tests::real_kafka::{console_consume, tool, variable};
use tokio::task::spawn_blocking;

use crate::world::{assert_same, client, lines, soon, topic, unique};

const PARTITIONS: i32 = 2;

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn kafka_4_3_commits_aborts_and_fences_at_level_2() {
    smoke("MILENA_TEST_KAFKA", "level-2").await;
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn kafka_3_9_commits_aborts_and_fences() {
    smoke("MILENA_TEST_KAFKA_39", "3.9").await;
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn kafka_2_1_commits_aborts_and_fences() {
    smoke("MILENA_TEST_KAFKA_21", "2.1").await;
}

/// One test, since the level is the cluster's: a producer lives through the upgrade.
#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn kafka_4_3_commits_at_level_1_and_is_upgraded_to_level_2() {
    const NAME: &str = "MILENA_TEST_KAFKA_TXN";
    smoke(NAME, "level-1").await;
    two_phases(NAME, "level-1").await;
    let client = client(NAME).await;
    let name = topic(&client, "upgraded", PARTITIONS).await;
    let old = client.producer().transactional_id(unique("upgraded"));
    let old = old.build().await.unwrap();
    commit(&old, &name, "before").await;
    let open = old.begin().await.unwrap();
    write(&open, &name, "during").await;
    set_level(2).await;
    open.commit().await.unwrap();
    commit(&old, &name, "after").await;
    assert_read(NAME, &name, &["before", "during", "after"]).await;
    client.close(soon()).await;
    smoke(NAME, "upgraded").await;
    two_phases(NAME, "level-2").await;
}

async fn set_level(level: i16) {
    let server = variable("MILENA_TEST_KAFKA_TXN");
    let feature = format!("transaction.version={level}");
    let changed = spawn_blocking(move || {
        let how = [
            "--bootstrap-server",
            &server,
            "upgrade",
            "--feature",
            &feature,
        ];
        tool("org.apache.kafka.tools.FeatureCommand", &how, "")
    });
    changed.await.unwrap();
}

/// Commits, aborts, drops, fences, and commits offsets.
async fn smoke(variable: &str, name: &str) {
    let client = client(variable).await;
    let topic = topic(&client, &format!("transactions-{name}"), PARTITIONS).await;
    let (id, group) = (unique(name), unique(&format!("group-{name}")));
    let offset = |offset| [ConsumedOffset::new(topic.as_str(), 0, offset)];
    let group_metadata = || GroupMetadata::new(group.as_str());

    let old = client.producer().transactional_id(id.as_str());
    let old = old.build().await.unwrap();
    for round in 0..3 {
        commit(&old, &topic, &format!("committed {round}")).await;
        let transaction = old.begin().await.unwrap();
        write(&transaction, &topic, "aborted").await;
        transaction.abort().await.unwrap();
    }
    let transaction = old.begin().await.unwrap();
    write(&transaction, &topic, "dropped").await;
    drop(transaction);
    let transaction = old.begin().await.unwrap();
    write(&transaction, &topic, "with offsets").await;
    let sent = transaction.send_offsets(group_metadata(), offset(7));
    sent.await.unwrap();
    transaction.commit().await.unwrap();

    let zombie = old.begin().await.unwrap();
    write(&zombie, &topic, "zombie").await;
    let sent = zombie.send_offsets(group_metadata(), offset(9));
    sent.await.unwrap();
    let new = client.producer().transactional_id(id.as_str());
    let new = new.build().await.unwrap();
    let error = zombie.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::Fatal(_)), "{error}");
    let error = old.begin().await.unwrap_err();
    assert!(matches!(error, BeginError::Fatal(_)), "{error}");
    commit(&new, &topic, "last").await;

    let expected = [
        "committed 0",
        "committed 1",
        "committed 2",
        "with offsets",
        "last",
    ];
    assert_read(variable, &topic, &expected).await;
    assert_eq!(committed_offset(&client, &group, &topic).await, 7);
    client.close(soon()).await;
}

/// What one process prepared another one completes, by the token's text.
async fn two_phases(variable: &str, name: &str) {
    let client = client(variable).await;
    let topic = topic(&client, &format!("two-phases-{name}"), PARTITIONS).await;
    let id = unique(&format!("two-phases-{name}"));
    let builder = || {
        let producer = client.producer().transactional_id(id.as_str());
        producer.two_phase_commit(true)
    };
    for (value, complete) in [
        ("kept", Complete::Commit),
        ("given up", Complete::Abort),
        ("kept too", Complete::Commit),
    ] {
        let first = builder().build().await.unwrap();
        let transaction = first.begin().await.unwrap();
        write(&transaction, &topic, value).await;
        let token = transaction.prepare().await.unwrap().leave();
        first.close(soon()).await;
        let second = builder().build_uninitialised().unwrap();
        let token: Token = token.to_string().parse().unwrap();
        assert_eq!(second.resume(token, complete).await.unwrap(), complete);
        commit(&second, &topic, &format!("after {value}")).await;
    }
    let expected = [
        "kept",
        "after kept",
        "after given up",
        "kept too",
        "after kept too",
    ];
    assert_read(variable, &topic, &expected).await;
    client.close(soon()).await;
}

async fn commit(producer: &milena::TransactionalProducer, topic: &str, value: &str) {
    let transaction = producer.begin().await.unwrap();
    write(&transaction, topic, value).await;
    transaction.commit().await.unwrap();
}

/// To each partition; waits until it is written.
async fn write(transaction: &Transaction, topic: &str, value: &str) {
    for partition in 0..PARTITIONS {
        let record = Record::to(topic).value(value).partition(partition);
        let receipt = transaction.send(record).await.unwrap();
        receipt.await.unwrap();
    }
}

/// The last value is that of a committed transaction, so nothing follows.
async fn assert_read(name: &str, topic: &str, expected: &[&str]) {
    for partition in 0..PARTITIONS {
        let (server, topic) = (variable(name), topic.to_owned());
        let count = expected.len();
        let read = spawn_blocking(move || {
            let committed = ["--isolation-level", "read_committed"];
            console_consume(&server, (&topic, partition), count, &committed)
        });
        assert_same(lines(&read.await.unwrap()), expected);
    }
}

/// In version 5, which all releases have.
async fn committed_offset(client: &Client, group: &str, topic: &str) -> i64 {
    let prepare = |_| OffsetFetchRequest {
        group_id: group.into(),
        topics: Some(vec![OffsetFetchRequestTopic {
            name: topic.into(),
            partition_indexes: vec![0],
            ..OffsetFetchRequestTopic::default()
        }]),
        ..OffsetFetchRequest::default()
    };
    let to = Target::Coordinator {
        kind: CoordinatorKind::Group,
        key: group.into(),
    };
    let versions = VersionRange::new(5, 5);
    let cluster = client.cluster();
    let reply = cluster.call_once_within(to, Lane::Main, versions, prepare, soon());
    let message = reply.await.unwrap().message;
    let partition = &message.topics[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    partition.committed_offset
}
