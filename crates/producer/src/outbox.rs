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

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_accumulator::Front;
use milena_codec::{ApiKey, Uuid, frame};
use milena_net::{
    Address, ConnectError, Lane, LaneHandle, Outbox, Outcome, Outgoing, Turn as Slot,
};
use milena_proto::sequencer::{Acks, AttemptId, BatchId, Identity};
use milena_records::Stamp;
use milena_rpc::caps::{self, CapContext};
use milena_rpc::{CallError, RefreshReason, Snapshot, address_of};

use crate::failed::{DeliveryCause, LastError};
use crate::flight::{Flight, Prepared, Travelling};
use crate::partition::{Partition, Turn};
use crate::shared::{ClosedBatch, Obstacle, Phase, Shared, lock};
use crate::wire::{PartitionBatch, Produce, TopicBatches};
use crate::{ProducerEvent, answer};

pub(crate) struct LeaderOutbox {
    node: i32,
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
    pieces: Vec<Bytes>,
}

/// What a look at a partition gave.
enum Looked {
    Sending(Sending),
    /// It does not fit into the request any more.
    TooLarge,
    /// Its leader is another one.
    Moved,
    /// It waits for something that puts it in line again.
    Nothing,
    /// It has to wait for a while: lingers, or pauses before the next attempt.
    Lingers,
}

/// What is next of a partition.
enum Next {
    Looked(Looked),
    /// To be sealed first, without the partition's lock.
    Seal(Box<ClosedBatch>),
}

/// What all looks for one request share.
struct Look<'a> {
    shared: &'a Arc<Shared>,
    snapshot: &'a Snapshot,
    identity: Option<Identity>,
    now: Instant,
    request: u64,
    /// Nothing was in flight when the request was begun.
    quiet: bool,
    haste: Option<Turn>,
}

