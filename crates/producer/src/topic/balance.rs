//! Which partition gets the next sticky turn: the less waits for it the likelier (KIP-794), none
//! of a leader that takes nothing, and those of the own rack first (KIP-1123).
//!
//! - I1. What waits is counted at most once in [`KEPT_FOR`], and only when a turn ends.
//! - I2. Some partition that has a leader is left, whatever is stalled or far.

use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_partitioner::Weights;
use milena_rpc::Snapshot;

use super::{TopicState, View};
use crate::partition::Partition;
use crate::shared::{Shared, lock};

/// How long counts are good for.
const KEPT_FOR: Duration = Duration::from_millis(10);

/// What was counted last.
#[derive(Default)]
pub(crate) struct Balance {
    weights: Weights,
    /// Kept for its memory.
    candidates: Vec<Candidate>,
    counted_at: Option<Instant>,
    /// The metadata that it was counted with.
    seen: Option<Arc<Snapshot>>,
}

/// A partition that has a leader.
struct Candidate {
    index: i32,
    /// Batches that wait for it, as far as that counts.
    queued: u32,
    is_stalled: bool,
    is_near: bool,
}

impl Shared {
    /// The next sticky partition; `None` if all are equally good. Not for each record.
    #[cold]
    pub(crate) fn balanced(&self, topic: &TopicState, view: &View) -> Option<i32> {
        if !self.config.partitioner_adaptive && !self.config.partitioner_rack_aware {
            return None;
        }
        let now = self.now();
        let snapshot = self.cluster.snapshot();
        let mut balance = lock(&topic.balance);
        let balance = &mut *balance;
        if !balance.is_good(now, &snapshot) {
            self.count((topic, view), &snapshot, now, &mut balance.candidates);
            balance.weights.set(preferred(&balance.candidates));
            balance.counted_at = Some(now);
            balance.seen = Some(snapshot);
        }
        balance.weights.pick(self.random())
    }

    fn count(
        &self,
        (topic, view): (&TopicState, &View),
        snapshot: &Snapshot,
        now: Instant,
        candidates: &mut Vec<Candidate>,
    ) {
        let config = &self.config;
        let rack = config.client_rack.as_ref();
        let rack = rack.filter(|_| config.partitioner_rack_aware);
        let stalled = self.stalled_leaders(now);
        let queued = |index| {
            let used = config.partitioner_adaptive.then(|| topic.used(view, index));
            used.flatten().map_or(0, |used| used.waiting())
        };
        candidates.clear();
        candidates.extend(view.available.iter().filter_map(|&index| {
            let broker = snapshot.leader(&topic.name, index)?.broker;
            Some(Candidate {
                index,
                queued: queued(index),
                is_stalled: stalled.contains(&broker.id),
                is_near: rack.is_some_and(|rack| broker.rack.as_ref() == Some(rack)),
            })
        }));
    }

    /// The nodes that have taken nothing for `partitioner_availability_timeout`.
    fn stalled_leaders(&self, now: Instant) -> Vec<i32> {
        let config = &self.config;
        let timeout = config.partitioner_availability_timeout;
        if timeout.is_zero() || !config.partitioner_adaptive {
            return Vec::new();
        }
        let outboxes = lock(&self.outboxes);
        let stalled = outboxes
            .iter()
            .filter(|(_, outbox)| outbox.stalled_for(now) > timeout);
        stalled.map(|(node, _)| *node).collect()
    }
}

impl Balance {
    fn is_good(&self, now: Instant, snapshot: &Arc<Snapshot>) -> bool {
        let same = self
            .seen
            .as_ref()
            .is_some_and(|seen| Arc::ptr_eq(seen, snapshot));
        same && self
            .counted_at
            .is_some_and(|at| now.saturating_duration_since(at) < KEPT_FOR) // I1
    }
}

/// The partitions to choose from: near ones that take something, else any that do; all if none
/// does. // I2
fn preferred(candidates: &[Candidate]) -> impl Iterator<Item = (i32, u32)> {
    let alive = |candidate: &Candidate| !candidate.is_stalled;
    let any_near = candidates.iter().any(|c| alive(c) && c.is_near);
    let any_alive = candidates.iter().any(alive);
    let fits = move |candidate: &&Candidate| {
        (alive(candidate) || !any_alive) && (candidate.is_near || !any_near)
    };
    candidates.iter().filter(fits).map(|c| (c.index, c.queued))
}

impl TopicState {
    /// The partition, if it was ever used.
    fn used(&self, view: &View, index: i32) -> Option<Arc<Partition>> {
        let known = view.used(index).cloned();
        known.or_else(|| lock(&self.partitions).get(&index).cloned())
    }
}

impl Partition {
    /// How many batches wait here to be taken by the leader. Those in flight do not count.
    fn waiting(&self) -> u32 {
        let retries = lock(&self.flight).retries();
        u32::try_from(self.queue.batches() + retries).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
