//! One partition's order: which batch is sent when, with which stamp, and what each answer means.
//!
//! A [`Sequencer`] holds the partition's batches as ids, from sealing until each is acknowledged or
//! has failed. It stamps them with (producer id, epoch, base sequence), has up to five of them in
//! flight, and decides after each attempt whether the batch is acknowledged, has to be sent again,
//! or has failed, and then with which [`Fate`].
//!
//! - I1. A stamp never changes while the outcome of any attempt that carried it is unknown.
//! - I2. At most five stamped batches are unresolved, lost ones and those whose success is held back
//!   included: a broker recognises only a producer's last five as duplicates.
//! - I3. What waits to be sent again goes first, in the order of the stamps; only then is a batch
//!   stamped.
//! - I4. Under a new producer id or a raised epoch, and again an hour after the last success, one
//!   batch travels alone until it succeeds: a broker without state of the producer takes any sequence
//!   number, so a later batch could be written without an earlier one. The next epoch of a
//!   transactional producer needs no such care: the broker has state, and wants sequence 0 first.
//! - I5. Nothing is sent to a new leader before each attempt sent to another has ended.
//! - I6. Successes are reported in the order of the stamps.
//! - I7. A fate is the worst over all attempts: once one may have been written, `NotWritten` is never
//!   said.
//! - I8. A batch that leaves without having been written leaves a hole that blocks its successors.
//!   While there is one, nothing is stamped, and only batches in doubt are sent. Once none is in
//!   flight or in doubt, the clean ones are stamped again: from the hole on if every attempt of the
//!   batch that left was definitely refused, else under the next epoch. A success behind the hole
//!   shows that there is none.
//! - I9. The partition raises its own epoch, by one, when a batch leaves in doubt or when the
//!   broker's state fits none of its batches; and only when nothing stamped with the old epoch is
//!   unresolved. The broker then refuses late copies, and other partitions are not touched.
//!
//! - I10. A batch that is too large for the broker is divided in its place. The pieces take over its
//!   stamp, each its range of sequence numbers, so that its successors' stamps stay right. A batch
//!   with an attempt in doubt is never divided.
//! - I11. In transactions the epoch is the coordinator's: where I8 and I9 would raise it, the
//!   partition stamps nothing until it is offered another identity. So the transaction has to abort.
//!
//! Without idempotence there are no stamps, one batch is in flight, and a retry after a lost attempt
//! may write twice; the fates are the same.
//!
//! Not for the bytes, the deadlines, the backoff, finding the leader, or a transaction's beginning
//! and end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use milena_records::Stamp;

mod entry;
mod outcome;
mod refusal;
mod settle;
mod split;
mod types;

use entry::{Entry, Outstanding, Place};
use settle::Settling;
pub use types::{
    Acks, Answer, Attempt, AttemptId, BatchId, Because, Bump, BumpReason, Config, Event, Fate,
    Identity, Next, Sending,
};

/// How many of a producer's batches a broker recognises as duplicates.
const WINDOW: usize = 5;

/// How long after a success the broker is taken to know the producer. Brokers forget after a day by
/// default, counted from the batch's own timestamp.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// The batches of one partition.
///
/// Call [`poll_event`](Self::poll_event) until it yields nothing after every `handle_*`.
#[derive(Clone, Debug)]
pub struct Sequencer {
    acks: Acks,
    idempotent: bool,
    transactional: bool,
    max_in_flight: usize,
    identity: Option<Identity>,
    /// The identity that it cannot go on with: its epochs are used up, or in a transaction its
    /// sequence is broken.
    left: Option<Identity>,
    /// The sequence number of the next batch to be stamped.
    next: i32,
    /// The sequence number after the last acknowledged batch.
    expected: i32,
    /// When the last batch was sent that succeeded under this identity.
    proven: Option<Instant>,
    settling: Option<Settling>,
    last_acknowledged: Option<i64>,
    /// In the order of sealing. The stamped ones come first.
    queue: VecDeque<Entry>,
    sealed: u64,
    /// Attempts that have not ended, also those of batches that were given up. Never more than
    /// `max_in_flight`.
    outstanding: Vec<Outstanding>,
    next_attempt: u64,
    events: VecDeque<Event>,
}

