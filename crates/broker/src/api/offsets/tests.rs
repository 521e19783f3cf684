use milena_codec::ApiKey;
use milena_codec::messages::offset_commit_request::OffsetCommitRequestTopic;
use milena_codec::messages::offset_fetch_request::OffsetFetchRequestTopic;

use super::*;
use crate::testing::{Client, named};

fn commit_of(client: &Client, version: i16, partition: i32, offset: i64) -> OffsetCommitRequest {
    let (name, topic_id) = named(client.topic_id(), version >= IDS_FROM);
    OffsetCommitRequest {
        group_id: "g".into(),
        topics: vec![OffsetCommitRequestTopic {
            name,
            topic_id,
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                committed_metadata: Some("m".into()),
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

fn fetched(client: &mut Client, version: i16, group_id: &str, all: bool) -> Vec<(i32, i64)> {
    let (name, topic_id) = named(client.topic_id(), version >= IDS_FROM);
    let mut request = OffsetFetchRequest::default();
    if version >= GROUPS_FROM {
        let topic = OffsetFetchRequestTopics {
            name,
            topic_id,
            partition_indexes: vec![0, 1],
            ..OffsetFetchRequestTopics::default()
        };
        request.groups = vec![OffsetFetchRequestGroup {
            group_id: group_id.into(),
            topics: (!all).then(|| vec![topic]),
            ..OffsetFetchRequestGroup::default()
        }];
        let mut answer = client.call(&request, version).groups.remove(0);
        assert_eq!(answer.error_code, 0);
        let topics = answer.topics.pop();
        let partitions = topics.map(|topic| topic.partitions).unwrap_or_default();
        return partitions
            .iter()
            .map(|p| (p.partition_index, p.committed_offset))
            .collect();
    }
    request.group_id = group_id.into();
    let topic = OffsetFetchRequestTopic {
        name,
        partition_indexes: vec![0, 1],
        ..OffsetFetchRequestTopic::default()
    };
    request.topics = (!all).then(|| vec![topic]);
    let mut answer = client.call(&request, version);
    let partitions = answer
        .topics
        .pop()
        .map(|topic| topic.partitions)
        .unwrap_or_default();
    partitions
        .iter()
        .map(|p| (p.partition_index, p.committed_offset))
        .collect()
}

#[test]
fn offsets_are_kept_without_members_at_every_version() {
    let mut client = Client::new();
    for version in ApiKey::OffsetCommit.stable_versions().iter() {
        let request = commit_of(&client, version, 1, i64::from(version));
        let answer = client.call(&request, version);
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }
    for version in ApiKey::OffsetFetch.stable_versions().iter() {
        assert_eq!(
            fetched(&mut client, version, "g", false),
            [(0, -1), (1, 10)],
            "v{version}"
        );
        assert_eq!(
            fetched(&mut client, version, "unknown", false),
            [(0, -1), (1, -1)]
        );
        if version >= 2 {
            assert_eq!(fetched(&mut client, version, "g", true), [(1, 10)]);
        }
    }
    client.model.delete_topic("t");
    client.model.create_topic("t", 2).unwrap();
    assert_eq!(
        fetched(&mut client, 9, "g", false),
        [(0, -1), (1, -1)],
        "another topic"
    );
}

#[test]
fn commits_that_cannot_be_kept_are_refused() {
    let mut client = Client::new();
    for version in ApiKey::OffsetCommit.stable_versions().iter() {
        let good = commit_of(&client, version, 0, 1);
        let mut unknown = good.clone();
        if version >= IDS_FROM {
            unknown.topics[0].topic_id = Uuid([1; 16]);
        } else {
            unknown.topics[0].name = "no".into();
        }
        let mut long = good.clone();
        long.topics[0].partitions[0].committed_metadata = Some("x".repeat(5000).into());
        let table = [
            (unknown, unknown_topic(Uuid::ZERO, version >= IDS_FROM)),
            (
                commit_of(&client, version, 5, 1),
                ErrorCode::UnknownTopicOrPartition,
            ),
            (long, ErrorCode::OffsetMetadataTooLarge),
            (
                OffsetCommitRequest {
                    generation_id_or_member_epoch: 3,
                    ..good
                },
                ErrorCode::UnknownMemberId,
            ),
        ];
        for (request, expected) in table {
            let answer = client.call(&request, version);
            let code = ErrorCode::from(answer.topics[0].partitions[0].error_code);
            assert_eq!(code, expected, "v{version}");
        }
    }
}
