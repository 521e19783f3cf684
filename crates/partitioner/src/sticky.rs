//! Where records without a key go: to one partition until it got a batch's worth of bytes, then
//! to another (KIP-480, KIP-794).
//!
//! - I1: a partition that stays in the topic is kept for at least `switch_after` bytes and at most
//!   twice as many plus one record, whichever it is; so partitions that are chosen equally often
//!   get the same bytes in the long run, however fast or slow their brokers are.
//!
//! Not for choosing the next one.

use std::sync::atomic::{AtomicU64, Ordering};

/// The sticky partition of one topic.
///
/// Several threads may share one, without a lock; what they do at the same moment may then count
/// once, so that a switch comes a little late.
#[derive(Debug)]
pub(crate) struct Sticky {
    switch_after: u32,
    /// The current partition plus one, 0 if there is none, in the upper half; the bytes that it
    /// got in the lower.
    state: AtomicU64,
}

impl Sticky {
    /// Switches after this many bytes; 0 counts as 1.
    pub(crate) fn new(switch_after: u32) -> Self {
        Self {
            switch_after: switch_after.max(1),
            state: AtomicU64::new(0),
        }
    }

    pub(crate) fn switch_after(&self) -> u32 {
        self.switch_after
    }

    /// The partition for the next record, unless one has to be chosen.
    #[inline]
    pub(crate) fn current(&self) -> Option<i32> {
        let (current, _) = unpack(self.state.load(Ordering::Relaxed));
        current.map(u32::cast_signed)
    }

    /// Stays with this partition from now on.
    pub(crate) fn begin(&self, partition: i32) {
        self.store(Some(partition.cast_unsigned()), 0);
    }

    /// Counts bytes appended to the current partition.
    ///
    /// `batch_ended` says that the partition has no open batch now. A switch waits for that, so
    /// that it does not leave a part-filled batch behind, but no longer than for twice the bytes.
    #[inline]
    pub(crate) fn handle_produced(&self, bytes: u32, batch_ended: bool) {
        let (current, produced) = unpack(self.state.load(Ordering::Relaxed));
        let produced = produced.saturating_add(bytes);
        let due = produced >= self.switch_after;
        let overdue = produced >= self.switch_after.saturating_mul(2);
        let leaves = overdue || (due && batch_ended);
        self.store(current.filter(|_| !leaves), produced); // I1
    }

    #[inline]
    fn store(&self, current: Option<u32>, produced: u32) {
        let upper = current.map_or(0, |partition| u64::from(partition) + 1);
        let state = upper << 32 | u64::from(produced);
        self.state.store(state, Ordering::Relaxed);
    }
}

#[inline]
fn unpack(state: u64) -> (Option<u32>, u32) {
    let (upper, produced) = ((state >> 32) as u32, state as u32);
    (upper.checked_sub(1), produced)
}

#[cfg(test)]
mod tests;
