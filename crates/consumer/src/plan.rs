//! What one broker's fetcher asks for next, and how much memory that takes.
//!
//! - I1: a partition is fetched only while no more than one answer's worth of it waits: so the next
//!   answer is on its way while the user reads the one before.
//! - I2: the memory share is reserved before a fetch goes out. If it is full although the user
//!   has nothing to read (all of it belongs to paused partitions), one small fetch goes out all
//!   the same: the user never waits for memory that only the user could free.
//! - I3: a fetch does not wait at the broker for long while partitions of the same broker are left
//!   out of it, because they may want to be fetched soon.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milena_proto::fetch_session::{SessionKey, Wanted};
use milena_proto::position::FetchFrom;
use milena_rpc::Snapshot;

use crate::ConsumerConfig;
use crate::slot::Slot;
use crate::state::State;

/// The shortest wait at the broker; see I3. It doubles while the user reads nothing.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// What to do next.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Fetch this.
    Fetch(Fetch),
    /// Nothing until something changes.
    Wait,
    /// The broker leads no assigned partition.
    Leave,
}

/// One fetch.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    /// What to ask of each partition.
    pub(crate) wanted: BTreeMap<SessionKey, Wanted>,
    /// Under which token.
    pub(crate) asked: BTreeMap<SessionKey, FetchFrom>,
    /// Taken from the memory share.
    pub(crate) reserved: usize,
    /// Whether a topic's id is not known.
    pub(crate) without_ids: bool,
    /// Whether partitions were left out because enough of them waits to be read.
    pub(crate) left_out: bool,
    /// How long the broker may wait for records.
    pub(crate) max_wait: Duration,
}

impl State {
    /// The next fetch from `node`; its memory is then reserved.
    pub(crate) fn plan(
        &mut self,
        node: i32,
        snapshot: &Snapshot,
        config: &ConsumerConfig,
        now: Instant,
    ) -> Plan {
        let mut fetch = Fetch {
            wanted: BTreeMap::new(),
            asked: BTreeMap::new(),
            reserved: 0,
            without_ids: false,
            left_out: false,
            max_wait: Duration::ZERO,
        };
        let mut leads = false;
        for slot in self.slots.values_mut() {
            let Some(leader) = leader_of(slot, snapshot).filter(|leader| leader.0 == node) else {
                continue;
            };
            leads = true;
            let Some(from) = slot.fetch_from(now) else {
                continue;
            };
            if slot.buffered() > config.partition_bytes() {
                fetch.left_out = true; // I1
                continue;
            }
            fetch.without_ids |= slot.topic_id.is_zero();
            let key = SessionKey {
                topic: slot.name.topic.clone(),
                topic_id: slot.topic_id,
                partition: slot.name.partition,
            };
            let want = Wanted {
                offset: from.offset,
                leader_epoch: leader.1,
                max_bytes: config.max_partition_fetch_bytes,
            };
            fetch.wanted.insert(key.clone(), want);
            fetch.asked.insert(key, from);
        }
        if !leads {
            return Plan::Leave;
        }
        if fetch.wanted.is_empty() {
            return Plan::Wait;
        }
        match self.reserve(fetch.wanted.len(), config) {
            Some(bytes) => {
                fetch.reserved = bytes;
                Plan::Fetch(fetch)
            }
            None => Plan::Wait,
        }
    }

    /// Takes memory for one fetch of so many partitions. // I2
    fn reserve(&mut self, partitions: usize, config: &ConsumerConfig) -> Option<usize> {
        let one = config.partition_bytes();
        let fair = config.fetch_memory / self.fetchers.max(1);
        let largest = usize::try_from(config.fetch_max_bytes).unwrap_or(usize::MAX);
        let wish = one.saturating_mul(partitions).min(fair).min(largest).max(1);
        let used = self.buffered.saturating_add(self.reserved);
        let free = config.fetch_memory.saturating_sub(used);
        let bytes = if free >= wish.min(one) {
            wish.min(free)
        } else if self.reserved == 0 && !self.has_something() {
            wish.min(one)
        } else {
            return None;
        };
        self.reserved += bytes;
        Some(bytes)
    }

    /// Whether `node` leads a partition that can be fetched.
    pub(crate) fn wants(
        &self,
        node: i32,
        snapshot: &Snapshot,
        config: &ConsumerConfig,
        now: Instant,
    ) -> bool {
        !self.closed
            && self.slots.values().any(|slot| {
                slot.buffered() <= config.partition_bytes()
                    && slot.fetch_from(now).is_some()
                    && leader_of(slot, snapshot).is_some_and(|leader| leader.0 == node)
            })
    }

    /// Reserved memory has become a partition's.
    pub(crate) fn settle(&mut self, bytes: usize) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    /// A fetch has ended, however it did.
    pub(crate) fn unreserve(&mut self, bytes: usize) {
        self.reserved = self.reserved.saturating_sub(bytes);
        self.wake_hungry();
    }
}

/// The leader's node id and epoch, if it is known and the topic is still the same one.
pub(crate) fn leader_of(slot: &Slot, snapshot: &Snapshot) -> Option<(i32, i32)> {
    let topic = snapshot.topic(&slot.name.topic)?;
    if topic.id != slot.topic_id && !slot.topic_id.is_zero() && !topic.id.is_zero() {
        return None;
    }
    let leader = snapshot.leader(&slot.name.topic, slot.name.partition)?;
    Some((leader.broker.id, leader.epoch.unwrap_or(-1)))
}

/// How long a fetch may wait at the broker. // I3
#[derive(Debug)]
pub(crate) struct Patience {
    short: Duration,
    drained: u64,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self {
            short: SHORTEST_WAIT,
            drained: 0,
        }
    }

    pub(crate) fn next(&mut self, left_out: bool, drained: u64, longest: Duration) -> Duration {
        if !left_out || drained != self.drained {
            self.drained = drained;
            self.short = SHORTEST_WAIT;
        }
        if !left_out {
            return longest;
        }
        let wait = self.short.min(longest);
        self.short = (self.short * 2).min(longest);
        wait
    }
}

#[cfg(test)]
mod tests;
