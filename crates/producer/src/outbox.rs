//! One leader's share of the producer: which partitions stand in line for its connection, and the
//! requests under way there.
//!
//! The connection's task calls [`Outbox::take`] whenever it can write; a request gets one batch of
//! each partition in line, in turn. What comes back goes to [`answer`](super::answer).
//!
//! - I1. A request holds one batch of a partition at most: of two, brokers keep the last.
//! - I2. A partition stands in a line at most once, and is taken out before it is looked at: what
//!   comes while it is looked at puts it there again.
//! - I3. Each batch taken is answered once, by [`Outbox::finish`].
//!
//! Not for order, stamps and fates: they are the sequencer's.

mod collect;
mod request;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_codec::Uuid;
use milena_net::{
    Address, ConnectError, Lane, LaneHandle, Outbox, Outcome, Outgoing, Turn as Slot,
};
use milena_proto::sequencer::{Acks, AttemptId, BatchId};
use milena_rpc::{CallError, RefreshReason, address_of};

use self::collect::Look;
use crate::answer;
use crate::failed::{DeliveryCause, LastError};
use crate::flight::Travelling;
use crate::metrics::Waited;
use crate::partition::{Partition, Turn};
use crate::shared::{Obstacle, Phase, Shared, lock};

pub(crate) struct LeaderOutbox {
    pub(crate) node: i32,
    pub(crate) address: Address,
    /// The pool keeps the outbox, and the producer the pool.
    shared: Weak<Shared>,
    pub(crate) lane: LaneHandle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Arc<Partition>>,
    patient: VecDeque<Arc<Partition>>,
    /// By token.
    in_flight: BTreeMap<u64, Flying>,
    /// Since when something stands in line without any request having been taken.
    waits_since: Option<Instant>,
}

/// A request under way.
pub(crate) struct Flying {
    pub(crate) batches: Vec<Sending>,
    pub(crate) version: i16,
    pub(crate) begun: Instant,
}

/// A stamped batch on its way.
pub(crate) struct Sending {
    pub(crate) partition: Arc<Partition>,
    pub(crate) topic_id: Uuid,
    pub(crate) id: BatchId,
    pub(crate) attempt: AttemptId,
    /// In bytes, with the header.
    pub(crate) size: usize,
    pub(crate) records: u32,
    pub(crate) waited: Waited,
    pieces: Vec<Bytes>,
}

impl Shared {
    /// Puts a partition in line for its leader's connection.
    pub(crate) fn schedule(self: &Arc<Self>, partition: &Arc<Partition>, turn: Turn) {
        if partition.flag(turn).swap(true, Ordering::AcqRel) {
            return; // I2
        }
        match self.leader_of(partition) {
            Ok(Some(outbox)) => outbox.line_up(partition, turn, || self.now()),
            Ok(None) => {
                partition.flag(turn).store(false, Ordering::Release);
                self.stall(partition, Obstacle::NoLeader);
            }
            Err(error) => {
                partition.flag(turn).store(false, Ordering::Release);
                let error = Arc::new(error);
                partition.fail(self, Travelling::is_idle, |_| {
                    DeliveryCause::Call(Arc::clone(&error))
                });
            }
        }
    }

    /// The outbox of the partition's leader, `None` while no leader is known.
    fn leader_of(
        self: &Arc<Self>,
        partition: &Partition,
    ) -> Result<Option<Arc<LeaderOutbox>>, CallError> {
        let snapshot = self.cluster.snapshot();
        let Some(leader) = snapshot.leader(&partition.topic, partition.index) else {
            return match self.cluster.is_closed() {
                true => Err(CallError::Closed),
                false => Ok(None),
            };
        };
        let node = leader.broker.id;
        let mut outboxes = lock(&self.outboxes);
        if let Some(known) = outboxes.get(&node)
            && !known.lane.is_ended()
            && known.address.port == leader.broker.port
            && known.address.host == leader.broker.host
        {
            return Ok(Some(Arc::clone(known)));
        }
        let outbox = LeaderOutbox::attach(self, node, address_of(leader.broker))?;
        let replaced = outboxes.insert(node, Arc::clone(&outbox));
        drop(outboxes);
        if let Some(replaced) = replaced {
            replaced.detach();
            for waiting in replaced.give_up_lines() {
                self.schedule(&waiting, Turn::Now);
            }
        }
        Ok(Some(outbox))
    }
}

impl LeaderOutbox {
    fn attach(shared: &Arc<Shared>, node: i32, address: Address) -> Result<Arc<Self>, CallError> {
        let kind = match shared.config.acks {
            Acks::None => Lane::Unacknowledged(shared.id),
            _ => Lane::Produce(shared.id),
        };
        let lane = shared.cluster.pool().lane(&address, kind)?;
        let outbox = Arc::new(Self {
            node,
            address,
            shared: Arc::downgrade(shared),
            lane: lane.clone(),
            state: Mutex::default(),
        });
        lane.attach(Arc::clone(&outbox) as Arc<dyn Outbox>);
        Ok(outbox)
    }

