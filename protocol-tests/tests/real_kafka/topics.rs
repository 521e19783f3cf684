//! Administration of topics, and topics that are not there.

use std::time::Duration;

use milena::admin::NewTopic;
use milena::{
    AssignError, BuildConsumerError, Client, ErrorCode, Record, SendError, Str, TopicError,
};
use protocol_tests::real_kafka::variable;

use crate::world::{client, soon, topic, unique};

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn topics_are_created_described_listed_and_deleted() {
    let client = client("MILENA_TEST_KAFKA").await;
    let admin = client.admin();
    let name = topic(&client, "admin", 3).await;
    let names = [Str::from(name.as_str())];

    let again = NewTopic::new(name.as_str());
    let created = admin.create_topics(&[again], false, soon()).await.unwrap();
    let refused = created[0].result.as_ref().unwrap_err();
    assert_eq!(refused.code, ErrorCode::TopicAlreadyExists);
    assert!(refused.to_string().contains("exists already"), "{refused}");

    let described = admin.describe_topics(&names, soon()).await.unwrap();
    let described = described[0].result.as_ref().unwrap();
    assert_eq!(described.partitions.len(), 3);
    for partition in &described.partitions {
        assert_eq!((partition.leader, &partition.isr), (Some(1), &vec![1]));
    }
    let listed = admin.list_topics(soon()).await.unwrap();
    let found = listed.iter().find(|topic| topic.name == names[0]);
    assert_eq!(found.map(|topic| topic.id), Some(described.id));

    let deleted = admin.delete_topics(&names, soon()).await.unwrap();
    deleted[0].result.as_ref().unwrap();
    // The broker that answers may hear of it a moment later.
    let gone = loop {
        let described = admin.describe_topics(&names, soon()).await.unwrap();
        match described.into_iter().next().unwrap().result {
            Err(gone) => break gone,
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(gone.code, ErrorCode::UnknownTopicOrPartition);
    let deleted = admin.delete_topics(&names, soon()).await.unwrap();
    let gone = deleted[0].result.as_ref().unwrap_err();
    assert_eq!(gone.code, ErrorCode::UnknownTopicOrPartition);
    let listed = admin.list_topics(soon()).await.unwrap();
    assert!(listed.iter().all(|topic| topic.name != names[0]));
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn an_unknown_topic_is_an_error_that_names_it() {
    let client = Client::builder()
        .bootstrap(variable("MILENA_TEST_KAFKA"))
        .set("allow.auto.create.topics", "false")
        .unwrap();
    let client = client.connect().await.unwrap();
    let name = unique("missing");

    let producer = client.producer().build().await.unwrap();
    // Each gives a topic that is being created some seconds to appear.
    let (sent, built) = tokio::join!(
        producer.send(Record::to(&name).value("v")),
        client.consumer().topics([&name]).build()
    );
    let Err(SendError::Topic(TopicError::Unknown { name: named, .. })) = &sent else {
        panic!("{sent:?}");
    };
    assert_eq!(*named, *name);
    let Err(BuildConsumerError::Assign(AssignError::Topic(error))) = &built else {
        panic!("{built:?}");
    };
    assert!(error.to_string().contains(&name), "{error}");
    let listed = client.admin().list_topics(soon()).await.unwrap();
    assert!(listed.iter().all(|topic| topic.name != *name));
}
