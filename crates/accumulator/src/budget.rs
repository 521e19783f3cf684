//! A number of bytes that many share, first come, first served.
//!
//! - I1. What is reserved never exceeds the limit.
//! - I2. While someone waits, nobody overtakes: a large request is not starved by small ones.
//! - I3. A dropped [`Reserve`] or [`Reservation`] gives everything back.
//!
//! Not for allocating the memory itself.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::lock;

/// The budget.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    next_waiter: u64,
    /// Those not yet granted, in order of arrival.
    waiting: VecDeque<Waiter>,
    /// Those granted that have not noticed yet, with their bytes.
    granted: Vec<u64>,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    bytes: usize,
    waker: Waker,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    /// The limit.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The bytes that are reserved.
    pub fn used(&self) -> usize {
        lock(&self.state).used
    }

    /// Whether someone waits.
    pub fn is_contended(&self) -> bool {
        !lock(&self.state).waiting.is_empty()
    }

    /// Reserves at once or not at all.
    pub fn try_reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let mut state = lock(&self.state);
        let fits = state.waiting.is_empty() && bytes <= self.limit.saturating_sub(state.used);
        fits.then(|| {
            state.used += bytes; // I1
            self.reservation(bytes)
        })
    }

    /// Waits for its turn and for room. More bytes than the limit are cut to it.
    ///
    /// # Cancel safety
    /// Dropping the future gives up its place in the queue and reserves nothing.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Reserve {
        Reserve {
            budget: Arc::clone(self),
            bytes: bytes.min(self.limit),
            waiter: None,
        }
    }

    fn reservation(self: &Arc<Self>, bytes: usize) -> Reservation {
        Reservation {
            budget: Arc::clone(self),
            bytes,
        }
    }

    fn release(&self, bytes: usize) {
        let mut woken = Vec::new();
        {
            let mut state = lock(&self.state);
            state.used -= bytes;
            self.grant(&mut state, &mut woken);
        }
        woken.into_iter().for_each(Waker::wake);
    }

    /// Serves those who wait, in order, until one does not fit. // I2
    fn grant(&self, state: &mut State, woken: &mut Vec<Waker>) {
        while let Some(first) = state.waiting.front() {
            if first.bytes > self.limit - state.used {
                return;
            }
            let Some(first) = state.waiting.pop_front() else {
                return;
            };
            state.used += first.bytes;
            state.granted.push(first.id);
            woken.push(first.waker);
        }
    }
}

/// Waits for a [`Reservation`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Reserve {
    budget: Arc<Budget>,
    bytes: usize,
    waiter: Option<u64>,
}

impl Future for Reserve {
    type Output = Reservation;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reservation> {
        let this = &mut *self;
        let Some(id) = this.waiter else {
            if let Some(reservation) = this.budget.try_reserve(this.bytes) {
                return Poll::Ready(reservation);
            }
            return this.enqueue(context);
        };
        let mut state = lock(&this.budget.state);
        if let Some(at) = state.granted.iter().position(|granted| *granted == id) {
            state.granted.swap_remove(at);
            drop(state);
            this.waiter = None;
            return Poll::Ready(this.budget.reservation(this.bytes));
        }
        if let Some(waiter) = state.waiting.iter_mut().find(|waiter| waiter.id == id) {
            waiter.waker.clone_from(context.waker());
        }
        Poll::Pending
    }
}

impl Reserve {
    /// Takes a place in the queue. Room may have come since it was looked for, so those in front
    /// are served now, itself perhaps included.
    fn enqueue(&mut self, context: &Context<'_>) -> Poll<Reservation> {
        let mut woken = Vec::new();
        {
            let mut state = lock(&self.budget.state);
            let id = state.next_waiter;
            state.next_waiter += 1;
            state.waiting.push_back(Waiter {
                id,
                bytes: self.bytes,
                waker: context.waker().clone(),
            });
            self.waiter = Some(id);
            self.budget.grant(&mut state, &mut woken);
        }
        woken.into_iter().for_each(Waker::wake);
        Poll::Pending
    }
}

impl Drop for Reserve {
    // I3
    fn drop(&mut self) {
        let Some(id) = self.waiter else { return };
        let mut woken = Vec::new();
        {
            let mut state = lock(&self.budget.state);
            if let Some(at) = state.granted.iter().position(|granted| *granted == id) {
                state.granted.swap_remove(at);
                state.used -= self.bytes;
            } else {
                state.waiting.retain(|waiter| waiter.id != id);
            }
            self.budget.grant(&mut state, &mut woken);
        }
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Bytes that are reserved until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Reservation {
    /// Nothing of this budget, to be added to.
    pub fn none(budget: &Arc<Budget>) -> Self {
        budget.reservation(0)
    }

    /// The bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes over the bytes of another reservation of the same budget.
    pub fn absorb(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.budget, &other.budget));
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// So many bytes of it, or all if there are fewer, as a reservation of their own.
    pub fn take(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.reservation(bytes)
    }

    /// Keeps at most this many bytes and gives the rest back.
    pub fn shrink_to(&mut self, bytes: usize) {
        let excess = self.bytes.saturating_sub(bytes);
        if excess > 0 {
            self.bytes -= excess;
            self.budget.release(excess);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.release(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests;
