//! Control batches: markers that brokers write and no consumer hands out.

use bytes::{BufMut, Bytes};

use crate::compression::Compression;
use crate::record::RecordRef;
use crate::sealed::{SealedBatch, Stamp};
use crate::varint::Cursor;

/// What a control record says.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlType {
    /// A transaction of this producer was aborted.
    Abort,
    /// A transaction of this producer was committed.
    Commit,
    /// A KRaft leader was elected.
    LeaderChange,
    /// A KRaft snapshot begins.
    SnapshotHeader,
    /// A KRaft snapshot ends.
    SnapshotFooter,
    /// The KRaft protocol's version.
    KRaftVersion,
    /// The KRaft voters.
    KRaftVoters,
    /// A type that this crate does not know; to be skipped.
    Unknown(i16),
}

impl From<i16> for ControlType {
    fn from(id: i16) -> Self {
        match id {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            other => Self::Unknown(other),
        }
    }
}

/// A control record that is not well formed.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The key is not `version · type`.
    #[error("the control record's key is damaged")]
    Key,
    /// The value is not an end-transaction marker.
    #[error("the end-transaction marker's value is damaged")]
    Marker,
}

/// The key of a control record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlRecord {
    /// The key's version. Later ones only add fields.
    pub version: i16,
    /// What the record says.
    pub kind: ControlType,
}

impl ControlRecord {
    /// Reads the key of a record of a control batch.
    ///
    /// # Errors
    /// [`ControlError::Key`].
    pub fn read(record: &RecordRef<'_>) -> Result<Self, ControlError> {
        let mut at = Cursor {
            rest: record.key.unwrap_or_default(),
        };
        let (Some(version), Some(kind)) = (at.array(), at.array()) else {
            return Err(ControlError::Key);
        };
        let version = i16::from_be_bytes(version);
        if version < 0 {
            return Err(ControlError::Key);
        }
        Ok(Self {
            version,
            kind: i16::from_be_bytes(kind).into(),
        })
    }
}

/// The end of a transaction in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Committed, or aborted.
    pub committed: bool,
    /// The epoch of the transaction coordinator that wrote the marker.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    const RECORD_LEN: usize = 17;

    /// Reads a record of a control batch: `None` when it is no end of a transaction.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn read(record: &RecordRef<'_>) -> Result<Option<Self>, ControlError> {
        let committed = match ControlRecord::read(record)?.kind {
            ControlType::Commit => true,
            ControlType::Abort => false,
            _ => return Ok(None),
        };
        let mut at = Cursor {
            rest: record.value.unwrap_or_default(),
        };
        let (Some(version), Some(epoch)) = (at.array(), at.array()) else {
            return Err(ControlError::Marker);
        };
        if i16::from_be_bytes(version) < 0 {
            return Err(ControlError::Marker);
        }
        Ok(Some(Self {
            committed,
            coordinator_epoch: i32::from_be_bytes(epoch),
        }))
    }

    /// The control batch of this marker, as a broker appends it. Base offset and leader epoch are
    /// set by [`edit::append_at`](crate::edit::append_at).
    pub fn to_batch(&self, producer_id: i64, producer_epoch: i16, timestamp: i64) -> Bytes {
        let mut body = Vec::with_capacity(Self::RECORD_LEN);
        // Length 16; no attributes; deltas 0; a key of 4 bytes and a value of 6; no headers.
        body.put_slice(&[16 << 1, 0, 0, 0, 4 << 1]);
        body.put_i16(0);
        body.put_i16(i16::from(self.committed));
        body.put_u8(6 << 1);
        body.put_i16(0);
        body.put_i32(self.coordinator_epoch);
        body.put_u8(0);
        let sealed = SealedBatch::new(
            vec![body.into()],
            Compression::None,
            1,
            timestamp,
            timestamp,
        );

        let stamp = Stamp {
            producer_id,
            producer_epoch,
            base_sequence: -1,
            transactional: true,
        };
        let mut header = sealed.unsealed_header(stamp);
        header.attributes = header.attributes.with_control(true);
        sealed.assemble(&header)
    }
}

#[cfg(test)]
mod tests;
