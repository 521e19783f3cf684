//! What the producer decides and its user may want to know.

use std::sync::Arc;

use milena_codec::Str;
use milena_proto::sequencer::{Bump, Fate};

use crate::failed::{FailedBatch, LastError};

/// Something worth knowing. Each is also a `tracing` event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ProducerEvent {
    /// A batch will be sent again.
    Retry {
        /// The topic.
        topic: Str,
        /// The partition.
        partition: i32,
        /// How often it was tried.
        attempts: u32,
        /// What went wrong.
        cause: LastError,
    },
    /// A partition raised its epoch (KIP-360, but locally and for itself alone).
    EpochBump {
        /// The topic.
        topic: Str,
        /// The partition.
        partition: i32,
        /// From which to which, and why.
        bump: Bump,
    },
    /// A partition is sent to another broker than before.
    LeaderChanged {
        /// The topic.
        topic: Str,
        /// The partition.
        partition: i32,
        /// The node id of the old leader.
        from: i32,
        /// The node id of the new one.
        to: i32,
    },
    /// A batch was too large for its broker and is sent in parts (KIP-126). Later batches of the
    /// partition are made no larger than its parts.
    BatchSplit {
        /// The topic.
        topic: Str,
        /// The partition.
        partition: i32,
        /// The batch's size as sent, in bytes.
        size: usize,
        /// How many records it has.
        records: u32,
        /// How many parts it became.
        parts: usize,
    },
    /// A batch has failed.
    BatchFailed(Arc<FailedBatch>),
    /// A function of the user's panicked. Nothing else suffers from it.
    Panicked {
        /// The interceptor's name, or what else was called.
        who: Str,
        /// Which of its functions.
        what: &'static str,
        /// What the panic said.
        message: Str,
    },
}

impl ProducerEvent {
    /// Tells `tracing`. Contents of records never appear.
    pub(crate) fn trace(&self) {
        match self {
            Self::Retry {
                topic,
                partition,
                attempts,
                cause,
            } => tracing::info!(%topic, partition, attempts, %cause, "batch will be sent again"),
            Self::EpochBump {
                topic,
                partition,
                bump,
            } => tracing::warn!(%topic, partition, ?bump, "partition raised its producer epoch"),
            Self::LeaderChanged {
                topic,
                partition,
                from,
                to,
            } => tracing::info!(%topic, partition, from, to, "partition has a new leader"),
            Self::BatchSplit {
                topic,
                partition,
                size,
                records,
                parts,
            } => tracing::warn!(
                %topic, partition, size, records, parts,
                "batch too large for the broker, sent in parts"
            ),
            Self::Panicked { who, what, message } => {
                tracing::error!(%who, what, %message, "a function given to the producer panicked");
            }
            Self::BatchFailed(batch) => tracing::warn!(
                topic = %batch.topic(),
                partition = batch.partition(),
                records = batch.len(),
                maybe_written = batch.fate() == Fate::MaybeWritten,
                cause = %batch.cause(),
                "batch failed"
            ),
        }
    }
}
