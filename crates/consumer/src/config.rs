//! How a consumer behaves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use milena_proto::position::OutOfRangePolicy;

use crate::ConsumerEvent;

/// The settings of a [`Consumer`](crate::Consumer). Defaults are those of Kafka's Java client
/// where it has the setting; the names it uses are given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// `fetch.min.bytes`: a broker answers when it has this much, or when `fetch_max_wait` has
    /// passed. Default 1.
    pub fetch_min_bytes: i32,
    /// `fetch.max.wait.ms`: how long a broker waits for `fetch_min_bytes`. Default 500 ms.
    pub fetch_max_wait: Duration,
    /// `fetch.max.bytes`: at most so much in one answer, save that one batch always fits. The
    /// memory share may make it less. Default 50 MiB.
    pub fetch_max_bytes: i32,
    /// `max.partition.fetch.bytes`: at most so much of one partition in one answer, save that one
    /// batch always fits. A partition is fetched again while no more than this of it waits to be
    /// read. Default 1 MiB.
    pub max_partition_fetch_bytes: i32,
    /// `check.crcs`: `true`, and cannot be turned off. Default `true`.
    pub check_crcs: bool,
    /// `isolation.level`. Default [`IsolationLevel::ReadUncommitted`].
    pub isolation_level: IsolationLevel,
    /// `auto.offset.reset`, for positions that turn out to lie outside the log, with an answer for
    /// either side. Default: an error on both, as Java's `none`.
    pub out_of_range: OutOfRangePolicy,
    /// How many bytes of fetched, not yet handed out data are kept. One answer may exceed it by
    /// one batch a partition. Default 64 MiB.
    pub fetch_memory: usize,
    /// A batch that decompresses to more is an error, so that a small hostile one cannot fill the
    /// memory. Default 128 MiB.
    pub max_decompressed_batch: usize,
    /// `next_batch` and `recv` return `None` once every partition has been read to the end it had
    /// when it was assigned. Default `false`.
    pub stop_at_end: bool,
    /// `default.api.timeout.ms`: for calls without a deadline of their own (`assign`, the offset
    /// look-ups). Default 60 s.
    pub api_timeout: Duration,
    /// `retry.backoff.ms`: the wait after the first failure; it doubles with each. Default 100 ms.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`: where that ends. Default 1 s.
    pub retry_backoff_max: Duration,
    /// Sees every [`ConsumerEvent`].
    pub on_event: Option<EventHook>,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            fetch_max_bytes: 50 << 20,
            max_partition_fetch_bytes: 1 << 20,
            check_crcs: true,
            isolation_level: IsolationLevel::ReadUncommitted,
            out_of_range: OutOfRangePolicy::default(),
            fetch_memory: 64 << 20,
            max_decompressed_batch: 128 << 20,
            stop_at_end: false,
            api_timeout: Duration::from_secs(60),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            on_event: None,
        }
    }
}

/// Which records a consumer sees (`isolation.level`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IsolationLevel {
    /// All of them, those of open and aborted transactions included.
    #[default]
    ReadUncommitted,
    /// Only those of no transaction or of a committed one. Not supported yet: refused by
    /// [`Consumer::new`](crate::Consumer::new).
    ReadCommitted,
}

/// A function that sees events. It is called where they arise, so it must be quick and must not
/// call the consumer.
#[derive(Clone)]
pub struct EventHook(Arc<dyn Fn(&ConsumerEvent) + Send + Sync>);

impl EventHook {
    /// A hook that calls `hook`.
    pub fn new(hook: impl Fn(&ConsumerEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(crate) fn call(&self, event: &ConsumerEvent) {
        (self.0)(event);
    }
}

impl fmt::Debug for EventHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventHook")
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Transactions are not filtered yet.
    #[error(
        "isolation.level=read_committed is not supported yet; use read_uncommitted, which also \
         shows records of aborted transactions"
    )]
    ReadCommitted,
    /// Checksums are always verified.
    #[error("check.crcs=false is not supported: records are always checked; leave it out")]
    UncheckedCrcs,
    /// A number below what makes sense.
    #[error("{name} must be at least {min}")]
    TooSmall {
        /// Kafka's name of the setting, or ours.
        name: &'static str,
        /// The smallest value.
        min: u64,
    },
    /// A duration that the protocol's field cannot hold.
    #[error("fetch.max.wait.ms must be less than request.timeout.ms, which is {request_timeout:?}")]
    WaitTooLong {
        /// The time-out of a request.
        request_timeout: Duration,
    },
}

impl ConsumerConfig {
    pub(crate) fn check(&self, request_timeout: Duration) -> Result<(), ConfigError> {
        if self.isolation_level == IsolationLevel::ReadCommitted {
            return Err(ConfigError::ReadCommitted);
        }
        if !self.check_crcs {
            return Err(ConfigError::UncheckedCrcs);
        }
        if self.fetch_max_wait >= request_timeout {
            return Err(ConfigError::WaitTooLong { request_timeout });
        }
        let at_least = [
            ("fetch.min.bytes", i64::from(self.fetch_min_bytes), 0),
            ("fetch.max.bytes", i64::from(self.fetch_max_bytes), 1),
            (
                "max.partition.fetch.bytes",
                i64::from(self.max_partition_fetch_bytes),
                1,
            ),
            ("fetch_memory", signed(self.fetch_memory), 1),
            (
                "max_decompressed_batch",
                signed(self.max_decompressed_batch),
                1,
            ),
        ];
        for (name, value, min) in at_least {
            if value < min {
                let min = min.unsigned_abs();
                return Err(ConfigError::TooSmall { name, min });
            }
        }
        Ok(())
    }

    /// The limit of one partition's part of an answer.
    pub(crate) fn partition_bytes(&self) -> usize {
        usize::try_from(self.max_partition_fetch_bytes).unwrap_or(usize::MAX)
    }
}

fn signed(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
