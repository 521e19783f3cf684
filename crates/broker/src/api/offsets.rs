//! OffsetCommit and OffsetFetch for groups without members: plain storage of offsets.

use milena_codec::messages::offset_commit_request::OffsetCommitRequestPartition;
use milena_codec::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use milena_codec::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use milena_codec::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use milena_codec::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use milena_codec::{ErrorCode, Str, Uuid};

use super::{Call, unknown_topic};
use crate::model::{ClusterModel, Committed};

/// Kafka's `offset.metadata.max.bytes`.
pub(super) const MAX_METADATA: usize = 4096;
/// Topics go by id from this version on, in both APIs.
const IDS_FROM: i16 = 10;
/// Several groups in an OffsetFetch from this version on (KIP-709).
const GROUPS_FROM: i16 = 8;

pub(super) fn commit(
    model: &mut ClusterModel,
    call: &Call,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let by_id = call.version >= IDS_FROM;
    let refused = refused(&request);
    let mut topics = Vec::new();
    for asked in request.topics {
        let topic = model.topics.find(&asked.name, asked.topic_id);
        let known = topic.filter(|_| !by_id || !asked.topic_id.is_zero());
        let known = known.map(|topic| (topic.id, topic.partitions.len()));
        let mut partitions = Vec::new();
        for partition in asked.partitions {
            let partition_index = partition.partition_index;
            let exists = known.filter(|(_, count)| {
                usize::try_from(partition_index).is_ok_and(|index| index < *count)
            });
            let code = match (refused, known, exists) {
                (Some(code), ..) => code,
                (None, None, _) => unknown_topic(asked.topic_id, by_id),
                (None, Some(_), None) => ErrorCode::UnknownTopicOrPartition,
                (None, Some(_), Some((id, _))) => store(model, &request.group_id, id, partition),
            };
            partitions.push(OffsetCommitResponsePartition {
                partition_index,
                error_code: code.code(),
                ..OffsetCommitResponsePartition::default()
            });
        }
        topics.push(OffsetCommitResponseTopic {
            name: asked.name,
            topic_id: asked.topic_id,
            partitions,
            ..OffsetCommitResponseTopic::default()
        });
    }
    OffsetCommitResponse {
        topics,
        ..OffsetCommitResponse::default()
    }
}

pub(super) fn refuse_commit(request: OffsetCommitRequest, code: ErrorCode) -> OffsetCommitResponse {
    let topics = request.topics.into_iter().map(|asked| {
        let partition = |partition: OffsetCommitRequestPartition| OffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code: code.code(),
            ..OffsetCommitResponsePartition::default()
        };
        OffsetCommitResponseTopic {
            name: asked.name,
            topic_id: asked.topic_id,
            partitions: asked.partitions.into_iter().map(partition).collect(),
            ..OffsetCommitResponseTopic::default()
        }
    });
    OffsetCommitResponse {
        topics: topics.collect(),
        ..OffsetCommitResponse::default()
    }
}

/// The error of the group: at the top from version 2 to 7, in the group from version 8 on. Before
/// version 2 it is the partitions'.
pub(super) fn refuse_fetch(
    call: &Call,
    request: OffsetFetchRequest,
    code: ErrorCode,
) -> OffsetFetchResponse {
    let mut response = OffsetFetchResponse::default();
    if call.version >= GROUPS_FROM {
        let groups = request.groups.into_iter();
        let failed = groups.map(|asked| OffsetFetchResponseGroup {
            group_id: asked.group_id,
            error_code: code.code(),
            ..OffsetFetchResponseGroup::default()
        });
        response.groups = failed.collect();
        return response;
    }
    if call.version >= 2 {
        response.error_code = code.code();
    }
    let topics = request.topics.unwrap_or_default().into_iter();
    let failed = topics.map(|asked| {
        let partition = |index: &i32| OffsetFetchResponsePartition {
            error_code: code.code(),
            ..old_form(committed(None, *index))
        };
        OffsetFetchResponseTopic {
            partitions: asked.partition_indexes.iter().map(partition).collect(),
            name: asked.name.clone(),
            ..OffsetFetchResponseTopic::default()
        }
    });
    response.topics = failed.collect();
    response
}

/// Groups here have no members: who claims to be one is unknown. Without a generation any name
/// will do, even an empty one, as on the real broker.
fn refused(request: &OffsetCommitRequest) -> Option<ErrorCode> {
    (request.generation_id_or_member_epoch >= 0).then_some(ErrorCode::UnknownMemberId)
}

