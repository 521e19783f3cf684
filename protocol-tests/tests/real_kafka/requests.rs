//! Requests of administration that `milena::admin` does not have, as they are on the wire.

use milena::{Client, Str};
use milena_codec::Request;
use milena_codec::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use milena_codec::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use milena_codec::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use milena_codec::messages::describe_producers_request::TopicRequest;
use milena_codec::messages::elect_leaders_request::TopicPartitions;
use milena_codec::messages::{
    AlterClientQuotasRequest, AlterPartitionReassignmentsRequest, DeleteRecordsRequest,
    DescribeProducersRequest, ElectLeadersRequest,
};
use milena_net::Lane;
use milena_rpc::{Target, Verdict};

use crate::world::soon;

const TIMEOUT_MS: i32 = 30_000;
const PREFERRED: i8 = 0;
/// The preferred replica leads already.
const ELECTION_NOT_NEEDED: i16 = 84;

/// Deletes all records of partition 0 below this offset.
pub(crate) async fn delete_records(client: &Client, topic: &str, before: i64) {
    let to = leader_of_first(topic);
    let answer = call(client, to, || DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: topic.into(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: 0,
                offset: before,
                ..DeleteRecordsPartition::default()
            }],
            ..DeleteRecordsTopic::default()
        }],
        timeout_ms: TIMEOUT_MS,
        ..DeleteRecordsRequest::default()
    });
    let answer = answer.await;
    let partition = &answer.topics[0].partitions[0];
    assert_eq!(partition.error_code, 0, "{partition:?}");
    assert_eq!(partition.low_watermark, before);
}

/// How many producers the broker remembers in partition 0.
pub(crate) async fn known_producers(client: &Client, topic: &str) -> usize {
    let to = leader_of_first(topic);
    let answer = call(client, to, || DescribeProducersRequest {
        topics: vec![TopicRequest {
            name: topic.into(),
            partition_indexes: vec![0],
            ..TopicRequest::default()
        }],
        ..DescribeProducersRequest::default()
    });
    let answer = answer.await;
    let partition = &answer.topics[0].partitions[0];
    assert_eq!(partition.error_code, 0, "{partition:?}");
    partition.active_producers.len()
}

/// Allows clients of this id so many bytes to write a second.
pub(crate) async fn limit_writes(client: &Client, client_id: &str, bytes_per_second: f64) {
    let answer = call(client, Target::Controller, || AlterClientQuotasRequest {
        entries: vec![EntryData {
            entity: vec![EntityData {
                entity_type: "client-id".into(),
                entity_name: Some(client_id.into()),
                ..EntityData::default()
            }],
            ops: vec![OpData {
                key: "producer_byte_rate".into(),
                value: bytes_per_second,
                ..OpData::default()
            }],
            ..EntryData::default()
        }],
        ..AlterClientQuotasRequest::default()
    });
    let answer = answer.await;
    assert_eq!(answer.entries[0].error_code, 0, "{answer:?}");
}

/// Changes the replicas of each partition, of which the first is preferred as its leader.
pub(crate) async fn reassign(client: &Client, topic: &str, replicas: &[Vec<i32>]) {
    let to = Target::Controller;
    let answer = call(client, to, || AlterPartitionReassignmentsRequest {
        timeout_ms: TIMEOUT_MS,
        topics: vec![ReassignableTopic {
            name: topic.into(),
            partitions: (0..)
                .zip(replicas)
                .map(|(index, replicas)| ReassignablePartition {
                    partition_index: index,
                    replicas: Some(replicas.clone()),
                    ..ReassignablePartition::default()
                })
                .collect(),
            ..ReassignableTopic::default()
        }],
        ..AlterPartitionReassignmentsRequest::default()
    });
    let answer = answer.await;
    assert_eq!(answer.error_code, 0, "{answer:?}");
    for partition in &answer.responses[0].partitions {
        assert_eq!(partition.error_code, 0, "{partition:?}");
    }
}

/// Has the preferred replica of each partition lead it.
pub(crate) async fn elect_preferred(client: &Client, topic: &str, partitions: i32) {
    let answer = call(client, Target::Controller, || ElectLeadersRequest {
        election_type: PREFERRED,
        topic_partitions: Some(vec![TopicPartitions {
            topic: topic.into(),
            partitions: (0..partitions).collect(),
            ..TopicPartitions::default()
        }]),
        timeout_ms: TIMEOUT_MS,
        ..ElectLeadersRequest::default()
    });
    let answer = answer.await;
    assert_eq!(answer.error_code, 0, "{answer:?}");
    let results = answer.replica_election_results.iter();
    for partition in results.flat_map(|topic| &topic.partition_result) {
        let code = partition.error_code;
        assert!([0, ELECTION_NOT_NEEDED].contains(&code), "{partition:?}");
    }
}

fn leader_of_first(topic: &str) -> Target {
    let topic = Str::from(topic);
    Target::Leader {
        topic,
        partition: 0,
    }
}

async fn call<R: Request>(client: &Client, to: Target, prepare: impl Fn() -> R) -> R::Response {
    let cluster = client.cluster();
    let judge = |_: &R::Response| Verdict::Done;
    let reply = cluster.call(to, Lane::Slow, |_| prepare(), judge, soon());
    reply.await.unwrap().message
}
