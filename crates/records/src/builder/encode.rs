//! How a record becomes bytes: at once into a segment that has room, or piece by piece across
//! several. Both write the same, which a property test holds them to.

use crate::record::{Header, RecordParts};
use crate::varint::{zigzag32, zigzag64};

/// How a record's timestamp and offset are written: as the distance from the batch's.
pub(super) struct Deltas {
    pub(super) timestamp: i64,
    pub(super) offset: i32,
}

impl Deltas {
    #[inline]
    pub(super) fn short(&self) -> Short {
        let timestamp = Short::varint(zigzag64(self.timestamp));
        timestamp.then(Short::varint(u64::from(zigzag32(self.offset))))
    }
}

/// Up to eight bytes, put together in a register and written at once: field by field, with a look
/// at the capacity for each byte, takes a third longer.
#[derive(Clone, Copy)]
pub(super) struct Short {
    /// Little end first. Meaningless when `len` is above 8.
    word: u64,
    pub(super) len: u32,
}

impl Short {
    /// How far [`Self::put`] writes beyond the bytes it keeps.
    pub(super) const SPILL: usize = 8;
    /// A record's attributes: none are defined.
    pub(super) const ATTRIBUTES: Self = Self { word: 0, len: 1 };

    #[inline]
    pub(super) fn fits(self) -> bool {
        self.len <= 8
    }

    #[inline]
    pub(super) fn varint(raw: u64) -> Self {
        if raw < 1 << 7 {
            Self { word: raw, len: 1 }
        } else if raw < 1 << 14 {
            Self {
                word: raw & 0x7f | 0x80 | (raw >> 7) << 8,
                len: 2,
            }
        } else {
            Self::long_varint(raw)
        }
    }

    #[cold]
    fn long_varint(raw: u64) -> Self {
        let (mut word, mut rest, mut len) = (0, raw, 0u32);
        while rest >= 0x80 {
            word |= (rest & 0x7f | 0x80).wrapping_shl(len.wrapping_mul(8));
            rest >>= 7;
            len = len.wrapping_add(1);
        }
        word |= rest.wrapping_shl(len.wrapping_mul(8));
        Self {
            word,
            len: len.wrapping_add(1),
        }
    }

    /// A nullable field's length.
    #[inline]
    fn length(field: Option<&[u8]>) -> Self {
        match field {
            None => Self { word: 1, len: 1 },
            Some(bytes) => Self::varint(u64::from(zigzag_len(bytes.len()))),
        }
    }

    /// A null field, then another one's length.
    #[inline]
    fn null_then_length(field: Option<&[u8]>) -> Self {
        Self { word: 1, len: 1 }.then(Self::length(field))
    }

    #[inline]
    pub(super) fn then(self, next: Self) -> Self {
        Self {
            word: self.word | next.word.wrapping_shl(self.len.wrapping_mul(8)),
            len: self.len.wrapping_add(next.len),
        }
    }

    #[inline]
    fn put(self, out: &mut Vec<u8>) {
        let end = out.len().wrapping_add(self.len as usize);
        out.extend_from_slice(&self.word.to_le_bytes());
        out.truncate(end);
    }
}

/// Where a record's bytes go; the room was checked before. // I1
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    #[inline]
    fn put_varint(&mut self, mut raw: u64) {
        while raw >= 0x80 {
            self.put(&[(raw as u8) | 0x80]);
            raw >>= 7;
        }
        self.put(&[raw as u8]);
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Writes a record whose bytes, and [`Short::SPILL`] more, fit into the segment.
#[inline]
pub(super) fn write_contiguous(out: &mut Vec<u8>, start: Short, record: &RecordParts<'_>) {
    start.put(out);
    match record.key {
        None => Short::null_then_length(record.value).put(out),
        Some(key) => {
            Short::length(Some(key)).put(out);
            out.put(key);
            Short::length(record.value).put(out);
        }
    }
    out.put(record.value.unwrap_or_default());
    if record.headers.is_empty() {
        out.put(&[0]);
    } else {
        put_headers(out, record.headers);
    }
}

pub(super) fn write_record(
    out: &mut impl Sink,
    body: usize,
    deltas: &Deltas,
    record: &RecordParts<'_>,
) {
    out.put_varint(u64::from(zigzag_len(body)));
    out.put(&[0]);
    out.put_varint(zigzag64(deltas.timestamp));
    out.put_varint(u64::from(zigzag32(deltas.offset)));
    put_nullable(out, record.key);
    put_nullable(out, record.value);
    put_headers(out, record.headers);
}

fn put_headers(out: &mut impl Sink, headers: &[Header<'_>]) {
    out.put_varint(u64::from(zigzag_len(headers.len())));
    for header in headers {
        put_nullable(out, Some(header.name));
        put_nullable(out, header.value);
    }
}

#[inline]
fn put_nullable(out: &mut impl Sink, field: Option<&[u8]>) {
    match field {
        None => out.put(&[1]),
        Some(bytes) => {
            out.put_varint(u64::from(zigzag_len(bytes.len())));
            out.put(bytes);
        }
    }
}

/// The zigzag form of a length, which [`RecordParts::body_len`] has found to be below 2³¹.
#[inline]
pub(super) fn zigzag_len(len: usize) -> u32 {
    (len as u32) << 1
}
