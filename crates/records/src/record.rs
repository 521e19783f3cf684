//! One record: what is written, and what is read back as views of the batch's bytes.
//!
//! Nothing in this crate shows keys or values in its `Debug` form, so that none reaches a log by
//! accident.
//!
//! Layout: `length · attributes · timestamp delta · offset delta · key length · key · value
//! length · value · header count · headers`, lengths and deltas as zigzag varints, −1 for null.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::varint::{Cursor, len, zigzag32};

/// A record header: a name and a value that may be null. Names may repeat, and order counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header<'a> {
    /// The name: UTF-8 by Kafka's definition, but not checked by brokers, so these are bytes and
    /// a record of a careless producer can still be consumed.
    pub name: &'a [u8],
    /// The value; `None` is null, which differs from empty.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// A header to write.
    pub fn new(name: &'a str, value: Option<&'a [u8]>) -> Self {
        Self {
            name: name.as_bytes(),
            value,
        }
    }

    /// The name as text, damaged parts replaced by U+FFFD (what Java's client does).
    pub fn name_lossy(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.name)
    }
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("name", &self.name_lossy())
            .field("value_len", &self.value.map(<[u8]>::len))
            .finish()
    }
}

/// A record to be written. All parts are borrowed and copied once.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordParts<'a> {
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The key; `None` is null, which differs from empty.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null, a tombstone in compacted topics.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: &'a [Header<'a>],
}

impl fmt::Debug for RecordParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordParts")
            .field("timestamp", &self.timestamp)
            .field("key_len", &self.key.map(<[u8]>::len))
            .field("value_len", &self.value.map(<[u8]>::len))
            .field("headers", &self.headers.len())
            .finish()
    }
}

impl RecordParts<'_> {
    /// The bytes that this record takes after its own length field, given those that its two
    /// deltas take; `None` beyond 2³¹ − 1.
    #[inline]
    pub(crate) fn body_len(&self, deltas_len: usize) -> Option<usize> {
        let (key, value) = (field_len(self.key)?, field_len(self.value)?);
        // One byte of attributes.
        let mut total = deltas_len
            .saturating_add(1)
            .saturating_add(key)
            .saturating_add(value);
        if self.headers.is_empty() {
            total = total.saturating_add(1);
        } else {
            total = total.checked_add(self.headers_len()?)?;
        }
        (total <= i32::MAX as usize).then_some(total)
    }

    fn headers_len(&self) -> Option<usize> {
        let count = i32::try_from(self.headers.len()).ok()?;
        let mut total = len(u64::from(zigzag32(count)));
        for header in self.headers {
            total = total.checked_add(field_len(Some(header.name))?)?;
            total = total.checked_add(field_len(header.value)?)?;
        }
        Some(total)
    }

    /// At most how many bytes this record adds to a batch; 2³¹ or more when no batch can hold
    /// it. For choosing a batch's memory before there is one.
    pub fn max_encoded_len(&self) -> usize {
        // The worst deltas: 10 bytes of timestamp and 5 of offset; 5 of record length.
        let body = self.body_len(15).unwrap_or(i32::MAX as usize);
        body.saturating_add(5)
    }
}

/// The size of a nullable field with its length; `None` from 2³¹ bytes on.
#[inline]
fn field_len(field: Option<&[u8]>) -> Option<usize> {
    let Some(bytes) = field else { return Some(1) };
    let size = bytes.len();
    (size <= i32::MAX as usize).then(|| len((size as u64) << 1).wrapping_add(size))
}

/// A record as views of its batch's bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The record's offset in its partition.
    pub offset: i64,
    /// Milliseconds since the epoch: the producer's, or the broker's if the topic says
    /// `LogAppendTime`.
    pub timestamp: i64,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
    /// The headers, decoded as they are walked.
    pub headers: Headers<'a>,
}

