//! What can go wrong, by operation.

use milena_codec::{ErrorCode, Str, Uuid};
use milena_proto::position::{OutOfRangeFault, Side, Start};
use milena_records::BatchFault;

use crate::TopicPartition;

/// Why [`next_batch`](crate::Consumer::next_batch) or [`recv`](crate::Consumer::recv) has no
/// record.
///
/// An error of one partition is returned once; the partition then rests at its position, the
/// others go on, and a [`seek`](crate::Consumer::seek) starts it again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// What the broker sent is damaged. The position stays where it was, so nothing is skipped
    /// unless you seek.
    #[error(
        "{partition} cannot be read at offset {position}: the batch at offsets {base_offset} to \
         {last_offset} is damaged: {fault}; seek to {} to skip it", .last_offset.saturating_add(1)
    )]
    Corrupt {
        /// Where.
        partition: TopicPartition,
        /// The position, unchanged.
        position: i64,
        /// The batch's first offset, as far as its header can be trusted.
        base_offset: i64,
        /// The batch's last offset, as far as its header can be trusted.
        last_offset: i64,
        /// What is wrong.
        fault: BatchFault,
    },
    /// The broker sent part of a batch and nothing whole.
    #[error(
        "{partition} cannot be read at offset {position}: the broker sent {bytes} bytes without a \
         whole batch; raise max.partition.fetch.bytes"
    )]
    Cut {
        /// Where.
        partition: TopicPartition,
        /// The position, unchanged.
        position: i64,
        /// How much came.
        bytes: usize,
    },
    /// The position is outside the log, and the policy for that is an error.
    #[error("{partition}: {fault}; seek, or set a policy for positions outside the log")]
    OutOfRange {
        /// Where.
        partition: TopicPartition,
        /// The position and the log's bounds.
        fault: OutOfRangeFault,
    },
    /// The topic was deleted and created again: the old offsets mean nothing in the new one.
    #[error(
        "topic {} was recreated: its id was {old} and is now {new}; {partition} stopped at offset \
         {}; unassign and assign it again", .partition.topic, offset_text(*.position)
    )]
    TopicRecreated {
        /// Where.
        partition: TopicPartition,
        /// The position in the old topic.
        position: Option<i64>,
        /// The id when the partition was assigned.
        old: Uuid,
        /// The id now.
        new: Uuid,
    },
    /// The broker refuses to serve the partition, and waiting will not change that.
    #[error("{partition} cannot be read at offset {}: {code}", offset_text(*.position))]
    Refused {
        /// Where.
        partition: TopicPartition,
        /// The position, unchanged.
        position: Option<i64>,
        /// Why.
        code: ErrorCode,
    },
    /// A broker cannot be used in a way that waiting will not change (login, TLS, version). It is
    /// tried again nevertheless, so this error may return.
    #[error("broker {node} cannot be read from: {cause}")]
    Broker {
        /// The broker's node id.
        node: i32,
        /// Why.
        cause: milena_rpc::CallError,
    },
    /// Nothing is assigned, so nothing can come.
    #[error("no partition is assigned; call assign or assign_topic first")]
    NothingAssigned,
    /// Every assigned partition has failed, and its error was returned.
    #[error("all {partitions} assigned partitions have failed; seek them, or unassign them")]
    AllFailed {
        /// How many.
        partitions: usize,
    },
    /// The work of a check was lost with the thread pool that ran it.
    #[error(
        "{partition} at offset {position}: the check of a batch was cut off; it will be repeated"
    )]
    CheckLost {
        /// Where.
        partition: TopicPartition,
        /// The position, unchanged.
        position: i64,
    },
}

fn offset_text(offset: Option<i64>) -> String {
    offset.map_or_else(|| "(not yet known)".to_owned(), |offset| offset.to_string())
}

impl ConsumeError {
    /// The partition concerned, if it is one.
    pub fn partition(&self) -> Option<&TopicPartition> {
        match self {
            Self::Corrupt { partition, .. }
            | Self::Cut { partition, .. }
            | Self::OutOfRange { partition, .. }
            | Self::TopicRecreated { partition, .. }
            | Self::Refused { partition, .. }
            | Self::CheckLost { partition, .. } => Some(partition),
            Self::Broker { .. } | Self::NothingAssigned | Self::AllFailed { .. } => None,
        }
    }

    /// The position at which the partition rests, if it is known.
    pub fn offset(&self) -> Option<i64> {
        match self {
            Self::Corrupt { position, .. }
            | Self::Cut { position, .. }
            | Self::CheckLost { position, .. } => Some(*position),
            Self::OutOfRange { fault, .. } => Some(fault.offset),
            Self::TopicRecreated { position, .. } | Self::Refused { position, .. } => *position,
            Self::Broker { .. } | Self::NothingAssigned | Self::AllFailed { .. } => None,
        }
    }

    /// Whether the consumer tries again by itself.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Broker { .. } | Self::CheckLost { .. })
    }

    /// Whether every further call returns the same until you assign, unassign or seek.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::NothingAssigned | Self::AllFailed { .. })
    }

    /// For an offset outside the log: on which side of it.
    pub fn side(&self) -> Option<Side> {
        match self {
            Self::OutOfRange { fault, .. } => Some(fault.side),
            _ => None,
        }
    }
}

/// Why a partition was not assigned.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssignError {
    /// The topic cannot be looked up.
    #[error(transparent)]
    Topic(#[from] milena_rpc::TopicError),
    /// The topic has fewer partitions.
    #[error("topic {topic} has no partition {partition}; it has {count}, counted from 0")]
    NoSuchPartition {
        /// The topic.
        topic: Str,
        /// The partition asked for.
        partition: i32,
        /// How many there are.
        count: usize,
    },
    /// It is assigned already.
    #[error("{0} is assigned already; use seek to move it")]
    AlreadyAssigned(TopicPartition),
    /// Offsets count from 0, and timestamps from 1970.
    #[error("{partition} cannot start at {start:?}: offsets and timestamps are at least 0")]
    InvalidStart {
        /// Where.
        partition: TopicPartition,
        /// Where it should have started.
        start: Start,
    },
    /// The consumer has been closed.
    #[error("the consumer has been closed")]
    Closed,
}

/// Why a partition could not be moved, paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeekError {
    /// It is not assigned.
    #[error("{0} is not assigned; call assign first")]
    NotAssigned(TopicPartition),
    /// Offsets count from 0, and timestamps from 1970.
    #[error("{partition} cannot go to {start:?}: offsets and timestamps are at least 0")]
    InvalidStart {
        /// Where.
        partition: TopicPartition,
        /// Where it should have gone.
        start: Start,
    },
}
