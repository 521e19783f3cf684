//! Loops to count instructions in: `counts MODE RECORDS`.
//!
//! `encode` writes 100 B records without key or headers into warm memory, batch after batch;
//! `decode` checks (checksum and structure) and iterates such batches. The figure of one record is
//! the difference of two counts, say of 100,000 and 200,000 records, over the difference:
//! `valgrind --tool=callgrind --callgrind-out-file=/dev/null counts encode 100000`. `time MODE`
//! prints nanoseconds instead. `batches CODEC` prints some batches in hex for other readers.

#![allow(clippy::disallowed_methods, reason = "measures, so it reads the clock")]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use milena_records::{
    AppendError, BatchBuilder, Batches, Compression, Compressor, Decompressor, Header, Heap,
    RecordParts, Stamp, text,
};

const BATCH: usize = 16 * 1024;
const VALUE: [u8; 100] = [b'v'; 100];

fn record(timestamp: i64) -> RecordParts<'static> {
    RecordParts {
        timestamp,
        value: Some(&VALUE),
        ..RecordParts::default()
    }
}

fn encode(records: usize) -> usize {
    let mut bytes = 0;
    let mut memory = Vec::with_capacity(BATCH);
    let mut left = records;
    while left > 0 {
        let mut builder = BatchBuilder::new(memory, BATCH);
        while left > 0 {
            match builder.try_append(black_box(&record(1_700_000_000_000))) {
                Ok(_) => left -= 1,
                Err(AppendError::Full) => break,
                Err(error) => panic!("{error}"),
            }
        }
        bytes += builder.len();
        memory = builder.into_segments().swap_remove(0);
    }
    bytes
}

fn batch() -> Bytes {
    let mut builder = BatchBuilder::new(Vec::with_capacity(BATCH), BATCH);
    while builder.append(&record(1_700_000_000_000)).is_ok() {}
    let sealed = builder
        .seal(&mut Compressor::default(), &mut Heap)
        .expect("no codec");
    sealed.to_bytes(Stamp::NONE)
}

fn decode(records: usize) -> usize {
    let (batch, mut decompressor) = (batch(), Decompressor::new());
    let (mut left, mut bytes) = (records, 0);
    while left > 0 {
        for batch in Batches::new(black_box(batch.clone())) {
            let batch = batch.expect("framed");
            let checked = batch.check(&mut decompressor, BATCH).expect("valid");
            for record in &checked {
                bytes += record.value.map_or(0, <[u8]>::len);
                left = left.saturating_sub(1);
            }
        }
    }
    bytes
}

/// Batches of all shapes, one line `name hex` each.
fn print_batches(codec: Compression) {
    let mut compressor = Compressor::new(codec);
    for count in [1usize, 2, 10, 300, 3000] {
        let mut builder = BatchBuilder::new(Vec::with_capacity(1000), 4 << 20);
        for n in 0..count {
            let value = vec![(n % 251) as u8; n * 7 % 2000];
            let headers = [Header::new("h", Some(b"x")), Header::new("h", None)];
            let record = RecordParts {
                timestamp: 1_700_000_000_000 + (n as i64 % 7) * 1000 - 3000,
                key: (n % 3 != 0).then_some(b"key"),
                value: (n % 11 != 5).then_some(&value),
                headers: &headers[..n % 3],
            };
            builder.append(&record).expect("room");
        }
        let sealed = builder
            .seal(&mut compressor, &mut Heap)
            .expect("compresses");
        let mut line = format!("{codec}-{count} ");
        text::hex(&mut line, Some(&sealed.to_bytes(Stamp::NONE)));
        println!("{line}");
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let run = |mode: &str, records| match mode {
        "encode" => encode(records),
        "decode" => decode(records),
        other => panic!("{other} is neither encode nor decode"),
    };
    match args[..] {
        ["batches", codec] => print_batches(codec.parse().expect("a codec")),
        ["time", mode] => {
            let best = (0..20).map(|_| {
                let start = Instant::now();
                black_box(run(mode, 1_000_000));
                start.elapsed().as_nanos() as f64 / 1e6
            });
            println!("{mode}: {:.1} ns a record", best.fold(f64::MAX, f64::min));
        }
        [mode, records] => println!("{}", run(mode, records.parse().expect("a number"))),
        _ => panic!("usage: counts encode|decode RECORDS | time encode|decode | batches CODEC"),
    }
}
