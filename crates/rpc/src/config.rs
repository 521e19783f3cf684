//! How a cluster is reached.

use std::time::Duration;

use milena_net::{Address, NetConfig};

use crate::ClusterEventHook;

/// `metadata.recovery.strategy`: what to do when no known broker can be reached (KIP-899).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetadataRecovery {
    /// Begin again at the bootstrap servers.
    #[default]
    Rebootstrap,
    /// Try the known brokers on. A client whose brokers have all moved has to be made anew.
    None,
}

/// The settings of a [`Cluster`](crate::Cluster). Defaults are the Java client's, except where
/// said.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterConfig {
    /// `bootstrap.servers`: where to begin, and to begin again when no known broker answers. Kept
    /// as names, which are resolved at each connect.
    pub bootstrap: Vec<Address>,
    /// How connections behave.
    pub net: NetConfig,
    /// `retry.backoff.ms`: the wait before the first retry; doubles with each, with 20 % jitter.
    /// Default 100 ms.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`: where that ends. Default 1 s.
    pub retry_backoff_max: Duration,
    /// `metadata.max.age.ms`: metadata is renewed at this age. Default 5 min.
    pub metadata_max_age: Duration,
    /// `metadata.max.idle.ms`: topics unused for this long are no longer renewed. Default 5 min.
    pub topic_max_idle: Duration,
    /// `metadata.recovery.strategy`. Default `rebootstrap`.
    pub recovery: MetadataRecovery,
    /// `metadata.recovery.rebootstrap.trigger.ms`: when look-ups have failed for this long, all
    /// connections are dropped and the bootstrap servers asked (KIP-1102). Default 5 min. That no
    /// known broker can be reached is enough to do so earlier (KIP-899).
    pub rebootstrap_after: Duration,
    /// `allow.auto.create.topics`: whether looking up a topic to write to may create it, if the
    /// brokers are configured to. Default true.
    pub allow_auto_create_topics: bool,
    /// How long a topic that the brokers do not know is looked up again before it counts as
    /// missing; a topic just created takes a moment to be known everywhere. Default 5 s; Java
    /// waits `max.block.ms`, a minute.
    pub unknown_topic_timeout: Duration,
    /// Called with each [`ClusterEvent`](crate::ClusterEvent).
    pub on_event: Option<ClusterEventHook>,
}

impl ClusterConfig {
    /// The defaults, for a cluster that is found at these addresses.
    pub fn new(bootstrap: Vec<Address>) -> Self {
        let five_minutes = Duration::from_secs(300);
        Self {
            bootstrap,
            net: NetConfig::default(),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            metadata_max_age: five_minutes,
            topic_max_idle: five_minutes,
            recovery: MetadataRecovery::default(),
            rebootstrap_after: five_minutes,
            allow_auto_create_topics: true,
            unknown_topic_timeout: Duration::from_secs(5),
            on_event: None,
        }
    }
}
