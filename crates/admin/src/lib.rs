//! Administration: topics, partitions, configuration, offsets, the cluster.
//!
//! An [`Admin`] works on a connected [`Cluster`](milena_rpc::Cluster). Operations on several items
//! give each item a result of its own; its error names the item and what to do.
//!
//! Not for groups, access control and quotas.

#![forbid(unsafe_code)]

mod admin;
mod configs;
mod error;
mod topics;

pub use milena_rpc::{
    BrokerInfo, FoundOffset, Isolation, ListOffsetsError, OffsetAnswer, OffsetQuery, OffsetSpec,
    Partition,
};

pub use self::admin::{Admin, ClusterDescription};
pub use self::configs::{ConfigEntry, ConfigResource, ConfigSource, DescribedConfigs};
pub use self::error::{AdminError, ItemError};
pub use self::topics::{CreatedTopic, NewTopic, PerTopic, TopicDescription, TopicListing};
