//! What is known of a cluster, and what has to be asked.
//!
//! A [`Snapshot`] is an immutable picture: brokers, controller, topics, partitions and their
//! leaders. The [`Cache`] is the sans-IO core that merges answers into the next snapshot and says
//! when which `MetadataRequest` is due.
//!
//! Not for sending requests, choosing a broker or waiting: `milena-rpc` does that.

#![forbid(unsafe_code)]

mod cache;
mod lookup;
mod merge;
mod similar;
mod snapshot;

pub use self::cache::{AutoCreate, Cache, CacheConfig, RefreshReason};
pub use self::lookup::Lookup;
pub use self::merge::{AnswerError, Merged, Recreated};
pub use self::similar::edit_distance;
pub use self::snapshot::{BrokerInfo, Leader, Partition, Snapshot, Topic};
