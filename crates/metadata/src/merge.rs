//! How an answer changes what is known.
//!
//! - I1: a partition's leader epoch never goes back, unless the topic was recreated.
//! - I2: brokers are replaced as a whole, topics one by one: an answer speaks only for the topics
//!   it was asked about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use milena_codec::messages::MetadataResponse;
use milena_codec::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use milena_codec::{ErrorCode, Str, Uuid};
use thiserror::Error;

use crate::{BrokerInfo, Lookup, Partition, Snapshot, Topic};

/// From this version on, brokers report leader epochs that can be relied on (KAFKA-9212, 2.4).
const RELIABLE_EPOCHS: i16 = 9;

/// What an answer changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// Whether anything differs from before.
    pub changed: bool,
    /// Topics that were deleted and created again under the same name.
    pub recreated: Vec<Recreated>,
    /// The id of the cluster that answered before, if it was another one: everything known of it
    /// is forgotten.
    pub cluster_changed: Option<Str>,
    /// Brokers that left or moved: as they were.
    pub left: Vec<BrokerInfo>,
    /// Brokers that are new or have moved: as they are.
    pub joined: Vec<BrokerInfo>,
}

/// A topic that is another one under the same name.
#[derive(Clone, Debug, PartialEq)]
pub struct Recreated {
    /// Its name.
    pub topic: Str,
    /// The id of the topic that is gone.
    pub old: Uuid,
    /// The id of the topic that has the name now.
    pub new: Uuid,
}

/// An answer that is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// A broker that knows no broker, such as one that is starting.
    #[error("the broker knows no brokers yet; it is probably starting")]
    NoBrokers,
    /// The broker reports an error of its own. [`ErrorCode::RebootstrapRequired`] means: begin at
    /// the bootstrap servers (KIP-1102).
    #[error("the broker answered the metadata request with {0}")]
    Refused(ErrorCode),
}

pub(crate) fn check(answer: &MetadataResponse) -> Result<(), AnswerError> {
    ErrorCode::from(answer.error_code)
        .check()
        .map_err(AnswerError::Refused)?;
    if answer.brokers.is_empty() {
        return Err(AnswerError::NoBrokers);
    }
    Ok(())
}

pub(crate) fn merge(
    old: &Snapshot,
    lookup: &Lookup,
    answer: MetadataResponse,
    version: i16,
    now: Instant,
) -> (Snapshot, Merged) {
    let mut merged = Merged {
        cluster_changed: changed_cluster(old, &answer),
        ..Merged::default()
    };
    let mut topics = match merged.cluster_changed {
        Some(_) => BTreeMap::new(),
        None => old.topics.clone(),
    };
    let mut answered = by_name(answer.topics);
    for name in &lookup.topics {
        let known = topics.get(name).map(Arc::as_ref);
        let topic = match answered.remove(name) {
            Some(topic) => merge_topic(known, name, topic, version),
            None => unanswered(known, name),
        };
        merged.recreated.extend(recreated(known, &topic));
        if known != Some(&topic) {
            merged.changed = true;
            topics.insert(name.clone(), Arc::new(topic));
        }
    }
    let next = Snapshot {
        cluster_id: answer.cluster_id.or_else(|| old.cluster_id.clone()),
        controller: (answer.controller_id >= 0).then_some(answer.controller_id),
        brokers: brokers(answer.brokers),
        topics,
        fetched_at: Some(now),
    };
    merged.changed |= next.brokers != old.brokers || next.controller != old.controller;
    merged.left = missing(old, &next);
    merged.joined = missing(&next, old);
    (next, merged)
}

/// The snapshot with a new leader; `None` if the hint is not newer than what is known, or the
/// leader's address is not known.
pub(crate) fn hint(
    old: &Snapshot,
    topic: &str,
    partition: i32,
    (leader, epoch): (i32, i32),
    endpoint: Option<BrokerInfo>,
) -> Option<Snapshot> {
    let known = old.topics.get(topic)?;
    let at = known.partitions.iter().position(|p| p.index == partition)?;
    let outdated = known.partitions[at]
        .leader_epoch
        .is_some_and(|e| epoch <= e);
    if leader < 0 || epoch < 0 || outdated {
        return None; // I1
    }
    let mut next = old.clone();
    if let Some(endpoint) = endpoint.filter(|endpoint| endpoint.id == leader) {
        next.brokers.insert(leader, endpoint);
    }
    if !next.brokers.contains_key(&leader) {
        return None;
    }
    let mut changed = Topic::clone(known);
    let moved = &mut changed.partitions[at];
    moved.leader = Some(leader);
    moved.leader_epoch = Some(epoch);
    moved.error = None;
    next.topics.insert(known.name.clone(), Arc::new(changed));
    Some(next)
}

