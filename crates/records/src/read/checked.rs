//! A batch that has passed its check: views of its records, and ways to keep them.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use crate::error::ProduceFault;
use crate::header::{BatchHeader, TimestampType};
use crate::record::{Headers, RawRecord, RecordRef, RecordSpan};
use crate::varint::Cursor;

/// A batch whose records are known to be well-formed. Cloning it shares the bytes.
#[derive(Clone)]
pub struct CheckedBatch {
    header: BatchHeader,
    /// The records, decompressed: a slice of the batch or a block of their own.
    records: Bytes,
}

impl fmt::Debug for CheckedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CheckedBatch").field(&self.header).finish()
    }
}

impl CheckedBatch {
    pub(super) fn new(header: BatchHeader, records: Bytes) -> Self {
        Self { header, records }
    }

    /// The header's fields.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The decompressed records: what records handed out keep alive.
    pub fn block(&self) -> &Bytes {
        &self.records
    }

    /// The records, in order, as views.
    pub fn iter(&self) -> Records<'_> {
        Records {
            header: &self.header,
            at: Cursor {
                rest: &self.records,
            },
            left: self.header.record_count.cast_unsigned(),
        }
    }

    /// The records, in order, as ranges: an iterator that owns the batch, for handing out one
    /// record at a time across awaits.
    pub fn into_spans(self) -> Spans {
        let left = self.header.record_count.cast_unsigned();
        Spans {
            batch: self,
            at: 0,
            left,
        }
    }

    /// The ranges of one of this batch's records; `None` for a record of another batch.
    pub fn span(&self, record: &RecordRef<'_>) -> Option<RecordSpan> {
        let nullable = |part: Option<&[u8]>| match part {
            None => Some(None),
            Some(part) => self.range_of(part).map(Some),
        };
        Some(RecordSpan {
            offset: record.offset,
            timestamp: record.timestamp,
            key: nullable(record.key)?,
            value: nullable(record.value)?,
            headers: self.range_of(record.headers.bytes)?,
            header_count: record.headers.count,
        })
    }

    /// The view of the record whose span this batch gave. A span of another batch gives other
    /// bytes or null, never a panic.
    pub fn record(&self, span: &RecordSpan) -> RecordRef<'_> {
        RecordRef {
            offset: span.offset,
            timestamp: span.timestamp,
            key: span.key.as_ref().and_then(|range| self.part(range)),
            value: span.value.as_ref().and_then(|range| self.part(range)),
            headers: self
                .part(&span.headers)
                .map(|bytes| Headers {
                    bytes,
                    count: span.header_count,
                })
                .unwrap_or_default(),
        }
    }

    /// Shared bytes of a part (key, value, header) of one of this batch's records. They keep the
    /// block alive. Bytes that are not of this batch are copied.
    pub fn share(&self, part: &[u8]) -> Bytes {
        match self.range_of(part) {
            Some(range) => self.records.slice(range.start as usize..range.end as usize),
            None => Bytes::copy_from_slice(part),
        }
    }

    /// Whether a broker may append this batch when a client sent it.
    ///
    /// # Errors
    /// The first [`ProduceFault`] found.
    pub fn check_produced(&self) -> Result<(), ProduceFault> {
        let header = &self.header;
        if header.record_count == 0 {
            return Err(ProduceFault::Empty);
        }
        if header.attributes.is_control() {
            return Err(ProduceFault::Control);
        }
        // The check found the deltas ascending from 0 to at most the last one: as many records
        // as offsets leave no gap.
        if header.last_offset_delta.checked_add(1) != Some(header.record_count) {
            return Err(ProduceFault::Offsets);
        }
        if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
            return Err(ProduceFault::Sequence);
        }
        if header.attributes.is_transactional() && header.producer_id < 0 {
            return Err(ProduceFault::Transactional);
        }
        Ok(())
    }

    /// Where `part` lies in the block, by its address.
    fn range_of(&self, part: &[u8]) -> Option<Range<u32>> {
        let start = (part.as_ptr() as usize).checked_sub(self.records.as_ptr() as usize)?;
        let end = start.checked_add(part.len())?;
        let inside = end <= self.records.len();
        inside.then_some(u32::try_from(start).ok()?..u32::try_from(end).ok()?)
    }

    fn part(&self, range: &Range<u32>) -> Option<&[u8]> {
        self.records.get(range.start as usize..range.end as usize)
    }
}

impl<'a> IntoIterator for &'a CheckedBatch {
    type Item = RecordRef<'a>;
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.iter()
    }
}

/// The records of a [`CheckedBatch`].
#[derive(Debug, Clone)]
pub struct Records<'a> {
    header: &'a BatchHeader,
    at: Cursor<'a>,
    left: u32,
}

impl<'a> Iterator for Records<'a> {
    type Item = RecordRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        let record = RawRecord::read(&mut self.at);
        debug_assert!(record.is_ok(), "the batch was checked");
        let record = record.ok()?;
        let timestamp = match self.header.attributes.timestamp_type() {
            TimestampType::LogAppendTime => self.header.max_timestamp,
            TimestampType::CreateTime => self
                .header
                .base_timestamp
                .wrapping_add(record.timestamp_delta),
        };
        Some(RecordRef {
            offset: self
                .header
                .base_offset
                .wrapping_add(i64::from(record.offset_delta)),
            timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.left as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Records<'_> {}

/// The records of a [`CheckedBatch`] that it owns, as ranges.
#[derive(Debug, Clone)]
pub struct Spans {
    batch: CheckedBatch,
    /// The next record's place in the block.
    at: usize,
    left: u32,
}

impl Spans {
    /// The batch, to turn spans into views.
    pub fn batch(&self) -> &CheckedBatch {
        &self.batch
    }
}

impl Iterator for Spans {
    type Item = RecordSpan;

    fn next(&mut self) -> Option<RecordSpan> {
        let rest = self.batch.records.get(self.at..)?;
        let mut records = Records {
            header: &self.batch.header,
            at: Cursor { rest },
            left: self.left,
        };
        let record = records.next()?;
        let span = self.batch.span(&record);
        self.left = records.left;
        self.at = self
            .batch
            .records
            .len()
            .saturating_sub(records.at.rest.len());
        span
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.left as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Spans {}
