//! The settings of a producer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use milena_codec::Str;
use milena_partitioner::Partitioning;
use milena_proto::sequencer::Acks;
use milena_records::{Compression, Compressor, DEFAULT_BATCH_LIMIT, LevelError};

use crate::{FailedBatch, ProducerEvent, ProducerInterceptor};

/// The settings of a [`Producer`](crate::Producer). Defaults are the Java client's, except where
/// said; its names are given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProducerConfig {
    /// `acks`. Default all. With none, what the broker refuses is lost without notice, and counts
    /// as acknowledged: for example what comes right after the creation of its topic.
    pub acks: Acks,
    /// `enable.idempotence`: retries never duplicate or reorder. Default: on with acks all, off
    /// otherwise. On with other acks is refused.
    pub enable_idempotence: Option<bool>,
    /// `linger.ms`: how long a batch that is not full waits for more records. Default
    /// [`Linger::Adaptive`], Java 5 ms.
    pub linger: Linger,
    /// `batch.size`: a batch's largest size before compression, unless a single record is larger.
    /// Default 1,000,000 bytes, Java 16,384: memory is taken as it fills, so a large limit costs
    /// nothing while there is little to send.
    pub batch_size: usize,
    /// A batch's largest number of records, at which it is sent at once (librdkafka's
    /// `batch.num.messages`). Default no limit.
    pub batch_records: Option<u32>,
    /// A batch of this many bytes, before compression, is sent at once, without lingering for more
    /// up to `batch_size`; while its connection takes nothing it goes on growing. Default never.
    pub flush_bytes: Option<usize>,
    /// The same by the number of records. Default never.
    pub flush_records: Option<u32>,
    /// `buffer.memory`: what all unresolved batches take together. Beyond it `send` waits.
    /// Default 32 MiB.
    pub buffer_memory: usize,
    /// `max.request.size`: the largest record, and the largest request unless a single batch is
    /// larger. Before compression. Default 1 MiB.
    pub max_request_size: usize,
    /// `compression.type`. Default none.
    pub compression: Compression,
    /// `compression.gzip.level`, `compression.lz4.level`, `compression.zstd.level` (KIP-390).
    /// Default: the codec's own.
    pub compression_level: Option<i32>,
    /// `delivery.timeout.ms`: a batch that is not acknowledged this long after it got its first
    /// record has failed. Default 2 min.
    pub delivery_timeout: Duration,
    /// `request.timeout.ms`: how long an attempt waits for its answer; longer by as much as a quota
    /// keeps the broker from reading it (KIP-219). Default 30 s.
    pub request_timeout: Duration,
    /// `max.block.ms`: how long `send` waits for metadata, and then for memory. Default 1 min.
    pub max_block: Duration,
    /// `retry.backoff.ms`: the wait before the first retry; doubles with each, with 20 % jitter.
    /// Default 100 ms.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`: where that ends. Default 1 s.
    pub retry_backoff_max: Duration,
    /// `max.in.flight.requests.per.connection`: requests, and up to five batches of a partition,
    /// that are sent before the first of them is acknowledged. Without idempotence a partition has
    /// one batch in flight whatever this says, so that retries cannot reorder. Default 5.
    pub max_in_flight: usize,
    /// `partitioner.class`: how the partition of a record is chosen that names none. Default
    /// [`Partitioning::Java`].
    pub partitioner: Partitioning,
    /// `partitioner.ignore.keys`: treats all records as if they had no key when it comes to their
    /// partition. Not for [`Partitioning::Custom`]. Default false.
    pub partitioner_ignore_keys: bool,
    /// `partitioner.adaptive.partitioning.enable`: of the partitions for a sticky choice, those
    /// for which fewer batches wait are chosen more often (KIP-794). Otherwise all get the same.
    /// Default true.
    pub partitioner_adaptive: bool,
    /// `partitioner.availability.timeout.ms`: a sticky choice leaves out the partitions of a
    /// leader that has not taken a request for so long, though there was something to send. A turn
    /// that has begun there goes on for up to twice `batch_size`. Zero for never. Without
    /// `partitioner_adaptive` it has no effect. Default zero.
    pub partitioner_availability_timeout: Duration,
    /// `partitioner.rack.aware` (KIP-1123): a sticky choice takes only partitions whose leader is
    /// in `client_rack`, while there are any. The Java client 4.3 has no such setting yet. Default
    /// false.
    pub partitioner_rack_aware: bool,
    /// `client.rack`: where this producer is, in the names that the brokers' `broker.rack` use.
    pub client_rack: Option<Str>,
    /// `interceptor.classes`: called with every record and every batch's outcome, in this order.
    /// Default none, which costs nothing.
    pub interceptors: Vec<Arc<dyn ProducerInterceptor>>,
    /// Called with every batch that fails, from the producer's task: it must not block. For dead
    /// letters and for those who drop their receipts.
    pub on_failed_batch: Option<Hook<Arc<FailedBatch>>>,
    /// Called with every event, from the producer's task: it must not block.
    pub on_event: Option<Hook<ProducerEvent>>,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            enable_idempotence: None,
            linger: Linger::Adaptive,
            batch_size: DEFAULT_BATCH_LIMIT,
            batch_records: None,
            flush_bytes: None,
            flush_records: None,
            buffer_memory: milena_accumulator::DEFAULT_MEMORY,
            max_request_size: 1024 * 1024,
            compression: Compression::None,
            compression_level: None,
            delivery_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(30),
            max_block: Duration::from_secs(60),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            max_in_flight: 5,
            partitioner: Partitioning::Java,
            partitioner_ignore_keys: false,
            partitioner_adaptive: true,
            partitioner_availability_timeout: Duration::ZERO,
            partitioner_rack_aware: false,
            client_rack: None,
            interceptors: Vec::new(),
            on_failed_batch: None,
            on_event: None,
        }
    }
}