impl Sequencer {
    /// A partition to which this producer has sent nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let idempotent = config.idempotent || config.transactional;
        let most = if idempotent { WINDOW } else { 1 };
        Self {
            acks: config.acks,
            idempotent,
            transactional: config.transactional,
            max_in_flight: config.max_in_flight.clamp(1, most),
            identity: None,
            left: None,
            next: 0,
            expected: 0,
            proven: None,
            settling: None,
            last_acknowledged: None,
            queue: VecDeque::new(),
            sealed: 0,
            outstanding: Vec::new(),
            next_attempt: 0,
            events: VecDeque::new(),
        }
    }

    /// A batch joins the end of the queue.
    pub fn handle_sealed(&mut self, id: BatchId, records: u32) {
        let place = Place {
            sealed: self.sealed,
            records: 0,
        };
        self.sealed = self.sealed.wrapping_add(1);
        self.queue.push_back(Entry::new(id, place, records));
    }

    /// What to send now to the leader, node `to`. Call it until it yields no batch.
    ///
    /// `identity` is the producer's own, adopted if the partition has none. Others are ignored later,
    /// unless the partition's epochs are used up or it is transactional.
    pub fn poll_send(&mut self, identity: Option<Identity>, to: i32, now: Instant) -> Next {
        let Some(first) = self.first(Entry::waits) else {
            return Next::Empty;
        };
        if self.is_held_up(to, now) {
            return Next::Wait;
        }
        let index = if self.settling.is_none() {
            Some(first).filter(|index| *index < WINDOW) // I2, I3
        } else {
            self.first(|entry| entry.waits() && entry.doubt) // I8
        };
        let Some(entry) = index.and_then(|index| self.queue.get(index).copied()) else {
            return Next::Wait;
        };
        let stamp = match entry.stamp {
            _ if entry.splitting => return Next::Wait, // I10
            Some(stamp) => stamp,                      // I1
            None if self.stamped() >= self.max_in_flight => return Next::Wait, // I2
            None if self.is_between(identity) => return Next::Wait,
            None => match self.stamp(identity, entry.records) {
                Some(stamp) => stamp,
                None => {
                    let exhausted = self.left;
                    return Next::NeedsIdentity { exhausted };
                }
            },
        };
        Next::Send(self.begin(entry, stamp, to, now))
    }

    /// Takes the outcome of an attempt. That of a batch given up meanwhile says nothing of it any
    /// more, but a new leader may be waiting for it; an unknown attempt changes nothing.
    pub fn handle_attempt(&mut self, attempt: AttemptId, outcome: Attempt) {
        let known = |one: &Outstanding| one.attempt == attempt;
        let Some(index) = self.outstanding.iter().position(known) else {
            return;
        };
        let ended = self.outstanding.swap_remove(index);
        if let Some((index, entry)) = self.entry_mut(ended.id)
            && entry.flying == Some(attempt)
        {
            entry.flying = None;
            self.handle_outcome(index, &ended, outcome);
            self.release();
            self.settle();
        }
    }

    /// Gives a batch up: its time is over, or the producer closes. An attempt in flight counts as
    /// lost. To give up several, begin with the oldest.
    ///
    /// Nothing happens if the batch is unknown, or if it succeeded and is only waiting for those
    /// before it: its event follows theirs.
    pub fn handle_expired(&mut self, id: BatchId) {
        if let Some((index, entry)) = self.entry_mut(id)
            && entry.success.is_none()
        {
            self.fail(index, Because::Expired);
            self.release();
            self.settle();
        }
    }

    /// The topic was deleted and created again. Batches that may be in the old one fail; clean ones,
    /// stamped or not, go to the new topic, from sequence 0 of the next epoch; in transactions of the
    /// same one, which the new topic has not seen.
    pub fn handle_topic_replaced(&mut self) {
        while let Some(index) = self.first(Entry::is_uncertain) {
            self.fail(index, Because::TopicReplaced);
        }
        self.release();
        if self.transactional {
            self.unstamp();
            (self.next, self.expected, self.proven) = (0, 0, None);
        } else {
            self.restart(BumpReason::TopicReplaced);
        }
        self.last_acknowledged = None;
    }

    /// What became of batches, and raises of the epoch, in the order in which they happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The number of attempts that have not ended, those of batches given up included.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.outstanding.len()
    }

    /// The number of batches, sent or not, of which neither success nor failure was told.
    #[must_use]
    pub fn unresolved(&self) -> usize {
        self.queue.len()
    }

    /// The batch to be sent next, now or when something has come back: sent before or not. None
    /// while the next one is being divided.
    #[must_use]
    pub fn waiting(&self) -> Option<BatchId> {
        let waiting = self.queue.get(self.first(Entry::waits)?)?;
        (!waiting.splitting).then_some(waiting.id)
    }

    /// The oldest batch of which neither success nor failure was told.
    #[must_use]
    pub fn oldest(&self) -> Option<BatchId> {
        self.queue.front().map(|entry| entry.id)
    }

    /// How often the batch was begun to be sent; 0 if it is unknown.
    #[must_use]
    pub fn attempts(&self, id: BatchId) -> u32 {
        self.entry(id).map_or(0, |entry| entry.attempts)
    }

    /// What the batch's fate would be if it was given up now; `NotWritten` if it is unknown.
    #[must_use]
    pub fn fate(&self, id: BatchId) -> Fate {
        self.entry(id).map_or(Fate::NotWritten, Entry::fate)
    }

    /// The identity that the partition stamps with.
    #[must_use]
    pub const fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Whether nothing may be sent until an attempt has ended.
    fn is_held_up(&self, to: i32, now: Instant) -> bool {
        let elsewhere = |one: &Outstanding| one.to != to;
        let known = self
            .proven
            .is_some_and(|at| now.saturating_duration_since(at) < REMEMBERED);
        let most = if known { self.max_in_flight } else { 1 }; // I4
        self.outstanding.len() >= most || self.outstanding.iter().any(elsewhere) // I5
    }

    fn stamp(&mut self, offered: Option<Identity>, records: u32) -> Option<Stamp> {
        if !self.idempotent {
            return Some(Stamp::NONE);
        }
        let identity = self.adopt(offered)?;
        let base_sequence = self.next;
        self.next = advance(base_sequence, records);
        Some(Stamp {
            producer_id: identity.producer_id,
            producer_epoch: identity.epoch,
            base_sequence,
            transactional: self.transactional,
        })
    }

    /// Whether another identity is offered while batches under the former one are not resolved.
    fn is_between(&self, offered: Option<Identity>) -> bool {
        self.transactional
            && self.stamped() > 0
            && offered.is_some_and(|offered| self.identity != Some(offered))
    }

    /// The identity to stamp with, which may be the one offered.
    fn adopt(&mut self, offered: Option<Identity>) -> Option<Identity> {
        if !self.transactional {
            let left = self.left.map(|left| left.producer_id);
            let usable = offered.filter(|offer| left != Some(offer.producer_id));
            self.identity = self.identity.or(usable);
            return self.identity;
        }
        // I11
        let offered = offered.filter(|offer| self.left != Some(*offer))?;
        let former = self.identity.or(self.left);
        if self.identity != Some(offered) && self.stamped() == 0 {
            if former.is_none_or(|former| former.producer_id != offered.producer_id) {
                self.proven = None; // I4
            }
            (self.next, self.expected, self.settling) = (0, 0, None);
            self.identity = Some(offered);
        }
        self.identity.filter(|identity| *identity == offered)
    }

    fn begin(&mut self, entry: Entry, stamp: Stamp, to: i32, now: Instant) -> Sending {
        let attempt = AttemptId(self.next_attempt);
        self.next_attempt = self.next_attempt.wrapping_add(1);
        self.outstanding.push(Outstanding {
            attempt,
            id: entry.id,
            place: entry.place,
            to,
            sent: now,
        });
        if let Some((_, entry)) = self.entry_mut(entry.id) {
            entry.stamp = Some(stamp);
            entry.flying = Some(attempt);
            entry.attempts = entry.attempts.saturating_add(1);
        }
        Sending {
            id: entry.id,
            attempt,
            stamp,
            records: entry.records,
            retry: entry.attempts > 0,
        }
    }

    /// The stamped batches, and the first that is not stamped.
    fn window(&self) -> impl Iterator<Item = &Entry> {
        self.queue.iter().take(self.stamped().saturating_add(1))
    }

    fn first(&self, wanted: impl Fn(&Entry) -> bool) -> Option<usize> {
        self.window().position(wanted)
    }

    /// The number of stamped batches: they come first.
    fn stamped(&self) -> usize {
        let stamped = self.queue.iter().take_while(|entry| entry.stamp.is_some());
        stamped.count()
    }

    fn entry(&self, id: BatchId) -> Option<&Entry> {
        self.queue.iter().find(|entry| entry.id == id)
    }

    fn entry_mut(&mut self, id: BatchId) -> Option<(usize, &mut Entry)> {
        let mut queue = self.queue.iter_mut().enumerate();
        queue.find(|(_, entry)| entry.id == id)
    }
}

/// The sequence number `records` after `sequence`: after 2³¹ − 1 comes 0.
fn advance(sequence: i32, records: u32) -> i32 {
    sequence.cast_unsigned().wrapping_add(records).cast_signed() & i32::MAX
}

#[cfg(test)]
mod tests;
