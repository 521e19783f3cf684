//! What a broker changes in a batch that it appends.

use crate::crc;
use crate::header::{Attributes, BatchHeader, CHECKSUMMED_FROM, TimestampType};

/// Where the leader epoch lies.
const LEADER_EPOCH_FROM: usize = 12;
const CRC_FROM: usize = 17;
const ATTRIBUTES_FROM: usize = 21;
const MAX_TIMESTAMP_FROM: usize = 35;

/// Bytes that are shorter than a batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a record batch: shorter than a batch's header")]
pub struct TooShort;

/// Gives a batch its place in the log. Neither field is covered by the checksum.
///
/// # Errors
/// [`TooShort`]; the bytes are then unchanged.
pub fn append_at(batch: &mut [u8], base_offset: i64, leader_epoch: i32) -> Result<(), TooShort> {
    BatchHeader::read(batch).ok_or(TooShort)?;
    put(batch, 0, base_offset.to_be_bytes())?;
    put(batch, LEADER_EPOCH_FROM, leader_epoch.to_be_bytes())
}

/// Gives all records of a batch the time of its append (`message.timestamp.type` =
/// `LogAppendTime`) and makes the checksum anew, over whatever the batch holds.
///
/// # Errors
/// [`TooShort`]; the bytes are then unchanged.
pub fn set_log_append_time(batch: &mut [u8], timestamp: i64) -> Result<(), TooShort> {
    let Attributes(bits) = BatchHeader::read(batch)
        .ok_or(TooShort)?
        .attributes
        .with_timestamp_type(TimestampType::LogAppendTime);
    put(batch, ATTRIBUTES_FROM, bits.to_be_bytes())?;
    put(batch, MAX_TIMESTAMP_FROM, timestamp.to_be_bytes())?;
    let crc = crc::crc32c(batch.get(CHECKSUMMED_FROM..).ok_or(TooShort)?);
    put(batch, CRC_FROM, crc.to_be_bytes())
}

fn put<const N: usize>(batch: &mut [u8], from: usize, field: [u8; N]) -> Result<(), TooShort> {
    let place = batch
        .get_mut(from..)
        .and_then(<[u8]>::first_chunk_mut)
        .ok_or(TooShort)?;
    *place = field;
    Ok(())
}

#[cfg(test)]
mod tests;
