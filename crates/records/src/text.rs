//! Batches as text, for comparison with other implementations and for tools that print them.
//!
//! One `batch …` line for each batch, then a `record …` line for each record; bytes in hex, `null`
//! for null, `-` for empty and for no headers.

use std::fmt::Write;

use bytes::Bytes;

use crate::compression::Decompressor;
use crate::error::{BatchError, BatchFault};
use crate::header::TimestampType;
use crate::read::{Batches, CheckedBatch};
use crate::record::{Headers, RecordRef};

/// The text of all batches in `bytes`, checked; a cut last one is left out.
///
/// # Errors
/// The first [`BatchError`].
pub fn dump(bytes: Bytes, max_decompressed: usize) -> Result<String, BatchError> {
    let mut out = String::new();
    let mut decompressor = Decompressor::new();
    for batch in Batches::new(bytes) {
        let batch = batch?.check(&mut decompressor, max_decompressed)?;
        let base_offset = batch.header().base_offset;
        dump_batch(&mut out, &batch).map_err(|fault| BatchError { base_offset, fault })?;
    }
    Ok(out)
}

fn dump_batch(out: &mut String, batch: &CheckedBatch) -> Result<(), BatchFault> {
    let header = batch.header();
    let attributes = header.attributes;
    let codec = attributes
        .compression()
        .map_err(BatchFault::UnknownCompression)?;
    let ts = match attributes.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "batch magic={} base={} last={} pid={} epoch={} seq={} txn={} control={} ts={ts} \
         codec={codec} maxts={} leader={}",
        header.magic,
        header.base_offset,
        header.last_offset(),
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        attributes.is_transactional(),
        attributes.is_control(),
        header.max_timestamp,
        header.partition_leader_epoch,
    );
    batch.iter().for_each(|record| dump_record(out, &record));
    Ok(())
}

fn dump_record(out: &mut String, record: &RecordRef<'_>) {
    let _ = write!(
        out,
        "record offset={} ts={} key=",
        record.offset, record.timestamp
    );
    hex(out, record.key);
    out.push_str(" value=");
    hex(out, record.value);
    out.push_str(" headers=");
    dump_headers(out, record.headers);
    out.push('\n');
}

fn dump_headers(out: &mut String, headers: Headers<'_>) {
    if headers.is_empty() {
        out.push('-');
    }
    for (index, header) in headers.enumerate() {
        if index > 0 {
            out.push(',');
        }
        hex(out, Some(header.name));
        out.push(':');
        hex(out, header.value);
    }
}

/// Appends bytes in hex; `-` for none and `null` for null.
pub fn hex(out: &mut String, bytes: Option<&[u8]>) {
    match bytes {
        None => out.push_str("null"),
        Some([]) => out.push('-'),
        Some(bytes) => bytes.iter().for_each(|byte| {
            let _ = write!(out, "{byte:02x}");
        }),
    }
}
