//! What can be wrong with a batch. In all of these the peer, or the disk behind it, is to blame,
//! save where the message says what the reader can do.

use crate::compression::DecompressError;

/// A batch that cannot be read, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the batch at offset {base_offset} cannot be read: {fault}")]
pub struct BatchError {
    /// The batch's base offset as its header says; do not trust it when the fault is a length or
    /// a checksum.
    pub base_offset: i64,
    /// What is wrong with it.
    pub fault: BatchFault,
}

/// What is wrong with a batch.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchFault {
    /// The declared length is below what its format needs.
    #[error("its length of {0} is below the smallest possible; the answer is damaged")]
    Length(i32),
    /// Message format 0 or 1 (before Kafka 0.11), or one that does not exist.
    #[error(
        "message format v{0} is not supported, only v2; \
         have the topic rewritten by a broker and clients of Kafka 0.11 or later"
    )]
    UnsupportedMagic(i8),
    /// The bytes were damaged after they were written.
    #[error("its checksum is {stored:#010x} but its bytes give {computed:#010x}; they are damaged")]
    Checksum {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// A codec id that Kafka has not assigned.
    #[error("its compression codec {0} is unknown; a newer client may know it")]
    UnknownCompression(u8),
    /// The records could not be decompressed.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// A header field with an impossible value.
    #[error("its header has an impossible {0}")]
    Header(&'static str),
    /// A record that is not well formed.
    #[error("its record number {index} has an impossible {field}")]
    Record {
        /// The record's place in the batch, from 0.
        index: u32,
        /// The field.
        field: &'static str,
    },
    /// Bytes after the last declared record.
    #[error("{0} bytes follow its last record")]
    TrailingBytes(usize),
}

/// A batch that a broker refuses to append although it can be read.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProduceFault {
    /// A batch without records.
    #[error("a produced batch needs at least one record")]
    Empty,
    /// Only brokers write control batches.
    #[error("a client may not write control batches")]
    Control,
    /// Offset deltas are not 0, 1, 2 …
    #[error("the offsets of a produced batch must be contiguous from 0")]
    Offsets,
    /// A producer id without a valid epoch and sequence.
    #[error("a batch with a producer id needs an epoch and a base sequence of at least 0")]
    Sequence,
    /// Transactional without a producer id.
    #[error("a transactional batch needs a producer id")]
    Transactional,
}
