//! One partition's log: appended batches in order, and what readers need to know about them.
//!
//! I1. Batches are contiguous: each starts where the one before ended, from `start` on (the first
//!     may begin earlier, after records were deleted).
//! I2. A batch's bytes are copied once, when they are appended. A read of many small batches joins
//!     them in a block that replaces them, so that the next read shares it; a large batch is shared
//!     and never joined.
//! I3. Leader epochs ascend, and so do their start offsets.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use milena_records::BatchHeader;

/// How much a read joins into one block at most.
const JOIN_UP_TO: usize = 1024 * 1024;
/// Batches from this size on are handed out alone.
const ALONE_FROM: usize = 64 * 1024;

/// A batch in the log: a range of a block that it may share with its neighbours.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) leader_epoch: i32,
    block: Bytes,
    from: usize,
    len: usize,
}

impl Stored {
    /// The batch's bytes, shared.
    pub(crate) fn bytes(&self) -> Bytes {
        self.block.slice(self.from..self.from + self.len)
    }

    /// Whether `next` follows in the same block.
    fn precedes(&self, next: &Self) -> bool {
        self.block.as_ptr() == next.block.as_ptr()
            && self.block.len() == next.block.len()
            && self.from + self.len == next.from
    }
}

/// The batches of one partition.
#[derive(Debug, Default)]
pub(crate) struct Log {
    batches: VecDeque<Stored>,
    start: i64,
    end: i64,
    size: usize,
    /// (leader epoch, its first offset). // I3
    epochs: Vec<(i32, i64)>,
}

