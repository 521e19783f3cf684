//! What happens to a cluster as a whole, for those who want to know.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use milena_codec::{Str, Uuid};
use milena_net::{Address, Lane};

/// Something worth knowing. Each is also a `tracing` event.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// All connections are dropped, and the bootstrap servers are asked again, their names resolved
    /// anew (KIP-899, KIP-1102).
    Rebootstrap {
        /// Why.
        reason: RebootstrapReason,
    },
    /// Another cluster answers than before: all that was known of the old one is forgotten, and its
    /// connections are dropped. Where nobody moved a cluster, addresses lead to the wrong one.
    ClusterChanged {
        /// The id of the cluster that answered before.
        before: Str,
        /// The id of the one that answers now.
        now: Str,
    },
    /// A broker is new, or has moved to this address.
    BrokerJoined {
        /// Its node id.
        node: i32,
        /// Where it is.
        address: Address,
    },
    /// A broker has left, or moved away from this address.
    BrokerLeft {
        /// Its node id.
        node: i32,
        /// Where it was.
        address: Address,
    },
    /// A topic was deleted and created again under the same name.
    TopicRecreated {
        /// Its name.
        topic: Str,
        /// The id of the topic that is gone.
        old: Uuid,
        /// The id of the topic that has the name now.
        new: Uuid,
    },
    /// A broker asks to be left alone because a quota is used up (KIP-219).
    Throttled {
        /// The broker.
        address: Address,
        /// The connection that rests.
        lane: Lane,
        /// For how long.
        time: Duration,
    },
}

/// Why to begin again at the bootstrap servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RebootstrapReason {
    /// There is no connection to any known broker, and each refused or failed a new one.
    Unreachable,
    /// No broker gave metadata for `metadata.recovery.rebootstrap.trigger.ms`.
    NoMetadata {
        /// For how long none had.
        silence: Duration,
    },
    /// A broker asked for it: REBOOTSTRAP_REQUIRED.
    Required,
}

impl fmt::Display for RebootstrapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("no known broker can be reached"),
            Self::NoMetadata { silence } => {
                write!(f, "no metadata for {:.0} s", silence.as_secs_f64())
            }
            Self::Required => f.write_str("a broker asked for it"),
        }
    }
}

impl ClusterEvent {
    pub(crate) fn trace(&self) {
        use tracing::{debug, info, warn};
        match self {
            Self::Rebootstrap { reason } => warn!(event = "rebootstrap", %reason),
            Self::ClusterChanged { before, now } => {
                warn!(event = "cluster_changed", %before, %now);
            }
            Self::BrokerJoined { node, address } => info!(event = "broker_joined", node, %address),
            Self::BrokerLeft { node, address } => info!(event = "broker_left", node, %address),
            Self::TopicRecreated { topic, old, new } => {
                warn!(event = "topic_recreated", %topic, %old, %new);
            }
            Self::Throttled {
                address,
                lane,
                time,
            } => debug!(event = "throttled", %address, %lane, ?time),
        }
    }
}

/// What is called with each event, in the task where it happens: it must return at once.
#[derive(Clone)]
pub struct ClusterEventHook(Arc<dyn Fn(&ClusterEvent) + Send + Sync>);

impl ClusterEventHook {
    /// A hook.
    pub fn new(hook: impl Fn(&ClusterEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(crate) fn call(&self, event: &ClusterEvent) {
        (self.0)(event);
    }
}

impl fmt::Debug for ClusterEventHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterEventHook")
    }
}
