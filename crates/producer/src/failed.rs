//! Failed batches: why, with which fate, and the records themselves.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use milena_codec::{ErrorCode, Str};
use milena_proto::sequencer::Fate;
use milena_records::{
    Batches, CheckedBatch, CompressError, Decompressor, RecordRef, SealedBatch, Stamp,
};
use milena_rpc::CallError;

use crate::partition::Partition;
use crate::transaction::TransactionCause;

/// A batch that was not delivered. Its records share it.
pub struct FailedBatch {
    partition: Arc<Partition>,
    fate: Fate,
    cause: DeliveryCause,
    attempts: u32,
    /// The index of its first record among those that share its cell.
    first: u32,
    records: u32,
    /// Absent only if the codec itself failed.
    sealed: Option<SealedBatch>,
    decoded: OnceLock<Option<CheckedBatch>>,
}

/// Why a batch was not delivered.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryCause {
    /// `delivery_timeout` passed.
    #[error("not acknowledged within {:.1} s ({spent}){}", .after.as_secs_f64(), and_last(.last))]
    TimedOut {
        /// How long it was tried: `delivery_timeout`.
        after: Duration,
        /// Where that time went.
        spent: TimeSpent,
        /// What went wrong last.
        last: Option<LastError>,
    },
    /// The broker refused it.
    #[error("the broker refused it: {code}{}{}", said(.message), at_fault(.record_errors))]
    Refused {
        /// The broker's error.
        code: ErrorCode,
        /// The broker's words, if it had any.
        message: Option<Str>,
        /// Which records are to blame (KIP-467), if the broker said it.
        record_errors: Vec<RecordError>,
    },
    /// The broker or the topic does not take it, and it could not be divided: a batch of several
    /// records fails like this only if an earlier attempt may have been written.
    #[error(
        "its batch of {records} records takes {size} bytes, more than the topic's \
         max.message.bytes (or the broker's message.max.bytes) allows; raise that, or lower \
         batch_size (batch.size) of this producer if it has several records"
    )]
    TooLarge {
        /// The batch's size as sent.
        size: usize,
        /// The batch's number of records.
        records: u32,
        /// MESSAGE_TOO_LARGE or RECORD_LIST_TOO_LARGE.
        code: ErrorCode,
    },
    /// The request failed in a way that waiting does not cure, such as a refused login.
    #[error(transparent)]
    Call(Arc<CallError>),
    /// There is no producer id to be had, and idempotence needs one.
    #[error("no producer id can be had: {0}; grant IDEMPOTENT_WRITE or disable idempotence")]
    NoProducerId(ErrorCode),
    /// The topic was deleted, and created again with the same name, while the batch might have
    /// been written to the old one.
    #[error("the topic was deleted and created again")]
    TopicReplaced,
    /// The codec failed.
    #[error(transparent)]
    Compression(CompressError),
    /// [`Producer::abort_buffered`](crate::Producer::abort_buffered) was called before it was sent,
    /// or its transaction was aborted.
    #[error("it was aborted")]
    Aborted,
    /// Its transaction has failed, or its transactional producer for good.
    #[error("its transaction has failed: {0}")]
    Transaction(Arc<TransactionCause>),
    /// The producer was closed, or its runtime ended, first.
    #[error("the producer was closed before it was delivered{}", and_last(.last))]
    Closed {
        /// What went wrong last.
        last: Option<LastError>,
    },
}

impl DeliveryCause {
    /// For a batch that no attempt was ever made for.
    pub(crate) fn timed_out_in_queue(after: Duration, last: Option<&LastError>) -> Self {
        Self::TimedOut {
            after,
            spent: TimeSpent {
                queued: after,
                ..TimeSpent::default()
            },
            last: last.cloned(),
        }
    }
}

/// What went wrong in an attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LastError {
    /// The broker answered with this.
    Answer(ErrorCode),
    /// There was no answer.
    Call(Arc<CallError>),
    /// The partition had no known leader.
    NoLeader,
    /// There was no producer id.
    NoProducerId(Arc<CallError>),
}

impl fmt::Display for LastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(code) => write!(f, "the broker answered {code}"),
            Self::Call(error) => error.fmt(f),
            Self::NoLeader => f.write_str("the partition has no known leader"),
            Self::NoProducerId(error) => write!(f, "no producer id: {error}"),
        }
    }
}

/// Where the time of a batch went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeSpent {
    /// Before its first attempt: lingering, or behind other batches of the partition.
    pub queued: Duration,
    /// In attempts: connecting, queueing, in flight.
    pub attempts: Duration,
    /// Between attempts: backoff, or waiting for a leader.
    pub waiting: Duration,
}

impl fmt::Display for TimeSpent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [queued, attempts, waiting] =
            [self.queued, self.attempts, self.waiting].map(|time| time.as_secs_f64());
        write!(f, "{queued:.1} s queued, {attempts:.1} s in attempts, ")?;
        write!(f, "{waiting:.1} s between them")
    }
}

