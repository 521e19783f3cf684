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

/// The sticky choice of one topic.
#[derive(Debug, Clone)]
pub struct Sticky {
    switch_after: u32,
    current: Option<i32>,
    produced: u32,
}

impl Sticky {
    /// Switches after this many bytes, which should be `batch.size`; 0 counts as 1.
    #[must_use]
    pub fn new(switch_after: u32) -> Self {
        Self {
            switch_after: switch_after.max(1),
            current: None,
            produced: 0,
        }
    }

    /// The partition for the next record.
    ///
    /// `available` names the partitions that have a leader; when it is empty, any of the topic's
    /// may be chosen. Both count only when a new choice is due, and only then is `random` called;
    /// it should be uniform over all of `u32`.
    pub fn partition(
        &mut self,
        partition_count: NonZeroU32,
        available: &[i32],
        random: impl FnOnce() -> u32,
    ) -> i32 {
        match self.current {
            Some(partition) if partition.cast_unsigned() < partition_count.get() => partition,
            _ => {
                let chosen = choose(partition_count, available, random());
                self.current = Some(chosen);
                self.produced = 0;
                chosen
            }
        }
    }

    /// Counts bytes appended to the current partition, as they count against `batch.size`.
    ///
    /// `batch_ended` says that the partition has no open batch now. A switch waits for that, so
    /// that it does not leave a part-filled batch behind, but no longer than for twice the bytes.
    pub fn handle_produced(&mut self, bytes: u32, batch_ended: bool) {
        self.produced = self.produced.saturating_add(bytes);
        let due = self.produced >= self.switch_after;
        let overdue = self.produced >= self.switch_after.saturating_mul(2);
        if overdue || (due && batch_ended) {
            self.switch(); // I1
        }
    }

    /// Chooses anew for the next record, for instance because the partition lost its leader.
    pub fn switch(&mut self) {
        self.current = None;
    }
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
