//! What a producer has done, in numbers.
//!
//! - I1. Nothing is counted per record: batches are counted when they are closed, sent, answered and
//!   settled, and their records with them. Records in a batch that is still open are not counted
//!   yet.
//! - I2. Counters only grow, except those said to be of now.
//! - I3. A snapshot is not one instant's: other threads count on while it is taken, so that related
//!   numbers may be a batch apart.
//!
//! Not for what the numbers mean: that is [`Verdict`](crate::Verdict)'s.

mod counting;
mod flow;
mod histogram;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milena_codec::{ErrorCode, Refresh, Str};

pub(crate) use self::counting::{Metrics, TopicCounts, Waited};
pub(crate) use self::flow::Timed;
pub use self::histogram::Latencies;

use crate::Producer;
use crate::failed::{DeliveryCause, LastError};

/// The numbers of one producer, since it was made unless said otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// When it was taken.
    pub at: Instant,
    /// How long the producer existed then.
    pub uptime: Duration,
    /// All topics together.
    pub totals: Counts,
    /// By topic.
    pub topics: BTreeMap<Str, Counts>,
    /// Failed records, by what they failed of.
    pub failures: Vec<(ErrorKind, u64)>,
    /// Failed attempts that were followed by another one, by what went wrong. One for each batch.
    pub retries: Vec<(ErrorKind, u64)>,
    /// Partitions that raised their producer epoch.
    pub epoch_bumps: u64,
    /// Batches that were too large for their broker and were divided.
    pub splits: u64,
    /// Partitions that went on at another broker.
    pub leader_changes: u64,
    /// Panics of interceptors and delivery callbacks, all of them caught.
    pub panics: u64,
    /// The mean size of batches before compression, as a share of `batch_size`; 0 without batches.
    pub batch_fill: f64,
    /// Batches compressed, and the time that took. None without compression.
    pub compression: Times,
    /// Batches without an outcome, now: open, waiting, or in flight.
    pub outstanding_batches: usize,
    /// Requests without an answer, now.
    pub in_flight_requests: usize,
    /// Bytes of `buffer_memory` in use, now.
    pub buffer_used: usize,
    /// `buffer_memory`.
    pub buffer_total: usize,
    /// `send`s and `reserve`s that had to wait for memory.
    pub memory_waits: Times,
    /// `send`s that had to wait for metadata.
    pub metadata_waits: Times,
    /// Time in which at least one request was in flight.
    pub busy: Duration,
    /// By node id: the brokers that were sent to.
    pub nodes: BTreeMap<i32, NodeMetrics>,
    /// From a batch's first record to its first attempt.
    pub queued: Latencies,
    /// From taking a request to its answer; with acks 0, until it was written.
    pub round_trip: Latencies,
    /// From a batch's first record to its acknowledgement.
    pub delivery: Latencies,
    /// Where the time of batches went.
    pub time: TimeLedger,
}

/// Counts of records and batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Batches closed.
    pub batches: u64,
    /// Their records.
    pub records: u64,
    /// Their bytes before compression, headers included.
    pub bytes: u64,
    /// Batches compressed and ready to be sent.
    pub sealed_batches: u64,
    /// Their bytes, headers included.
    pub sealed_bytes: u64,
    /// The bytes they had before compression.
    pub unsealed_bytes: u64,
    /// Records acknowledged.
    pub delivered: u64,
    /// Records that failed and are not in the log.
    pub not_written: u64,
    /// Records that failed and may be in the log.
    pub maybe_written: u64,
}

impl Counts {
    /// Bytes after compression to bytes before: 1 without compression or batches.
    #[must_use]
    pub fn compression_ratio(&self) -> f64 {
        if self.unsealed_bytes == 0 {
            return 1.0;
        }
        self.sealed_bytes as f64 / self.unsealed_bytes as f64
    }

