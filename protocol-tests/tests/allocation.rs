//! Decoding allocates within 16 × its input and 64 KiB, whatever lengths the input declares.

use bytes::Bytes;
use milena_codec::messages::{ApiVersionsRequest, JoinGroupRequest};
use milena_codec::{Message, decode};
use protocol_tests::allocation::{limit, peak};
use protocol_tests::messages::{Vector, golden};

/// Zeros behind a message, for lengths to count on.
const TAIL: usize = 3000;

fn assert_within_limit(vector: &Vector, body: Vec<u8>, what: &str) {
    let size = body.len();
    let body = Bytes::from(body);
    let (_, peak) = peak(|| vector.entry.decodes(body, vector.version));
    assert!(
        peak <= limit(size),
        "{} v{} with {what}: {peak} bytes allocated for {size}",
        vector.entry.name,
        vector.version
    );
}

/// Every form of a length: far too large, and just as many as bytes are left.
fn lengths(rest: usize) -> [Vec<u8>; 8] {
    let rest = rest.min(i16::MAX as usize) as u16;
    let varint = |value: u16| {
        vec![
            value as u8 | 0x80,
            (value >> 7) as u8 | 0x80,
            (value >> 14) as u8,
        ]
    };
    [
        i32::MAX.to_be_bytes().to_vec(),
        (i32::from(rest) - 4).to_be_bytes().to_vec(),
        i32::from(rest / 16).to_be_bytes().to_vec(),
        i16::MAX.to_be_bytes().to_vec(),
        vec![0xff, 0xff, 0xff, 0xff, 0x0f],
        varint(rest.saturating_sub(2)),
        varint(rest / 2),
        varint(rest / 16),
    ]
}

#[test]
fn golden_messages_stay_within_the_limit() {
    for vector in golden() {
        assert_within_limit(&vector, vector.body.to_vec(), "nothing changed");
    }
}

#[test]
fn golden_messages_with_any_length_changed_stay_within_the_limit() {
    for vector in golden() {
        for at in 0..vector.body.len() {
            for length in lengths(vector.body.len() - at) {
                let mut body = vector.body.to_vec();
                let end = (at + length.len()).min(body.len());
                body[at..end].copy_from_slice(&length[..end - at]);
                assert_within_limit(&vector, body, &format!("{length:x?} at {at}"));
            }
        }
    }
}

#[test]
fn golden_messages_with_any_length_changed_and_bytes_to_fill_it_stay_within_the_limit() {
    for vector in golden().step_by(3) {
        for at in 0..vector.body.len() {
            for length in lengths(TAIL) {
                let mut body = vector.body[..at].to_vec();
                body.extend(&length);
                body.resize(at + TAIL, 0);
                assert_within_limit(&vector, body, &format!("{length:x?} at {at}"));
            }
        }
    }
}

#[test]
fn tagged_fields_that_nobody_knows_stay_within_the_limit() {
    for count in [1, 2, 5, 127, 1000, 8193, 16_000] {
        let mut body = vec![1, 1]; // two empty strings
        put_varint(&mut body, count);
        for tag in 0..count {
            put_varint(&mut body, tag);
            body.push(0);
        }
        assert_within_the_limit::<ApiVersionsRequest>(body, 3);
    }
    for count in [1, 100, 900, 10_000] {
        let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1];
        put_varint(&mut body, count + 1);
        for _ in 0..count {
            body.extend([1, 1, 1, 0, 0]); // empty name and metadata, one field: tag 0, no bytes
        }
        body.extend([0, 0]);
        assert_within_the_limit::<JoinGroupRequest>(body, 9);
    }
}

fn assert_within_the_limit<M: Message>(body: Vec<u8>, version: i16) {
    let size = body.len();
    let body = Bytes::from(body);
    let (decoded, peak) = peak(|| decode::<M>(body, version));
    let honest = size < 500;
    assert!(decoded.is_ok() || !honest, "{decoded:?}");
    assert!(
        peak <= limit(size),
        "{}: {peak} bytes allocated for {size}",
        M::NAME
    );
}

fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