    pub(crate) fn node(&self) -> i32 {
        self.node
    }

    pub(crate) fn detach(self: &Arc<Self>) {
        let this = Arc::clone(self) as Arc<dyn Outbox>;
        self.lane.detach(&this);
    }

    /// How long it has taken no request though there was something in line (KIP-794).
    pub(crate) fn stalled_for(&self, now: Instant) -> Duration {
        let since = lock(&self.state).waits_since;
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn line_up(&self, partition: &Arc<Partition>, turn: Turn, now: impl FnOnce() -> Instant) {
        let mut state = lock(&self.state);
        if state.waits_since.is_none() {
            state.waits_since = Some(now());
        }
        match turn {
            Turn::Now => state.ready.push_back(Arc::clone(partition)),
            Turn::WhenQuiet => state.patient.push_back(Arc::clone(partition)),
        }
        let wake = turn == Turn::Now || state.in_flight.is_empty();
        drop(state);
        if wake {
            self.lane.wake();
        }
    }

    /// The leader's connection took what it could, which may be nothing.
    fn taken(&self, something: bool, now: Instant) {
        let mut state = lock(&self.state);
        if state.ready.is_empty() && state.patient.is_empty() {
            state.waits_since = None;
        } else if something {
            state.waits_since = Some(now);
        }
    }

    /// Empties the lines: their partitions are lined up anew elsewhere, or here.
    pub(crate) fn give_up_lines(&self) -> Vec<Arc<Partition>> {
        let mut state = lock(&self.state);
        let mut partitions: Vec<_> = std::mem::take(&mut state.ready).into();
        partitions.extend(std::mem::take(&mut state.patient));
        state.waits_since = None;
        drop(state);
        for partition in &partitions {
            partition.leave_lines();
        }
        partitions
    }
}

impl Outbox for LeaderOutbox {
    fn has_work(&self) -> bool {
        let state = lock(&self.state);
        !state.ready.is_empty() || !state.patient.is_empty()
    }

    fn take(&self, slot: &Slot<'_>) -> Option<Outgoing> {
        let shared = self.shared.upgrade()?;
        let quiet = {
            let state = lock(&self.state);
            let nothing = state.ready.is_empty() && state.patient.is_empty();
            let saturated = state.in_flight.len() >= shared.config.max_in_flight;
            if nothing || saturated || shared.phase() == Phase::Ending {
                return None;
            }
            state.in_flight.is_empty()
        };
        let request = shared.next_request.fetch_add(1, Ordering::Relaxed);
        let snapshot = shared.cluster.snapshot();
        let look = Look {
            shared: &shared,
            snapshot: &snapshot,
            identity: shared.identity(),
            now: slot.now,
            request,
            quiet,
            haste: shared.haste(),
        };
        let batches = self.collect(&look);
        self.taken(!batches.is_empty(), slot.now);
        if batches.is_empty() {
            return None;
        }
        self.send(&shared, batches, request, slot)
    }

    fn finish(&self, token: u64, outcome: Outcome) {
        let Some(flying) = lock(&self.state).in_flight.remove(&token) else {
            return;
        };
        if let Some(shared) = self.shared.upgrade() {
            let at = (shared.config.max_in_flight, shared.now());
            shared.metrics.ended(self.node, &flying, &outcome, at);
            answer::handle(&shared, self, flying, outcome);
        }
    }

    fn unreachable(&self, cause: &ConnectError) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let error = Arc::new(CallError::from(milena_net::CallError::Connect {
            address: self.address.clone(),
            cause: cause.clone(),
        }));
        let waiting = {
            let state = lock(&self.state);
            let all = state.ready.iter().chain(&state.patient);
            all.cloned().collect::<Vec<_>>()
        };
        for partition in waiting {
            if cause.is_retriable() {
                lock(&partition.flight).last_error = Some(LastError::Call(Arc::clone(&error)));
            } else {
                partition.fail(&shared, Travelling::is_idle, |_| {
                    DeliveryCause::Call(Arc::clone(&error))
                });
            }
        }
        shared.cluster.refresh(RefreshReason::Disconnected);
    }
}

impl std::fmt::Debug for LeaderOutbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("LeaderOutbox")
            .field("node", &self.node)
            .field("ready", &state.ready.len())
            .field("patient", &state.patient.len())
            .field("in_flight", &state.in_flight.len())
            .finish_non_exhaustive()
    }
}