fn store(
    model: &mut ClusterModel,
    group: &Str,
    topic: Uuid,
    partition: OffsetCommitRequestPartition,
) -> ErrorCode {
    let metadata = partition.committed_metadata.unwrap_or_default();
    if metadata.len() > MAX_METADATA {
        return ErrorCode::OffsetMetadataTooLarge;
    }
    let committed = Committed {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata,
    };
    model
        .offsets
        .commit(group, topic, partition.partition_index, committed);
    ErrorCode::None
}

pub(super) fn fetch(
    model: &mut ClusterModel,
    call: &Call,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    if call.version >= GROUPS_FROM {
        let groups = request
            .groups
            .into_iter()
            .map(|asked| group(model, call, asked, request.require_stable));
        return OffsetFetchResponse {
            groups: groups.collect(),
            ..OffsetFetchResponse::default()
        };
    }
    let topics = request.topics.map(|topics| {
        let topic =
            |topic: milena_codec::messages::offset_fetch_request::OffsetFetchRequestTopic| {
                OffsetFetchRequestTopics {
                    name: topic.name,
                    partition_indexes: topic.partition_indexes,
                    ..OffsetFetchRequestTopics::default()
                }
            };
        topics.into_iter().map(topic).collect()
    });
    let one = OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics,
        ..OffsetFetchRequestGroup::default()
    };
    let topics = group(model, call, one, request.require_stable)
        .topics
        .into_iter()
        .map(|topic| OffsetFetchResponseTopic {
            name: topic.name,
            partitions: topic.partitions.into_iter().map(old_form).collect(),
            ..OffsetFetchResponseTopic::default()
        });
    OffsetFetchResponse {
        topics: topics.collect(),
        ..OffsetFetchResponse::default()
    }
}

fn old_form(found: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index: found.partition_index,
        committed_offset: found.committed_offset,
        committed_leader_epoch: found.committed_leader_epoch,
        metadata: found.metadata,
        error_code: found.error_code,
        ..OffsetFetchResponsePartition::default()
    }
}

fn group(
    model: &ClusterModel,
    call: &Call,
    asked: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let group = asked.group_id;
    let wanted = asked
        .topics
        .unwrap_or_else(|| everything(model, call, &group));
    let topics = wanted.into_iter().map(|topic| {
        let by_id = call.version >= IDS_FROM;
        let found = model.topics.find(&topic.name, topic.topic_id);
        let known = found
            .filter(|_| !by_id || !topic.topic_id.is_zero())
            .map(|found| found.id);
        let partition = |index: i32| match known {
            Some(id) if require_stable && model.offsets.is_unstable(&group, id, index) => {
                OffsetFetchResponsePartitions {
                    error_code: ErrorCode::UnstableOffsetCommit.code(),
                    ..committed(None, index)
                }
            }
            Some(id) => committed(model.offsets.committed(&group, id, index), index),
            None if by_id => OffsetFetchResponsePartitions {
                error_code: ErrorCode::UnknownTopicId.code(),
                ..committed(None, index)
            },
            None => committed(None, index),
        };
        OffsetFetchResponseTopics {
            partitions: topic
                .partition_indexes
                .iter()
                .copied()
                .map(partition)
                .collect(),
            name: topic.name,
            topic_id: topic.topic_id,
            ..OffsetFetchResponseTopics::default()
        }
    });
    let topics = topics.collect();
    OffsetFetchResponseGroup {
        group_id: group,
        topics,
        ..OffsetFetchResponseGroup::default()
    }
}

/// An unknown group or partition is no error: it has no offset.
fn committed(found: Option<&Committed>, partition_index: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: found.map_or(-1, |found| found.offset),
        committed_leader_epoch: found.map_or(-1, |found| found.leader_epoch),
        metadata: Some(
            found
                .map(|found| found.metadata.clone())
                .unwrap_or_default(),
        ),
        ..OffsetFetchResponsePartitions::default()
    }
}

fn everything(model: &ClusterModel, call: &Call, group: &str) -> Vec<OffsetFetchRequestTopics> {
    let by_id = call.version >= IDS_FROM;
    let mut topics: Vec<OffsetFetchRequestTopics> = Vec::new();
    for (id, partition) in model.offsets.partitions(group) {
        let Some(topic) = model.topics.by_id(id) else {
            continue;
        };
        let (name, topic_id) = if by_id {
            (Str::new(), id)
        } else {
            (topic.name.clone(), Uuid::ZERO)
        };
        match topics.last_mut() {
            Some(last) if last.name == name && last.topic_id == topic_id => {
                last.partition_indexes.push(partition);
            }
            _ => topics.push(OffsetFetchRequestTopics {
                name,
                topic_id,
                partition_indexes: vec![partition],
                ..OffsetFetchRequestTopics::default()
            }),
        }
    }
    topics
}

#[cfg(test)]
mod tests;
