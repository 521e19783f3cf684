//! The batches of one partition that were never sent: closed ones, then the open one.
//!
//! - I1. Batches leave in the order in which they were opened.
//! - I2. A batch is closed under the lock and sealed outside it, by whoever closed it; its place
//!   is kept meanwhile.
//! - I3. A batch whose place is gone when it is sealed was drained: it goes back to its sealer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use milena_records::RecordParts;

use crate::batch::Stop;
use crate::{Accumulator, Batch, Cell, ClosedBatch, Reservation, lock};

/// The queue of one partition. It has cache lines of its own, since threads that send to different
/// partitions write to different queues.
#[derive(Debug)]
#[repr(align(128))]
pub struct Queue<T, O> {
    accumulator: Arc<Accumulator<T, O>>,
    /// The largest batch, in bytes before compression.
    limit: AtomicUsize,
    batches: Mutex<Batches<T, O>>,
}

#[derive(Debug)]
struct Batches<T, O> {
    open: Option<ClosedBatch<T, O>>,
    closed: VecDeque<Entry<T, O>>,
    shut: bool,
}

#[derive(Debug)]
enum Entry<T, O> {
    /// The batch with this number is being sealed. // I2
    Sealing(u64),
    Sealed(Batch<T, O>),
}

/// A record that was taken in.
#[derive(Debug)]
pub struct Accepted<T, O> {
    /// Where its batch's outcome will appear.
    pub cell: Arc<Cell<T, O>>,
    /// Its place in the batch, from 0.
    pub index: u32,
    /// The bytes it takes.
    pub size: u32,
    /// Set if it is the first of its batch, or made its batch due.
    pub opened: Option<Box<Opened<T, O>>>,
}

/// What happened when a batch was opened or became due.
#[derive(Debug)]
pub struct Opened<T, O> {
    /// The batch before it, if that is full now: to be sealed and put back by
    /// [`Queue::put_sealed`].
    pub closed: Option<Box<ClosedBatch<T, O>>>,
    /// Whether the record's batch is due: it may go although it takes more.
    pub due: bool,
}

/// Why a record was not taken in. Nothing of it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The budget lacks room: reserve this many bytes, which are enough, and append again.
    NeedsRoom(usize),
    /// The record fits in no batch.
    RecordTooLarge,
    /// The queue takes no more records.
    Shut,
}

/// What stands at the front of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// Nothing.
    Empty,
    /// The open batch, with when it got its first record.
    Open {
        /// When it got its first record.
        opened_at: Instant,
        /// Its size with the header, before compression.
        size: usize,
        /// Whether it may go although it takes more; see [`Limits`](crate::Limits).
        due: bool,
    },
    /// A batch that is being sealed.
    Sealing,
    /// A batch that can be sent.
    Sealed {
        /// Its size with the header.
        size: usize,
    },
}

/// A batch that was drained from a queue.
#[derive(Debug)]
pub enum Drained<T, O> {
    /// Not sealed yet.
    Closed(Box<ClosedBatch<T, O>>),
    /// Sealed.
    Sealed(Batch<T, O>),
}

impl<T, O> Opened<T, O> {
    const fn due() -> Self {
        Self {
            closed: None,
            due: true,
        }
    }
}

impl<T, O> Drained<T, O> {
    /// The number of records.
    pub fn records(&self) -> u32 {
        match self {
            Self::Closed(closed) => closed.records(),
            Self::Sealed(batch) => batch.sealed().count(),
        }
    }
}

impl<T, O: Clone> Queue<T, O> {
    /// An empty queue.
    pub fn new(accumulator: Arc<Accumulator<T, O>>) -> Self {
        Self {
            limit: AtomicUsize::new(accumulator.limits().batch),
            accumulator,
            batches: Mutex::new(Batches {
                open: None,
                closed: VecDeque::new(),
                shut: false,
            }),
        }
    }

    /// Encodes a record into the open batch, or into a new one of `owner`'s if it does not fit.
    ///
    /// What was `reserved` after [`Refused::NeedsRoom`] is used first and left in place if it is
    /// not needed. `now` is called when a batch is opened.
    ///
    /// # Errors
    /// [`Refused`].
    #[inline(always)]
    pub fn append(
        &self,
        record: &RecordParts<'_>,
        owner: &O,
        now: impl FnOnce() -> Instant,
        reserved: &mut Option<Reservation>,
    ) -> Result<Accepted<T, O>, Refused> {
        let mut batches = lock(&self.batches);
        if batches.shut {
            return Err(Refused::Shut);
        }
        if let Some(open) = &mut batches.open {
            match open.append(record, &self.accumulator, reserved) {
                Ok((index, size)) if open.watched => {
                    return Ok(self.looked_at(open, (index, size)));
                }
                Ok((index, size)) => return Ok(open.accepted(index, size)),
                Err(Stop::Full) => {}
                Err(Stop::Refused(refused)) => return Err(refused),
            }
        }
        self.append_to_new(&mut batches, record, owner, now, reserved)
    }

    #[cold]
    fn looked_at(
        &self,
        open: &mut ClosedBatch<T, O>,
        (index, size): (u32, usize),
    ) -> Accepted<T, O> {
        let due = open.look(self.accumulator.limits());
        Accepted {
            opened: due.then(|| Box::new(Opened::due())),
            ..open.accepted(index, size)
        }
    }

