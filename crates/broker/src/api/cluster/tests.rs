use milena_codec::ApiKey;
use milena_codec::messages::DescribeTopicPartitionsRequest;
use milena_codec::messages::describe_topic_partitions_request::{Cursor, TopicRequest};

use super::*;
use crate::testing::{Client, settings};

fn ask(endpoint_type: i8, include_fenced_brokers: bool) -> DescribeClusterRequest {
    DescribeClusterRequest {
        endpoint_type,
        include_fenced_brokers,
        ..DescribeClusterRequest::default()
    }
}

#[test]
fn the_cluster_is_described_at_every_version() {
    let mut client = Client::of(settings(3));
    client.model.kill_node(3).unwrap();
    for version in ApiKey::DescribeCluster.stable_versions().iter() {
        let answer = client.call(&ask(BROKERS, version >= 2), version);
        assert_eq!((answer.error_code, answer.controller_id), (0, 1));
        assert_eq!(answer.cluster_id, client.model.cluster_id);
        let fenced: Vec<bool> = answer
            .brokers
            .iter()
            .map(|broker| broker.is_fenced)
            .collect();
        assert_eq!(
            fenced,
            if version >= 2 {
                vec![false, false, true]
            } else {
                vec![false; 2]
            }
        );
        if version >= 1 {
            for (kind, code) in [(CONTROLLERS, 114), (9, 115)] {
                let answer = client.call(&ask(kind, false), version);
                assert_eq!((answer.error_code, answer.brokers.len()), (code, 0));
            }
        }
    }
}

#[test]
fn partitions_are_described_page_by_page() {
    let mut client = Client::new();
    client.model.create_topic("a", 3).unwrap();
    let mut request = DescribeTopicPartitionsRequest {
        response_partition_limit: 2,
        cursor: None,
        ..Default::default()
    };
    let mut seen = Vec::new();
    for _ in 0..9 {
        let answer = client.call(&request, 0);
        for topic in answer.topics {
            for partition in topic.partitions {
                assert_eq!(
                    partition.eligible_leader_replicas,
                    Some(Vec::new()),
                    "never null"
                );
                seen.push((
                    topic.name.clone().unwrap().to_string(),
                    partition.partition_index,
                ));
            }
        }
        let Some(next) = answer.next_cursor else {
            break;
        };
        request.cursor = Some(Cursor {
            topic_name: next.topic_name,
            partition_index: next.partition_index,
            ..Cursor::default()
        });
    }
    let expected = [("a", 0), ("a", 1), ("a", 2), ("t", 0), ("t", 1)];
    assert_eq!(
        seen,
        expected.map(|(name, index)| (name.to_string(), index))
    );
    request.cursor = None;
    request.topics = vec![TopicRequest {
        name: "nope".into(),
        ..TopicRequest::default()
    }];
    let answer = client.call(&request, 0);
    assert_eq!(
        ErrorCode::from(answer.topics[0].error_code),
        ErrorCode::UnknownTopicOrPartition
    );
}
