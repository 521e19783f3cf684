//! An immutable picture of a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use milena_codec::messages::metadata_response::MetadataResponseTopic;
use milena_codec::{ErrorCode, Str, Uuid};

use crate::{merge, similar};

/// What was known of a cluster at one moment. Cheap to share, never changed.
///
/// It knows only the topics somebody asked for, not all of the cluster's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub(crate) cluster_id: Option<Str>,
    pub(crate) controller: Option<i32>,
    pub(crate) brokers: BTreeMap<i32, BrokerInfo>,
    pub(crate) topics: BTreeMap<Str, Arc<Topic>>,
    pub(crate) fetched_at: Option<Instant>,
}

/// A broker and where it says it can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerInfo {
    /// The node id.
    pub id: i32,
    /// The advertised host name or address.
    pub host: Str,
    /// The advertised port.
    pub port: u16,
    /// The rack or availability zone, if the broker has one configured.
    pub rack: Option<Str>,
}

/// A topic as the last answer about it described it.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Its name.
    pub name: Str,
    /// Its id; [`Uuid::ZERO`] where the brokers have no topic ids (below 2.8).
    pub id: Uuid,
    /// Whether it belongs to Kafka itself, such as `__consumer_offsets`.
    pub is_internal: bool,
    /// Its partitions by ascending index. Use [`Topic::partition`]: an index is a position only
    /// while no partition is missing.
    ///
    /// When `error` is set these are the ones last known, possibly none.
    pub partitions: Vec<Partition>,
    /// Why the last look-up of this topic failed, such as
    /// [`ErrorCode::UnknownTopicOrPartition`]; `None` if it succeeded.
    pub error: Option<ErrorCode>,
}

/// A partition and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its index, from 0.
    pub index: i32,
    /// The node id of its leader; `None` while it has none.
    pub leader: Option<i32>,
    /// The leader's epoch (KIP-320); `None` where brokers do not know it or, below 2.4, not
    /// reliably.
    pub leader_epoch: Option<i32>,
    /// The node ids of all replicas, the preferred leader first.
    pub replicas: Vec<i32>,
    /// The node ids of the replicas in sync.
    pub isr: Vec<i32>,
    /// The node ids of the replicas that are offline (from Metadata version 5).
    pub offline: Vec<i32>,
    /// What is wrong with it, such as [`ErrorCode::LeaderNotAvailable`].
    pub error: Option<ErrorCode>,
}

/// A partition's leader: where to send, and the epoch to name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader<'a> {
    /// The leader.
    pub broker: &'a BrokerInfo,
    /// Its epoch, if known.
    pub epoch: Option<i32>,
}

impl Snapshot {
    /// The cluster's id; `None` before the first answer.
    pub fn cluster_id(&self) -> Option<&Str> {
        self.cluster_id.as_ref()
    }

    /// The node id of the active controller. With KRaft it is any broker, which forwards.
    pub fn controller(&self) -> Option<i32> {
        self.controller
    }

    /// The brokers by ascending node id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &BrokerInfo> {
        self.brokers.values()
    }

    /// The broker with this node id.
    pub fn broker(&self, id: i32) -> Option<&BrokerInfo> {
        self.brokers.get(&id)
    }

    /// The topics by ascending name; those that failed to look up included.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// The topic, if it was looked up.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// The leader of a partition; `None` if the topic or partition is unknown, has no leader, or
    /// its leader is not among the brokers.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<Leader<'_>> {
        let partition = self.topics.get(topic)?.partition(partition)?;
        Some(Leader {
            broker: self.brokers.get(&partition.leader?)?,
            epoch: partition.leader_epoch,
        })
    }

    /// The known topics whose names resemble `name`, the closest first, at most three: for error
    /// messages.
    pub fn similar(&self, name: &str) -> Vec<Str> {
        let known = self.topics.values().filter(|topic| topic.error.is_none());
        similar::closest(name, known.map(|topic| &topic.name))
    }

    /// When the last answer was merged in; `None` before the first.
    pub fn fetched_at(&self) -> Option<Instant> {
        self.fetched_at
    }
}

impl Topic {
    /// A topic out of an answer that was negotiated as `version`, for those who ask themselves;
    /// `None` if the answer has no name for it.
    pub fn from_answer(mut answer: MetadataResponseTopic, version: i16) -> Option<Self> {
        let name = answer.name.take()?;
        Some(merge::merge_topic(None, &name, answer, version))
    }

    /// The partition with this index.
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        let guess = usize::try_from(index).ok()?;
        match self.partitions.get(guess) {
            Some(partition) if partition.index == index => Some(partition),
            _ => self.partitions.iter().find(|p| p.index == index),
        }
    }

    /// Whether at least one partition can be written to and read from.
    pub fn has_leader(&self) -> bool {
        self.partitions.iter().any(|p| p.leader.is_some())
    }
}

#[cfg(test)]
mod tests;
