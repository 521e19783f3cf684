//! Which batches go out now, and to whom.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_accumulator::Readiness;
use milena_codec::Uuid;
use milena_proto::sequence::{BeginError, Identity};
use milena_rpc::{RefreshReason, Snapshot};

use super::request::Sending;
use super::{Driver, Stage};
use crate::ProducerEvent;
use crate::failed::{DeliveryCause, LastError};
use crate::shared::Phase;

/// A partition whose next batch may go out.
struct Candidate {
    slot: usize,
    last_tick: u64,
}

/// What a lane waits for.
enum Due {
    /// Nothing: it may send to this leader.
    Now(i32),
    At(Instant),
    /// Something that wakes the driver when it happens.
    Event,
    /// It has nothing to send.
    Nothing,
}

impl Driver {
    /// Sends what may be sent, and says when to look again.
    pub(super) fn dispatch(&mut self, now: Instant) -> Option<Instant> {
        let snapshot = self.shared.cluster.snapshot();
        let linger = self.linger();
        let mut wake = None;
        let mut by_leader = BTreeMap::<i32, Vec<Candidate>>::new();
        for slot in self.busy.iter().copied().collect::<Vec<_>>() {
            match self.due(slot, now, linger, &snapshot) {
                Due::Now(leader) => {
                    let last_tick = self.lanes.get(&slot).map_or(0, |lane| lane.last_tick);
                    let candidates = by_leader.entry(leader).or_default();
                    candidates.push(Candidate { slot, last_tick });
                }
                Due::At(at) => wake = wake.into_iter().chain([at]).min(),
                Due::Event => {}
                Due::Nothing => {
                    self.busy.remove(&slot);
                }
            }
        }
        if by_leader.is_empty() {
            return wake;
        }
        let identity = match self.identity(now) {
            Ok(identity) => identity,
            Err(later) => return wake.into_iter().chain(later).min(),
        };
        for (leader, mut candidates) in by_leader {
            candidates.sort_by_key(|candidate| candidate.last_tick);
            self.fill_requests(leader, &candidates, identity, now, &snapshot);
        }
        // Whoever was postponed meanwhile has set a time.
        let retries = self.busy.iter().filter_map(|slot| {
            let lane = self.lanes.get(slot)?;
            lane.retry_at.filter(|at| *at > now)
        });
        wake.into_iter().chain(retries).min()
    }

    /// Nothing lingers while somebody waits for it to be sent.
    fn linger(&self) -> Duration {
        let shared = &self.shared;
        let flushing = shared.flushing.load(std::sync::atomic::Ordering::Acquire) > 0;
        let hurry =
            flushing || shared.phase() != Phase::Open || shared.accumulator.budget().is_contended();
        if hurry {
            Duration::ZERO
        } else {
            shared.config.linger
        }
    }

    fn due(&mut self, slot: usize, now: Instant, linger: Duration, snapshot: &Snapshot) -> Due {
        let Some(lane) = self.lanes.get_mut(&slot) else {
            return Due::Nothing;
        };
        match &lane.stage {
            Stage::Sealing | Stage::InFlight(_) => return Due::Event,
            Stage::Held(_) => {}
            Stage::Idle => match lane.partition.queue.readiness(now, linger) {
                Readiness::Empty => return Due::Nothing,
                Readiness::At(at) => return Due::At(at),
                Readiness::Ready => {}
            },
        }
        if let Some(at) = lane.retry_at.filter(|at| *at > now) {
            return Due::At(at);
        }
        let partition = &lane.partition;
        let Some(leader) = snapshot.leader(&partition.topic, partition.index) else {
            lane.postpone(&self.shared, now, LastError::NoLeader);
            let cluster = &self.shared.cluster;
            cluster.touch(&lane.partition.topic);
            cluster.refresh(RefreshReason::NoLeader);
            return lane.retry_at.map_or(Due::Event, Due::At);
        };
        let leader = leader.broker.id;
        if self.is_saturated(leader) {
            Due::Event
        } else {
            Due::Now(leader)
        }
    }