    /// Opens a batch for the record, and closes the one before; neither if it is not taken.
    #[cold]
    fn append_to_new(
        &self,
        batches: &mut Batches<T, O>,
        record: &RecordParts<'_>,
        owner: &O,
        now: impl FnOnce() -> Instant,
        reserved: &mut Option<Reservation>,
    ) -> Result<Accepted<T, O>, Refused> {
        let limit = self.limit.load(Ordering::Relaxed);
        let mut open = ClosedBatch::new(&self.accumulator, limit);
        match open.append(record, &self.accumulator, reserved) {
            Ok((index, size)) => {
                open.cell = Some(self.accumulator.open_cell(owner.clone(), now()));
                let closed = batches.close_open();
                let accepted = Accepted {
                    opened: Some(Box::new(Opened {
                        closed,
                        due: open.watched && open.look(self.accumulator.limits()),
                    })),
                    ..open.accepted(index, size)
                };
                batches.open = Some(open);
                Ok(accepted)
            }
            Err(Stop::Full) => Err(Refused::RecordTooLarge),
            // A full batch has to go for the budget to get room.
            Err(Stop::Refused(refused)) => Err(refused),
        }
    }

    /// Closes the open batch if it is at the front and due by what it holds, or `due` says so of
    /// when it was opened. The caller seals it and puts it back by [`Self::put_sealed`].
    pub fn close_front(&self, due: impl FnOnce(Instant) -> bool) -> Option<Box<ClosedBatch<T, O>>> {
        let mut batches = lock(&self.batches);
        let open = batches.open.as_ref()?;
        if !batches.closed.is_empty() || !(open.due || due(open.opened_at())) {
            return None;
        }
        batches.close_open()
    }

    /// Puts a batch that was closed and is now sealed into its place.
    ///
    /// # Errors
    /// The batch, if the queue was drained meanwhile. // I3
    pub fn put_sealed(&self, batch: Batch<T, O>) -> Result<(), Batch<T, O>> {
        let id = batch.cell().id();
        match lock(&self.batches).place(id) {
            Some(place) => {
                *place = Entry::Sealed(batch);
                Ok(())
            }
            None => Err(batch),
        }
    }

    /// Gives up the place of a batch that could not be sealed.
    pub fn forget_sealing(&self, id: u64) {
        let sealing = |entry: &Entry<T, O>| matches!(entry, Entry::Sealing(other) if *other == id);
        lock(&self.batches).closed.retain(|entry| !sealing(entry));
    }

    /// What stands at the front.
    pub fn front(&self) -> Front {
        let batches = lock(&self.batches);
        match (batches.closed.front(), &batches.open) {
            (Some(Entry::Sealed(batch)), _) => Front::Sealed {
                size: batch.sealed().len(),
            },
            (Some(Entry::Sealing(_)), _) => Front::Sealing,
            (None, Some(open)) => Front::Open {
                opened_at: open.opened_at(),
                size: open.size(),
                due: open.due,
            },
            (None, None) => Front::Empty,
        }
    }

    /// How many batches there are, the open one and those being sealed included.
    pub fn batches(&self) -> usize {
        let batches = lock(&self.batches);
        batches.closed.len() + usize::from(batches.open.is_some())
    }

    /// Takes the batch at the front, if it is sealed. // I1
    pub fn pop_sealed(&self) -> Option<Batch<T, O>> {
        let mut batches = lock(&self.batches);
        match batches.closed.pop_front()? {
            Entry::Sealed(batch) => Some(batch),
            sealing @ Entry::Sealing(_) => {
                batches.closed.push_front(sealing);
                None
            }
        }
    }

    /// Takes out all batches that were opened at `limit` or before, or all there are. Those being
    /// sealed come back to their sealers.
    pub fn drain(&self, limit: Option<Instant>) -> Vec<Drained<T, O>> {
        let mut batches = lock(&self.batches);
        let expired = |opened_at| limit.is_none_or(|limit| opened_at <= limit);
        let mut drained = Vec::new();
        while let Some(entry) = batches.closed.pop_front() {
            match entry {
                Entry::Sealed(batch) if expired(batch.opened_at()) => {
                    drained.push(Drained::Sealed(batch));
                }
                Entry::Sealing(_) if limit.is_none() => {}
                other => {
                    batches.closed.push_front(other);
                    return drained;
                }
            }
        }
        let open = &mut batches.open;
        let open = open.take_if(|open| expired(open.opened_at()));
        drained.extend(open.map(|open| Drained::Closed(Box::new(open))));
        drained
    }

    /// From the next batch on they are no larger than this, before compression, unless a single
    /// record is. Never raised again.
    pub fn lower_limit(&self, bytes: usize) {
        self.limit.fetch_min(bytes, Ordering::Relaxed);
    }

    /// Takes no more records.
    pub fn shut(&self) {
        let mut batches = lock(&self.batches);
        batches.shut = true;
    }
}

impl<T, O> Batches<T, O> {
    fn close_open(&mut self) -> Option<Box<ClosedBatch<T, O>>> {
        let open = self.open.take()?;
        self.closed.push_back(Entry::Sealing(open.cell().id())); // I2
        Some(Box::new(open))
    }

    fn place(&mut self, id: u64) -> Option<&mut Entry<T, O>> {
        let mut entries = self.closed.iter_mut();
        entries.find(|entry| matches!(entry, Entry::Sealing(other) if *other == id))
    }
}

#[cfg(test)]
mod tests;
