//! Typed calls to a cluster: route, version, deadline, retry, throttle, coordinators.
//!
//! A [`Cluster`] is the one handle to a cluster. [`Cluster::call`] finds the broker a request
//! belongs on ([`Target`]), sends it in the newest version both sides can use, and tries again
//! until the caller's judge is content or the deadline passes. One background task keeps the
//! metadata fresh for all users of the handle.
//!
//! - I1: every wait ends by its deadline, and the error says where the time went and what each
//!   broker last answered.
//! - I2: one metadata request is under way at most, however many callers wait for it.
//! - I3: while a broker asks to be left alone (throttle), nothing is sent on that connection.
//! - I4: the background task ends with the last handle, or with [`Cluster::close`].
//!
//! Not for what an answer means: errors inside an answer are the caller's to read.

#![forbid(unsafe_code)]

mod call;
pub mod caps;
mod changes;
mod cluster;
mod config;
mod coordinator;
mod error;
mod event;
mod list_offsets;
mod refresher;
mod route;
mod shared;
mod throttle;
mod topic;

pub use milena_metadata::{
    AutoCreate, BrokerInfo, Leader, Partition, RefreshReason, Snapshot, Topic,
};

pub use self::call::Verdict;
pub use self::changes::Changes;
pub use self::cluster::Cluster;
pub use self::config::{ClusterConfig, MetadataRecovery};
pub use self::coordinator::CoordinatorKind;
pub use self::error::{
    BrokerFailure, CallError, ConnectClusterError, TimeSpent, TimedOut, TopicError,
};
pub use self::event::{ClusterEvent, ClusterEventHook, RebootstrapReason};
pub use self::list_offsets::{
    FoundOffset, Isolation, ListOffsetsError, OffsetAnswer, OffsetQuery, OffsetSpec, list_offsets,
};
pub use self::route::Target;
pub use self::shared::address_of;
