//! Against a real Kafka that may create topics by itself: `cargo xtask kafka test`.

use std::time::{Duration, Instant};

use milena_admin::{Admin, ConfigResource, Isolation, NewTopic, OffsetQuery, OffsetSpec};
use milena_codec::{ErrorCode, Str};
use milena_net::{Address, Environment, Lane};
use milena_rpc::{AutoCreate, Cluster, ClusterConfig, CoordinatorKind, Target, TopicError};

fn within(seconds: u64) -> Instant {
    tokio::time::Instant::now().into_std() + Duration::from_secs(seconds)
}

async fn cluster() -> Cluster {
    let list = std::env::var("MILENA_TEST_KAFKA")
        .expect("MILENA_TEST_KAFKA is host:port; `cargo xtask kafka test` sets it");
    let config = ClusterConfig::new(Address::parse_list(&list).unwrap());
    Cluster::connect(config, Environment::system(), within(20))
        .await
        .unwrap()
}

fn unique(name: &str) -> Str {
    let env = Environment::system();
    format!("milena-admin-{name}-{:x}", env.random.next_u64()).into()
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn topics_are_created_described_grown_listed_and_deleted() {
    let cluster = cluster().await;
    let admin = Admin::new(cluster.clone());
    let name = unique("life");
    let new = [NewTopic::new(name.clone())
        .partitions(3)
        .replication_factor(1)
        .config("retention.ms", "3600000")];
    let created = admin.create_topics(&new, false, within(20)).await.unwrap();
    let created = created[0].result.clone().unwrap();
    // Brokers below 2.4 do not say, and those below 2.8 have no topic ids.
    assert!(matches!(created.partitions, None | Some(3)));
    let looked = cluster
        .topic(&name, AutoCreate::Never, within(20))
        .await
        .unwrap();
    assert!(created.id.is_zero() || created.id == looked.id);
    let again = admin.create_topics(&new, false, within(20)).await.unwrap();
    let error = again[0].result.clone().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("topic {name} exists already"))
    );

    let grown = [(name.clone(), 5)];
    let grown = admin
        .create_partitions(&grown, false, within(20))
        .await
        .unwrap();
    grown[0].result.clone().unwrap();
    let shrunk = [(name.clone(), 2)];
    let shrunk = admin
        .create_partitions(&shrunk, false, within(20))
        .await
        .unwrap();
    let error = shrunk[0].result.clone().unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidPartitions);
    println!("{error}");

    // The broker that answers may hear of the growth a moment later.
    let listed = loop {
        let listed = admin.list_topics(within(20)).await.unwrap();
        let found = listed.into_iter().find(|topic| topic.name == name).unwrap();
        if found.partitions > 3 {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((listed.id, listed.partitions), (looked.id, 5));

    let asked = [name.clone(), unique("missing")];
    let described = admin.describe_topics(&asked, within(20)).await.unwrap();
    let topic = described[0].result.clone().unwrap();
    assert!(topic.partitions.iter().all(|p| p.leader.is_some()));
    let error = described[1].result.clone().unwrap_err();
    assert_eq!(error.code, ErrorCode::UnknownTopicOrPartition);
    println!("{error}");

    let broker = cluster.snapshot().brokers().next().unwrap().id;
    let resources = [
        ConfigResource::Topic(name.clone()),
        ConfigResource::Broker(broker),
        ConfigResource::Topic(unique("missing")),
    ];
    let configs = admin
        .describe_configs(&resources, within(20))
        .await
        .unwrap();
    let entries = configs[0].result.clone().unwrap();
    let retention = entries
        .iter()
        .find(|entry| entry.name == "retention.ms")
        .unwrap();
    assert_eq!(retention.value.as_deref(), Some("3600000"));
    assert!(!configs[1].result.clone().unwrap().is_empty());
    println!("{}", configs[2].result.clone().unwrap_err());

    let deleted = admin
        .delete_topics(std::slice::from_ref(&name), within(20))
        .await
        .unwrap();
    deleted[0].result.clone().unwrap();
    let deleted = admin
        .delete_topics(std::slice::from_ref(&name), within(20))
        .await
        .unwrap();
    println!("{}", deleted[0].result.clone().unwrap_err());
    cluster.close(within(5)).await;
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn a_look_up_creates_a_topic_only_if_asked_to() {
    let cluster = cluster().await;
    let admin = Admin::new(cluster.clone());
    let missing = unique("missing");
    let error = cluster
        .topic(&missing, AutoCreate::Never, within(20))
        .await
        .unwrap_err();
    assert!(matches!(error, TopicError::Unknown { .. }), "{error}");
    println!("{error}");
    let name = unique("auto");
    let topic = cluster
        .topic(&name, AutoCreate::Allow, within(20))
        .await
        .unwrap();
    assert!(topic.has_leader());
    let close: String = name
        .chars()
        .rev()
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    let error = cluster
        .topic(&close, AutoCreate::Never, within(20))
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&*name), "{error}");
    println!("{error}");
    let deleted = admin
        .delete_topics(std::slice::from_ref(&name), within(20))
        .await
        .unwrap();
    deleted[0].result.clone().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.refreshed(within(20)).await.unwrap();
    assert!(cluster.snapshot().topic(&name).unwrap().error.is_some());
    let error = cluster
        .topic(&name, AutoCreate::Allow, within(20))
        .await
        .unwrap_err();
    assert!(matches!(error, TopicError::Unknown { .. }), "{error}");
    let listed = admin.list_topics(within(20)).await.unwrap();
    assert!(
        !listed
            .iter()
            .any(|topic| topic.name == name || topic.name == missing)
    );
    cluster.close(within(5)).await;
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn offsets_are_listed_for_each_partition() {
    let cluster = cluster().await;
    let admin = Admin::new(cluster.clone());
    let name = unique("offsets");
    let new = [NewTopic::new(name.clone())
        .partitions(2)
        .replication_factor(1)];
    let created = admin.create_topics(&new, false, within(20)).await.unwrap();
    created[0].result.clone().unwrap();
    let query = |partition, at| OffsetQuery {
        topic: name.clone(),
        partition,
        at,
    };
    let queries = [
        query(0, OffsetSpec::Earliest),
        query(0, OffsetSpec::Latest),
        query(1, OffsetSpec::Timestamp(1)),
        query(1, OffsetSpec::MaxTimestamp),
        query(9, OffsetSpec::Latest),
    ];
    let found = admin
        .list_offsets(&queries, Isolation::ReadCommitted, within(20))
        .await;
    let offsets = found[..3]
        .iter()
        .map(|answer| answer.result.as_ref().unwrap().offset);
    let offsets: Vec<Option<i64>> = offsets.collect();
    assert_eq!(offsets, [Some(0), Some(0), None]);
    match &found[3].result {
        Ok(found) => assert_eq!(found.offset, None),
        Err(error) => assert!(error.to_string().contains("use a newer broker"), "{error}"),
    }
    let error = found[4].result.clone().unwrap_err().to_string();
    assert_eq!(error, format!("topic {name} has no partition 9; it has 2"));
    for kind in [CoordinatorKind::Group, CoordinatorKind::Transaction] {
        let key = unique("coordinated");
        let to = Target::Coordinator { kind, key };
        let address = cluster.route(&to, Lane::Main, within(20)).await.unwrap();
        println!("{to:?}: {address}");
    }
    let described = admin.describe_cluster(within(20)).await.unwrap();
    println!("{described:?}");
    let deleted = admin.delete_topics(&[name], within(20)).await.unwrap();
    deleted[0].result.clone().unwrap();
    cluster.close(within(5)).await;
}

#[tokio::test]
#[ignore = "takes seconds of real time: cargo xtask kafka test"]
async fn a_failed_connect_tells_what_is_wrong_at_each_address() {
    let silent = tokio_free::silent_listener();
    let list = format!("localhost:1,{silent},no-such-host.invalid:9092");
    let config = ClusterConfig::new(Address::parse_list(&list).unwrap());
    let begun = within(0);
    let error = Cluster::connect(config, Environment::system(), within(3))
        .await
        .unwrap_err();
    println!("{error}");
    let text = error.to_string();
    assert!(text.contains("localhost:1: connection refused"), "{text}");
    assert!(text.contains("no-such-host.invalid"), "{text}");
    assert!(text.contains(&silent), "{text}");
    assert!(within(0) - begun < Duration::from_secs(4));
}

mod tokio_free {
    /// The address of a listener that never answers. It stays open until the process ends.
    pub(crate) fn silent_listener() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::mem::forget(listener);
        address
    }
}