    fn add(&mut self, other: &Self) {
        self.batches += other.batches;
        self.records += other.records;
        self.bytes += other.bytes;
        self.sealed_batches += other.sealed_batches;
        self.sealed_bytes += other.sealed_bytes;
        self.unsealed_bytes += other.unsealed_bytes;
        self.delivered += other.delivered;
        self.not_written += other.not_written;
        self.maybe_written += other.maybe_written;
    }
}

/// One broker's share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeMetrics {
    /// Requests sent.
    pub requests: u64,
    /// Their batches' bytes, retries included.
    pub bytes: u64,
    /// Requests answered; others timed out or were lost.
    pub answered: u64,
    /// The answered requests' round trips added up.
    pub round_trips: Duration,
    /// Time with a request in flight.
    pub busy: Duration,
    /// Time with `max_in_flight` requests in flight.
    pub full: Duration,
    /// Time for which it had asked to be left alone.
    pub throttled: Duration,
    /// Requests in flight, now.
    pub in_flight: usize,
}

/// What took a while, as often as it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Times {
    /// How often.
    pub count: u64,
    /// For how long, added up over all.
    pub total: Duration,
    /// Time in which at least one was under way, those that have not ended included.
    pub any: Duration,
}

/// Where the time of batches went, added up over batches. Each stretch is counted when it ends in
/// an attempt or its outcome, so that of batches given up while they waited the last one is
/// missing: their [`TimeSpent`](crate::TimeSpent) has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeLedger {
    /// Open: filling or lingering.
    pub open: Duration,
    /// Closed: being compressed, or behind other batches, requests and partitions.
    pub queued: Duration,
    /// Waiting while the broker had asked to be left alone.
    pub throttled: Duration,
    /// In requests, successful or not.
    pub in_flight: Duration,
    /// Between attempts.
    pub backoff: Duration,
    /// Waiting for a leader or a producer id.
    pub metadata: Duration,
}

/// What an attempt or a record failed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The broker answered with this.
    Broker(ErrorCode),
    /// `delivery_timeout` passed.
    TimedOut,
    /// The request was not made, not answered, or its connection failed.
    Call,
    /// There was no leader.
    NoLeader,
    /// There was no producer id.
    NoProducerId,
    /// The topic was deleted and created again.
    TopicReplaced,
    /// The codec failed.
    Compression,
    /// `abort_buffered` was called.
    Aborted,
    /// Its transaction failed.
    Transaction,
    /// The producer was closed.
    Closed,
}

impl ErrorKind {
    fn of_cause(cause: &DeliveryCause) -> Self {
        match cause {
            DeliveryCause::TimedOut { .. } => Self::TimedOut,
            DeliveryCause::Refused { code, .. } | DeliveryCause::TooLarge { code, .. } => {
                Self::Broker(*code)
            }
            DeliveryCause::Call(_) => Self::Call,
            DeliveryCause::NoProducerId(_) => Self::NoProducerId,
            DeliveryCause::TopicReplaced => Self::TopicReplaced,
            DeliveryCause::Compression(_) => Self::Compression,
            DeliveryCause::Aborted => Self::Aborted,
            DeliveryCause::Transaction(_) => Self::Transaction,
            DeliveryCause::Closed { .. } => Self::Closed,
        }
    }

    pub(crate) fn of_last(error: &LastError) -> Self {
        match error {
            LastError::Answer(code) => Self::Broker(*code),
            LastError::Call(_) => Self::Call,
            LastError::NoLeader => Self::NoLeader,
            LastError::NoProducerId(_) => Self::NoProducerId,
        }
    }

    /// Whether what is waited for after it is knowledge of the cluster, not the passing of time.
    fn waits_for_metadata(self) -> bool {
        match self {
            Self::NoLeader | Self::NoProducerId => true,
            Self::Broker(code) => code.refresh() == Refresh::Metadata,
            _ => false,
        }
    }
}

impl Producer {
    /// What the producer has done so far. Reads some hundred counters: cheap enough for every
    /// second, not for every record.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.shared().snapshot()
    }
}

#[cfg(test)]
mod tests;
