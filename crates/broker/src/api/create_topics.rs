//! CreateTopics and CreatePartitions.

use std::collections::BTreeSet;

use milena_codec::messages::create_partitions_request::CreatePartitionsTopic;
use milena_codec::messages::create_partitions_response::CreatePartitionsTopicResult;
use milena_codec::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use milena_codec::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use milena_codec::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
};
use milena_codec::{ErrorCode, Str};

use super::Call;
use super::describe_configs::{DEFAULT_SOURCE, TOPIC_SOURCE};
use crate::model::ClusterModel;
use crate::model::cluster::{MAX_PARTITIONS, NewTopic};
use crate::model::config::{TOPIC, TopicConfig};

type Refusal = (ErrorCode, String);

pub(super) fn handle(
    model: &mut ClusterModel,
    call: &Call,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mut repeated = Repeated::among(request.topics.iter().map(|topic| &topic.name));
    let mut topics = Vec::new();
    for asked in request.topics {
        let result = match repeated.check(&asked.name) {
            Once::Alone => plan(model, &asked),
            Once::Refused(refusal) => Err(refusal),
            Once::Answered => continue,
        };
        topics.push(match result {
            Ok(new) => create(model, call, new, request.validate_only),
            Err(refusal) => refused(asked.name, refusal),
        });
    }
    CreateTopicsResponse {
        topics,
        ..CreateTopicsResponse::default()
    }
}

/// The names that a request has more than once: each is refused, and answered once.
struct Repeated {
    names: BTreeSet<Str>,
    answered: BTreeSet<Str>,
}

/// What becomes of a name.
enum Once {
    Alone,
    Refused(Refusal),
    Answered,
}

impl Repeated {
    fn among<'a>(names: impl Iterator<Item = &'a Str>) -> Self {
        let mut seen = BTreeSet::new();
        Self {
            names: names
                .filter(|name| !seen.insert((*name).clone()))
                .cloned()
                .collect(),
            answered: BTreeSet::new(),
        }
    }

    fn check(&mut self, name: &Str) -> Once {
        if !self.names.contains(name) {
            return Once::Alone;
        }
        if !self.answered.insert(name.clone()) {
            return Once::Answered;
        }
        Once::Refused((
            ErrorCode::InvalidRequest,
            "Duplicate topic name.".to_owned(),
        ))
    }
}

fn plan(model: &ClusterModel, asked: &CreatableTopic) -> Result<NewTopic, Refusal> {
    let mut new = if asked.assignments.is_empty() {
        let partitions = (asked.num_partitions != -1).then_some(asked.num_partitions);
        let factor = (asked.replication_factor != -1).then_some(asked.replication_factor);
        model.plan_topic(&asked.name, partitions, factor)?
    } else {
        model.check_new_name(&asked.name)?;
        if asked.num_partitions != -1 || asked.replication_factor != -1 {
            let message = "A manual partition assignment was specified, but numPartitions and \
                           replicationFactor were not set to -1.";
            return Err((ErrorCode::InvalidRequest, message.into()));
        }
        let assignment = assigned(model, &asked.assignments)?;
        NewTopic {
            name: asked.name.clone(),
            assignment,
            config: TopicConfig::default(),
        }
    };
    for config in &asked.configs {
        let set = new.config.set(&config.name, config.value.as_ref());
        set.map_err(|message| (ErrorCode::InvalidConfig, message))?;
    }
    Ok(new)
}

/// A manual assignment: partitions 0, 1, 2 … on known nodes, as many for each.
fn assigned(
    model: &ClusterModel,
    asked: &[CreatableReplicaAssignment],
) -> Result<Vec<Vec<i32>>, Refusal> {
    let mut sorted: Vec<&CreatableReplicaAssignment> = asked.iter().collect();
    sorted.sort_by_key(|assignment| assignment.partition_index);
    if !(0..)
        .zip(&sorted)
        .all(|(index, assignment)| assignment.partition_index == index)
    {
        let message = "partitions should be a consecutive 0-based integer sequence";
        return Err((ErrorCode::InvalidReplicaAssignment, message.into()));
    }
    let nodes: Vec<Vec<i32>> = sorted
        .iter()
        .map(|found| found.broker_ids.clone())
        .collect();
    check_assignment(model, &nodes, nodes.first().map_or(0, Vec::len))?;
    Ok(nodes)
}

