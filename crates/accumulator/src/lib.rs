//! What a producer holds before and while it sends: open and closed batches per partition, one
//! memory budget for all of them, and the cells through which records learn their outcome.
//!
//! A record is appended to its partition's [`Queue`], which writes it straight into the open
//! batch's memory and returns the batch's [`Cell`] and the record's index in it. A sender takes
//! closed batches out, seals them, and resolves each once by [`Accumulator::resolve`].
//!
//! - I1. Memory is reserved before it is allocated; the budget is exceeded by nobody.
//! - I2. Per record there is no allocation beyond the segments, no task and no channel.
//! - I3. Batches leave a queue in the order in which they were opened.
//! - I4. A batch stays outstanding, and its memory reserved, until it is resolved.
//!
//! Not for sending, retrying or stamping; knows no runtime and reads no clock.

#![forbid(unsafe_code)]

mod budget;
mod cell;
mod queue;

pub use budget::{Budget, Reservation, Reserve};
pub use cell::{Cell, Slot};
pub use queue::{Accepted, Batch, ClosedBatch, Queue, Readiness, Refused};

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The default of [`Limits::memory`]: 32 MiB.
pub const DEFAULT_MEMORY: usize = 32 * 1024 * 1024;

/// The sizes that an accumulator keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A batch is closed before it would grow beyond this many bytes, its header included and
    /// before compression. Default 1,000,000.
    pub batch: usize,
    /// All unresolved batches together take at most this many bytes. Default 32 MiB.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: milena_records::DEFAULT_BATCH_LIMIT,
            memory: DEFAULT_MEMORY,
        }
    }
}

/// The budget and the outstanding batches of one producer. `T` is a batch's outcome.
#[derive(Debug)]
pub struct Accumulator<T> {
    limits: Limits,
    budget: Arc<Budget>,
    next_id: AtomicU64,
    outstanding: Mutex<BTreeMap<u64, Arc<Cell<T>>>>,
}

impl<T> Accumulator<T> {
    /// An accumulator without batches.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            budget: Arc::new(Budget::new(limits.memory)),
            next_id: AtomicU64::new(0),
            outstanding: Mutex::new(BTreeMap::new()),
        }
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The memory budget.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The cells of all batches that are not resolved, oldest first: what a flush waits for.
    pub fn outstanding(&self) -> Vec<Arc<Cell<T>>> {
        lock(&self.outstanding).values().cloned().collect()
    }

    /// Whether all batches are resolved.
    pub fn is_idle(&self) -> bool {
        lock(&self.outstanding).is_empty()
    }

    /// Tells a batch's records their outcome and returns its memory. Only the first outcome of a
    /// batch counts; whether this was it is returned.
    pub fn resolve(&self, batch: &Batch<T>, outcome: T) -> bool {
        batch.release(); // I4
        self.resolve_cell(batch.cell(), outcome)
    }

    /// As [`Self::resolve`], for a batch that could not be sealed and whose cell is all that is
    /// left.
    pub fn resolve_cell(&self, cell: &Cell<T>, outcome: T) -> bool {
        lock(&self.outstanding).remove(&cell.id());
        cell.resolve(outcome)
    }

    fn open_cell(&self) -> Arc<Cell<T>> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let cell = Arc::new(Cell::new(id));
        lock(&self.outstanding).insert(id, Arc::clone(&cell));
        cell
    }
}

/// Locks, also after a panic elsewhere: every critical section here leaves a whole state behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