impl<'a> RecordRef<'a> {
    /// This record as something to write again (headers need a slice of their own).
    pub fn parts(&self, headers: &'a [Header<'a>]) -> RecordParts<'a> {
        RecordParts {
            timestamp: self.timestamp,
            key: self.key,
            value: self.value,
            headers,
        }
    }
}

impl fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordRef")
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .field("key_len", &self.key.map(<[u8]>::len))
            .field("value_len", &self.value.map(<[u8]>::len))
            .field("headers", &self.headers.len())
            .finish()
    }
}

/// The headers of a record, in order, repeated names and null values kept. An iterator that is
/// cheap to copy: walking a copy leaves the original as it is.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) count: u32,
}

impl<'a> Headers<'a> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The value of the last header of this name (what Java's `lastHeader` gives): `None` when
    /// there is none, `Some(None)` when its value is null.
    pub fn last_value(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.filter(|header| header.name == name.as_bytes())
            .last()
            .map(|header| header.value)
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Headers({})", self.count)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        let mut at = Cursor { rest: self.bytes };
        let header = read_header(&mut at);
        self.bytes = at.rest;
        debug_assert!(header.is_some(), "the batch was checked");
        header
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl ExactSizeIterator for Headers<'_> {
    fn len(&self) -> usize {
        self.count as usize
    }
}

/// Where a record's parts lie in its block: ranges that can be kept instead of a borrow.
/// [`CheckedBatch::record`](crate::CheckedBatch::record) turns it back into a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSpan {
    /// The record's offset in its partition.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    pub(crate) key: Option<Range<u32>>,
    pub(crate) value: Option<Range<u32>>,
    pub(crate) headers: Range<u32>,
    pub(crate) header_count: u32,
}

/// A record as it is on the wire: deltas instead of offset and timestamp.
pub(crate) struct RawRecord<'a> {
    pub(crate) offset_delta: i32,
    pub(crate) timestamp_delta: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
}

impl<'a> RawRecord<'a> {
    /// Reads the next record; the headers are not walked. The error names the field.
    #[inline]
    pub(crate) fn read(at: &mut Cursor<'a>) -> Result<Self, &'static str> {
        let body = field(at).ok_or("length")?;
        let mut at = Cursor { rest: body };
        at.byte().ok_or("attributes")?;
        let timestamp_delta = at.varlong().ok_or("timestamp")?;
        let offset_delta = at.varint().ok_or("offset")?;
        let key = nullable(&mut at).ok_or("key length")?;
        let value = nullable(&mut at).ok_or("value length")?;
        let count = at.varint().ok_or("header count")?;
        let count = u32::try_from(count).map_err(|_| "header count")?;
        let headers = Headers {
            bytes: at.rest,
            count,
        };
        Ok(Self {
            offset_delta,
            timestamp_delta,
            key,
            value,
            headers,
        })
    }

    /// Walks the headers, which must fill the rest of the record.
    #[inline]
    pub(crate) fn check_headers(&self) -> Result<(), &'static str> {
        let mut at = Cursor {
            rest: self.headers.bytes,
        };
        // A count of more headers than there are bytes ends at the first one missing.
        for _ in 0..self.headers.count {
            read_header(&mut at).ok_or("header")?;
        }
        if at.rest.is_empty() {
            Ok(())
        } else {
            Err("length: bytes follow its headers")
        }
    }
}

fn read_header<'a>(at: &mut Cursor<'a>) -> Option<Header<'a>> {
    let name = field(at)?;
    let value = nullable(at)?;
    Some(Header { name, value })
}

/// Bytes with their length, which may not be negative.
#[inline]
fn field<'a>(at: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let size = usize::try_from(at.varint()?).ok()?;
    at.take(size)
}

/// Bytes with their length, −1 for null; other negative lengths are refused.
#[inline]
fn nullable<'a>(at: &mut Cursor<'a>) -> Option<Option<&'a [u8]>> {
    match at.varint()? {
        -1 => Some(None),
        size => at.take(usize::try_from(size).ok()?).map(Some),
    }
}
