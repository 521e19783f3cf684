//! A closed batch: its body never changes again, its header is made for each stamp.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::compression::Compression;
use crate::crc::{self, Shift};
use crate::header::{Attributes, BatchHeader, HEADER_LEN, LOG_OVERHEAD, MAGIC};

/// What the sequencer gives a batch when it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The producer id, −1 without idempotence.
    pub producer_id: i64,
    /// The producer's epoch, −1 without idempotence.
    pub producer_epoch: i16,
    /// The sequence number of the first record, −1 without idempotence.
    pub base_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
}

impl Stamp {
    /// The stamp of a producer that is not idempotent.
    pub const NONE: Self = Self {
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        transactional: false,
    };
}

/// A closed batch without its header. Cloning it shares the bytes.
#[derive(Clone)]
pub struct SealedBatch {
    segments: Vec<Bytes>,
    body_len: usize,
    body_crc: u32,
    body_shift: Shift,
    compression: Compression,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl fmt::Debug for SealedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedBatch")
            .field("count", &self.count)
            .field("len", &self.len())
            .field("compression", &self.compression)
            .finish()
    }
}

impl SealedBatch {
    pub(crate) fn new(
        segments: Vec<Bytes>,
        compression: Compression,
        count: i32,
        base_timestamp: i64,
        max_timestamp: i64,
    ) -> Self {
        let (mut body_len, mut body_crc) = (0usize, 0);
        for segment in &segments {
            body_crc = crc::append(body_crc, segment);
            body_len = body_len.saturating_add(segment.len());
        }
        let body_shift = Shift::over(body_len);
        Self {
            segments,
            body_len,
            body_crc,
            body_shift,
            compression,
            count,
            base_timestamp,
            max_timestamp,
        }
    }

    /// The header for this stamp, with length and checksum. Constant time: the body is not read.
    pub fn header(&self, stamp: Stamp) -> [u8; HEADER_LEN] {
        self.seal(&self.unsealed_header(stamp))
    }

    /// The body, piece by piece; sent after the header. Cloning a piece copies nothing.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &Bytes> + Clone {
        self.segments.iter()
    }

    /// The size of the batch, with its header.
    pub fn len(&self) -> usize {
        self.body_len.saturating_add(HEADER_LEN)
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The number of records.
    pub fn count(&self) -> u32 {
        self.count.cast_unsigned()
    }

    /// The last record's offset, counted from the first one's.
    pub fn last_offset_delta(&self) -> i32 {
        self.count.saturating_sub(1).max(0)
    }

    /// The first record's timestamp, in ms since the epoch.
    pub fn base_timestamp(&self) -> i64 {
        self.base_timestamp
    }

    /// The largest timestamp, in ms since the epoch; −1 for an empty batch.
    pub fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// The codec of the body.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The CRC-32C of the body alone.
    pub fn body_crc(&self) -> u32 {
        self.body_crc
    }

    /// Header and body in one piece, copied. For brokers, tools and the rare failed batch whose
    /// records are read again.
    pub fn to_bytes(&self, stamp: Stamp) -> Bytes {
        self.assemble(&self.unsealed_header(stamp))
    }

    /// A header of the caller's, with this body's checksum, and the body.
    pub(crate) fn assemble(&self, header: &BatchHeader) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.len());
        bytes.put_slice(&self.seal(header));
        for segment in &self.segments {
            bytes.put_slice(segment);
        }
        bytes.freeze()
    }

    fn seal(&self, header: &BatchHeader) -> [u8; HEADER_LEN] {
        header.sealed(|header_crc| self.body_shift.combine(header_crc, self.body_crc))
    }

    /// The header for this stamp, without its checksum.
    pub(crate) fn unsealed_header(&self, stamp: Stamp) -> BatchHeader {
        let length = self.len().saturating_sub(LOG_OVERHEAD);
        BatchHeader {
            base_offset: 0,
            // A builder's body is bounded; a compressed one by what the compressor accepts.
            batch_length: i32::try_from(length).unwrap_or(i32::MAX),
            partition_leader_epoch: -1,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes::default()
                .with_compression(self.compression)
                .with_transactional(stamp.transactional),
            last_offset_delta: self.last_offset_delta(),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: stamp.producer_id,
            producer_epoch: stamp.producer_epoch,
            base_sequence: stamp.base_sequence,
            record_count: self.count,
        }
    }
}
