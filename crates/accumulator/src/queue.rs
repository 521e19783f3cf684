//! The batches of one partition that wait to be sent: closed ones, then the open one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_records::{
    AppendError, BatchBuilder, CompressError, Compressor, RecordParts, SealedBatch,
};

use crate::{Accumulator, Budget, Cell, Reservation, lock};

/// A batch's first segment is at least this large, and the next ones as large as the batch so far.
const SMALLEST_SEGMENT: usize = 4 * 1024;
const LARGEST_SEGMENT: usize = 64 * 1024;

/// The queue of one partition.
#[derive(Debug)]
pub struct Queue<T> {
    accumulator: Arc<Accumulator<T>>,
    batches: Mutex<Batches<T>>,
}

#[derive(Debug)]
struct Batches<T> {
    open: Option<ClosedBatch<T>>,
    closed: VecDeque<ClosedBatch<T>>,
    shut: bool,
}

/// A record that was taken in.
#[derive(Debug)]
pub struct Accepted<T> {
    /// Where its batch's outcome will appear.
    pub cell: Arc<Cell<T>>,
    /// Its place in the batch, from 0.
    pub index: u32,
    /// The bytes it takes.
    pub size: usize,
    /// It is the first of its batch.
    pub opened: bool,
    /// The batch before it was closed, so that there is something to send.
    pub closed: bool,
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

/// When a queue's next batch may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// There is none.
    Empty,
    /// Now.
    Ready,
    /// When its linger time is over.
    At(Instant),
}

impl<T> Queue<T> {
    /// An empty queue.
    pub fn new(accumulator: Arc<Accumulator<T>>) -> Self {
        Self {
            accumulator,
            batches: Mutex::new(Batches {
                open: None,
                closed: VecDeque::new(),
                shut: false,
            }),
        }
    }

    /// Encodes a record into the open batch, or into a new one if it does not fit.
    ///
    /// What was `reserved` after [`Refused::NeedsRoom`] is used first and left in place if it is
    /// not needed. `now` is called when a batch is opened.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn append(
        &self,
        record: &RecordParts<'_>,
        now: impl FnOnce() -> Instant,
        reserved: &mut Option<Reservation>,
    ) -> Result<Accepted<T>, Refused> {
        let budget = self.accumulator.budget();
        let mut batches = lock(&self.batches);
        if batches.shut {
            return Err(Refused::Shut);
        }
        let mut closed = false;
        if let Some(open) = &mut batches.open {
            match open.append(record, budget, reserved) {
                Ok((index, size)) => return Ok(open.accepted(index, size)),
                Err(Stop::Full) => {
                    batches.close_open();
                    closed = true;
                }
                Err(Stop::Refused(refused)) => return Err(refused),
            }
        }
        // Nothing is opened for a record that is not taken.
        let mut open = ClosedBatch {
            builder: BatchBuilder::new(Vec::new(), self.accumulator.limits().batch),
            reserved: Reservation::none(budget),
            opened: None,
        };
        match open.append(record, budget, reserved) {
            Ok((index, size)) => {
                open.opened = Some((self.accumulator.open_cell(), now()));
                let accepted = Accepted {
                    closed,
                    opened: true,
                    ..open.accepted(index, size)
                };
                batches.open = Some(open);
                Ok(accepted)
            }
            Err(Stop::Full) => Err(Refused::RecordTooLarge),
            Err(Stop::Refused(refused)) => Err(refused),
        }
    }

    /// When the next batch may be sent if an open one lingers for `linger`.
    pub fn readiness(&self, now: Instant, linger: Duration) -> Readiness {
        let batches = lock(&self.batches);
        if !batches.closed.is_empty() {
            return Readiness::Ready;
        }
        match batches.open.as_ref().and_then(ClosedBatch::opened_at) {
            None => Readiness::Empty,
            Some(opened) if opened + linger <= now => Readiness::Ready,
            Some(opened) => Readiness::At(opened + linger),
        }
    }

    /// Takes the oldest batch out, the open one if there is no other.
    pub fn take(&self) -> Option<ClosedBatch<T>> {
        let mut batches = lock(&self.batches);
        batches.closed.pop_front().or_else(|| batches.open.take())
    }

    /// Takes the oldest batch out if it was opened at `limit` or before.
    pub fn take_opened_by(&self, limit: Instant) -> Option<ClosedBatch<T>> {
        let oldest = self.oldest()?;
        if oldest <= limit { self.take() } else { None }
    }

    /// When the oldest batch was opened.
    pub fn oldest(&self) -> Option<Instant> {
        let batches = lock(&self.batches);
        let oldest = batches.closed.front().or(batches.open.as_ref());
        oldest.and_then(ClosedBatch::opened_at)
    }

    /// The size of the oldest batch with its header, before compression; 0 if there is none.
    pub fn next_size(&self) -> usize {
        let batches = lock(&self.batches);
        let oldest = batches.closed.front().or(batches.open.as_ref());
        oldest.map_or(0, ClosedBatch::size)
    }

    /// Takes no more records.
    pub fn shut(&self) {
        lock(&self.batches).shut = true;
    }
}