fn changed_cluster(old: &Snapshot, answer: &MetadataResponse) -> Option<Str> {
    let before = old.cluster_id.as_ref()?;
    let differs = answer.cluster_id.as_ref().is_some_and(|now| now != before);
    differs.then(|| before.clone())
}

fn by_name(topics: Vec<MetadataResponseTopic>) -> BTreeMap<Str, MetadataResponseTopic> {
    let named = topics.into_iter().filter_map(|mut topic| {
        let name = topic.name.take()?;
        Some((name, topic))
    });
    named.collect()
}

/// Brokers with a port that does not exist cannot be reached and are left out.
fn brokers(answered: Vec<MetadataResponseBroker>) -> BTreeMap<i32, BrokerInfo> {
    let valid = answered.into_iter().filter_map(|broker| {
        let port = u16::try_from(broker.port).ok().filter(|port| *port != 0)?;
        let info = BrokerInfo {
            id: broker.node_id,
            host: broker.host,
            port,
            rack: broker.rack,
        };
        Some((info.id, info))
    });
    valid.collect()
}

/// The brokers of one snapshot that the other does not have at the same address.
fn missing(of: &Snapshot, from: &Snapshot) -> Vec<BrokerInfo> {
    let there = |broker: &&BrokerInfo| {
        let same = |other: &BrokerInfo| other.host == broker.host && other.port == broker.port;
        !from.brokers.values().any(same)
    };
    of.brokers.values().filter(there).cloned().collect()
}

pub(crate) fn merge_topic(
    known: Option<&Topic>,
    name: &Str,
    answer: MetadataResponseTopic,
    version: i16,
) -> Topic {
    let error = ErrorCode::from(answer.error_code);
    if !error.is_ok() {
        return failed(known, name, error);
    }
    let continued = known.filter(|known| continues(known, &answer));
    let mut partitions: Vec<Partition> = (answer.partitions.into_iter())
        .filter(|partition| partition.partition_index >= 0)
        .map(|partition| {
            let before = continued.and_then(|topic| topic.partition(partition.partition_index));
            merge_partition(before, partition, version >= RELIABLE_EPOCHS)
        })
        .collect();
    partitions.sort_by_key(|partition| partition.index);
    partitions.dedup_by_key(|partition| partition.index);
    Topic {
        name: name.clone(),
        id: answer.topic_id,
        is_internal: answer.is_internal,
        partitions,
        error: None,
    }
}

/// Whether the topic is the one that was known: by id, and where there are none, by what a topic
/// cannot do without being recreated: vanish, or lose partitions.
fn continues(known: &Topic, answer: &MetadataResponseTopic) -> bool {
    if known.id.is_zero() || answer.topic_id.is_zero() {
        let vanished = known.error == Some(ErrorCode::UnknownTopicOrPartition);
        return !vanished && answer.partitions.len() >= known.partitions.len();
    }
    known.id == answer.topic_id
}

fn merge_partition(
    before: Option<&Partition>,
    answer: MetadataResponsePartition,
    reliable_epochs: bool,
) -> Partition {
    let epoch = (reliable_epochs && answer.leader_epoch >= 0).then_some(answer.leader_epoch);
    if let (Some(before), Some(epoch)) = (before, epoch)
        && before.leader_epoch.is_some_and(|known| epoch < known)
    {
        return before.clone(); // I1
    }
    let error = ErrorCode::from(answer.error_code);
    Partition {
        index: answer.partition_index,
        leader: (answer.leader_id >= 0).then_some(answer.leader_id),
        leader_epoch: epoch,
        replicas: answer.replica_nodes,
        isr: answer.isr_nodes,
        offline: answer.offline_replicas,
        error: (!error.is_ok()).then_some(error),
    }
}

fn unanswered(known: Option<&Topic>, name: &Str) -> Topic {
    failed(known, name, ErrorCode::UnknownTopicOrPartition)
}

/// What was known stays, for a broker that is behind denies topics that exist; the error tells.
fn failed(known: Option<&Topic>, name: &Str, error: ErrorCode) -> Topic {
    let mut topic = known.cloned().unwrap_or_else(|| Topic {
        name: name.clone(),
        id: Uuid::ZERO,
        is_internal: false,
        partitions: Vec::new(),
        error: None,
    });
    topic.error = Some(error);
    topic
}

fn recreated(known: Option<&Topic>, now: &Topic) -> Option<Recreated> {
    let known = known.filter(|known| !known.id.is_zero() && !now.id.is_zero())?;
    (known.id != now.id).then(|| Recreated {
        topic: now.name.clone(),
        old: known.id,
        new: now.id,
    })
}

#[cfg(test)]
pub(crate) mod tests;
