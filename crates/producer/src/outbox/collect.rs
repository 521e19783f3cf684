//! What goes into a leader's next request: one batch of each partition in line.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use milena_accumulator::Front;
use milena_codec::Uuid;
use milena_proto::sequencer::{AttemptId, BatchId, Identity};
use milena_records::Stamp;
use milena_rpc::Snapshot;

use super::{LeaderOutbox, Sending};
use crate::ProducerEvent;
use crate::flight::{Flight, Prepared};
use crate::partition::{Partition, Turn};
use crate::shared::{ClosedBatch, Obstacle, Shared, lock};
use crate::transaction::Admission;

/// What a look at a partition gave.
enum Looked {
    Sending(Sending),
    /// It does not fit into the request any more.
    TooLarge,
    /// Its leader is another one.
    Moved,
    /// It waits for something that puts it in line again.
    Nothing,
    /// Its transaction is over.
    Refused,
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
pub(super) struct Look<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) snapshot: &'a Snapshot,
    pub(super) identity: Option<Identity>,
    pub(super) now: Instant,
    pub(super) request: u64,
    /// Nothing was in flight when the request was begun.
    pub(super) quiet: bool,
    pub(super) haste: Option<Turn>,
}

impl LeaderOutbox {
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
    pub(super) fn collect(&self, look: &Look<'_>) -> Vec<Sending> {
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
                Looked::Nothing | Looked::Refused => {}
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
        if let Looked::Refused = looked {
            shared.fail_stopped(partition);
        }
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
        if let (Some(transactions), Some(_)) = (&look.shared.transactions, size) {
            match transactions.admit(partition) {
                Admission::Granted => {}
                Admission::Awaited => return Next::Looked(Looked::Nothing),
                Admission::Refused => return Next::Looked(Looked::Refused),
            }
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
    let (Some(batch), Some(waited)) = (flight.batch(id), flight.waited(id)) else {
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
        waited,
        pieces: pieces.collect(),
    })
}

fn front_size(partition: &Partition) -> Option<usize> {
    match partition.queue.front() {
        Front::Open { size, .. } | Front::Sealed { size } => Some(size),
        Front::Empty | Front::Sealing => None,
    }
}
