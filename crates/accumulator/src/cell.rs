//! Where a batch's outcome appears, for all of its records at once.
//!
//! - I1. An outcome is set once and never changes.
//! - I2. Whoever polled before it was set is woken by it.
//!
//! Not for what the outcome is.

use std::sync::{Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

use crate::lock;

/// The cell of one batch.
#[derive(Debug)]
pub struct Cell<T> {
    id: u64,
    outcome: OnceLock<T>,
    wakers: Mutex<Wakers>,
}

#[derive(Debug, Default)]
struct Wakers {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// The place of one poller among a cell's wakers. Each poller has its own.
#[derive(Debug, Default)]
pub struct Slot(Option<usize>);

impl<T> Cell<T> {
    pub(crate) fn new(id: u64) -> Self {
        Self {
            id,
            outcome: OnceLock::new(),
            wakers: Mutex::default(),
        }
    }

    /// The batch's number: ascending in the order in which batches were opened.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The outcome, if there is one yet.
    pub fn outcome(&self) -> Option<&T> {
        self.outcome.get()
    }

    /// The outcome, or a wake-up when it comes.
    pub fn poll(&self, slot: &mut Slot, context: &Context<'_>) -> Poll<&T> {
        if let Some(outcome) = self.outcome.get() {
            return Poll::Ready(outcome);
        }
        let mut wakers = lock(&self.wakers);
        // Set before the wakers are taken: seen here, or the waker is seen there. // I2
        if let Some(outcome) = self.outcome.get() {
            return Poll::Ready(outcome);
        }
        wakers.register(slot, context.waker());
        Poll::Pending
    }

    /// Gives up a poller's wake-up.
    pub fn forget(&self, slot: &mut Slot) {
        if let Some(index) = slot.0.take() {
            lock(&self.wakers).release(index);
        }
    }

    /// Waits for the outcome.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn resolved(&self) -> &T {
        let mut waiting = Waiting {
            cell: self,
            slot: Slot::default(),
        };
        std::future::poll_fn(|context| self.poll(&mut waiting.slot, context)).await
    }

    /// Sets the outcome if there is none, and says whether it did. // I1
    pub(crate) fn resolve(&self, outcome: T) -> bool {
        let first = self.outcome.set(outcome).is_ok();
        if first {
            let wakers = std::mem::take(&mut *lock(&self.wakers));
            wakers.slots.into_iter().flatten().for_each(Waker::wake);
        }
        first
    }
}

struct Waiting<'a, T> {
    cell: &'a Cell<T>,
    slot: Slot,
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.cell.forget(&mut self.slot);
    }
}

impl Wakers {
    fn register(&mut self, slot: &mut Slot, waker: &Waker) {
        let index = match (slot.0, self.free.pop()) {
            (Some(index), unused) => {
                self.free.extend(unused);
                index
            }
            (None, Some(index)) => index,
            (None, None) => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        slot.0 = Some(index);
        match self.slots.get_mut(index) {
            Some(Some(known)) => known.clone_from(waker),
            Some(empty) => *empty = Some(waker.clone()),
            None => debug_assert!(false, "a slot belongs to one cell"),
        }
    }

    fn release(&mut self, index: usize) {
        if let Some(waker) = self.slots.get_mut(index) {
            *waker = None;
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests;
