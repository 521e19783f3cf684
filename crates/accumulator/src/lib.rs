//! What a producer holds before and while it sends: open and sealed batches per partition, one
//! memory budget for all of them, and the cells through which records learn their outcome.
//!
//! A record is appended to its partition's [`Queue`], which writes it straight into the open
//! batch's memory and returns the batch's [`Cell`] and the record's index in it. Full batches are
//! sealed by whoever filled them, put back, taken out by a sender, and resolved once by
//! [`Accumulator::resolve`].
//!
//! - I1. Memory is reserved before it is allocated; the budget is exceeded by nobody.
//! - I2. Per record there is no allocation beyond the segments, no task and no channel.
//! - I3. Batches leave a queue in the order in which they were opened.
//! - I4. A batch stays outstanding, and its memory reserved, until it is resolved.
//!
//! Not for sending, retrying or stamping; knows no runtime and reads no clock.

#![forbid(unsafe_code)]

mod batch;
mod budget;
mod cell;
mod queue;
mod segments;

pub use batch::{Batch, ClosedBatch, Unsealed};
pub use budget::{Budget, Reservation, Reserve};
pub use cell::{Cell, Slot};
pub use queue::{Accepted, Drained, Front, Opened, Queue, Refused};

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use segments::Segments;

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
    /// A batch takes at most this many records, and is due when it has them. Default no limit.
    pub records: u32,
    /// A batch of this many bytes is due, although it takes more. Default never.
    pub due_bytes: usize,
    /// A batch of this many records is due, although it takes more. Default never.
    pub due_records: u32,
}

impl Limits {
    /// Whether batches are looked at with every record: by size alone they need not be.
    fn watch(&self) -> bool {
        self.due_bytes != usize::MAX || self.records.min(self.due_records) != u32::MAX
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: milena_records::DEFAULT_BATCH_LIMIT,
            memory: DEFAULT_MEMORY,
            records: u32::MAX,
            due_bytes: usize::MAX,
            due_records: u32::MAX,
        }
    }
}

/// The budget and the outstanding batches of one producer. `T` is a record's outcome, `O` names
/// the partition a batch belongs to.
#[derive(Debug)]
pub struct Accumulator<T, O> {
    limits: Limits,
    budget: Arc<Budget>,
    segments: Arc<Segments>,
    next_id: AtomicU64,
    outstanding: Mutex<BTreeMap<u64, Arc<Cell<T, O>>>>,
}

impl<T, O> Accumulator<T, O> {
    /// An accumulator without batches.
    pub fn new(limits: Limits) -> Self {
        let budget = Arc::new(Budget::new(limits.memory));
        Self {
            limits,
            segments: Arc::new(Segments::new(Arc::clone(&budget))),
            budget,
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
    pub fn outstanding(&self) -> Vec<Arc<Cell<T, O>>> {
        lock(&self.outstanding).values().cloned().collect()
    }

    /// The cell of the oldest batch that is not resolved.
    pub fn oldest(&self) -> Option<Arc<Cell<T, O>>> {
        lock(&self.outstanding).values().next().cloned()
    }

    /// Whether all batches are resolved.
    pub fn is_idle(&self) -> bool {
        lock(&self.outstanding).is_empty()
    }

    /// Tells all of a batch's records their outcome and returns its memory. Only the first outcome
    /// of a batch counts; whether this was it is returned.
    pub fn resolve(&self, batch: &Batch<T, O>, outcome: T) -> bool {
        batch.release(); // I4
        self.resolve_range(batch.cell(), batch.first(), outcome)
    }

    /// As [`Self::resolve`], for a batch that could not be sealed and whose cell is all that is
    /// left.
    pub fn resolve_cell(&self, cell: &Cell<T, O>, outcome: T) -> bool {
        self.resolve_range(cell, 0, outcome)
    }

    /// Tells the records of the range that holds record `first`.
    fn resolve_range(&self, cell: &Cell<T, O>, first: u32, outcome: T) -> bool {
        let resolved = cell.resolve(first, outcome);
        if cell.is_resolved() {
            lock(&self.outstanding).remove(&cell.id());
        }
        resolved
    }

    fn open_cell(&self, owner: O, opened_at: Instant) -> Arc<Cell<T, O>> {
        let mut outstanding = lock(&self.outstanding);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let cell = Arc::new(Cell::new(id, owner, opened_at));
        outstanding.insert(id, Arc::clone(&cell));
        cell
    }
}

/// Locks, also after a panic elsewhere: every critical section here leaves a whole state behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
