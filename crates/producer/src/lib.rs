//! The producer: records in, batches out, an honest outcome for each record.
//!
//! [`Producer::send`] encodes a record straight into its partition's open batch and returns a
//! [`Receipt`]. A batch that is full or due puts its partition in line for its leader's connection,
//! whose task takes one batch of each partition in line, writes them as one request, and resolves
//! the receipts when the answer comes. A background task looks after the rest: metadata, producer
//! id, timers.
//!
//! - I1. A record is copied once, and nothing is allocated for it alone.
//! - I2. Records stay in the order in which they were sent within a partition, across retries and
//!   leader changes, with up to five batches in flight.
//! - I3. Every receipt resolves: by `delivery_timeout`, or when the producer is closed, at the
//!   latest.
//! - I4. A failure says whether its records may be in the log ([`Fate`]), over all attempts.
//! - I5. Dropping a `send` before it returned its receipt accepted nothing; dropping a receipt
//!   cancels nothing.
//!
//! A batch too large for its broker is divided and sent in parts.

#![forbid(unsafe_code)]

mod alarms;
mod answer;
pub mod blocking;
mod callback;
mod config;
mod driver;
mod error;
mod event;
mod failed;
mod flight;
mod interceptor;
mod metrics;
mod outbox;
mod partition;
mod permit;
mod producer;
mod receipt;
mod record;
mod report;
mod seal;
mod send;
mod shared;
mod split;
mod topic;
mod transaction;
pub mod verdict;
mod wire;

pub use milena_codec::{ErrorCode, Str};
pub use milena_partitioner::{
    FranzGo, KafkaJs, Librdkafka, Partitioner, Partitioning, Partitions, Sarama,
};
pub use milena_proto::sequencer::{Acks, Bump, BumpReason, Fate, Identity};
pub use milena_records::{Compression, RecordRef};
pub use milena_rpc::{CallError, TopicError};

pub use config::{ConfigError, Hook, Linger, ProducerConfig};
pub use error::{SendAllError, SendError, TrySendError};
pub use event::ProducerEvent;
pub use failed::{DeliveryCause, DeliveryError, FailedBatch, LastError, RecordError, TimeSpent};
pub use interceptor::{BatchOutcome, OutgoingRecord, ProducerInterceptor};
pub use metrics::{Counts, ErrorKind, Latencies, MetricsSnapshot, NodeMetrics, TimeLedger, Times};
pub use permit::Permit;
pub use producer::Producer;
pub use receipt::{Ack, Receipt};
pub use record::{Destination, Record};
pub use report::{CloseReport, DeliveryReport, FlushError};
pub use send::SendFuture;
pub use topic::TopicHandle;
pub use transaction::{
    AbortError, BeginError, CommitError, Complete, ConsumedOffset, GroupMetadata, Level,
    OffsetsError, PreparedTransaction, Token, Transaction, TransactionCause, TransactionConfig,
    TransactionalProducer,
};
pub use verdict::{Suggestion, Verdict};
