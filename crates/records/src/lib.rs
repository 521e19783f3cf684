//! Kafka's record batches (message format 2): written in place, read lazily, with CRC-32C and the
//! five compression codecs.
//!
//! A producer encodes records with a [`BatchBuilder`], closes it to a [`SealedBatch`] and sends
//! [`SealedBatch::header`] followed by [`SealedBatch::segments`]. A consumer walks an answer with
//! [`Batches`], checks each [`Batch`] once and iterates the [`CheckedBatch`], which cannot fail. A
//! broker edits what the checksum does not cover with [`edit`].
//!
//! ```
//! use milena_records::{
//!     BatchBuilder, Batches, Compression, Compressor, Decompressor, Heap, RecordParts, Stamp,
//! };
//!
//! let mut builder = BatchBuilder::default();
//! builder.append(&RecordParts { timestamp: 7, value: Some(b"hello"), ..RecordParts::default() })?;
//! let sealed = builder.seal(&mut Compressor::new(Compression::Lz4), &mut Heap)?;
//! let sent = sealed.to_bytes(Stamp::NONE);
//!
//! for batch in Batches::new(sent) {
//!     let batch = batch?.check(&mut Decompressor::new(), 1 << 20)?;
//!     for record in &batch {
//!         assert_eq!((record.offset, record.value), (0, Some(&b"hello"[..])));
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariants:
//! - I1. Nothing from the wire panics, and nothing is allocated from a length that a peer
//!   declared.
//! - I2. A checked batch iterates without errors.
//! - I3. No allocation per record, neither writing nor reading.
//!
//! Not for: message formats 0 and 1 (recognised and refused), requests, and what batches mean to
//! a partition (sequences, transactions, positions).

#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod builder;
mod compression;
mod control;
mod crc;
pub mod edit;
mod error;
mod header;
mod read;
mod record;
mod sealed;
mod split;
pub mod text;
mod varint;

pub use builder::{
    AppendError, Appended, BatchBuilder, DEFAULT_BATCH_LIMIT, DEFAULT_SEGMENT, Heap, Memory,
};
pub use compression::{
    CompressError, Compression, Compressor, DecompressError, Decompressor, LevelError,
    UnknownCompression,
};
pub use control::{ControlError, ControlRecord, ControlType, EndTxnMarker};
pub use crc::crc32c;
pub use error::{BatchError, BatchFault, ProduceFault};
pub use header::{Attributes, BatchHeader, HEADER_LEN, MAGIC, TimestampType};
pub use read::{Batch, Batches, CheckedBatch, Records, Spans};
pub use record::{Header, Headers, RecordParts, RecordRef, RecordSpan};
pub use sealed::{SealedBatch, Stamp};
pub use split::SplitError;