/// A record that the broker names as the cause (KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Its place in the batch, from 0.
    pub index: u32,
    /// What is wrong with it, if the broker said it.
    pub message: Option<Str>,
}

impl FailedBatch {
    pub(crate) fn new(
        partition: Arc<Partition>,
        (fate, cause, attempts): (Fate, DeliveryCause, u32),
        (first, records): (u32, u32),
        sealed: Option<SealedBatch>,
    ) -> Self {
        Self {
            first,
            partition,
            fate,
            cause,
            attempts,
            records,
            sealed,
            decoded: OnceLock::new(),
        }
    }

    /// What it holds in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.sealed.as_ref().map_or(0, SealedBatch::len)
    }

    /// The error of the record with this index among those that share the cell.
    pub(crate) fn error_of(self: &Arc<Self>, index: u32) -> DeliveryError {
        DeliveryError {
            batch: Arc::clone(self),
            index: index.saturating_sub(self.first),
        }
    }

    pub(crate) fn owner(&self) -> &Partition {
        &self.partition
    }

    /// Whether its records may be in the log, over all attempts.
    pub fn fate(&self) -> Fate {
        self.fate
    }

    /// The topic.
    pub fn topic(&self) -> &Str {
        &self.partition.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.partition.index
    }

    /// Why.
    pub fn cause(&self) -> &DeliveryCause {
        &self.cause
    }

    /// How often it was sent, or tried to.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How many records it has.
    pub fn len(&self) -> u32 {
        self.records
    }

    /// Whether it has no records; false, as batches are.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Its records in order, decoded when first asked for; their offsets are their places in the
    /// batch. Empty if the codec failed on them.
    pub fn records(&self) -> impl Iterator<Item = RecordRef<'_>> {
        self.decoded().into_iter().flatten()
    }

    fn decoded(&self) -> Option<&CheckedBatch> {
        let decode = || {
            let bytes = self.sealed.as_ref()?.to_bytes(Stamp::NONE);
            let batch = Batches::new(bytes).next()?.ok()?;
            batch.check(&mut Decompressor::new(), usize::MAX).ok()
        };
        self.decoded.get_or_init(decode).as_ref()
    }
}

impl fmt::Debug for FailedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailedBatch")
            .field("topic", &self.partition.topic)
            .field("partition", &self.partition.index)
            .field("fate", &self.fate)
            .field("cause", &self.cause)
            .field("attempts", &self.attempts)
            .field("records", &self.records)
            .finish()
    }
}

/// Why a record was not delivered.
#[derive(Clone)]
pub struct DeliveryError {
    pub(crate) batch: Arc<FailedBatch>,
    /// Its place in the batch.
    pub(crate) index: u32,
}

impl DeliveryError {
    /// Whether the record may be in the log: only one that is certainly not can be sent again
    /// without risking a duplicate.
    pub fn fate(&self) -> Fate {
        self.batch.fate
    }

    /// The record, decoded from the batch on demand. To walk many, use
    /// [`FailedBatch::records`]. `None` only if the codec failed on the batch.
    pub fn record(&self) -> Option<RecordRef<'_>> {
        self.batch.records().nth(self.index as usize)
    }

    /// The topic.
    pub fn topic(&self) -> &Str {
        self.batch.topic()
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.batch.partition()
    }

    /// Why.
    pub fn cause(&self) -> &DeliveryCause {
        &self.batch.cause
    }

    /// How often the record was sent, or tried to.
    pub fn attempts(&self) -> u32 {
        self.batch.attempts
    }

    /// What the broker has against this very record, if it said so.
    pub fn record_error(&self) -> Option<&RecordError> {
        match &self.batch.cause {
            DeliveryCause::Refused { record_errors, .. } => {
                record_errors.iter().find(|error| error.index == self.index)
            }
            _ => None,
        }
    }

    /// The batch that failed, with all its records.
    pub fn batch(&self) -> &Arc<FailedBatch> {
        &self.batch
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let batch = &self.batch;
        let fate = match batch.fate {
            Fate::NotWritten => "was not written",
            Fate::MaybeWritten => "may or may not be written",
        };
        let (topic, partition) = (&batch.partition.topic, batch.partition.index);
        write!(
            f,
            "a record for partition {partition} of topic {topic} {fate} "
        )?;
        write!(f, "({} attempts): {}", batch.attempts, batch.cause)
    }
}

impl fmt::Debug for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryError")
            .field("index", &self.index)
            .field("batch", &self.batch)
            .finish()
    }
}

impl std::error::Error for DeliveryError {}

fn and_last(last: &Option<LastError>) -> String {
    last.as_ref()
        .map_or_else(String::new, |last| format!("; last, {last}"))
}

fn said(message: &Option<Str>) -> String {
    message
        .as_ref()
        .map_or_else(String::new, |message| format!(" (\"{message}\")"))
}

fn at_fault(errors: &[RecordError]) -> String {
    let Some(first) = errors.first() else {
        return String::new();
    };
    let message = said(&first.message);
    format!("; record {} of the batch is to blame{message}", first.index)
}
