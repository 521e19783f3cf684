//! Names of partitions, and what each is doing.

use std::fmt;
use std::time::Instant;

use milena_codec::Str;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Str,
    /// The partition's index.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    pub fn new(topic: impl Into<Str>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// One assigned partition as it is now.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PartitionState {
    /// Which.
    pub partition: TopicPartition,
    /// What it is doing.
    pub activity: Activity,
    /// Since when, on the environment's clock.
    pub since: Instant,
    /// The next offset to be handed out; `None` until it is known.
    pub position: Option<i64>,
    /// The partition's end as of the last answer: the offset behind the last record that consumers
    /// can see.
    pub high_watermark: Option<i64>,
    /// Fetched bytes that wait to be handed out.
    pub buffered_bytes: usize,
}

impl PartitionState {
    /// How many offsets lie between the position and the end, if both are known.
    pub fn lag(&self) -> Option<i64> {
        Some(self.high_watermark?.saturating_sub(self.position?).max(0))
    }
}

/// What an assigned partition is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activity {
    /// Its start, or the end to stop at, is being looked up.
    Resolving,
    /// Its position seems to be outside the log; the log's bounds are being looked up.
    CheckingRange,
    /// It is being fetched, and nothing waits to be handed out.
    Fetching,
    /// Fetched data waits to be handed out.
    Buffered,
    /// It was paused.
    Paused,
    /// No leader is known, or the broker asked is not ready; it will be asked again.
    AwaitingLeader,
    /// It was read up to the end it had when it was assigned.
    Finished,
    /// An error stopped it until the next seek.
    Failed,
}
