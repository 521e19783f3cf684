//! Writing records in place, straight into the memory that will be sent.
//!
//! A builder holds the body of one open batch: records only, no header, in a chain of segments
//! that its owner gives it. The header is made when the batch is sent, because producer id,
//! epoch and sequence are not known before.
//!
//! I1. A record's exact size is known before its first byte is written, so an append happens
//!     wholly or not at all.
//! I2. The builder never allocates in [`BatchBuilder::try_append`]: memory is reserved by the
//!     owner and arrives through [`BatchBuilder::add_segment`].
//!
//! Not for: choosing partitions, waiting for memory, or knowing when a batch is due.

use std::collections::VecDeque;
use std::{fmt, mem};

use bytes::Bytes;

use crate::compression::{CompressError, Compressor};
use crate::header::HEADER_LEN;
use crate::record::RecordParts;
use crate::sealed::SealedBatch;

mod encode;
use encode::{Deltas, Short, Sink, write_contiguous, write_record, zigzag_len};

/// The size of the segments that [`BatchBuilder::append`] allocates by itself.
pub const DEFAULT_SEGMENT: usize = 16 * 1024;
/// The default limit of a batch: 1,000,000 bytes.
pub const DEFAULT_BATCH_LIMIT: usize = 1_000_000;

/// [`Memory::store`] makes pieces of at most this size.
const LARGEST_PIECE: usize = 64 * 1024;

/// The most that a batch can hold besides its header, as its length is a signed 32-bit number.
const MAX_BODY: usize = i32::MAX as usize - HEADER_LEN;

/// Where the memory of batches comes from, and how it is shared.
pub trait Memory {
    /// An empty buffer for at least this many bytes.
    fn take(&mut self, bytes: usize) -> Vec<u8>;

    /// Shares what a buffer holds. A pool takes the buffer back when the last share is dropped
    /// ([`Bytes::from_owner`]).
    fn freeze(&mut self, buffer: Vec<u8>) -> Bytes;

    /// Shares a copy of `bytes`, in pieces of moderate size.
    fn store(&mut self, bytes: &[u8]) -> Vec<Bytes> {
        let pieces = bytes.chunks(LARGEST_PIECE).map(|piece| {
            let mut buffer = self.take(piece.len());
            buffer.extend_from_slice(piece);
            self.freeze(buffer)
        });
        pieces.collect()
    }
}

/// Memory of the process's heap, for those who have no pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap;

impl Memory for Heap {
    fn take(&mut self, bytes: usize) -> Vec<u8> {
        Vec::with_capacity(bytes)
    }

    fn freeze(&mut self, buffer: Vec<u8>) -> Bytes {
        Bytes::from(buffer)
    }
}

/// Why a record was not appended. The builder is unchanged.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The batch has reached its limit: seal it and append to a new one. Never said by an empty
    /// batch, which takes one record of any size.
    #[error("the batch is full: seal it and start another")]
    Full,
    /// The segments lack this many bytes: add some and append again.
    #[error("the batch needs {0} more bytes of segments")]
    NeedsRoom(usize),
    /// The record does not fit in any batch.
    #[error("the record is larger than 2 GiB and fits in no batch")]
    RecordTooLarge,
    /// The timestamp is more than 2⁶³ ms from that of the batch's first record.
    #[error("the timestamp {0} is too far from that of the batch's first record")]
    Timestamp(i64),
}

/// Where a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The record's place in the batch, from 0.
    pub index: u32,
    /// The bytes it takes.
    pub size: usize,
}

/// An open batch.
pub struct BatchBuilder {
    /// Segments before the one being written.
    done: Vec<Vec<u8>>,
    current: Vec<u8>,
    /// Empty segments after the one being written.
    spare: VecDeque<Vec<u8>>,
    spare_room: usize,
    body_limit: usize,
    body_len: usize,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl fmt::Debug for BatchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchBuilder")
            .field("count", &self.count)
            .field("len", &self.len())
            .field("room", &self.room())
            .finish()
    }
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new(Vec::new(), DEFAULT_BATCH_LIMIT)
    }
}

impl BatchBuilder {
    /// An open batch that writes into `segment` first (its contents are dropped, its capacity is
    /// what counts) and grows to at most `limit` bytes with its header.
    pub fn new(mut segment: Vec<u8>, limit: usize) -> Self {
        segment.clear();
        Self {
            done: Vec::new(),
            current: segment,
            spare: VecDeque::new(),
            spare_room: 0,
            body_limit: limit.saturating_sub(HEADER_LEN).min(MAX_BODY),
            body_len: 0,
            count: 0,
            base_timestamp: 0,
            max_timestamp: i64::MIN,
        }
    }

    /// Adds memory. Its contents are dropped; its capacity is what counts.
    pub fn add_segment(&mut self, mut segment: Vec<u8>) {
        segment.clear();
        self.spare_room = self.spare_room.saturating_add(segment.capacity());
        self.spare.push_back(segment);
        self.done.reserve(self.spare.len()); // I2
    }

    /// From now on the batch is full, once it has a record.
    pub fn fill_up(&mut self) {
        self.body_limit = 0;
    }

    /// How many bytes the segments can still take.
    pub fn room(&self) -> usize {
        spare_of(&self.current).saturating_add(self.spare_room)
    }

