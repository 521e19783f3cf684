//! Topics and partitions: who leads what, and since when.
//!
//! I1. A leader is up and in the in-sync set. A partition without such a replica has no leader.
//! I2. The leader epoch rises by one whenever the leader changes, and never falls.
//! I3. Replicas share one log: a follower in the in-sync set has everything. What a real follower
//!     lacks is shown by holding the high watermark back and by truncating on a leader move.

use std::collections::BTreeMap;

use milena_codec::{Bytes, ErrorCode, Str, Uuid};
use milena_records::{BatchHeader, Batches, Decompressor, EndTxnMarker};

use super::config::TopicConfig;
use super::log::Log;
use super::producer_state::ProducerStates;

/// One partition.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    pub(crate) log: Log,
    pub(crate) producers: ProducerStates,
    /// Where the high watermark stays while replication is held.
    pub(crate) held_at: Option<i64>,
}

impl Partition {
    fn new(replicas: Vec<i32>, is_up: impl Fn(i32) -> bool) -> Self {
        let isr: Vec<i32> = replicas
            .iter()
            .copied()
            .filter(|node| is_up(*node))
            .collect();
        let isr = if isr.is_empty() {
            replicas.clone()
        } else {
            isr
        };
        let leader = isr.iter().copied().find(|node| is_up(*node));
        Self {
            leader,
            replicas,
            isr,
            ..Self::default()
        }
    }

    /// The end of what consumers may read.
    pub(crate) fn high_watermark(&self) -> i64 {
        self.held_at.unwrap_or(self.log.end()).min(self.log.end())
    }

    /// The end of what read-committed consumers may read: before any transaction that is not over.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        let high_watermark = self.high_watermark();
        let unstable = self.producers.first_unstable(high_watermark);
        unstable
            .map_or(high_watermark, |offset| offset.min(high_watermark))
            .max(self.log.start())
    }

    /// Elects the first replica that is in sync and up, if the leader is not.
    pub(crate) fn elect(&mut self, is_up: impl Fn(i32) -> bool) {
        if self
            .leader
            .is_some_and(|node| is_up(node) && self.isr.contains(&node))
        {
            return;
        }
        let able = |node: &i32| is_up(*node) && self.isr.contains(node);
        let next = self.replicas.iter().copied().find(able);
        if next != self.leader {
            self.lead(next);
        }
    }

    /// Makes `leader` the leader. // I2
    pub(crate) fn lead(&mut self, leader: Option<i32>) {
        self.leader = leader;
        self.leader_epoch += 1;
        if leader.is_some() {
            self.log.begin_epoch(self.leader_epoch);
        }
    }

    /// Loses records from `offset` on, with what producers had done there.
    pub(crate) fn truncate(&mut self, offset: i64) {
        self.log.truncate(offset);
        self.producers.clear();
        for batch in self.log.batches() {
            let bytes = batch.bytes();
            let Some(header) = BatchHeader::read(&bytes) else {
                continue;
            };
            match marker(&header, bytes) {
                Some(marker) => self.producers.ended(&header, marker, header.base_offset),
                None => self.producers.appended(&header),
            }
        }
    }

    /// Compares a client's leader epoch (−1: unknown) with this partition's (KIP-320).
    pub(crate) fn check_epoch(&self, client: i32) -> Result<(), ErrorCode> {
        match client {
            epoch if epoch < 0 || epoch == self.leader_epoch => Ok(()),
            epoch if epoch < self.leader_epoch => Err(ErrorCode::FencedLeaderEpoch),
            _ => Err(ErrorCode::UnknownLeaderEpoch),
        }
    }
}

/// What a control batch says about a transaction.
pub(crate) fn marker(header: &BatchHeader, bytes: Bytes) -> Option<EndTxnMarker> {
    if !header.attributes.is_control() {
        return None;
    }
    let batch = Batches::new(bytes).next()?.ok()?;
    let limit = batch.bytes().len();
    let checked = Decompressor::with_local(|decompressor| batch.check(decompressor, limit)).ok()?;
    EndTxnMarker::read(&checked.iter().next()?).ok()?
}

/// One topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Str,
    pub(crate) id: Uuid,
    pub(crate) config: TopicConfig,
    pub(crate) partitions: Vec<Partition>,
}

impl Topic {
    /// The partition of this index.
    pub(crate) fn partition(&self, index: i32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// Adds a partition on these nodes.
    pub(crate) fn add(&mut self, replicas: Vec<i32>, is_up: impl Fn(i32) -> bool) {
        self.partitions.push(Partition::new(replicas, is_up));
    }

    /// Whether Kafka keeps its own state in it.
    pub(crate) fn is_internal(&self) -> bool {
        is_internal(&self.name)
    }

    /// The bytes of its logs.
    pub(crate) fn size(&self) -> usize {
        self.partitions
            .iter()
            .map(|partition| partition.log.size())
            .sum()
    }
}

/// Whether Kafka keeps its own state in a topic of this name.
pub(crate) fn is_internal(name: &str) -> bool {
    matches!(
        name,
        "__consumer_offsets" | "__transaction_state" | "__share_group_state"
    )
}

/// All topics, by name and by id.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<Str, Topic>,
    names: BTreeMap<Uuid, Str>,
}

impl Topics {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.by_name.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Topic> {
        self.by_name.values_mut()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(crate) fn by_name_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.by_name.get_mut(name)
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<&Topic> {
        self.by_name.get(self.names.get(&id)?)
    }

    /// Finds by id, if there is one, and otherwise by name.
    pub(crate) fn find(&self, name: &str, id: Uuid) -> Option<&Topic> {
        if id.is_zero() {
            self.by_name(name)
        } else {
            self.by_id(id)
        }
    }

    pub(crate) fn find_mut(&mut self, name: &str, id: Uuid) -> Option<&mut Topic> {
        if id.is_zero() {
            return self.by_name.get_mut(name);
        }
        self.by_name.get_mut(self.names.get(&id)?)
    }

    pub(crate) fn insert(&mut self, topic: Topic) {
        self.names.insert(topic.id, topic.name.clone());
        self.by_name.insert(topic.name.clone(), topic);
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Topic> {
        let topic = self.by_name.remove(name)?;
        self.names.remove(&topic.id);
        Some(topic)
    }
}

/// Kafka's rule for topic names; the error is the message a broker answers.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    const PREFIX: &str = "Topic name is invalid: ";
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        return Err(format!("{PREFIX}the empty string is not allowed"));
    }
    if matches!(name, "." | "..") {
        return Err(format!("{PREFIX}'{name}' is not allowed"));
    }
    if name.len() > 249 {
        return Err(format!(
            "{PREFIX}the length of '{name}' is longer than the max allowed length 249"
        ));
    }
    if !name.chars().all(legal) {
        return Err(format!(
            "{PREFIX}'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        ));
    }
    Ok(())
}
