//! The choice for one topic's records, by whoever sends them.
//!
//! - I1. A record's choice allocates nothing and takes no lock.
//! - I2. While any partition is available, only a key, the user or [`Rule::First`] chooses one that
//!   is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::partitioning::{Rule, Rules};
use crate::sticky::Sticky;
use crate::{Partitioner, Partitioning, Partitions};

/// Chooses partitions for the records of one topic. Several threads may share one, but those that
/// have one each fill larger batches.
#[derive(Debug)]
pub struct Chooser {
    rules: Rules,
    custom: Option<Arc<dyn Partitioner>>,
    sticky: Sticky,
    /// Counts records for the random and round robin choice; 0 before the first one.
    count: AtomicU64,
}

/// A record as far as its partition depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Keyed<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
}

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The partition. Only the user's partitioner chooses one that does not exist.
    pub partition: i32,
    /// Whether the bytes that it gets have to be told to [`Chooser::handle_produced`].
    pub is_sticky: bool,
}

impl Chooser {
    /// A choice that changes its sticky partition after `switch_after` bytes, which should be
    /// `batch.size`. With `ignore_keys` all records are treated as if they had no key, except by
    /// the user's own partitioner.
    #[must_use]
    pub fn new(partitioning: &Partitioning, ignore_keys: bool, switch_after: u32) -> Self {
        let rules = partitioning.rules();
        Self {
            rules: if ignore_keys {
                rules.without_keys()
            } else {
                rules
            },
            custom: match partitioning {
                Partitioning::Custom(custom) => Some(Arc::clone(custom)),
                _ => None,
            },
            sticky: Sticky::new(switch_after),
            count: AtomicU64::new(0),
        }
    }

    /// One that chooses in the same way, but for itself.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self {
            rules: self.rules,
            custom: self.custom.clone(),
            sticky: Sticky::new(self.sticky.switch_after()),
            count: AtomicU64::new(0),
        }
    }

    /// The partition for a record that names none.
    ///
    /// `random` is called rarely, not for each record, and should be uniform over all of `u64`.
    /// `weighted` is called when another sticky partition is due, and may choose it; what it
    /// leaves open is chosen uniformly among the available partitions.
    #[inline]
    pub fn choose(
        &self,
        record: Keyed<'_>,
        partitions: Partitions<'_>,
        random: impl Fn() -> u64,
        weighted: impl FnOnce() -> Option<i32>,
    ) -> Chosen {
        match self.rules.of(record.key) {
            Rule::Sticky => self.stick(partitions, random, weighted),
            Rule::Hash(hash) => Chosen {
                partition: hash.partition(record.key.unwrap_or_default(), partitions.count()),
                is_sticky: false,
            },
            other => match self.choose_by(other, record, partitions, &random) {
                Some(partition) => Chosen {
                    partition,
                    is_sticky: false,
                },
                None => self.stick(partitions, random, weighted),
            },
        }
    }

    /// Counts bytes appended to a partition that was a sticky choice, as they count against
    /// `batch.size`.
    ///
    /// `batch_ended` says that the partition has no open batch now but the one that this record
    /// opened. A switch waits for that, so that it does not leave a part-filled batch behind, but
    /// no longer than for twice the bytes.
    #[inline]
    pub fn handle_produced(&self, bytes: u32, batch_ended: bool) {
        self.sticky.handle_produced(bytes, batch_ended);
    }

    #[inline]
    fn stick(
        &self,
        partitions: Partitions<'_>,
        random: impl Fn() -> u64,
        weighted: impl FnOnce() -> Option<i32>,
    ) -> Chosen {
        let partition = match self.sticky.current() {
            Some(current) if partitions.may_take(current) => current,
            _ => self.turn(partitions, random, weighted),
        };
        Chosen {
            partition,
            is_sticky: true,
        }
    }

    /// Begins with another sticky partition.
    #[cold]
    fn turn(
        &self,
        partitions: Partitions<'_>,
        random: impl Fn() -> u64,
        weighted: impl FnOnce() -> Option<i32>,
    ) -> i32 {
        let weighted = weighted().filter(|&partition| partitions.may_take(partition)); // I2
        let chosen = weighted.unwrap_or_else(|| partitions.even(random() as u32));
        self.sticky.begin(chosen);
        chosen
    }

    /// The choice by a rule that is not the usual one; `None` leaves it to the sticky choice.
    #[inline(never)]
    fn choose_by(
        &self,
        rule: Rule,
        record: Keyed<'_>,
        partitions: Partitions<'_>,
        random: &dyn Fn() -> u64,
    ) -> Option<i32> {
        match rule {
            Rule::Random => Some(partitions.even((mix(self.next(random)) >> 32) as u32)),
            Rule::RoundRobin => Some(partitions.even(self.next(random) as u32)),
            Rule::First => Some(0),
            Rule::Custom => {
                let custom = self.custom.as_ref()?;
                custom.partition(record.topic, record.key, record.value, &partitions)
            }
            Rule::Hash(_) | Rule::Sticky => None,
        }
    }

    /// The record's number, from anywhere on.
    fn next(&self, random: &dyn Fn() -> u64) -> u64 {
        if self.count.load(Ordering::Relaxed) == 0 {
            // Not 0, and far from wrapping to it; whoever comes second takes the first's.
            let start = (random() >> 1) + 1;
            let _ = (self.count).compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed)
    }
}

/// The output function of SplitMix64: as good as random for numbers that follow each other.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests;