/// How long a batch that is not full waits for more records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linger {
    /// Not at all while nothing is in flight to its leader; otherwise until that has come back. So
    /// a lone record goes at once, and records that come faster than the broker answers share
    /// batches, without a time to tune.
    #[default]
    Adaptive,
    /// For this time, whatever is in flight; zero means at once.
    Fixed(Duration),
}

impl Linger {
    pub(crate) fn time(self) -> Option<Duration> {
        match self {
            Self::Adaptive => None,
            Self::Fixed(time) => Some(time),
        }
    }
}

impl From<Duration> for Linger {
    fn from(time: Duration) -> Self {
        Self::Fixed(time)
    }
}

/// Settings that contradict each other or themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Idempotence needs the acknowledgement of all replicas.
    #[error(
        "enable_idempotence (enable.idempotence) needs acks=all, not acks={}; \
         set acks to all or leave idempotence out", .acks.code()
    )]
    IdempotenceNeedsAcksAll {
        /// The acks given.
        acks: Acks,
    },
    /// Transactions need idempotence, and with it the acknowledgement of all replicas.
    #[error(
        "transactions need acks=all and enable_idempotence (enable.idempotence); \
         leave both at their defaults"
    )]
    TransactionsNeedIdempotence,
    /// A setting that is needed has no value.
    #[error("{setting} must be set")]
    Missing {
        /// The setting.
        setting: &'static str,
    },
    /// Nothing says which rack to prefer.
    #[error(
        "partitioner_rack_aware (partitioner.rack.aware) needs client_rack (client.rack), the \
         name of this producer's rack"
    )]
    RackAwareNeedsClientRack,
    /// The level does not fit the codec.
    #[error("compression_level: {0}")]
    CompressionLevel(#[from] LevelError),
    /// One setting has to be at least another one.
    #[error("{larger} must be at least {smaller} ({minimum}), not {given}")]
    TooSmall {
        /// The setting that is too small.
        larger: &'static str,
        /// What it has to reach.
        smaller: &'static str,
        /// Its least value.
        minimum: String,
        /// The value given.
        given: String,
    },
}

impl ProducerConfig {
    /// Checks the settings against each other.
    ///
    /// # Errors
    /// [`ConfigError`], which names the settings at odds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.enable_idempotence == Some(true) && self.acks != Acks::All {
            return Err(ConfigError::IdempotenceNeedsAcksAll { acks: self.acks });
        }
        if self.partitioner_rack_aware && self.client_rack.is_none() {
            return Err(ConfigError::RackAwareNeedsClientRack);
        }
        self.compressor()?;
        let smallest = 1;
        at_least(("batch_size", self.batch_size), ("1 byte", smallest))?;
        at_least(("max_in_flight", self.max_in_flight), ("1", smallest))?;
        let records = [
            ("batch_records", self.batch_records),
            ("flush_records", self.flush_records),
        ];
        for (name, records) in records {
            at_least((name, records.unwrap_or(1)), ("1 record", 1))?;
        }
        let flush = ("flush_bytes", self.flush_bytes.unwrap_or(smallest));
        at_least(flush, ("1 byte", smallest))?;
        let batch = ("batch_size", self.batch_size);
        at_least(("max_request_size", self.max_request_size), batch)?;
        at_least(("buffer_memory", self.buffer_memory), batch)?;
        let shortest = Duration::from_millis(1);
        at_least(
            ("request_timeout", self.request_timeout),
            ("1 ms", shortest),
        )?;
        let once = self.linger.time().unwrap_or_default();
        let once = once.saturating_add(self.request_timeout);
        at_least(
            ("delivery_timeout", self.delivery_timeout),
            ("linger + request_timeout", once),
        )
    }

    /// Whether retries are deduplicated.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.enable_idempotence.unwrap_or(self.acks == Acks::All)
    }

    pub(crate) fn compressor(&self) -> Result<Compressor, LevelError> {
        match self.compression_level {
            None => Ok(Compressor::new(self.compression)),
            Some(level) => Compressor::with_level(self.compression, level),
        }
    }
}

fn at_least<T: Ord + fmt::Debug>(
    (larger, given): (&'static str, T),
    (smaller, minimum): (&'static str, T),
) -> Result<(), ConfigError> {
    if given >= minimum {
        return Ok(());
    }
    Err(ConfigError::TooSmall {
        larger,
        smaller,
        minimum: format!("{minimum:?}"),
        given: format!("{given:?}"),
    })
}

/// A function of the user's that is called with each `T`.
pub struct Hook<T>(Arc<dyn Fn(&T) + Send + Sync>);

impl<T> Hook<T> {
    /// Wraps a function, which must not block.
    pub fn new(function: impl Fn(&T) + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    pub(crate) fn call(&self, value: &T) {
        (self.0)(value);
    }
}

impl<T> Clone for Hook<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Hook<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

#[cfg(test)]
mod tests;
