//! Which broker a request belongs on.

use std::time::Instant;

use milena_codec::{ErrorCode, Str};
use milena_metadata::{AutoCreate, RefreshReason};
use milena_net::{Address, Lane};

use crate::CallError;
use crate::Cluster;
use crate::coordinator::CoordinatorKind;
use crate::shared::address_of;

/// Where a request belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Any broker, the one with the least to do: preferably not one that failed last, is not to be
    /// tried again yet, asked to be left alone, or has a request that it has not answered for 100
    /// ms; of the others one that is connected, with the fewest requests in flight.
    Any,
    /// The broker with this node id.
    Node(i32),
    /// The active controller, or any broker if its address is not known: with KRaft every broker
    /// forwards to it.
    Controller,
    /// The leader of a partition.
    Leader {
        /// The topic.
        topic: Str,
        /// The partition's index.
        partition: i32,
    },
    /// The coordinator of a group or a transactional id.
    Coordinator {
        /// Of what.
        kind: CoordinatorKind,
        /// The group or transactional id.
        key: Str,
    },
}

impl Cluster {
    /// The address a request to `to` goes to now. Waits, until `deadline` at most, for a leader or
    /// a coordinator to be known.
    ///
    /// Cancel safe: dropping it gives up waiting, nothing else.
    ///
    /// # Errors
    ///
    /// There is no such broker, leader or coordinator.
    pub async fn route(
        &self,
        to: &Target,
        lane: Lane,
        deadline: Instant,
    ) -> Result<Address, CallError> {
        if self.shared.is_closed() {
            return Err(CallError::Closed);
        }
        match to {
            Target::Any => Ok(self.any_broker(lane)),
            Target::Node(node) => self.node(*node),
            Target::Controller => {
                let controller = self.shared.snapshot().controller();
                let known = controller.and_then(|node| self.node(node).ok());
                Ok(known.unwrap_or_else(|| self.any_broker(lane)))
            }
            Target::Leader { topic, partition } => {
                self.leader_address(topic, *partition, deadline).await
            }
            Target::Coordinator { kind, key } => {
                if let Some(known) = self.shared.coordinators.known(*kind, key) {
                    return Ok(known);
                }
                self.find_coordinator(*kind, key.clone(), deadline).await
            }
        }
    }

    /// The one with the least to do; a bootstrap server while no broker is known.
    fn any_broker(&self, lane: Lane) -> Address {
        let known = self.shared.brokers_by_load(lane).into_iter().next();
        known.unwrap_or_else(|| self.shared.config.bootstrap[0].clone())
    }

    fn node(&self, node: i32) -> Result<Address, CallError> {
        let snapshot = self.shared.snapshot();
        let broker = snapshot.broker(node);
        broker.map(address_of).ok_or_else(|| {
            self.shared.refresh(RefreshReason::Requested);
            CallError::UnknownNode { node }
        })
    }

    async fn leader_address(
        &self,
        topic: &Str,
        partition: i32,
        deadline: Instant,
    ) -> Result<Address, CallError> {
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            if self.shared.is_closed() {
                return Err(CallError::Closed);
            }
            let snapshot = self.shared.snapshot();
            if let Some(leader) = snapshot.leader(topic, partition) {
                self.touch(topic);
                return Ok(address_of(leader.broker));
            }
            self.shared
                .with_cache(|cache, now| cache.want(topic, AutoCreate::Never, now));
            let changed = tokio::time::timeout_at(deadline.into(), changes.changed());
            if changed.await.is_err() {
                return Err(CallError::NoLeader {
                    topic: topic.clone(),
                    partition,
                    cause: self.why_no_leader(topic, partition),
                });
            }
        }
    }

    fn why_no_leader(&self, topic: &str, partition: i32) -> Option<ErrorCode> {
        let snapshot = self.shared.snapshot();
        let topic = snapshot.topic(topic)?;
        match topic.partition(partition) {
            Some(partition) => partition.error.or(topic.error),
            None => topic.error.or(Some(ErrorCode::UnknownTopicOrPartition)),
        }
    }
}