    /// Appends a record if the batch's limit and the room in its segments allow it.
    #[inline]
    pub fn try_append(&mut self, record: &RecordParts<'_>) -> Result<Appended, AppendError> {
        let index = self.count;
        let timestamp_delta = if index == 0 {
            0
        } else {
            record
                .timestamp
                .checked_sub(self.base_timestamp)
                .ok_or(AppendError::Timestamp(record.timestamp))?
        };
        let deltas = Deltas {
            timestamp: timestamp_delta,
            offset: index,
        };
        let short = deltas.short();
        let body = record
            .body_len(short.len as usize)
            .ok_or(AppendError::RecordTooLarge)?;
        let length = Short::varint(u64::from(zigzag_len(body)));
        let size = body.saturating_add(length.len as usize);
        let body_len = self.body_len.saturating_add(size);
        if body_len > self.body_limit && index != 0 {
            return Err(AppendError::Full);
        }
        if body_len > MAX_BODY {
            return Err(AppendError::RecordTooLarge);
        }
        // Every record takes several bytes of at most 2^31, so the count cannot wrap.
        let count = index.checked_add(1).ok_or(AppendError::Full)?;

        let start = length.then(Short::ATTRIBUTES).then(short);
        if start.fits() && size.saturating_add(Short::SPILL) <= spare_of(&self.current) {
            write_contiguous(&mut self.current, start, record);
        } else {
            self.append_across(size, body, &deltas, record)?;
        }
        if index == 0 {
            self.base_timestamp = record.timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.body_len = body_len;
        self.count = count;
        Ok(Appended {
            index: index.cast_unsigned(),
            size,
        })
    }

    /// Appends a record and allocates what it lacks. For those who have no memory to share: tools,
    /// tests, brokers.
    ///
    /// # Errors
    /// As [`Self::try_append`], but never [`AppendError::NeedsRoom`].
    pub fn append(&mut self, record: &RecordParts<'_>) -> Result<Appended, AppendError> {
        match self.try_append(record) {
            Err(AppendError::NeedsRoom(missing)) => {
                self.add_segment(Vec::with_capacity(missing.max(DEFAULT_SEGMENT)));
                self.try_append(record)
            }
            other => other,
        }
    }

    /// The number of records.
    pub fn count(&self) -> u32 {
        self.count.cast_unsigned()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The size of the batch as it stands, with its header, before compression.
    pub fn len(&self) -> usize {
        self.body_len.saturating_add(HEADER_LEN)
    }

    /// The first record's timestamp, which deadlines count from; `None` while empty.
    pub fn base_timestamp(&self) -> Option<i64> {
        (self.count > 0).then_some(self.base_timestamp)
    }

    /// Gives all memory back and forgets the records. There is always at least one segment.
    pub fn into_segments(self) -> Vec<Vec<u8>> {
        let mut segments = self.done;
        segments.push(self.current);
        segments.extend(self.spare);
        segments
    }

    /// Closes the batch: compresses its body, if `compressor` has a codec, and checksums it.
    ///
    /// Each piece of memory, unused ones too, goes back to `memory`, which shares it. A compressed
    /// body takes the place of the records; only if it is larger, more memory is taken.
    ///
    /// # Errors
    /// [`CompressError`] when the codec finds no memory or its output would pass 2 GiB. The
    /// records are gone with the builder, so the caller fails them as not written.
    pub fn seal(
        self,
        compressor: &mut Compressor,
        memory: &mut impl Memory,
    ) -> Result<SealedBatch, CompressError> {
        let mut buffers = self.done;
        buffers.push(self.current);
        let mut segments = Vec::with_capacity(buffers.len());
        if let Some(compressed) = compressor.compress_chain(&buffers, MAX_BODY)? {
            buffers.extend(self.spare);
            refill(buffers, compressed, memory, &mut segments);
        } else {
            segments.extend(buffers.into_iter().map(|buffer| memory.freeze(buffer)));
            self.spare
                .into_iter()
                .for_each(|unused| drop(memory.freeze(unused)));
        }
        segments.retain(|segment| !segment.is_empty());
        let max_timestamp = if self.count == 0 {
            -1
        } else {
            self.max_timestamp
        };
        Ok(SealedBatch::new(
            segments,
            compressor.compression(),
            self.count,
            self.base_timestamp,
            max_timestamp,
        ))
    }

    #[cold]
    fn append_across(
        &mut self,
        size: usize,
        body: usize,
        deltas: &Deltas,
        record: &RecordParts<'_>,
    ) -> Result<(), AppendError> {
        let room = self.room();
        if size > room {
            return Err(AppendError::NeedsRoom(size.saturating_sub(room)));
        }
        write_record(&mut Across(self), body, deltas, record);
        Ok(())
    }

    fn next_segment(&mut self) -> bool {
        let Some(next) = self.spare.pop_front() else {
            return false;
        };
        self.spare_room = self.spare_room.saturating_sub(next.capacity());
        let full = mem::replace(&mut self.current, next);
        if !full.is_empty() {
            self.done.push(full);
        }
        true
    }
}

/// Shares `bytes` in the given buffers, whose contents are no longer needed, and in more if they are
/// not enough.
fn refill(
    buffers: Vec<Vec<u8>>,
    mut bytes: &[u8],
    memory: &mut impl Memory,
    segments: &mut Vec<Bytes>,
) {
    for mut buffer in buffers {
        let (now, later) = bytes.split_at(buffer.capacity().min(bytes.len()));
        buffer.clear();
        buffer.extend_from_slice(now);
        segments.push(memory.freeze(buffer));
        bytes = later;
    }
    segments.extend(memory.store(bytes));
}

/// Writes on into the next segment when one is full.
struct Across<'a>(&'a mut BatchBuilder);

impl Sink for Across<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            let fits = spare_of(&self.0.current).min(rest.len());
            let (now, later) = rest.split_at(fits);
            self.0.current.extend_from_slice(now);
            rest = later;
            if rest.is_empty() || !self.0.next_segment() {
                debug_assert!(rest.is_empty(), "the room was checked");
                return;
            }
        }
    }
}

#[inline]
fn spare_of(segment: &Vec<u8>) -> usize {
    segment.capacity().saturating_sub(segment.len())
}

#[cfg(test)]
mod tests;