fn check_assignment(model: &ClusterModel, all: &[Vec<i32>], factor: usize) -> Result<(), Refusal> {
    let invalid = |message: String| Err((ErrorCode::InvalidReplicaAssignment, message));
    for nodes in all {
        if nodes.is_empty() {
            return invalid(
                "The manual partition assignment includes an empty replica list.".into(),
            );
        }
        if let Some(unknown) = nodes.iter().find(|node| !model.nodes.contains_key(node)) {
            return invalid(format!(
                "The manual partition assignment includes broker {unknown}, but no such broker is \
                 registered."
            ));
        }
        if nodes.iter().collect::<BTreeSet<_>>().len() != nodes.len() {
            return invalid(
                "The manual partition assignment includes a broker more than once.".into(),
            );
        }
        if nodes.len() != factor {
            return invalid(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this \
                 is not consistent with previous partitions, which have {factor} replica(s).",
                nodes.len()
            ));
        }
    }
    Ok(())
}

fn create(
    model: &mut ClusterModel,
    call: &Call,
    new: NewTopic,
    validate_only: bool,
) -> CreatableTopicResult {
    let name = new.name.clone();
    let num_partitions = i32::try_from(new.assignment.len()).unwrap_or(i32::MAX);
    let replicas = new.assignment.first().map_or(0, Vec::len);
    let configs = (call.version >= 5).then(|| described(&new.config));
    let topic_id = if validate_only {
        milena_codec::Uuid::ZERO
    } else {
        model.add_topic(new)
    };
    CreatableTopicResult {
        name,
        topic_id,
        num_partitions,
        replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
        configs: Some(configs.unwrap_or_default()),
        error_message: None,
        ..CreatableTopicResult::default()
    }
}

fn described(config: &TopicConfig) -> Vec<CreatableTopicConfigs> {
    let one = |definition: &'static crate::model::config::Definition| CreatableTopicConfigs {
        name: Str::from_static(definition.name),
        value: Some(config.value(definition)),
        config_source: match config.overridden(definition.name) {
            Some(_) => TOPIC_SOURCE,
            None => DEFAULT_SOURCE,
        },
        ..CreatableTopicConfigs::default()
    };
    TOPIC.iter().map(one).collect()
}

fn refused(name: Str, (code, message): Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: code.code(),
        error_message: Some(message.into()),
        num_partitions: -1,
        replication_factor: -1,
        configs: Some(Vec::new()),
        ..CreatableTopicResult::default()
    }
}

pub(super) fn create_partitions(
    model: &mut ClusterModel,
    _call: &Call,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut repeated = Repeated::among(request.topics.iter().map(|topic| &topic.name));
    let mut results = Vec::new();
    for asked in request.topics {
        let result = match repeated.check(&asked.name) {
            Once::Alone => grow(model, &asked, request.validate_only),
            Once::Refused(refusal) => Err(refusal),
            Once::Answered => continue,
        };
        let (code, message) = match result {
            Ok(()) => (ErrorCode::None, None),
            Err((code, message)) => (code, (!message.is_empty()).then(|| message.into())),
        };
        results.push(CreatePartitionsTopicResult {
            name: asked.name,
            error_code: code.code(),
            error_message: message,
            ..CreatePartitionsTopicResult::default()
        });
    }
    CreatePartitionsResponse {
        results,
        ..CreatePartitionsResponse::default()
    }
}

fn grow(
    model: &mut ClusterModel,
    asked: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), Refusal> {
    let topic = model.topics.by_name(&asked.name);
    let topic = topic.ok_or((ErrorCode::UnknownTopicOrPartition, String::new()))?;
    let now = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let invalid = |message| Err((ErrorCode::InvalidPartitions, message));
    if asked.count == now {
        return invalid(format!("Topic already has {now} partition(s)."));
    }
    if asked.count < now {
        return invalid(format!(
            "The topic {} currently has {now} partition(s); {} would not be an increase.",
            asked.name, asked.count
        ));
    }
    if asked.count > MAX_PARTITIONS {
        return invalid(format!(
            "This broker takes at most {MAX_PARTITIONS} partitions a topic."
        ));
    }
    let factor = topic
        .partitions
        .first()
        .map_or(1, |partition| partition.replicas.len());
    let added = match &asked.assignments {
        None => model.assign(&asked.name, now..asked.count, factor),
        Some(assignments) => {
            let nodes: Vec<Vec<i32>> = assignments.iter().map(|a| a.broker_ids.clone()).collect();
            if i32::try_from(nodes.len()).ok() != Some(asked.count - now) {
                let message = format!(
                    "Attempted to add {} additional partition(s), but {} assignment(s) were specified.",
                    asked.count - now,
                    nodes.len()
                );
                return Err((ErrorCode::InvalidReplicaAssignment, message));
            }
            check_assignment(model, &nodes, factor)?;
            nodes
        }
    };
    if validate_only {
        return Ok(());
    }
    let up: BTreeSet<i32> = model
        .nodes
        .iter()
        .filter(|(_, node)| node.up)
        .map(|(id, _)| *id)
        .collect();
    if let Some(topic) = model.topics.by_name_mut(&asked.name) {
        for replicas in added {
            topic.add(replicas, |node| up.contains(&node));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
