use bytes::Bytes;

use super::Reader;
use crate::{Malformed, Sink};

fn reader(bytes: &[u8]) -> Reader {
    Reader::new(Bytes::copy_from_slice(bytes))
}

#[test]
fn every_unsigned_varint_reads_back() {
    for value in [0, 1, 127, 128, 300, 16_383, 16_384, u32::MAX - 1, u32::MAX] {
        let mut out = Vec::new();
        out.put_unsigned_varint(value);
        assert_eq!(reader(&out).unsigned_varint(), Ok(value));
    }
}

#[test]
fn a_varint_that_overflows_or_does_not_end_is_refused() {
    assert_eq!(
        reader(&[0xff, 0xff, 0xff, 0xff, 0x1f]).unsigned_varint(),
        Err(Malformed::Varint)
    );
    assert_eq!(reader(&[0x80; 6]).unsigned_varint(), Err(Malformed::Varint));
    assert_eq!(reader(&[0x80]).unsigned_varint(), Err(Malformed::Truncated));
}

#[test]
fn a_length_below_minus_one_is_refused() {
    assert_eq!(
        reader(&[0xff, 0xfe]).nullable_string(false),
        Err(Malformed::Length(-2))
    );
    assert_eq!(reader(&[0xff, 0xff]).nullable_string(false), Ok(None));
    assert_eq!(
        reader(&[0xff, 0xff]).string(false),
        Err(Malformed::UnexpectedNull)
    );
}

#[test]
fn a_string_that_is_not_utf8_is_refused() {
    assert_eq!(reader(&[2, 0xff]).string(true), Err(Malformed::Utf8));
}

#[test]
fn tagged_fields_must_ascend() {
    let twice = [2, 5, 0, 5, 0];
    assert_eq!(
        reader(&twice).unknown_tagged_fields(),
        Err(Malformed::TagOrder(5))
    );
}

#[test]
fn many_empty_tagged_fields_are_charged() {
    let mut out = Vec::new();
    let count = 100_000;
    out.put_unsigned_varint(count);
    for tag in 0..count {
        out.put_unsigned_varint(tag);
        out.put_unsigned_varint(0);
    }
    assert_eq!(reader(&out).unknown_tagged_fields(), Err(Malformed::Limit));
}
