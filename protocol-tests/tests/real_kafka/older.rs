//! The oldest releases that are supported, and the last one before 4.

use milena::admin::NewTopic;
use milena::{Acks, Compression, ErrorCode, Str};

use crate::world::{assert_same, client, produce, read, soon, topic};

const RECORDS: usize = 2000;

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn kafka_3_9_serves_every_codec_and_administration() {
    smoke("MILENA_TEST_KAFKA_39").await;
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn kafka_2_1_serves_every_codec_and_administration() {
    smoke("MILENA_TEST_KAFKA_21").await;
}

/// Acks are all, so the producer is idempotent; in small batches, of which several are in flight.
async fn smoke(variable: &str) {
    let client = client(variable).await;
    let admin = client.admin();
    let name = topic(&client, "smoke", 1).await;
    let names = [Str::from(name.as_str())];
    for codec in Compression::ALL {
        let producer = client.producer().compression(codec).batch_size(1000);
        assert!(
            producer
                .clone()
                .build()
                .await
                .unwrap()
                .config()
                .is_idempotent()
        );
        produce(producer, &name, values(codec)).await;
    }
    let leader = client.producer().acks(Acks::Leader);
    produce(leader, &name, values(Compression::None)).await;
    let expected = Compression::ALL.into_iter().chain([Compression::None]);
    assert_same(
        read(&client, &name).await.remove(0),
        expected.flat_map(values),
    );

    let again = NewTopic::new(name.as_str())
        .partitions(1)
        .replication_factor(1);
    let created = admin.create_topics(&[again], false, soon()).await.unwrap();
    let refused = created[0].result.as_ref().unwrap_err();
    assert_eq!(refused.code, ErrorCode::TopicAlreadyExists);
    let described = admin.describe_topics(&names, soon()).await.unwrap();
    let described = described[0].result.as_ref().unwrap();
    assert_eq!(described.partitions[0].leader, Some(1));
    let listed = admin.list_topics(soon()).await.unwrap();
    assert!(listed.iter().any(|topic| topic.name == names[0]));
    let deleted = admin.delete_topics(&names, soon()).await.unwrap();
    deleted[0].result.as_ref().unwrap();
    client.close(soon()).await;
}

fn values(codec: Compression) -> impl Iterator<Item = String> {
    (0..RECORDS).map(move |n| format!("{codec} {n}"))
}
