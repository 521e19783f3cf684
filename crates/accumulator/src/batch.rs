//! One batch from its first record to its outcome.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use milena_records::{
    AppendError, BatchBuilder, CompressError, Compression, Compressor, RecordParts, SealedBatch,
};

use crate::segments::{LARGEST, Pooled, SMALLEST, Segments, capacity_for};
use crate::{Accepted, Accumulator, Cell, Limits, Refused, Reservation, lock};

/// A batch that is not compressed yet: open in its queue, closed outside it.
#[derive(Debug)]
pub struct ClosedBatch<T, O> {
    builder: BatchBuilder,
    reserved: Reservation,
    segments: Arc<Segments>,
    /// Absent only until the first record is in.
    pub(crate) cell: Option<Arc<Cell<T, O>>>,
    /// Whether [`Self::look`] has anything to look at.
    pub(crate) watched: bool,
    /// Whether it may go although it takes more.
    pub(crate) due: bool,
}

/// A batch that could not be sealed: its records are gone.
#[derive(Debug)]
pub struct Unsealed<T, O> {
    /// Why.
    pub error: CompressError,
    /// Where the outcome has to appear, still unresolved.
    pub cell: Arc<Cell<T, O>>,
}

pub(crate) enum Stop {
    Full,
    Refused(Refused),
}

impl<T, O> ClosedBatch<T, O> {
    pub(crate) fn new(accumulator: &Accumulator<T, O>, limit: usize) -> Self {
        Self {
            builder: BatchBuilder::new(Vec::new(), limit),
            reserved: Reservation::none(accumulator.budget()),
            segments: Arc::clone(&accumulator.segments),
            cell: None,
            watched: accumulator.limits().watch(),
            due: false,
        }
    }

    /// Where the outcome appears.
    pub fn cell(&self) -> &Arc<Cell<T, O>> {
        let cell = self.cell.as_ref();
        cell.expect("a batch gets its cell with its first record")
    }

    /// The size with the header, before compression.
    pub fn size(&self) -> usize {
        self.builder.len()
    }

    /// The number of records.
    pub fn records(&self) -> u32 {
        self.builder.count()
    }

    /// When the batch got its first record.
    pub fn opened_at(&self) -> Instant {
        self.cell().opened_at()
    }

    /// Compresses and checksums the batch, and gives back the memory that it no longer takes.
    ///
    /// # Errors
    /// [`Unsealed`].
    pub fn seal(mut self, compressor: &mut Compressor) -> Result<Batch<T, O>, Unsealed<T, O>> {
        let cell = Arc::clone(self.cell());
        let memory = &mut Pooled(&self.segments);
        let sealed = match self.builder.seal(compressor, memory) {
            Ok(sealed) => sealed,
            Err(error) => return Err(Unsealed { error, cell }),
        };
        if sealed.compression() != Compression::None {
            self.reserved.shrink_to(sealed.len());
        }
        Ok(Batch {
            cell,
            first: 0,
            sealed,
            closed_at: None,
            reserved: Mutex::new(Some(self.reserved)),
        })
    }

    /// Whether its newest record has made it due. With the last one that it may have it is full.
    #[cold]
    pub(crate) fn look(&mut self, limits: Limits) -> bool {
        if self.records() >= limits.records {
            self.builder.fill_up();
        }
        let records = limits.records.min(limits.due_records);
        let due = self.size() >= limits.due_bytes || self.records() >= records;
        due && !std::mem::replace(&mut self.due, true)
    }

    #[inline(always)]
    pub(crate) fn append(
        &mut self,
        record: &RecordParts<'_>,
        accumulator: &Accumulator<T, O>,
        reserved: &mut Option<Reservation>,
    ) -> Result<(u32, usize), Stop> {
        loop {
            match self.builder.try_append(record) {
                Ok(appended) => return Ok((appended.index, appended.size)),
                // Another batch can start at any timestamp.
                Err(AppendError::Full | AppendError::Timestamp(_)) => return Err(Stop::Full),
                Err(AppendError::NeedsRoom(missing)) => {
                    let whole = record.max_encoded_len().max(SMALLEST);
                    self.grow(missing, whole, accumulator, reserved)?;
                }
                Err(_) => return Err(Stop::Refused(Refused::RecordTooLarge)),
            }
        }
    }

