//! The 61 bytes before a batch's records.

use bytes::BufMut;

use crate::compression::Compression;
use crate::crc;
use crate::varint::Cursor;

/// The size of a batch's header, in bytes.
pub const HEADER_LEN: usize = 61;
/// The part of a batch that its own length does not count: base offset and length.
pub(crate) const LOG_OVERHEAD: usize = 12;
/// Where the magic byte ends; the same in all message formats.
pub(crate) const UP_TO_MAGIC: usize = 17;
/// Where the checksummed part begins.
pub(crate) const CHECKSUMMED_FROM: usize = 21;
/// The checksummed part of the header.
pub(crate) const CHECKSUMMED_LEN: usize = HEADER_LEN - CHECKSUMMED_FROM;
/// The only message format there is now.
pub const MAGIC: i8 = 2;

/// The attribute bits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// The codec of the records, or the unassigned codec id.
    pub fn compression(self) -> Result<Compression, u8> {
        let id = u8::try_from(self.0 & Self::CODEC).unwrap_or_default();
        Compression::from_id(id).ok_or(id)
    }

    /// Who set the timestamps of the records.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the records belong to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the records are markers that no consumer hands out.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time from which compaction may drop tombstones
    /// (KIP-534). Record timestamps still count from it.
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// These bits with another codec.
    #[must_use]
    pub fn with_compression(self, compression: Compression) -> Self {
        Self(self.0 & !Self::CODEC | i16::from(compression.id()))
    }

    /// These bits with another timestamp type.
    #[must_use]
    pub fn with_timestamp_type(self, kind: TimestampType) -> Self {
        self.with(Self::LOG_APPEND_TIME, kind == TimestampType::LogAppendTime)
    }

    /// These bits with the transactional bit set or not.
    #[must_use]
    pub fn with_transactional(self, set: bool) -> Self {
        self.with(Self::TRANSACTIONAL, set)
    }

    /// These bits with the control bit set or not.
    #[must_use]
    pub fn with_control(self, set: bool) -> Self {
        self.with(Self::CONTROL, set)
    }

    fn with(self, bit: i16, set: bool) -> Self {
        Self(if set { self.0 | bit } else { self.0 & !bit })
    }
}

/// Who set a record's timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer.
    CreateTime,
    /// The broker, when it appended the batch: all records carry the batch's max timestamp.
    LogAppendTime,
}

/// The fields of a batch's header, as they are on the wire; nothing is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset that the records' offset deltas count from.
    pub base_offset: i64,
    /// Bytes after this field: the rest of the header and the records.
    pub batch_length: i32,
    /// The epoch of the leader that appended the batch; −1 when it has not been appended.
    pub partition_leader_epoch: i32,
    /// The message format, 2.
    pub magic: i8,
    /// CRC-32C of everything after this field.
    pub crc: u32,
    /// Codec, timestamp type, transactional, control, delete horizon.
    pub attributes: Attributes,
    /// The last offset that the batch covers, counted from the base offset; in a compacted batch
    /// it may be that of a record no longer there.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from, in ms since the epoch.
    pub base_timestamp: i64,
    /// The largest timestamp of the batch, in ms since the epoch.
    pub max_timestamp: i64,
    /// The producer id, −1 when the producer is not idempotent.
    pub producer_id: i64,
    /// The producer's epoch, or −1.
    pub producer_epoch: i16,
    /// The first record's sequence number, or −1.
    pub base_sequence: i32,
    /// The number of records; 0 is legal after compaction.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads a header from the front of `bytes`; `None` when they are fewer than
    /// [`HEADER_LEN`].
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut at = Cursor { rest: bytes };
        Some(Self {
            base_offset: i64::from_be_bytes(at.array()?),
            batch_length: i32::from_be_bytes(at.array()?),
            partition_leader_epoch: i32::from_be_bytes(at.array()?),
            magic: i8::from_be_bytes(at.array()?),
            crc: u32::from_be_bytes(at.array()?),
            attributes: Attributes(i16::from_be_bytes(at.array()?)),
            last_offset_delta: i32::from_be_bytes(at.array()?),
            base_timestamp: i64::from_be_bytes(at.array()?),
            max_timestamp: i64::from_be_bytes(at.array()?),
            producer_id: i64::from_be_bytes(at.array()?),
            producer_epoch: i16::from_be_bytes(at.array()?),
            base_sequence: i32::from_be_bytes(at.array()?),
            record_count: i32::from_be_bytes(at.array()?),
        })
    }

    /// The header's bytes, with the checksum it carries.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        self.join(self.crc, &self.checksummed())
    }

    /// The header's bytes, with the checksum that `checksum` makes of that of the header's
    /// checksummed part.
    pub(crate) fn sealed(&self, checksum: impl FnOnce(u32) -> u32) -> [u8; HEADER_LEN] {
        let tail = self.checksummed();
        self.join(checksum(crc::crc32c(&tail)), &tail)
    }

    fn join(&self, crc: u32, tail: &[u8; CHECKSUMMED_LEN]) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut out = bytes.as_mut_slice();
        out.put_i64(self.base_offset);
        out.put_i32(self.batch_length);
        out.put_i32(self.partition_leader_epoch);
        out.put_i8(self.magic);
        out.put_u32(crc);
        out.put_slice(tail);
        bytes
    }

    fn checksummed(&self) -> [u8; CHECKSUMMED_LEN] {
        let mut bytes = [0; CHECKSUMMED_LEN];
        let mut out = bytes.as_mut_slice();
        out.put_i16(self.attributes.0);
        out.put_i32(self.last_offset_delta);
        out.put_i64(self.base_timestamp);
        out.put_i64(self.max_timestamp);
        out.put_i64(self.producer_id);
        out.put_i16(self.producer_epoch);
        out.put_i32(self.base_sequence);
        out.put_i32(self.record_count);
        bytes
    }

    /// The last offset that the batch covers; a reader continues at the next one. Saturates on a
    /// header that no check has passed.
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
    }

    /// The last record's sequence number, or −1. Sequences wrap from 2³¹ − 1 to 0, also inside a
    /// batch.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }
}
