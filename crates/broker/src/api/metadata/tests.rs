use milena_codec::ApiKey;

use super::*;
use crate::model::settings::ClusterSettings;
use crate::testing::{Client, settings};

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic {
        name: Some(name.into()),
        ..MetadataRequestTopic::default()
    }
}

fn asks(topics: Option<Vec<MetadataRequestTopic>>) -> MetadataRequest {
    MetadataRequest {
        topics,
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    }
}

#[test]
fn all_topics_are_told_at_every_version() {
    let mut client = Client::of(settings(3));
    let id = client.topic_id();
    for version in ApiKey::Metadata.stable_versions().iter() {
        let all = if version == 0 { Some(Vec::new()) } else { None };
        let answer = client.call(&asks(all), version);
        assert_eq!(
            (answer.brokers.len(), answer.topics.len()),
            (3, 1),
            "v{version}"
        );
        let topic = &answer.topics[0];
        assert_eq!(topic.name.as_deref(), Some("t"));
        assert_eq!(topic.topic_id, if version >= 10 { id } else { Uuid::ZERO });
        let indexes: Vec<i32> = topic.partitions.iter().map(|p| p.partition_index).collect();
        assert_eq!(indexes, [0, 1]);
        assert_eq!(
            (
                topic.partitions[0].replica_nodes.len(),
                topic.partitions[0].error_code
            ),
            (3, 0)
        );
        if version > 0 {
            assert!(
                client
                    .call(&asks(Some(Vec::new())), version)
                    .topics
                    .is_empty()
            );
        }
    }
}

#[test]
fn a_topic_asked_for_is_created_and_there_at_the_next_look() {
    for version in ApiKey::Metadata.stable_versions().iter() {
        let mut client = Client::of(ClusterSettings {
            partitions: 3,
            ..settings(1)
        });
        let request = asks(Some(vec![named("new")]));
        let first = client.call(&request, version);
        assert_eq!(
            ErrorCode::from(first.topics[0].error_code),
            ErrorCode::UnknownTopicOrPartition
        );
        let second = client.call(&request, version);
        assert_eq!(
            (
                second.topics[0].error_code,
                second.topics[0].partitions.len()
            ),
            (0, 3)
        );
    }
}

#[test]
fn a_topic_is_not_created_against_the_will_of_client_or_cluster() {
    let mut client = Client::new();
    let request = MetadataRequest {
        allow_auto_topic_creation: false,
        ..asks(Some(vec![named("new")]))
    };
    for _ in 0..2 {
        let answer = client.call(&request, 12);
        assert_eq!(
            ErrorCode::from(answer.topics[0].error_code),
            ErrorCode::UnknownTopicOrPartition
        );
    }
    let mut client = Client::of(ClusterSettings {
        auto_create_topics: false,
        ..settings(1)
    });
    for _ in 0..2 {
        let answer = client.call(&asks(Some(vec![named("new")])), 12);
        assert_eq!(
            ErrorCode::from(answer.topics[0].error_code),
            ErrorCode::UnknownTopicOrPartition
        );
    }
}

#[test]
fn illegal_names_and_unknown_ids_are_refused() {
    let mut client = Client::new();
    for name in ["", ".", "..", "a b", "ä", &"x".repeat(250)] {
        let answer = client.call(&asks(Some(vec![named(name)])), 12);
        assert_eq!(
            ErrorCode::from(answer.topics[0].error_code),
            ErrorCode::InvalidTopicException
        );
    }
    let by_id = |topic_id| MetadataRequestTopic {
        topic_id,
        name: None,
        ..MetadataRequestTopic::default()
    };
    let answer = client.call(
        &asks(Some(vec![by_id(Uuid([1; 16])), by_id(client.topic_id())])),
        12,
    );
    assert_eq!(
        ErrorCode::from(answer.topics[0].error_code),
        ErrorCode::UnknownTopicId
    );
    assert_eq!(answer.topics[0].name, None);
    assert_eq!(answer.topics[1].name.as_deref(), Some("t"));
}

#[test]
fn operations_are_told_only_when_asked_for() {
    let mut client = Client::new();
    let request = MetadataRequest {
        include_cluster_authorized_operations: true,
        include_topic_authorized_operations: true,
        ..asks(None)
    };
    for (version, cluster, topic) in [(8, 8096, 3576), (10, 8096, 3576)] {
        let answer = client.call(&request, version);
        assert_eq!(answer.cluster_authorized_operations, cluster);
        assert_eq!(answer.topics[0].topic_authorized_operations, topic);
        let plain = client.call(&asks(None), version);
        assert_eq!(plain.cluster_authorized_operations, NOT_ASKED);
        assert_eq!(plain.topics[0].topic_authorized_operations, NOT_ASKED);
    }
}