    /// Adds a segment for the `missing` bytes, as large as the batch so far if the budget allows
    /// it. Who has to wait asks for the `whole` record, as this batch may be gone by then.
    #[cold]
    fn grow(
        &mut self,
        missing: usize,
        whole: usize,
        accumulator: &Accumulator<T, O>,
        reserved: &mut Option<Reservation>,
    ) -> Result<(), Stop> {
        let wanted = self.builder.len().clamp(SMALLEST, LARGEST);
        let wanted = capacity_for(wanted.max(missing));
        let budget = accumulator.budget();
        let room = match reserved.take_if(|reserved| reserved.bytes() >= missing) {
            Some(reserved) => reserved,
            None => budget
                .try_reserve(wanted)
                .or_else(|| budget.try_reserve(missing))
                .ok_or(Stop::Refused(Refused::NeedsRoom(whole)))?,
        };
        self.builder.add_segment(self.segments.take(room.bytes()));
        self.reserved.absorb(room);
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn accepted(&self, index: u32, size: usize) -> Accepted<T, O> {
        Accepted {
            cell: Arc::clone(self.cell()),
            index,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            opened: None,
        }
    }
}

/// A sealed batch: what is sent, as often as needed, and resolved once.
#[derive(Debug)]
pub struct Batch<T, O> {
    cell: Arc<Cell<T, O>>,
    /// The index of its first record in the cell.
    first: u32,
    sealed: SealedBatch,
    closed_at: Option<Instant>,
    reserved: Mutex<Option<Reservation>>,
}

impl<T, O> Batch<T, O> {
    /// Where the outcome appears.
    pub fn cell(&self) -> &Arc<Cell<T, O>> {
        &self.cell
    }

    /// The index of its first record among those that share the cell: 0 unless it is a part of a
    /// divided batch.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// Puts parts in this batch's place, which hold its records in the same order. They take over
    /// its memory. Returns nothing if it is resolved already, or the parts' records are not its own.
    pub fn divide(&self, parts: Vec<SealedBatch>) -> Option<Vec<Self>> {
        let mut end = self.first;
        let ends: Vec<u32> = parts
            .iter()
            .map(|part| {
                end = end.saturating_add(part.count());
                end
            })
            .collect();
        let whole = end - self.first == self.sealed.count();
        if !whole || !self.cell.divide(self.first, &ends) {
            return None;
        }
        let mut reserved = lock(&self.reserved).take();
        let firsts = std::iter::once(self.first).chain(ends);
        let parts = firsts.zip(parts).map(|(first, sealed)| Self {
            cell: Arc::clone(&self.cell),
            first,
            closed_at: self.closed_at,
            reserved: Mutex::new(reserved.as_mut().map(|whole| whole.take(sealed.len()))),
            sealed,
        });
        Some(parts.collect())
    }

    /// The bytes.
    pub fn sealed(&self) -> &SealedBatch {
        &self.sealed
    }

    /// When the batch got its first record: deadlines count from here.
    pub fn opened_at(&self) -> Instant {
        self.cell.opened_at()
    }

    /// When it was closed, if its sealer has said so; else when it got its first record.
    pub fn closed_at(&self) -> Instant {
        self.closed_at.unwrap_or_else(|| self.opened_at())
    }

    /// Takes note of when it was closed.
    pub fn set_closed_at(&mut self, at: Instant) {
        self.closed_at = Some(at);
    }

    pub(crate) fn release(&self) {
        let reserved = lock(&self.reserved).take();
        drop(reserved);
    }
}
