//! What the user's calls and the background tasks share: the assigned partitions, the rotation in
//! which they are handed out, and the memory share.
//!
//! - I1: a partition is in the rotation exactly while it has something to hand out and is not
//!   paused; it gives one batch a turn.
//! - I2: `buffered` is the sum of what the slots hold, `reserved` that of the fetches under way.
//! - I3: tokens are never used twice.
//!
//! Not for waiting: every function here returns at once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use milena_codec::Uuid;
use milena_net::LaneHandle;
use milena_proto::backoff::Backoff;
use milena_proto::position::{OutOfRangePolicy, Position, Start, Stop, Token};

use crate::record::Bounds;
use crate::slot::{Fault, Slot};
use crate::{ConsumeError, ConsumerEvent, PartitionState, TopicPartition};

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) slots: BTreeMap<TopicPartition, Slot>,
    pub(crate) closed: bool,
    /// Bytes fetched and not handed out.
    pub(crate) buffered: usize,
    /// Bytes that the fetches under way may bring.
    pub(crate) reserved: usize,
    /// How often memory was given back: what was left out of a fetch may fit into the next.
    pub(crate) drained: u64,
    /// How many fetchers share the memory.
    pub(crate) fetchers: usize,
    /// By node, the lanes of fetchers that have nothing to ask until memory is given back.
    hungry: BTreeMap<i32, LaneHandle>,
    /// How much has to be given back before they are woken.
    hunger: usize,
    /// Lanes that were hungry before memory was given back.
    freed: Vec<LaneHandle>,
    /// Whether something has happened that the driver has to look at.
    attention: bool,
    rotation: VecDeque<TopicPartition>,
    broker_faults: BTreeMap<i32, ConsumeError>,
    last_token: u64,
    events: Vec<ConsumerEvent>,
}

/// What a turn of the rotation gives.
#[derive(Debug)]
pub(crate) enum Turn {
    /// A batch to check. The position has not moved.
    Batch(Raw),
    /// An error, returned once.
    Error(ConsumeError),
    /// Nothing now.
    Nothing,
    /// Nothing ever again: closed, or all is read that was to be read.
    Over,
}

/// What a change of the state brings for others.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) events: Vec<ConsumerEvent>,
    /// The lanes that may have work again.
    pub(crate) freed: Vec<LaneHandle>,
    /// Whether the driver has to look.
    pub(crate) attention: bool,
}

/// A batch as it was fetched.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) name: TopicPartition,
    pub(crate) token: Token,
    pub(crate) bounds: Bounds,
    pub(crate) batch: milena_records::Batch,
}

impl State {
    /// A token that no one else has. // I3
    pub(crate) fn token(&mut self) -> Token {
        self.last_token += 1;
        Token(self.last_token)
    }

    pub(crate) fn assign(
        &mut self,
        name: TopicPartition,
        topic_id: Uuid,
        start: Start,
        settings: (OutOfRangePolicy, Stop, Backoff),
        now: Instant,
    ) {
        let (policy, stop, backoff) = settings;
        let core = Position::new(start, policy, stop, self.token());
        let slot = Slot::new(name.clone(), topic_id, core, backoff, now);
        self.slots.insert(name, slot);
    }

    /// Whether it was assigned.
    pub(crate) fn unassign(&mut self, name: &TopicPartition) -> bool {
        let Some(mut slot) = self.slots.remove(name) else {
            return false;
        };
        let bytes = slot.clear();
        self.release(name, bytes);
        true
    }

    /// Whether it is assigned.
    pub(crate) fn seek(&mut self, name: &TopicPartition, start: Start, now: Instant) -> bool {
        let token = self.token();
        let Some(slot) = self.slots.get_mut(name) else {
            return false;
        };
        slot.core.seek(start, token);
        slot.fault = None;
        slot.unhold();
        let bytes = slot.clear();
        slot.note(now);
        self.release(name, bytes);
        true
    }

