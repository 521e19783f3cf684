//! Record batches as they come from a peer, as they are and with their checksums made right,
//! which no mutation would find.

use bytes::Bytes;
use milena_records::{
    Batch, BatchBuilder, BatchHeader, Batches, CheckedBatch, Compressor, ControlRecord,
    Decompressor, EndTxnMarker, HEADER_LEN, Heap, RecordRef, Stamp, TimestampType, crc32c, text,
};

use crate::allocation;
use crate::batches::Record;

/// The most that a batch may decompress to.
const MAX_DECOMPRESSED: usize = 64 << 10;
/// What the decoders of compressed data hold besides their output: windows and tables.
const CONTEXTS: u64 = 512 << 10;
/// The checksum, and what it covers.
const CRC: std::ops::Range<usize> = 17..21;

/// Record batches: framing, checking, decompressing, iterating.
pub fn record_batches(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    let repaired = with_right_checksums(&bytes);
    walk(bytes);
    walk(repaired);
}

fn with_right_checksums(bytes: &Bytes) -> Bytes {
    let framed = Batches::new(bytes.clone()).map_while(Result::ok);
    framed
        .flat_map(|batch| with_right_checksum(&batch))
        .collect()
}

fn with_right_checksum(batch: &Batch) -> Vec<u8> {
    let mut bytes = batch.bytes().to_vec();
    let crc = crc32c(&bytes[CRC.end..]);
    bytes[CRC].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn walk(bytes: Bytes) {
    let size = bytes.len();
    let mut decompressor = Decompressor::new();
    let mut batches = Batches::new(bytes.clone());
    let mut readable = true;
    loop {
        let before = batches.remaining();
        let Some(batch) = batches.next() else { break };
        assert!(batches.remaining() < before, "the iteration goes on");
        let checked = batch.and_then(|batch| check(&batch, &mut decompressor));
        readable &= checked.is_ok();
        if let Ok(batch) = checked {
            read(&batch);
        }
    }
    assert!(batches.remaining() <= size);
    assert_eq!(text::dump(bytes, MAX_DECOMPRESSED).is_ok(), readable);
}

fn check(
    batch: &Batch,
    decompressor: &mut Decompressor,
) -> Result<CheckedBatch, milena_records::BatchError> {
    let bytes = batch.bytes();
    assert_eq!(batch.header().to_bytes(), bytes[..HEADER_LEN]);
    assert_eq!(BatchHeader::read(bytes).as_ref(), Some(batch.header()));
    let (checked, peak) = allocation::peak(|| batch.check(decompressor, MAX_DECOMPRESSED));
    // A vector that doubles holds three times its old size for a moment.
    let limit = 3 * MAX_DECOMPRESSED as u64 + CONTEXTS;
    assert!(peak <= limit, "{peak} bytes allocated of {limit}");
    checked
}

fn read(batch: &CheckedBatch) {
    let header = batch.header();
    assert!(batch.block().len() <= MAX_DECOMPRESSED.max(header.batch_length as usize));
    let mut spans = batch.clone().into_spans();
    let mut count = 0;
    let mut next_offset = header.base_offset;
    for record in batch {
        assert!((next_offset..=header.last_offset()).contains(&record.offset));
        next_offset = record.offset + 1;
        assert_eq!(record.headers.count(), record.headers.len());
        let span = spans.next().expect("as many spans as records");
        assert_eq!(batch.record(&span), record);
        if let Some(value) = record.value {
            assert_eq!(batch.share(value), value);
        }
        if header.attributes.is_control() {
            control(&record);
        }
        count += 1;
    }
    assert!(spans.next().is_none());
    assert_eq!(count, header.record_count);
    let _ = batch.check_produced();
    rewrite(batch);
}

/// A marker is a control record, whatever else is wrong with it.
fn control(record: &RecordRef<'_>) {
    let marker = EndTxnMarker::read(record);
    assert!(ControlRecord::read(record).is_ok() || marker.is_err());
}

/// What was read can be written, and is then read again.
fn rewrite(batch: &CheckedBatch) {
    let records: Vec<Record> = batch.iter().map(|record| Record::read(&record)).collect();
    let mut builder = BatchBuilder::new(Vec::new(), usize::MAX);
    let written: Vec<&Record> = records
        .iter()
        .filter(|record| record.append(&mut builder).is_ok())
        .collect();
    // Timestamps that one batch holds can lie too far apart for another one's first record.
    let one_time = batch.header().attributes.timestamp_type() == TimestampType::LogAppendTime;
    assert!(written.len() == records.len() || !one_time);
    let sealed = builder
        .seal(&mut Compressor::default(), &mut Heap)
        .expect("nothing is compressed");
    let again = Batches::new(sealed.to_bytes(Stamp::NONE))
        .next()
        .expect("a batch")
        .and_then(|batch| batch.check(&mut Decompressor::new(), 0))
        .expect("what we write is valid");
    assert!(
        again
            .iter()
            .map(|record| Record::read(&record))
            .eq(written.into_iter().cloned())
    );
}
