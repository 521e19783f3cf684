//! What a consumer decided on its own: everything that skips, resets, drops or waits.

use std::time::Duration;

use milena_codec::{ErrorCode, Uuid};
use milena_proto::position::Side;

use crate::TopicPartition;

/// A decision of a consumer. Each is also logged through `tracing`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConsumerEvent {
    /// The start of a partition was looked up.
    Resolved {
        /// Where.
        partition: TopicPartition,
        /// The first offset to be read.
        offset: i64,
    },
    /// The end at which reading stops was looked up.
    EndCaptured {
        /// Where.
        partition: TopicPartition,
        /// The offset behind the last record to be read.
        offset: i64,
    },
    /// A look-up of an offset failed and will be repeated.
    LookupFailed {
        /// Where.
        partition: TopicPartition,
        /// Why.
        reason: String,
        /// When it will be repeated.
        retry_in: Duration,
    },
    /// The position was outside the log and the policy moved it: records were skipped, or will be
    /// read again.
    Reset {
        /// Where.
        partition: TopicPartition,
        /// The position outside the log.
        from: i64,
        /// The new position.
        to: i64,
        /// On which side of the log it was.
        side: Side,
    },
    /// A broker called the position out of range although it is not; fetching goes on.
    InRangeAfterAll {
        /// Where.
        partition: TopicPartition,
        /// The position, unchanged.
        offset: i64,
    },
    /// A partition waits because the broker cannot serve it now.
    Waiting {
        /// Where.
        partition: TopicPartition,
        /// What the broker answered.
        code: ErrorCode,
        /// When it will be asked again.
        retry_in: Duration,
    },
    /// No leader of a partition is known.
    LeaderUnknown {
        /// Where.
        partition: TopicPartition,
    },
    /// A partition stopped at an error, which `next_batch` returns.
    Failed {
        /// Where.
        partition: TopicPartition,
        /// The error's text.
        reason: String,
    },
    /// The topic has another id than when the partition was assigned.
    TopicRecreated {
        /// Where.
        partition: TopicPartition,
        /// The id when the partition was assigned.
        old: Uuid,
        /// The id now.
        new: Uuid,
    },
    /// What was fetched was dropped because the partition was moved or unassigned meanwhile.
    Dropped {
        /// Where.
        partition: TopicPartition,
        /// How many bytes.
        bytes: usize,
    },
    /// The broker sent batches that all lie below the position.
    NoProgress {
        /// Where.
        partition: TopicPartition,
        /// The position, unchanged.
        offset: i64,
    },
    /// A fetch failed as a whole and will be repeated.
    FetchFailed {
        /// The broker's node id.
        node: i32,
        /// Why.
        reason: String,
        /// When it will be repeated.
        retry_in: Duration,
    },
    /// The fetch session was given up; the next fetch is a full one.
    SessionReset {
        /// The broker's node id.
        node: i32,
        /// Why.
        reason: String,
    },
    /// The memory share is full: nothing is fetched from a broker until records are read.
    MemoryFull {
        /// The broker's node id.
        node: i32,
        /// Bytes fetched and not handed out.
        buffered: usize,
    },
}

impl ConsumerEvent {
    /// Logs the event: what loses or repeats records as a warning, the rest more quietly.
    pub(crate) fn log(&self) {
        match self {
            Self::Reset { .. } | Self::TopicRecreated { .. } | Self::Failed { .. } => {
                tracing::warn!(event = self.name(), ?self, "consumer");
            }
            Self::FetchFailed { .. }
            | Self::LookupFailed { .. }
            | Self::Waiting { .. }
            | Self::LeaderUnknown { .. }
            | Self::NoProgress { .. }
            | Self::InRangeAfterAll { .. } => {
                tracing::info!(event = self.name(), ?self, "consumer");
            }
            _ => tracing::debug!(event = self.name(), ?self, "consumer"),
        }
    }

    /// The event's name, which stays the same from release to release.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Resolved { .. } => "resolved",
            Self::EndCaptured { .. } => "end_captured",
            Self::LookupFailed { .. } => "lookup_failed",
            Self::Reset { .. } => "reset",
            Self::InRangeAfterAll { .. } => "in_range_after_all",
            Self::Waiting { .. } => "waiting",
            Self::LeaderUnknown { .. } => "leader_unknown",
            Self::Failed { .. } => "failed",
            Self::TopicRecreated { .. } => "topic_recreated",
            Self::Dropped { .. } => "dropped",
            Self::NoProgress { .. } => "no_progress",
            Self::FetchFailed { .. } => "fetch_failed",
            Self::SessionReset { .. } => "session_reset",
            Self::MemoryFull { .. } => "memory_full",
        }
    }
}
