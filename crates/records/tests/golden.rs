//! Record batches that Apache Kafka 4.3.1's own classes wrote, with the text they read from them.

use std::fmt::Write;

use bytes::Bytes;
use milena_records::{
    BatchBuilder, Batches, Compression, Compressor, Decompressor, EndTxnMarker, Header, Heap,
    Stamp, edit, text,
};

const LIMIT: usize = 16 << 20;

fn golden() -> String {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../protocol-tests/vectors/batches-4.3.1.txt"
    );
    std::fs::read_to_string(path).expect("the golden batches are part of the repository")
}

fn unhex(text: &str) -> Bytes {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}

/// Name, bytes and text of each golden batch.
fn vectors(golden: &str) -> Vec<(&str, Bytes, &str)> {
    golden
        .split("vector ")
        .skip(1)
        .map(|vector| {
            let (first, text) = vector.split_once('\n').expect("a line");
            let (name, hex) = first.split_once(' ').expect("a name and bytes");
            (name, unhex(hex), text)
        })
        .collect()
}

#[test]
fn every_golden_batch_reads_as_kafka_reads_it() {
    let golden = golden();
    let vectors = vectors(&golden);
    assert_eq!(vectors.len(), 122);
    for (name, bytes, expected) in vectors {
        let text = text::dump(bytes, LIMIT).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text == expected, "{name}:\n{text}\nexpected\n{expected}");
    }
}

#[test]
fn every_golden_batch_survives_a_rewrite_in_every_codec() {
    let golden = golden();
    for (name, bytes, expected) in vectors(&golden) {
        for codec in Compression::ALL {
            let rewritten = rewrite(&bytes, codec);
            let text = text::dump(rewritten, LIMIT).expect(name);
            let expected = with_codec(expected, codec);
            assert!(
                text == expected,
                "{name} in {codec}:\n{text}\nexpected\n{expected}"
            );
        }
    }
}

#[test]
fn uncompressed_golden_batches_are_written_byte_for_byte() {
    let golden = golden();
    let mut seen = 0;
    for (name, bytes, _) in vectors(&golden) {
        if name.starts_with("none") {
            assert!(rewrite(&bytes, Compression::None) == bytes, "{name}");
            seen += 1;
        }
    }
    assert_eq!(seen, 24);
}

#[test]
fn end_of_transaction_markers_are_written_byte_for_byte() {
    let golden = golden();
    let mut seen = 0;
    for (name, bytes, _) in vectors(&golden) {
        let Some(outcome) = name.strip_prefix("control-") else {
            continue;
        };
        let marker = EndTxnMarker {
            committed: outcome == "commit",
            coordinator_epoch: 5,
        };
        let mut written = marker.to_batch(77, 3, 1_700_000_000_000).to_vec();
        edit::append_at(&mut written, 1234, 9).expect("a whole batch");
        assert_eq!(written, bytes, "{name}");

        let batch = Batches::new(bytes)
            .next()
            .expect("a batch")
            .expect("framed");
        let batch = batch.check(&mut Decompressor::new(), LIMIT).expect("valid");
        let record = batch.iter().next().expect("a record");
        assert_eq!(EndTxnMarker::read(&record), Ok(Some(marker)));
        seen += 1;
    }
    assert_eq!(seen, 2);
}

/// Decodes a batch and writes its records again with our builder.
fn rewrite(bytes: &Bytes, codec: Compression) -> Bytes {
    let batch = Batches::new(bytes.clone())
        .next()
        .expect("a batch")
        .expect("framed");
    let batch = batch.check(&mut Decompressor::new(), LIMIT).expect("valid");
    let header = *batch.header();

    let mut builder = BatchBuilder::new(Vec::with_capacity(1000), LIMIT);
    for record in &batch {
        let headers: Vec<Header<'_>> = record.headers.collect();
        builder.append(&record.parts(&headers)).expect("room");
    }
    let sealed = builder
        .seal(&mut Compressor::new(codec), &mut Heap)
        .expect("compresses");
    let stamp = Stamp {
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.attributes.is_transactional(),
    };
    let mut written = sealed.to_bytes(stamp).to_vec();
    edit::append_at(
        &mut written,
        header.base_offset,
        header.partition_leader_epoch,
    )
    .expect("a whole batch");
    written.into()
}

fn with_codec(text: &str, codec: Compression) -> String {
    let mut out = String::new();
    for line in text.lines() {
        for (index, word) in line.split(' ').enumerate() {
            let gap = if index == 0 { "" } else { " " };
            match word.split_once('=') {
                Some(("codec", _)) => write!(out, "{gap}codec={codec}"),
                Some(("control", _)) => write!(out, "{gap}control=false"),
                _ => write!(out, "{gap}{word}"),
            }
            .expect("a string");
        }
        out.push('\n');
    }
    out
}