impl<T> Batches<T> {
    fn close_open(&mut self) {
        let open = self.open.take();
        self.closed.extend(open);
    }
}

enum Stop {
    Full,
    Refused(Refused),
}

/// A batch that takes no more records and is not compressed yet.
#[derive(Debug)]
pub struct ClosedBatch<T> {
    builder: BatchBuilder,
    reserved: Reservation,
    /// Absent only until the first record is in.
    opened: Option<(Arc<Cell<T>>, Instant)>,
}

impl<T> ClosedBatch<T> {
    /// The size with the header, before compression.
    pub fn size(&self) -> usize {
        self.builder.len()
    }

    /// The number of records.
    pub fn records(&self) -> u32 {
        self.builder.count()
    }

    /// When the batch got its first record.
    pub fn opened_at(&self) -> Option<Instant> {
        self.opened.as_ref().map(|(_, at)| *at)
    }

    /// Compresses and checksums the batch, and gives back the memory that it no longer takes.
    ///
    /// # Errors
    /// [`CompressError`], with the cell, which is then still unresolved.
    pub fn seal(
        self,
        compressor: &mut Compressor,
    ) -> Result<Batch<T>, (CompressError, Arc<Cell<T>>)> {
        let Self {
            builder,
            mut reserved,
            opened,
        } = self;
        let (cell, opened_at) = opened.expect("a batch outside its queue has a record");
        let sealed = match builder.seal(compressor, Bytes::from) {
            Ok(sealed) => sealed,
            Err(error) => return Err((error, cell)),
        };
        if sealed.compression() != milena_records::Compression::None {
            reserved.shrink_to(sealed.len());
        }
        Ok(Batch {
            cell,
            sealed,
            opened_at,
            reserved: Mutex::new(Some(reserved)),
        })
    }

    fn append(
        &mut self,
        record: &RecordParts<'_>,
        budget: &Arc<Budget>,
        reserved: &mut Option<Reservation>,
    ) -> Result<(u32, usize), Stop> {
        loop {
            match self.builder.try_append(record) {
                Ok(appended) => return Ok((appended.index, appended.size)),
                // Another batch can start at any timestamp.
                Err(AppendError::Full | AppendError::Timestamp(_)) => return Err(Stop::Full),
                Err(AppendError::NeedsRoom(missing)) => {
                    let whole = record.max_encoded_len().max(SMALLEST_SEGMENT);
                    self.grow(missing, whole, budget, reserved)?;
                }
                Err(_) => return Err(Stop::Refused(Refused::RecordTooLarge)),
            }
        }
    }

    /// Adds a segment for the `missing` bytes, larger than that if the budget allows it.
    /// Who has to wait asks for the `whole` record, as this batch may be gone by then.
    fn grow(
        &mut self,
        missing: usize,
        whole: usize,
        budget: &Arc<Budget>,
        reserved: &mut Option<Reservation>,
    ) -> Result<(), Stop> {
        let wanted = self.builder.len().clamp(SMALLEST_SEGMENT, LARGEST_SEGMENT);
        let room = match reserved.take_if(|reserved| reserved.bytes() >= missing) {
            Some(reserved) => reserved,
            None => budget
                .try_reserve(wanted.max(missing))
                .or_else(|| budget.try_reserve(missing))
                .ok_or(Stop::Refused(Refused::NeedsRoom(whole)))?,
        };
        self.builder.add_segment(Vec::with_capacity(room.bytes()));
        self.reserved.absorb(room);
        Ok(())
    }

    fn accepted(&self, index: u32, size: usize) -> Accepted<T> {
        let (cell, _) = self.opened.as_ref().expect("opened before it is told of");
        Accepted {
            cell: Arc::clone(cell),
            index,
            size,
            opened: false,
            closed: false,
        }
    }
}

/// A sealed batch: what is sent, as often as needed, and resolved once.
#[derive(Debug)]
pub struct Batch<T> {
    cell: Arc<Cell<T>>,
    sealed: SealedBatch,
    opened_at: Instant,
    reserved: Mutex<Option<Reservation>>,
}

impl<T> Batch<T> {
    /// Where the outcome appears.
    pub fn cell(&self) -> &Arc<Cell<T>> {
        &self.cell
    }

    /// The bytes.
    pub fn sealed(&self) -> &SealedBatch {
        &self.sealed
    }

    /// When the batch got its first record: deadlines count from here.
    pub fn opened_at(&self) -> Instant {
        self.opened_at
    }

    pub(crate) fn release(&self) {
        let reserved = lock(&self.reserved).take();
        drop(reserved);
    }
}

#[cfg(test)]
mod tests;
