//! Reading batches lazily: headers first, records after one check, all as views.
//!
//! I1. [`Batch::check`] walks every record and header once; what iterates afterwards
//!     ([`CheckedBatch`]) cannot fail.
//! I2. Nothing is allocated but the decompressed body, which grows with the data and never beyond
//!     the caller's limit.
//! I3. A last batch that the answer's size cut off ends the iteration quietly; brokers cut.
//!
//! Not for: deciding which records to hand out (positions, transactions): that is the consumer.

use std::fmt;

use bytes::Bytes;

use crate::compression::{Compression, Decompressor};
use crate::crc;
use crate::error::{BatchError, BatchFault};
use crate::header::{BatchHeader, CHECKSUMMED_FROM, HEADER_LEN, LOG_OVERHEAD, MAGIC, UP_TO_MAGIC};
use crate::record::RawRecord;
use crate::varint::Cursor;

mod checked;
pub use checked::{CheckedBatch, Records, Spans};

/// The smallest length that a message of format 0 declares, less than which nothing means.
const SMALLEST_LENGTH: usize = 14;

/// The batches of a Fetch or Produce request or answer, in order.
///
/// After an error the iteration goes on with the next batch if the fault left its place known
/// (an old message format), and otherwise ends.
#[derive(Clone)]
pub struct Batches {
    rest: Bytes,
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batches({} bytes left)", self.rest.len())
    }
}

impl Batches {
    /// Iterates over `bytes`, which are shared, not copied.
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not yet handed out. After the last batch: those of a batch that was cut.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The base offset of the next batch, if enough of it is there.
    fn base_offset(&self) -> Option<i64> {
        Cursor { rest: &self.rest }.array().map(i64::from_be_bytes)
    }

    /// The size and the magic of the next batch: `None` when it is cut. // I3
    fn frame(&self) -> Option<Result<(usize, i8), BatchFault>> {
        let mut at = Cursor {
            rest: self.rest.get(..UP_TO_MAGIC)?,
        };
        at.take(8)?;
        let declared = i32::from_be_bytes(at.array()?);
        at.take(4)?;
        let magic = i8::from_be_bytes(at.array()?);
        let length = match usize::try_from(declared) {
            Ok(length) if length >= SMALLEST_LENGTH => length,
            _ => return Some(Err(BatchFault::Length(declared))),
        };
        let size = length.checked_add(LOG_OVERHEAD)?;
        if magic == MAGIC && size < HEADER_LEN {
            return Some(Err(BatchFault::Length(declared)));
        }
        if !(0..=MAGIC).contains(&magic) {
            return Some(Err(BatchFault::UnsupportedMagic(magic)));
        }
        (size <= self.rest.len()).then_some(Ok((size, magic)))
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let base_offset = self.base_offset()?;
        let fault = match self.frame()? {
            Ok((size, MAGIC)) => {
                let bytes = self.rest.split_to(size);
                let header = BatchHeader::read(&bytes)?;
                return Some(Ok(Batch { header, bytes }));
            }
            Ok((size, magic)) => {
                drop(self.rest.split_to(size));
                BatchFault::UnsupportedMagic(magic)
            }
            Err(fault) => {
                self.rest.clear();
                fault
            }
        };
        Some(Err(BatchError { base_offset, fault }))
    }
}

/// A batch whose extent is known and whose contents are not yet looked at.
#[derive(Clone)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Batch").field(&self.header).finish()
    }
}

impl Batch {
    /// The header's fields. They prove nothing before [`Self::check`].
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch as it is on the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Checks the checksum alone.
    ///
    /// # Errors
    /// [`BatchFault::Checksum`].
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let covered = self.bytes.get(CHECKSUMMED_FROM..).unwrap_or_default();
        let computed = crc::crc32c(covered);
        if computed == self.header.crc {
            Ok(())
        } else {
            Err(self.error(BatchFault::Checksum {
                stored: self.header.crc,
                computed,
            }))
        }
    }

    /// Checks the batch wholly: checksum, header, decompression, every record. Records that
    /// [`CheckedBatch`] hands out cannot fail any more.
    ///
    /// An uncompressed batch is not copied; a compressed one is decompressed to at most
    /// `max_decompressed` bytes.
    ///
    /// # Errors
    /// [`BatchError`] with the batch's base offset and what is wrong.
    pub fn check(
        &self,
        decompressor: &mut Decompressor,
        max_decompressed: usize,
    ) -> Result<CheckedBatch, BatchError> {
        self.check_into(decompressor, max_decompressed, Vec::new(), Bytes::from)
    }

    /// As [`Self::check`], decompressing into `block`, whose capacity is used and whose contents
    /// are dropped; `freeze` makes shared bytes of it, so that a pool can have it back. An
    /// uncompressed batch leaves `block` unused and `freeze` uncalled.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_into(
        &self,
        decompressor: &mut Decompressor,
        max_decompressed: usize,
        mut block: Vec<u8>,
        freeze: impl FnOnce(Vec<u8>) -> Bytes,
    ) -> Result<CheckedBatch, BatchError> {
        self.check_crc()?;
        let compression = self.check_header().map_err(|fault| self.error(fault))?;
        let body = self.bytes.slice(HEADER_LEN..);
        let records = if compression == Compression::None || body.is_empty() {
            body
        } else {
            block.clear();
            decompressor
                .decompress(compression, &body, max_decompressed, &mut block)
                .map_err(|fault| self.error(fault.into()))?;
            freeze(block)
        };
        self.check_records(&records)
            .map_err(|fault| self.error(fault))?;
        Ok(CheckedBatch::new(self.header, records))
    }

    fn check_header(&self) -> Result<Compression, BatchFault> {
        let header = &self.header;
        let compression = header
            .attributes
            .compression()
            .map_err(BatchFault::UnknownCompression)?;
        if header.base_offset < 0 {
            return Err(BatchFault::Header("base offset"));
        }
        let delta = i64::from(header.last_offset_delta);
        if delta < 0 || header.base_offset.checked_add(delta).is_none() {
            return Err(BatchFault::Header("last offset"));
        }
        if header.record_count < 0 {
            return Err(BatchFault::Header("record count"));
        }
        Ok(compression)
    }

    /// Walks all records: well-formed, offsets ascending within the batch, timestamps within
    /// 64 bits, as many as declared and nothing after them. // I1
    fn check_records(&self, records: &[u8]) -> Result<(), BatchFault> {
        let header = &self.header;
        let mut at = Cursor { rest: records };
        let mut previous = -1;
        for index in 0..header.record_count.cast_unsigned() {
            let bad = |field| BatchFault::Record { index, field };
            let record = RawRecord::read(&mut at).map_err(bad)?;
            record.check_headers().map_err(bad)?;
            let delta = record.offset_delta;
            if delta <= previous || delta > header.last_offset_delta {
                return Err(bad("offset"));
            }
            if header
                .base_timestamp
                .checked_add(record.timestamp_delta)
                .is_none()
            {
                return Err(bad("timestamp"));
            }
            previous = delta;
        }
        if at.rest.is_empty() {
            Ok(())
        } else {
            Err(BatchFault::TrailingBytes(at.rest.len()))
        }
    }

    fn error(&self, fault: BatchFault) -> BatchError {
        BatchError {
            base_offset: self.header.base_offset,
            fault,
        }
    }
}

#[cfg(test)]
mod tests;
