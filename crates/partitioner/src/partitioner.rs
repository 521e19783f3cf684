//! The user's own choice.

use std::fmt::Debug;
use std::num::NonZeroU32;

/// A choice of partition of the user's own.
///
/// It is asked for each record that names no partition, on the thread that sends it, so it must be
/// quick and must not block. A record that has to wait for memory may be asked for again.
///
/// ```
/// use milena_partitioner::{Partitioner, Partitions};
///
/// /// Orders of the house go to partition 0, which nobody else uses.
/// #[derive(Debug)]
/// struct HouseFirst;
///
/// impl Partitioner for HouseFirst {
///     fn partition(
///         &self,
///         _topic: &str,
///         key: Option<&[u8]>,
///         _value: Option<&[u8]>,
///         partitions: &Partitions<'_>,
///     ) -> Option<i32> {
///         let others = partitions.count().get() - 1;
///         match key? {
///             b"house" => Some(0),
///             key => Some(1 + i32::from(*key.first()?) % others.cast_signed().max(1)),
///         }
///     }
/// }
/// ```
pub trait Partitioner: Send + Sync + Debug {
    /// The partition for a record; `None` leaves it to the sticky choice. One that the topic does
    /// not have fails the `send`.
    fn partition(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        partitions: &Partitions<'_>,
    ) -> Option<i32>;
}

/// The partitions of a topic to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions<'a> {
    count: NonZeroU32,
    available: &'a [i32],
}

impl<'a> Partitions<'a> {
    /// `count` partitions, of which those in `available`, ascending, have a leader.
    #[inline]
    #[must_use]
    pub const fn new(count: NonZeroU32, available: &'a [i32]) -> Self {
        Self { count, available }
    }

    /// How many there are: they are numbered from 0.
    #[inline]
    #[must_use]
    pub const fn count(&self) -> NonZeroU32 {
        self.count
    }

    /// Those that have a leader now, ascending. May be none.
    #[inline]
    #[must_use]
    pub const fn available(&self) -> &'a [i32] {
        self.available
    }

    /// Whether the topic has this partition, and records can go there now, or to none.
    #[inline]
    pub(crate) fn may_take(&self, partition: i32) -> bool {
        let led = self.available.len();
        if led == 0 || led == self.count.get() as usize {
            (0..self.count.get()).contains(&partition.cast_unsigned())
        } else {
            self.available.binary_search(&partition).is_ok()
        }
    }

    /// The partition that `number` falls on, evenly: one that has a leader if there is any.
    pub(crate) fn even(&self, number: u32) -> i32 {
        let led = u32::try_from(self.available.len());
        let led = led.ok().and_then(NonZeroU32::new);
        let among_available = led.and_then(|led| {
            let index = usize::try_from(crate::below(number, led)).ok()?;
            self.available.get(index).copied()
        });
        among_available.unwrap_or_else(|| crate::below(number, self.count))
    }
}
