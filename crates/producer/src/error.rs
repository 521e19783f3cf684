//! Why a record was not accepted. Its caller still has it, and nothing of it was or will be sent.

use std::sync::Arc;
use std::time::Duration;

use milena_codec::Str;
use milena_rpc::TopicError;

use crate::{Receipt, TransactionCause};

/// Why [`Producer::send`](crate::Producer::send) did not accept a record.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The topic could not be looked up.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The topic has no such partition.
    #[error("topic {topic} has no partition {partition}, only 0 to {}", .count - 1)]
    UnknownPartition {
        /// The topic.
        topic: Str,
        /// The partition asked for.
        partition: i32,
        /// How many partitions the topic has.
        count: i32,
    },
    /// The partitioner chose a partition that the topic does not have.
    #[error(
        "the partitioner chose partition {partition} of topic {topic}, which has only 0 to {}; it \
         has to choose one of those it is given", .count - 1
    )]
    PartitionerOutOfRange {
        /// The topic.
        topic: Str,
        /// The partition that it chose.
        partition: i32,
        /// How many partitions the topic has.
        count: i32,
    },
    /// The record is larger than a setting of this producer allows.
    #[error(
        "a record of {size} bytes for topic {topic} exceeds the {limit} bytes that {setting} of \
         this producer allows; raise it, and if necessary max.message.bytes of the topic"
    )]
    RecordTooLarge {
        /// The topic.
        topic: Str,
        /// The most bytes that the record may take, batch header included.
        size: usize,
        /// The limit.
        limit: usize,
        /// The setting that says so.
        setting: &'static str,
    },
    /// There was no memory for so long.
    #[error(
        "no room in buffer_memory (buffer.memory) for {:.1} s: records come faster than the \
         brokers take them", .waited.as_secs_f64()
    )]
    BufferFull {
        /// How long `send` waited: `max_block`.
        waited: Duration,
    },
    /// The record's transaction has failed and can only be aborted, or its transactional producer
    /// has failed for good.
    #[error("the transaction has failed: {0}")]
    Transaction(Arc<TransactionCause>),
    /// The producer, or the transaction, has been closed.
    #[error("the producer has been closed")]
    Closed,
}

impl SendError {
    /// Whether the same `send` may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Topic(error) => error.is_retriable(),
            Self::BufferFull { .. } => true,
            _ => false,
        }
    }
}

/// Why [`Producer::try_send`](crate::Producer::try_send) did not accept a record.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError {
    /// There is no memory now. `send` would wait for some.
    #[error("no room in buffer_memory (buffer.memory) now; send() waits for it")]
    Full,
    /// The topic, or its partition, is not known yet. `send` would look it up.
    #[error("topic {topic} is not looked up yet; send() does that")]
    MetadataMissing {
        /// The topic.
        topic: Str,
    },
    /// Waiting would not help.
    #[error(transparent)]
    Refused(#[from] SendError),
}

/// Why [`Producer::send_all`](crate::Producer::send_all) stopped.
#[derive(Debug, thiserror::Error)]
#[error("record {} was not accepted, nor any after it: {error}", .receipts.len())]
pub struct SendAllError {
    /// Of the records before, which are accepted, in order.
    pub receipts: Vec<Receipt>,
    /// Why the next one was not.
    #[source]
    pub error: SendError,
}