    /// Whether it is assigned.
    pub(crate) fn pause(&mut self, name: &TopicPartition, paused: bool, now: Instant) -> bool {
        let Some(slot) = self.slots.get_mut(name) else {
            return false;
        };
        slot.paused = paused;
        slot.note(now);
        if paused {
            slot.rotating = false;
            self.rotation.retain(|other| other != name); // I1
        }
        self.rotate_in(name);
        true
    }

    pub(crate) fn states(&self) -> Vec<PartitionState> {
        self.slots.values().map(Slot::state).collect()
    }

    /// Puts a partition into the rotation if it belongs there and is not in it. // I1
    pub(crate) fn rotate_in(&mut self, name: &TopicPartition) {
        if let Some(slot) = self.slots.get_mut(name)
            && slot.has_something()
            && !slot.rotating
        {
            slot.rotating = true;
            self.rotation.push_back(name.clone());
        }
    }

    /// Whether the user would find something.
    pub(crate) fn has_something(&self) -> bool {
        !self.rotation.is_empty()
    }

    /// Stops a partition at an error, which is returned behind what was fetched before.
    pub(crate) fn fail(&mut self, name: &TopicPartition, fault: Fault, now: Instant) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        if slot.fault.is_some() {
            return;
        }
        if let Fault::Recreated { old, new } = fault {
            let partition = name.clone();
            self.events.push(ConsumerEvent::TopicRecreated {
                partition,
                old,
                new,
            });
        }
        slot.fault = Some(fault);
        slot.note(now);
        self.rotate_in(name);
    }

    /// A broker cannot be used; one such error is kept a broker.
    pub(crate) fn fail_broker(&mut self, node: i32, error: ConsumeError) {
        self.broker_faults.insert(node, error);
    }

    /// Gives bytes back that will not be handed out.
    fn release(&mut self, name: &TopicPartition, bytes: usize) {
        if bytes > 0 {
            self.free(bytes, true);
            let partition = name.clone();
            self.events
                .push(ConsumerEvent::Dropped { partition, bytes });
        }
    }

    /// The next thing for the user, one batch a partition and turn.
    pub(crate) fn turn(&mut self, now: Instant) -> Turn {
        if self.closed {
            return Turn::Over;
        }
        if let Some((_, error)) = self.broker_faults.pop_first() {
            return Turn::Error(error);
        }
        while let Some(name) = self.rotation.pop_front() {
            if let Some(turn) = self.visit(&name, now) {
                return turn;
            }
        }
        self.nothing()
    }

    /// The next thing if it is a compressed batch, whose check is worth beginning before its turn.
    /// Errors stay where they are, behind what was fetched before them.
    pub(crate) fn turn_ahead(&mut self, now: Instant) -> Option<Raw> {
        let name = self.rotation.front()?;
        let slot = self.slots.get(name)?;
        if self.closed || !self.broker_faults.is_empty() || !slot.is_worth_checking_ahead() {
            return None;
        }
        match self.turn(now) {
            Turn::Batch(raw) => Some(raw),
            _ => None,
        }
    }

    /// Whether a change within the same call of the lock has given memory to a hungry fetcher.
    pub(crate) fn has_freed(&self) -> bool {
        !self.freed.is_empty()
    }

    fn visit(&mut self, name: &TopicPartition, now: Instant) -> Option<Turn> {
        let slot = self.slots.get_mut(name)?;
        slot.rotating = false;
        if slot.paused {
            return None;
        }
        if slot.core.is_finished() {
            let bytes = slot.clear();
            slot.note(now);
            self.release(name, bytes);
            return None;
        }
        let (taken, freed) = slot.take();
        let emptied = slot.buffered() == 0;
        let Some(taken) = taken else {
            self.free(freed, emptied);
            let slot = self.slots.get_mut(name)?;
            let fault = slot.fault.take()?;
            let error = slot.error(fault);
            return Some(Turn::Error(self.stop(name, error, now)));
        };
        slot.note(now);
        match taken.batch {
            Ok(batch) => {
                self.free(freed, emptied);
                self.rotate_in(name);
                Some(Turn::Batch(Raw {
                    name: name.clone(),
                    token: taken.token,
                    bounds: taken.bounds,
                    batch,
                }))
            }
            Err(damage) => {
                let position = slot.core.position().unwrap_or_default();
                let error = ConsumeError::Corrupt {
                    partition: name.clone(),
                    position,
                    base_offset: damage.base_offset,
                    last_offset: damage.base_offset,
                    fault: damage.fault,
                };
                self.free(freed, emptied);
                Some(Turn::Error(self.stop(name, error, now)))
            }
        }
    }

    /// Stops a partition at once: the position stays, what was fetched behind it is dropped.
    pub(crate) fn stop(
        &mut self,
        name: &TopicPartition,
        error: ConsumeError,
        now: Instant,
    ) -> ConsumeError {
        let token = self.token();
        if let Some(slot) = self.slots.get_mut(name) {
            slot.core.fail(token);
            slot.fault = None;
            let bytes = slot.clear();
            slot.note(now);
            self.release(name, bytes);
        }
        self.events.push(ConsumerEvent::Failed {
            partition: name.clone(),
            reason: error.to_string(),
        });
        error
    }

    fn nothing(&self) -> Turn {
        if self.slots.is_empty() {
            return Turn::Error(ConsumeError::NothingAssigned);
        }
        if !self.slots.values().all(Slot::is_over) {
            return Turn::Nothing;
        }
        if self.slots.values().all(Slot::has_failed) {
            let partitions = self.slots.len();
            return Turn::Error(ConsumeError::AllFailed { partitions });
        }
        Turn::Over
    }

    /// Whether `token` is still that of the partition.
    pub(crate) fn is_current(&self, name: &TopicPartition, token: Token) -> bool {
        let slot = self.slots.get(name);
        slot.is_some_and(|slot| slot.core.is_current(token))
    }

    /// Moves a position behind what is handed out now; returns whether it still counts.
    pub(crate) fn advance(
        &mut self,
        name: &TopicPartition,
        token: Token,
        next: i64,
        leader_epoch: Option<i32>,
        now: Instant,
    ) -> bool {
        let Some(slot) = self.slots.get_mut(name) else {
            return false;
        };
        if !slot.core.is_current(token) {
            return false;
        }
        slot.core.advance(token, next, leader_epoch);
        slot.note(now);
        self.attention |= slot.core.needs_lookup();
        true
    }

    pub(crate) fn event(&mut self, event: ConsumerEvent) {
        self.events.push(event);
    }

    /// Something has happened that the driver has to look at.
    pub(crate) fn call_driver(&mut self) {
        self.attention = true;
    }

    /// `lane` is to be woken when enough memory was given back.
    pub(crate) fn await_memory(&mut self, node: i32, lane: LaneHandle) {
        if self.hungry.is_empty() {
            let readable = self.slots.values().filter(|slot| !slot.paused);
            self.hunger = readable.map(Slot::buffered).sum::<usize>() / 2;
        }
        self.hungry.insert(node, lane);
    }

    /// Memory was given back. Fetchers that had none are woken when half of what there was to read is
    /// read, so that one fetch asks for several partitions, or when a partition has nothing left.
    fn free(&mut self, bytes: usize, emptied: bool) {
        if bytes > 0 {
            self.buffered = self.buffered.saturating_sub(bytes);
            self.drained += 1;
            self.hunger = self.hunger.saturating_sub(bytes);
            if emptied || self.hunger == 0 {
                self.wake_hungry();
            }
        }
    }

    /// There is memory again for who had none.
    pub(crate) fn wake_hungry(&mut self) {
        let hungry = std::mem::take(&mut self.hungry);
        self.freed.extend(hungry.into_values());
    }

    /// What has to be done outside the lock.
    pub(crate) fn take_news(&mut self) -> News {
        News {
            events: std::mem::take(&mut self.events),
            freed: std::mem::take(&mut self.freed),
            attention: std::mem::take(&mut self.attention),
        }
    }
}