    /// Packs the candidates into as many requests as the leader may get.
    fn fill_requests(
        &mut self,
        leader: i32,
        candidates: &[Candidate],
        identity: Option<Identity>,
        now: Instant,
        snapshot: &Snapshot,
    ) {
        self.tick += 1;
        let limit = self.shared.config.max_request_size;
        let mut request = Vec::<Sending>::new();
        let mut size = 0;
        for candidate in candidates {
            let added = self.next_size(candidate.slot);
            if !request.is_empty() && size + added > limit {
                self.send(leader, std::mem::take(&mut request), now);
                size = 0;
                if self.is_saturated(leader) {
                    return;
                }
            }
            let slot = candidate.slot;
            if let Some(sending) = self.prepare(slot, leader, identity, now, snapshot) {
                size += sending.batch.sealed().len();
                request.push(sending);
            }
        }
        if !request.is_empty() {
            self.send(leader, request, now);
        }
    }

    /// Whether the leader has as many requests in flight as it may.
    fn is_saturated(&self, leader: i32) -> bool {
        let used = self.in_flight.get(&leader).copied().unwrap_or(0);
        used >= self.shared.config.max_in_flight
    }

    /// The size of the batch that `prepare` would send, before compression if that is to come.
    fn next_size(&self, slot: usize) -> usize {
        let Some(lane) = self.lanes.get(&slot) else {
            return 0;
        };
        match lane.head() {
            Some(head) => head.sealed().len(),
            None => lane.partition.queue.next_size(),
        }
    }

    /// Seals and stamps the lane's next batch; `None` if it cannot go out yet after all.
    fn prepare(
        &mut self,
        slot: usize,
        leader: i32,
        identity: Option<Identity>,
        now: Instant,
        snapshot: &Snapshot,
    ) -> Option<Sending> {
        self.heed_topic_id(slot, snapshot);
        let lane = self.lanes.get(&slot)?;
        if matches!(lane.stage, Stage::Idle) {
            let closed = lane.partition.queue.take()?;
            self.seal(slot, closed);
        }
        let lane = self.lanes.get_mut(&slot)?;
        let Stage::Held(batch) = &lane.stage else {
            return None;
        };
        let batch = Arc::clone(batch);
        let stamp = match lane.sequence.begin(batch.sealed().count(), identity) {
            Ok(stamp) => stamp,
            Err(BeginError::NeedsIdentity { .. }) => {
                self.identification.renew(identity);
                self.shared.notify.notify_one();
                return None;
            }
            Err(error) => panic!("a held head is the sequence's own and not in flight: {error}"),
        };
        lane.begin(now, Arc::clone(&batch));
        lane.last_tick = self.tick;
        if let Some(from) = lane.last_leader.replace(leader)
            && from != leader
        {
            self.shared.emit(&ProducerEvent::LeaderChanged {
                topic: lane.partition.topic.clone(),
                partition: lane.partition.index,
                from,
                to: leader,
            });
        }
        Some(Sending {
            slot,
            attempt: lane.attempt,
            partition: Arc::clone(&lane.partition),
            topic_id: lane.topic_id.unwrap_or(Uuid::ZERO),
            batch,
            stamp,
        })
    }

    /// A topic of the same name and another id is another topic.
    fn heed_topic_id(&mut self, slot: usize, snapshot: &Snapshot) {
        let Some(lane) = self.lanes.get_mut(&slot) else {
            return;
        };
        let known = snapshot.topic(&lane.partition.topic);
        let id = known.map_or(Uuid::ZERO, |topic| topic.id);
        if id.is_zero() {
            return;
        }
        let before = lane.topic_id.replace(id);
        if before.is_none_or(|before| before == id) {
            return;
        }
        if let Some(fate) = lane.sequence.handle_topic_replaced() {
            lane.fail_head(&self.shared, fate, DeliveryCause::TopicReplaced);
        }
        lane.tell_bump(&self.shared);
    }
}
