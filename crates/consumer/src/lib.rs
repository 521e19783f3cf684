//! The consumer: reads assigned partitions, a thin driver over the cores in `milena-proto`.
//!
//! ```no_run
//! # async fn example(cluster: milena_rpc::Cluster) -> Result<(), Box<dyn std::error::Error>> {
//! use milena_consumer::{Consumer, ConsumerConfig, Start};
//!
//! let mut consumer = Consumer::new(cluster, ConsumerConfig::default())?;
//! consumer.assign_topic("orders", Start::Beginning).await?;
//! while let Some(batch) = consumer.next_batch().await? {
//!     for record in &batch {
//!         println!("{}-{}@{}", batch.topic(), batch.partition(), record.offset);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The path of a record: the lane's task reads each partition's part of a Fetch answer into a pooled
//! block of its own and queues it under the assignment's token (`fetcher`, `intake`), while the rest
//! of the answer is still on its way; it asks again as soon as the answer is taken in, if `plan` finds
//! memory for it. Who calls `next_batch` takes a batch from the rotation (`state`, `slot`), checks and
//! decompresses it, or has that done ahead of need (`check`, `consumer::handout`), and then the
//! position moves. `driver` attaches fetchers to brokers and looks up what has to be known.
//!
//! - I1: a position moves when a record is handed out, never before, and nothing else moves it but
//!   a seek and a broker's positive answer under a policy that allows it.
//! - I2: one fetch is under way a broker; what is fetched and not handed out stays within the
//!   memory share, save one answer's overshoot.
//! - I3: what is handed out was checked; iterating it cannot fail. An error is one partition's, or
//!   one broker's, and the others go on.
//! - I4: what is handed out keeps one partition's block alive: its part of one answer (at most
//!   `max_partition_fetch_bytes`, unless a batch is larger), or one decompressed batch. Never a
//!   whole answer.
//! - I5: every decision that skips, resets, drops or waits is a [`ConsumerEvent`].
//!
//! Not for: consumer groups, transactions (`read_committed`), reading from followers, detecting a
//! truncated log by leader epochs.

#![forbid(unsafe_code)]

mod check;
mod config;
mod consumer;
mod driver;
mod error;
mod event;
mod fetcher;
mod intake;
mod lookup;
mod offsets;
mod partition;
mod plan;
mod record;
mod shared;
mod slot;
mod state;

pub use milena_proto::position::{
    OutOfRange, OutOfRangeFault, OutOfRangePolicy, Side, Start, Stop,
};
pub use milena_records::{Header, Headers, TimestampType};
pub use milena_rpc::ListOffsetsError;

pub use self::config::{ConfigError, ConsumerConfig, EventHook, IsolationLevel};
pub use self::consumer::{CloseReport, Consumer};
pub use self::error::{AssignError, ConsumeError, SeekError};
pub use self::event::ConsumerEvent;
pub use self::partition::{Activity, PartitionState, TopicPartition};
pub use self::record::{Batch, OwnedRecord, Record, RecordRef, Records};
