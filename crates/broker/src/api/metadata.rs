//! Metadata: nodes, topics, leaders; and the creation of topics that are asked for.

use milena_codec::messages::metadata_request::MetadataRequestTopic;
use milena_codec::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use milena_codec::messages::{MetadataRequest, MetadataResponse};
use milena_codec::{ErrorCode, Str, Uuid};

use super::{Call, NOT_ASKED};
use crate::model::ClusterModel;
use crate::model::topics::{Partition, Topic, check_name};

/// Everything one may do to a topic when there is no access control.
pub(super) const TOPIC_OPERATIONS: i32 = 3576;
/// Everything one may do to the cluster when there is no access control.
pub(super) const CLUSTER_OPERATIONS: i32 = 8096;

pub(super) fn handle(
    model: &mut ClusterModel,
    call: &Call,
    request: MetadataRequest,
) -> MetadataResponse {
    let version = call.version;
    let by_id = |topic: &MetadataRequestTopic| topic.name.is_none() || !topic.topic_id.is_zero();
    if version < 12 && request.topics.iter().flatten().any(by_id) {
        return refuse(request, ErrorCode::InvalidRequest);
    }
    let operations = if version >= 8 && request.include_topic_authorized_operations {
        TOPIC_OPERATIONS
    } else {
        NOT_ASKED
    };
    let may_create = version < 4 || request.allow_auto_topic_creation;
    // Version 0 has no null: there an empty list asks for all.
    let asked = request
        .topics
        .filter(|topics| version > 0 || !topics.is_empty());
    let topics = match asked {
        None => model
            .topics
            .iter()
            .map(|topic| describe(model, topic, operations))
            .collect(),
        Some(asked) => {
            let look_up = |topic| look_up(model, topic, may_create, operations);
            asked.into_iter().map(look_up).collect()
        }
    };
    let ask_cluster = (8..=10).contains(&version) && request.include_cluster_authorized_operations;
    MetadataResponse {
        brokers: brokers(model),
        cluster_id: Some(model.cluster_id.clone()),
        controller_id: controller(model),
        topics,
        cluster_authorized_operations: if ask_cluster {
            CLUSTER_OPERATIONS
        } else {
            NOT_ASKED
        },
        ..MetadataResponse::default()
    }
}

pub(super) fn refuse(request: MetadataRequest, code: ErrorCode) -> MetadataResponse {
    let topic = |topic: MetadataRequestTopic| MetadataResponseTopic {
        error_code: code.code(),
        name: Some(topic.name.unwrap_or_default()),
        topic_id: topic.topic_id,
        ..MetadataResponseTopic::default()
    };
    MetadataResponse {
        topics: request
            .topics
            .unwrap_or_default()
            .into_iter()
            .map(topic)
            .collect(),
        ..MetadataResponse::default()
    }
}

/// The node that stands for the controller: any live one will do (requests are forwarded).
pub(super) fn controller(model: &ClusterModel) -> i32 {
    model
        .nodes
        .iter()
        .find(|(_, node)| node.up)
        .map_or(-1, |(id, _)| *id)
}

fn brokers(model: &ClusterModel) -> Vec<MetadataResponseBroker> {
    let up = model.nodes.iter().filter(|(_, node)| node.up);
    let broker = |(id, node): (&i32, &crate::model::Node)| MetadataResponseBroker {
        node_id: *id,
        host: node.address.host.clone(),
        port: i32::from(node.address.port),
        rack: node.rack.clone(),
        ..MetadataResponseBroker::default()
    };
    up.map(broker).collect()
}

fn look_up(
    model: &mut ClusterModel,
    asked: MetadataRequestTopic,
    may_create: bool,
    operations: i32,
) -> MetadataResponseTopic {
    let Some(name) = asked.name else {
        return match model.topics.by_id(asked.topic_id) {
            Some(topic) => describe(model, topic, operations),
            None => missing(None, asked.topic_id, ErrorCode::UnknownTopicId, operations),
        };
    };
    if !asked.topic_id.is_zero() {
        return match model.topics.by_id(asked.topic_id) {
            Some(topic) => describe(model, topic, operations),
            None => missing(None, asked.topic_id, ErrorCode::UnknownTopicId, operations),
        };
    }
    if let Some(topic) = model.topics.by_name(&name) {
        return describe(model, topic, operations);
    }
    let code = if check_name(&name).is_err() {
        ErrorCode::InvalidTopicException
    } else {
        if may_create {
            create(model, &name);
        }
        // Also for a topic just created: it is there at the next look.
        ErrorCode::UnknownTopicOrPartition
    };
    missing(Some(name), Uuid::ZERO, code, operations)
}

fn create(model: &mut ClusterModel, name: &Str) {
    if !model.settings.auto_create_topics {
        return;
    }
    match model.plan_topic(name, None, None) {
        Ok(new) => {
            model.add_topic(new);
        }
        Err((_, message)) => tracing::debug!(topic = %name, message, "topic not created"),
    }
}

fn missing(
    name: Option<Str>,
    topic_id: Uuid,
    code: ErrorCode,
    operations: i32,
) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: code.code(),
        name,
        topic_id,
        topic_authorized_operations: operations,
        ..MetadataResponseTopic::default()
    }
}

fn describe(model: &ClusterModel, topic: &Topic, operations: i32) -> MetadataResponseTopic {
    let partitions = (0..).zip(&topic.partitions);
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: topic.is_internal(),
        partitions: partitions
            .map(|(index, found)| partition(model, index, found))
            .collect(),
        topic_authorized_operations: operations,
        ..MetadataResponseTopic::default()
    }
}

fn partition(model: &ClusterModel, index: i32, found: &Partition) -> MetadataResponsePartition {
    let error = if found.leader.is_some() {
        ErrorCode::None
    } else {
        ErrorCode::LeaderNotAvailable
    };
    MetadataResponsePartition {
        error_code: error.code(),
        partition_index: index,
        leader_id: found.leader.unwrap_or(-1),
        leader_epoch: found.leader_epoch,
        replica_nodes: found.replicas.clone(),
        isr_nodes: found.isr.clone(),
        offline_replicas: offline(model, found),
        ..MetadataResponsePartition::default()
    }
}

/// The replicas on nodes that are down.
pub(super) fn offline(model: &ClusterModel, found: &Partition) -> Vec<i32> {
    found
        .replicas
        .iter()
        .copied()
        .filter(|node| !model.is_up(*node))
        .collect()
}

#[cfg(test)]
mod tests;
