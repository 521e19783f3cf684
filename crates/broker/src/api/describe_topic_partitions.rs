//! DescribeTopicPartitions (KIP-966): topics page by page, in order of their names.

use milena_codec::ErrorCode;
use milena_codec::Str;
use milena_codec::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use milena_codec::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use std::collections::BTreeSet;

use super::Call;
use super::metadata::{TOPIC_OPERATIONS, offline};
use crate::model::ClusterModel;
use crate::model::topics::{Partition, Topic, check_name};

/// Kafka's `max.request.partition.size.limit`.
const MOST: usize = 2000;

pub(super) fn handle(
    model: &ClusterModel,
    _call: &Call,
    request: &DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let all = || model.topics.iter().map(|topic| topic.name.clone());
    let asked = || request.topics.iter().map(|topic| topic.name.clone());
    let names: BTreeSet<Str> = if request.topics.is_empty() {
        all().collect()
    } else {
        asked().collect()
    };
    let from = request.cursor.as_ref();
    let mut left = usize::try_from(request.response_partition_limit)
        .unwrap_or(0)
        .clamp(1, MOST);
    let mut answer = DescribeTopicPartitionsResponse::default();
    for name in names {
        if from.is_some_and(|cursor| name < cursor.topic_name) {
            continue;
        }
        let start = from.filter(|cursor| cursor.topic_name == name);
        let start = start.map_or(0, |cursor| {
            usize::try_from(cursor.partition_index).unwrap_or(0)
        });
        let Some(topic) = model.topics.by_name(&name) else {
            answer.topics.push(missing(name));
            continue;
        };
        if left == 0 {
            answer.next_cursor = Some(cursor(name, 0));
            break;
        }
        let end = topic.partitions.len().min(start.saturating_add(left));
        answer.topics.push(describe(model, topic, start, end));
        left -= end.saturating_sub(start);
        if end < topic.partitions.len() {
            answer.next_cursor = Some(cursor(name, end));
            break;
        }
    }
    answer
}

fn cursor(topic_name: Str, index: usize) -> Cursor {
    let partition_index = i32::try_from(index).unwrap_or(i32::MAX);
    Cursor {
        topic_name,
        partition_index,
        ..Cursor::default()
    }
}

fn missing(name: Str) -> DescribeTopicPartitionsResponseTopic {
    let code = if check_name(&name).is_err() {
        ErrorCode::InvalidTopicException
    } else {
        ErrorCode::UnknownTopicOrPartition
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(name),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn describe(
    model: &ClusterModel,
    topic: &Topic,
    start: usize,
    end: usize,
) -> DescribeTopicPartitionsResponseTopic {
    let chosen = (0..).zip(&topic.partitions).take(end).skip(start);
    DescribeTopicPartitionsResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: topic.is_internal(),
        partitions: chosen
            .map(|(index, found)| partition(model, index, found))
            .collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn partition(
    model: &ClusterModel,
    partition_index: i32,
    found: &Partition,
) -> DescribeTopicPartitionsResponsePartition {
    let error = if found.leader.is_some() {
        ErrorCode::None
    } else {
        ErrorCode::LeaderNotAvailable
    };
    DescribeTopicPartitionsResponsePartition {
        error_code: error.code(),
        partition_index,
        leader_id: found.leader.unwrap_or(-1),
        leader_epoch: found.leader_epoch,
        replica_nodes: found.replicas.clone(),
        isr_nodes: found.isr.clone(),
        // Never null: Kafka's own client cannot read that.
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        offline_replicas: offline(model, found),
        ..DescribeTopicPartitionsResponsePartition::default()
    }
}
