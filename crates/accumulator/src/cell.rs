//! Where a batch's outcome appears, for all of its records at once, or for ranges of them once the
//! batch has been divided.
//!
//! - I1. The outcome of a range is set once and never changes.
//! - I2. Whoever polled before it was set is woken by it.
//! - I3. The ranges cover all records and do not overlap; only a range without an outcome can be
//!   divided.
//!
//! Not for what the outcome is.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::lock;

/// The cell of one batch. `O` is whose batch it is.
#[derive(Debug)]
pub struct Cell<T, O> {
    id: u64,
    owner: O,
    opened_at: Instant,
    all: Range<T>,
    /// Ranges without an outcome.
    unresolved: AtomicUsize,
    wakers: Mutex<Wakers>,
}

/// Records that share an outcome, or are divided further.
#[derive(Debug)]
struct Range<T> {
    outcome: OnceLock<T>,
    /// Each with the index behind its last record, ascending.
    divided: OnceLock<Parts<T>>,
}

type Parts<T> = Box<[(u32, Range<T>)]>;

#[derive(Debug, Default)]
struct Wakers {
    slots: Vec<Option<Waker>>,
    free: Vec<NonZeroU32>,
}

/// The place of one poller among a cell's wakers, counted from one. Each poller has its own.
#[derive(Debug, Default)]
pub struct Slot(Option<NonZeroU32>);

impl<T, O> Cell<T, O> {
    pub(crate) fn new(id: u64, owner: O, opened_at: Instant) -> Self {
        Self {
            id,
            owner,
            opened_at,
            all: Range::new(),
            unresolved: AtomicUsize::new(1),
            wakers: Mutex::default(),
        }
    }

    /// The batch's number: ascending in the order in which batches were opened.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whose batch it is.
    pub fn owner(&self) -> &O {
        &self.owner
    }

    /// When the batch got its first record: deadlines count from here.
    pub fn opened_at(&self) -> Instant {
        self.opened_at
    }

    /// The outcome of the record with this index, if there is one yet.
    pub fn outcome(&self, index: u32) -> Option<&T> {
        self.all.of(index).0.outcome.get()
    }

    /// Whether every record has its outcome.
    pub fn is_resolved(&self) -> bool {
        self.unresolved.load(Ordering::Acquire) == 0
    }

    /// The outcome of the record with this index, or a wake-up when something comes.
    #[inline]
    pub fn poll(&self, index: u32, slot: &mut Slot, context: &Context<'_>) -> Poll<&T> {
        self.poll_until(slot, context, || self.outcome(index))
    }

    /// Gives up a poller's wake-up.
    #[inline]
    pub fn forget(&self, slot: &mut Slot) {
        if let Some(place) = slot.0.take() {
            lock(&self.wakers).release(place);
        }
    }

    /// Waits until every record has its outcome.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn resolved(&self) {
        let mut waiting = Waiting {
            cell: self,
            slot: Slot::default(),
        };
        let resolved = || self.is_resolved().then_some(());
        std::future::poll_fn(|context| self.poll_until(&mut waiting.slot, context, resolved)).await;
    }

    /// Divides the range that holds record `first` into ranges that end before the given indexes,
    /// which ascend and whose last one is the range's own end. Returns false, and changes nothing,
    /// if it has its outcome already or those are not its ends. // I3
    pub fn divide(&self, first: u32, ends: &[u32]) -> bool {
        let (range, end) = self.all.of(first);
        let ascending = ends.windows(2).all(|pair| pair[0] < pair[1]);
        let fits = match (ends.last(), end) {
            (Some(last), Some(end)) => *last == end,
            (last, None) => last.is_some(),
            (None, _) => false,
        };
        if !fits || !ascending || range.outcome.get().is_some() {
            return false;
        }
        let parts = ends.iter().map(|end| (*end, Range::new())).collect();
        let first = range.divided.set(parts).is_ok();
        if first {
            self.unresolved.fetch_add(ends.len() - 1, Ordering::AcqRel);
        }
        first
    }

    /// Sets the outcome of the range that holds record `first` if it has none, and says whether it
    /// did. // I1
    pub(crate) fn resolve(&self, first: u32, outcome: T) -> bool {
        if self.all.of(first).0.outcome.set(outcome).is_err() {
            return false;
        }
        self.unresolved.fetch_sub(1, Ordering::AcqRel);
        let woken = lock(&self.wakers).take();
        woken.into_iter().for_each(Waker::wake);
        true
    }

    #[inline]
    fn poll_until<R>(
        &self,
        slot: &mut Slot,
        context: &Context<'_>,
        result: impl Fn() -> Option<R>,
    ) -> Poll<R> {
        match result() {
            Some(result) => Poll::Ready(result),
            None => self.register_until(slot, context, result),
        }
    }

    fn register_until<R>(
        &self,
        slot: &mut Slot,
        context: &Context<'_>,
        result: impl Fn() -> Option<R>,
    ) -> Poll<R> {
        let mut wakers = lock(&self.wakers);
        // Set before the wakers are taken: seen here, or the waker is seen there. // I2
        if let Some(result) = result() {
            return Poll::Ready(result);
        }
        wakers.register(slot, context.waker());
        Poll::Pending
    }
}

impl<T> Range<T> {
    const fn new() -> Self {
        Self {
            outcome: OnceLock::new(),
            divided: OnceLock::new(),
        }
    }

    /// The undivided range that holds the record with this index, or the last one if it is beyond,
    /// and the range's end, unless it is all there is.
    #[inline]
    fn of(&self, index: u32) -> (&Self, Option<u32>) {
        let (mut range, mut ending) = (self, None);
        while let Some(parts) = range.divided.get() {
            let at = parts.partition_point(|(end, _)| *end <= index);
            match parts.get(at).or(parts.last()) {
                Some((end, part)) => (range, ending) = (part, Some(*end)),
                None => break,
            }
        }
        (range, ending)
    }
}

struct Waiting<'a, T, O> {
    cell: &'a Cell<T, O>,
    slot: Slot,
}

impl<T, O> Drop for Waiting<'_, T, O> {
    fn drop(&mut self) {
        self.cell.forget(&mut self.slot);
    }
}

impl Wakers {
    fn register(&mut self, slot: &mut Slot, waker: &Waker) {
        let place = *slot.0.get_or_insert_with(|| {
            self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                let count = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
                NonZeroU32::new(count).unwrap_or(NonZeroU32::MAX)
            })
        });
        match self.at(place) {
            Some(Some(known)) => known.clone_from(waker),
            Some(empty) => *empty = Some(waker.clone()),
            None => debug_assert!(false, "a slot belongs to one cell"),
        }
    }

    /// Empties all places; they stay with their pollers, who may poll again.
    fn take(&mut self) -> Vec<Waker> {
        self.slots.iter_mut().filter_map(Option::take).collect()
    }

    fn release(&mut self, place: NonZeroU32) {
        if let Some(waker) = self.at(place) {
            *waker = None;
            self.free.push(place);
        }
    }

    fn at(&mut self, place: NonZeroU32) -> Option<&mut Option<Waker>> {
        self.slots.get_mut(place.get() as usize - 1)
    }
}

#[cfg(test)]
mod tests;