impl Shared {
    /// Puts a partition in line for its leader's connection.
    pub(crate) fn schedule(self: &Arc<Self>, partition: &Arc<Partition>, turn: Turn) {
        if partition.flag(turn).swap(true, Ordering::AcqRel) {
            return; // I2
        }
        match self.leader_of(partition) {
            Ok(Some(outbox)) => outbox.line_up(partition, turn),
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

    pub(crate) fn detach(self: &Arc<Self>) {
        let this = Arc::clone(self) as Arc<dyn Outbox>;
        self.lane.detach(&this);
    }

    fn line_up(&self, partition: &Arc<Partition>, turn: Turn) {
        let mut state = lock(&self.state);
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

    /// Empties the lines: their partitions are lined up anew elsewhere, or here.
    pub(crate) fn give_up_lines(&self) -> Vec<Arc<Partition>> {
        let mut state = lock(&self.state);
        let mut partitions: Vec<_> = std::mem::take(&mut state.ready).into();
        partitions.extend(std::mem::take(&mut state.patient));
        drop(state);
        for partition in &partitions {
            partition.leave_lines();
        }
        partitions
    }

    /// The next partition in line. In haste none waits for quiet.
    fn next_in_line(&self, look: &Look<'_>) -> Option<Arc<Partition>> {
        let mut state = lock(&self.state);
        let (partition, turn) = match state.ready.pop_front() {
            Some(partition) => (partition, Turn::Now),
            None if look.quiet || look.haste == Some(Turn::Now) => {
                (state.patient.pop_front()?, Turn::WhenQuiet)
            }
            None => return None,
        };
        partition.flag(turn).store(false, Ordering::Release); // I2
        Some(partition)
    }

    /// Collects what goes into the next request.
    fn collect(&self, look: &Look<'_>) -> Vec<Sending> {
        let config = &look.shared.config;
        let mut batches = Vec::new();
        let (mut again, mut moved) = (Vec::new(), Vec::new());
        let mut room = config.max_request_size;
        while let Some(partition) = self.next_in_line(look) {
            let first = batches.is_empty();
            match self.look_at(&partition, look, if first { usize::MAX } else { room }) {
                Looked::Sending(sending) => {
                    room = room.saturating_sub(sending.size);
                    batches.push(sending);
                    again.push(partition);
                    if room == 0 {
                        break;
                    }
                }
                Looked::TooLarge => {
                    again.push(partition);
                    break;
                }
                // Lined up later: what it sees then may be newer than this request's view.
                Looked::Moved => moved.push(partition),
                // Its alarm may have rung since `look.now` was read, and nobody would tell again.
                Looked::Lingers => again.push(partition),
                Looked::Nothing => {}
            }
        }
        for partition in moved {
            look.shared.schedule(&partition, Turn::Now);
        }
        let now = look.shared.now();
        for partition in again {
            if let Some(turn) = partition.wants(look.shared, now) {
                look.shared.schedule(&partition, turn);
            }
        }
        batches
    }

    fn look_at(&self, partition: &Arc<Partition>, look: &Look<'_>, room: usize) -> Looked {
        let shared = look.shared;
        let known = look.snapshot.topic(&partition.topic);
        let leader = known.and_then(|topic| topic.partition(partition.index)?.leader);
        if leader != Some(self.node) {
            return Looked::Moved;
        }
        let topic_id = known.map_or(Uuid::ZERO, |topic| topic.id);
        let mut settled = Vec::new();
        let mut flight = lock(&partition.flight);
        if flight.request == Some(look.request) {
            return Looked::TooLarge; // I1
        }
        if topic_id != Uuid::ZERO
            && flight
                .topic_id
                .replace(topic_id)
                .is_some_and(|old| old != topic_id)
        {
            flight.replace_topic(&mut settled);
        }
        let looked = loop {
            match self.next_of(partition, &mut flight, look, room) {
                Next::Looked(looked) => break looked,
                Next::Seal(closed) => {
                    // Sealing takes its time, and may fail the batch.
                    drop(flight);
                    let sealed = look.shared.seal_if_quick(closed);
                    flight = lock(&partition.flight);
                    if sealed.is_none() {
                        break Looked::Nothing;
                    }
                }
            }
        };
        let moved = match (&looked, flight.leader) {
            (Looked::Sending(_), Some(from)) if from != self.node => Some(from),
            _ => None,
        };
        if let Looked::Sending(_) = looked {
            flight.request = Some(look.request);
            flight.leader = Some(self.node);
        }
        drop(flight);
        shared.settle(partition, settled);
        if let Some(from) = moved {
            shared.emit(&ProducerEvent::LeaderChanged {
                topic: partition.topic.clone(),
                partition: partition.index,
                from,
                to: self.node,
            });
        }
        looked
    }

    /// The partition's next batch: one to be sent again, else the queue's next one.
    fn next_of(
        &self,
        partition: &Arc<Partition>,
        flight: &mut Flight,
        look: &Look<'_>,
        room: usize,
    ) -> Next {
        if flight.paused_until(look.now).is_some() {
            return Next::Looked(Looked::Lingers);
        }
        let size = flight.next_size().or_else(|| front_size(partition));
        if size.is_some_and(|size| size > room) {
            return Next::Looked(Looked::TooLarge);
        }
        loop {
            let looked = match flight.next(look.identity, self.node, look.now) {
                Prepared::Send(attempt, id, stamp) => {
                    sending(partition, flight, (id, attempt), stamp)
                }
                Prepared::Empty => {
                    if let Some(batch) = partition.queue.pop_sealed() {
                        flight.push(batch);
                        continue;
                    }
                    let due = |opened_at| look.is_due(opened_at);
                    match partition.queue.close_front(due) {
                        Some(closed) => return Next::Seal(closed),
                        None => match partition.queue.front() {
                            Front::Open { .. } => Looked::Lingers,
                            _ => Looked::Nothing,
                        },
                    }
                }
                Prepared::Wait => Looked::Nothing,
                Prepared::NeedsIdentity { exhausted } => {
                    let obstacle = Obstacle::NoIdentity { exhausted };
                    look.shared.stall(partition, obstacle);
                    Looked::Nothing
                }
            };
            return Next::Looked(looked);
        }
    }
}

impl Look<'_> {
    /// Whether a batch opened then need not wait for more records.
    fn is_due(&self, opened_at: Instant) -> bool {
        match (self.haste, self.shared.config.linger.time()) {
            (Some(Turn::Now), _) => true,
            (_, None) => self.quiet,
            (haste, Some(linger)) => {
                opened_at + linger <= self.now || (haste.is_some() && self.quiet)
            }
        }
    }
}

/// A batch whose attempt has begun.
fn sending(
    partition: &Arc<Partition>,
    flight: &Flight,
    (id, attempt): (BatchId, AttemptId),
    stamp: Stamp,
) -> Looked {
    let Some(batch) = flight.batch(id) else {
        return Looked::Nothing;
    };
    let sealed = batch.sealed();
    let header = Bytes::copy_from_slice(&sealed.header(stamp));
    let pieces = std::iter::once(header).chain(sealed.segments().cloned());
    Looked::Sending(Sending {
        partition: Arc::clone(partition),
        topic_id: flight.topic_id.unwrap_or(Uuid::ZERO),
        id,
        attempt,
        size: sealed.len(),
        records: sealed.count(),
        pieces: pieces.collect(),
    })
}

fn front_size(partition: &Partition) -> Option<usize> {
    match partition.queue.front() {
        Front::Open { size, .. } | Front::Sealed { size } => Some(size),
        Front::Empty | Front::Sealing => None,
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

impl LeaderOutbox {
    /// Makes the request. If that fails, so do its batches, unsent.
    fn send(
        &self,
        shared: &Arc<Shared>,
        mut batches: Vec<Sending>,
        token: u64,
        slot: &Slot<'_>,
    ) -> Option<Outgoing> {
        let acks = shared.config.acks;
        let context = CapContext {
            topic_id_unknown: batches.iter().any(|sending| sending.topic_id.is_zero()),
            ..CapContext::default()
        };
        let ours = caps::cap(ApiKey::Produce, context);
        let version = slot.versions.newest(ApiKey::Produce, ours);
        let made = version
            .ok_or_else(|| milena_net::CallError::Unsupported {
                address: self.address.clone(),
                api: ApiKey::Produce,
                ours,
                theirs: slot.versions.range(ApiKey::Produce),
            })
            .and_then(|version| {
                let request = request(shared, &mut batches);
                let client_id = slot.client_id.cloned();
                let frame = frame::request(&request, version, slot.correlation_id, client_id)?;
                Ok((version, frame))
            });
        let (version, frame) = match made {
            Ok(made) => made,
            Err(error) => {
                answer::refuse(shared, self, batches, error.into());
                return None;
            }
        };
        let flying = Flying {
            batches,
            version,
            begun: slot.now,
        };
        lock(&self.state).in_flight.insert(token, flying);
        Some(Outgoing {
            segments: frame.segments,
            key: ApiKey::Produce,
            version,
            deadline: slot.now + shared.config.request_timeout,
            expects_answer: acks != Acks::None,
            token,
        })
    }
}

fn request(shared: &Shared, batches: &mut [Sending]) -> Produce {
    let mut topics = Vec::<TopicBatches>::new();
    for sending in batches {
        let name = &sending.partition.topic;
        let id = sending.topic_id;
        let known = topics
            .iter_mut()
            .position(|topic| topic.name == *name && topic.id == id);
        let at = known.unwrap_or_else(|| {
            topics.push(TopicBatches {
                name: name.clone(),
                id,
                partitions: Vec::new(),
            });
            topics.len() - 1
        });
        topics[at].partitions.push(PartitionBatch {
            index: sending.partition.index,
            pieces: std::mem::take(&mut sending.pieces),
        });
    }
    Produce {
        acks: shared.config.acks.code(),
        timeout_ms: broker_timeout_ms(shared.config.request_timeout),
        topics,
    }
}

/// The broker gives up a little before the client does, so that its answer still arrives.
fn broker_timeout_ms(request_timeout: Duration) -> i32 {
    let millis = i32::try_from(request_timeout.as_millis()).unwrap_or(i32::MAX);
    (millis - millis / 10).max(1)
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
