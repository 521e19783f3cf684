//! Where records without a key go: to one partition until it got a batch's worth of bytes, then
//! to another (KIP-480, KIP-794).
//!
//! - I1: a partition that stays in the topic is kept for at least `switch_after` bytes and at most
//!   twice as many plus one record, whichever it is; so each partition gets the same bytes in the
//!   long run, however fast or slow its broker is.
//! - I2: while any partition is available, an unavailable one is never chosen.
//!
//! Not for records with a key, and it does not yet avoid slow brokers.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

/// The sticky choice of one topic.
///
/// Several threads may share one, without a lock; what they do at the same moment may then count
/// once, so that a switch comes a little late.
#[derive(Debug)]
pub struct Sticky {
    switch_after: u32,
    /// The current partition plus one, 0 if there is none, in the upper half; the bytes that it
    /// got in the lower.
    state: AtomicU64,
}

impl Sticky {
    /// Switches after this many bytes, which should be `batch.size`; 0 counts as 1.
    #[must_use]
    pub fn new(switch_after: u32) -> Self {
        Self {
            switch_after: switch_after.max(1),
            state: AtomicU64::new(0),
        }
    }

    /// The partition for the next record.
    ///
    /// `available` names the partitions that have a leader; when it is empty, any of the topic's
    /// may be chosen. Both count only when a new choice is due, and only then is `random` called;
    /// it should be uniform over all of `u32`.
    #[inline]
    pub fn partition(
        &self,
        partition_count: NonZeroU32,
        available: &[i32],
        random: impl FnOnce() -> u32,
    ) -> i32 {
        let (current, _) = unpack(self.state.load(Ordering::Relaxed));
        match current {
            Some(partition) if partition < partition_count.get() => partition.cast_signed(),
            _ => {
                let chosen = choose(partition_count, available, random());
                self.store(Some(chosen.cast_unsigned()), 0);
                chosen
            }
        }
    }

    /// Counts bytes appended to the current partition, as they count against `batch.size`.
    ///
    /// `batch_ended` says that the partition has no open batch now. A switch waits for that, so
    /// that it does not leave a part-filled batch behind, but no longer than for twice the bytes.
    #[inline]
    pub fn handle_produced(&self, bytes: u32, batch_ended: bool) {
        let (current, produced) = unpack(self.state.load(Ordering::Relaxed));
        let produced = produced.saturating_add(bytes);
        let due = produced >= self.switch_after;
        let overdue = produced >= self.switch_after.saturating_mul(2);
        let leaves = overdue || (due && batch_ended);
        self.store(current.filter(|_| !leaves), produced); // I1
    }

    /// Chooses anew for the next record, for instance because the partition lost its leader.
    pub fn switch(&self) {
        self.store(None, 0);
    }

    #[inline]
    fn store(&self, current: Option<u32>, produced: u32) {
        let upper = current.map_or(0, |partition| u64::from(partition) + 1);
        let state = upper << 32 | u64::from(produced);
        self.state.store(state, Ordering::Relaxed);
    }
}

impl Clone for Sticky {
    fn clone(&self) -> Self {
        Self {
            switch_after: self.switch_after,
            state: AtomicU64::new(self.state.load(Ordering::Relaxed)),
        }
    }
}

#[inline]
fn unpack(state: u64) -> (Option<u32>, u32) {
    let (upper, produced) = ((state >> 32) as u32, state as u32);
    (upper.checked_sub(1), produced)
}

fn choose(partition_count: NonZeroU32, available: &[i32], random: u32) -> i32 {
    let count = u32::try_from(available.len())
        .ok()
        .and_then(NonZeroU32::new);
    let among_available = count.and_then(|count| {
        let index = usize::try_from(crate::below(random, count)).ok()?;
        available.get(index).copied() // I2
    });
    among_available.unwrap_or_else(|| crate::below(random, partition_count))
}

#[cfg(test)]
mod tests;
