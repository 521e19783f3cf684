//! Record batches written and read, with no client around them.

use std::hint::black_box;

use bytes::Bytes;
use milena_records::{
    AppendError, BatchBuilder, Batches, Compression, Compressor, Decompressor, Heap, RecordParts,
    Stamp,
};

/// How large a batch may be, before compression.
pub const LIMIT: usize = 16 * 1024;

/// A batch as large as the limit allows, compressed, as a broker would return it.
pub fn sealed(payloads: &[Vec<u8>], codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(Vec::with_capacity(LIMIT), LIMIT);
    for payload in payloads.iter().cycle() {
        if builder.append(&record(payload)).is_err() {
            break;
        }
    }
    let sealed = builder.seal(&mut Compressor::new(codec), &mut Heap);
    let sealed = sealed.expect("what is in memory can be compressed");
    sealed.to_bytes(Stamp::NONE)
}

/// Fills a batch in warm memory; how many records fitted, and the memory for the next one.
pub fn fill<'a>(
    memory: Vec<u8>,
    payloads: &mut impl Iterator<Item = &'a Vec<u8>>,
) -> (u64, Vec<u8>) {
    let mut builder = BatchBuilder::new(memory, LIMIT);
    for payload in payloads {
        match builder.try_append(black_box(&record(payload))) {
            Ok(_) => {}
            Err(AppendError::Full) => break,
            Err(error) => panic!("a payload does not fit an empty batch: {error}"),
        }
    }
    let records = u64::from(builder.count());
    (records, builder.into_segments().swap_remove(0))
}

/// Checks a batch, structure and checksum, and walks its records; how many there are.
pub fn read(batch: &Bytes, decompressor: &mut Decompressor) -> u64 {
    let mut records = 0;
    for batch in Batches::new(black_box(batch.clone())) {
        let batch = batch.expect("the batch is whole");
        let checked = batch.check(decompressor, 1 << 20);
        for record in &checked.expect("the batch is valid") {
            black_box(record.value);
            records += 1;
        }
    }
    records
}

fn record(payload: &[u8]) -> RecordParts<'_> {
    RecordParts {
        timestamp: 1_700_000_000_000,
        value: Some(payload),
        ..RecordParts::default()
    }
}