impl Log {
    /// The first offset that may be read.
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// The offset that the next record gets.
    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    /// The bytes of all batches.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The batches in order.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &Stored> {
        self.batches.iter()
    }

    /// Appends a batch whose base offset and leader epoch are already in its bytes.
    pub(crate) fn append(&mut self, header: &BatchHeader, bytes: Bytes) {
        let (epoch, base_offset) = (header.partition_leader_epoch, header.base_offset);
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            self.epochs.push((epoch, base_offset));
        }
        self.size += bytes.len();
        self.end = header.last_offset() + 1;
        self.batches.push_back(Stored {
            base_offset,
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp,
            leader_epoch: epoch,
            len: bytes.len(),
            block: bytes,
            from: 0,
        });
    }

    /// A new leader took over: its epoch begins here.
    pub(crate) fn begin_epoch(&mut self, epoch: i32) {
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            // An epoch in which nothing was written leaves no trace.
            if self
                .epochs
                .last()
                .is_some_and(|(_, from)| *from == self.end)
            {
                self.epochs.pop();
            }
            self.epochs.push((epoch, self.end));
        }
    }

    /// The largest epoch not above `epoch` that the log knows and where it ends, for KIP-320.
    pub(crate) fn epoch_end(&self, epoch: i32) -> Option<(i32, i64)> {
        let after = self.epochs.partition_point(|(known, _)| *known <= epoch);
        let (known, _) = *self.epochs.get(after.checked_sub(1)?)?;
        let end = self.epochs.get(after).map_or(self.end, |(_, from)| *from);
        Some((known, end))
    }

    /// The epoch of the record at `offset`.
    pub(crate) fn epoch_at(&self, offset: i64) -> Option<i32> {
        let after = self.epochs.partition_point(|(_, from)| *from <= offset);
        self.epochs
            .get(after.checked_sub(1)?)
            .map(|(epoch, _)| *epoch)
    }

    /// The bytes that a reader at `offset` finds below `limit`, counted up to `enough`, and the
    /// size of the first batch.
    pub(crate) fn readable(&self, offset: i64, limit: i64, enough: usize) -> (usize, usize) {
        let mut total = 0;
        let mut first = 0;
        for batch in self.batches.range(self.index_of(offset)..) {
            if batch.last_offset >= limit || (total >= enough && first > 0) {
                break;
            }
            if first == 0 {
                first = batch.len;
            }
            total += batch.len;
        }
        (total, first)
    }

    /// Batches from the one that holds `offset`, below `limit`, in at most `max_bytes`: the last
    /// one may be cut, as real brokers cut. The first comes whole if `at_least_one`, and otherwise
    /// whole or not at all.
    pub(crate) fn read(
        &mut self,
        offset: i64,
        limit: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Bytes {
        let from = self.index_of(offset);
        let readable = |batch: &&Stored| batch.last_offset < limit;
        let Some(first) = self.batches.get(from).filter(readable) else {
            return Bytes::new();
        };
        if first.len > max_bytes && !at_least_one {
            return Bytes::new();
        }
        let (mut to, mut total, alone) = (from + 1, first.len, first.len >= ALONE_FROM);
        while total < max_bytes
            && let Some(next) = self.batches.get(to).filter(readable)
        {
            let small = !alone && next.len < ALONE_FROM && total + next.len <= JOIN_UP_TO;
            if !small && !self.continues(to) {
                break;
            }
            total += next.len;
            to += 1;
        }
        let size = total.min(max_bytes.max(self.batches[from].len));
        self.join(from, to, total).slice(..size)
    }

    /// Whether the batch at `index` lies in the same block as the one before it.
    fn continues(&self, index: usize) -> bool {
        let before = index
            .checked_sub(1)
            .and_then(|before| self.batches.get(before));
        before
            .zip(self.batches.get(index))
            .is_some_and(|(before, next)| before.precedes(next))
    }

    /// The batches `from..to` as one slice, joined first where they lie apart. // I2
    fn join(&mut self, from: usize, to: usize, total: usize) -> Bytes {
        let Some(first) = self.batches.get(from).filter(|_| from < to) else {
            return Bytes::new();
        };
        if (from + 1..to).all(|index| self.continues(index)) {
            return first.block.slice(first.from..first.from + total);
        }
        let mut block = BytesMut::with_capacity(total);
        for batch in self.batches.range(from..to) {
            block.extend_from_slice(&batch.block[batch.from..batch.from + batch.len]);
        }
        let block = block.freeze();
        let mut at = 0;
        for batch in self.batches.range_mut(from..to) {
            batch.block = block.clone();
            batch.from = at;
            at += batch.len;
        }
        block
    }

    /// Moves the start to `offset` and drops the batches wholly below it.
    pub(crate) fn delete_before(&mut self, offset: i64) {
        self.start = self.start.max(offset.min(self.end));
        while self
            .batches
            .front()
            .is_some_and(|batch| batch.last_offset < self.start)
        {
            self.drop_first();
        }
    }

    /// Drops the oldest batches below `limit` until at most `bytes` are left (`retention.bytes`).
    pub(crate) fn retain_bytes(&mut self, bytes: usize, limit: i64) {
        while self.size > bytes && self.batches.len() > 1 {
            let Some(first) = self
                .batches
                .front()
                .filter(|batch| batch.last_offset < limit)
            else {
                return;
            };
            self.start = self.start.max(first.last_offset + 1);
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.batches.pop_front() {
            self.size -= first.len;
        }
        while self.epochs.len() > 1 && self.epochs[1].1 <= self.start {
            self.epochs.remove(0);
        }
    }

    /// Loses everything from `offset` on, as a new leader that had not replicated it does.
    pub(crate) fn truncate(&mut self, offset: i64) {
        while let Some(last) = self
            .batches
            .back()
            .filter(|batch| batch.last_offset >= offset)
        {
            self.end = last.base_offset;
            self.size -= last.len;
            self.batches.pop_back();
        }
        self.start = self.start.min(self.end);
        while self.epochs.last().is_some_and(|(_, from)| *from > self.end) {
            self.epochs.pop();
        }
    }

    fn index_of(&self, offset: i64) -> usize {
        self.batches
            .partition_point(|batch| batch.last_offset < offset)
    }
}

#[cfg(test)]
mod tests;
