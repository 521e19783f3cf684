//! Reading Kafka's primitives from a received buffer.

use bytes::{Buf, Bytes};

use crate::{Malformed, Str, TaggedFields, Uuid};

/// What decoding may allocate per byte of input, and in any case (design: 16 × input + 64 KiB).
const LIMIT_PER_BYTE: usize = 16;
const LIMIT_BASE: usize = 64 * 1024;

/// A cursor over a received buffer that hands out views of it.
///
/// Every allocation that decoding makes is charged to a limit first (I1 of the crate).
#[derive(Debug)]
pub struct Reader {
    buffer: Bytes,
    limit: usize,
}

type Read<T> = Result<T, Malformed>;

impl Reader {
    /// A reader whose allocations are limited to 16 times the input and 64 KiB; every honest message
    /// fits.
    pub fn new(buffer: Bytes) -> Self {
        let limit = buffer
            .len()
            .saturating_mul(LIMIT_PER_BYTE)
            .saturating_add(LIMIT_BASE);
        Self { buffer, limit }
    }

    /// A reader with a limit, in bytes, of its own.
    pub fn with_limit(buffer: Bytes, limit: usize) -> Self {
        Self { buffer, limit }
    }

    /// The bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.buffer.len()
    }

    /// The bytes not yet read, as a view.
    pub fn into_rest(self) -> Bytes {
        self.buffer
    }

    /// Fails unless everything has been read.
    pub fn finish(&self) -> Read<()> {
        match self.buffer.len() {
            0 => Ok(()),
            rest => Err(Malformed::Trailing(rest)),
        }
    }

    pub(crate) fn bool(&mut self) -> Read<bool> {
        Ok(self.i8()? != 0)
    }

    /// One signed byte.
    pub fn i8(&mut self) -> Read<i8> {
        self.buffer.try_get_i8().map_err(|_| Malformed::Truncated)
    }

    /// Two bytes, big-endian.
    pub fn i16(&mut self) -> Read<i16> {
        self.buffer.try_get_i16().map_err(|_| Malformed::Truncated)
    }

    pub(crate) fn u16(&mut self) -> Read<u16> {
        self.buffer.try_get_u16().map_err(|_| Malformed::Truncated)
    }

    /// Four bytes, big-endian.
    pub fn i32(&mut self) -> Read<i32> {
        self.buffer.try_get_i32().map_err(|_| Malformed::Truncated)
    }

    /// Eight bytes, big-endian.
    pub fn i64(&mut self) -> Read<i64> {
        self.buffer.try_get_i64().map_err(|_| Malformed::Truncated)
    }

    pub(crate) fn f64(&mut self) -> Read<f64> {
        self.buffer.try_get_f64().map_err(|_| Malformed::Truncated)
    }

    pub(crate) fn uuid(&mut self) -> Read<Uuid> {
        let mut id = [0; 16];
        self.buffer
            .try_copy_to_slice(&mut id)
            .map_err(|_| Malformed::Truncated)?;
        Ok(Uuid(id))
    }

    pub(crate) fn unsigned_varint(&mut self) -> Read<u32> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.buffer.try_get_u8().map_err(|_| Malformed::Truncated)?;
            let low = u32::from(byte & 0x7f);
            if shift == 28 && byte > 0x0f {
                return Err(Malformed::Varint);
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Varint)
    }

    /// Whether a nullable struct is there.
    pub(crate) fn is_present(&mut self) -> Read<bool> {
        match self.i8()? {
            -1 => Ok(false),
            1 => Ok(true),
            other => Err(Malformed::Length(other.into())),
        }
    }

    pub(crate) fn string(&mut self, flexible: bool) -> Read<Str> {
        self.nullable_string(flexible)?
            .ok_or(Malformed::UnexpectedNull)
    }

    pub(crate) fn nullable_string(&mut self, flexible: bool) -> Read<Option<Str>> {
        let length = if flexible {
            self.compact_length()?
        } else {
            length(self.i16()?.into())?
        };
        let Some(length) = length else {
            return Ok(None);
        };
        Str::try_from(self.take(length)?)
            .map(Some)
            .map_err(|_| Malformed::Utf8)
    }

    pub(crate) fn bytes(&mut self, flexible: bool) -> Read<Bytes> {
        self.nullable_bytes(flexible)?
            .ok_or(Malformed::UnexpectedNull)
    }

    pub(crate) fn nullable_bytes(&mut self, flexible: bool) -> Read<Option<Bytes>> {
        self.length(flexible)?
            .map(|length| self.take(length))
            .transpose()
    }

    pub(crate) fn array<T>(
        &mut self,
        flexible: bool,
        item: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        self.nullable_array(flexible, item)?
            .ok_or(Malformed::UnexpectedNull)
    }

    pub(crate) fn nullable_array<T>(
        &mut self,
        flexible: bool,
        mut item: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Option<Vec<T>>> {
        let Some(count) = self.length(flexible)? else {
            return Ok(None);
        };
        // Every item takes at least a byte, so more items than bytes cannot be honest.
        if count > self.remaining() {
            return Err(Malformed::Truncated);
        }
        self.charge(count.saturating_mul(size_of::<T>()))?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(Some(items))
    }

    pub(crate) fn unknown_tagged_fields(&mut self) -> Read<TaggedFields> {
        self.tagged_fields(|_, _| Ok(false))
    }

    /// Reads tagged fields; `known` decodes the ones it knows and answers `false` for others, which
    /// are kept.
    pub(crate) fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut Self) -> Read<bool>,
    ) -> Read<TaggedFields> {
        let mut unknown = TaggedFields::default();
        let mut last = None;
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            if last.is_some_and(|last| last >= tag) {
                return Err(Malformed::TagOrder(tag));
            }
            last = Some(tag);
            let size = self.unsigned_varint()? as usize;
            let mut field = Self {
                buffer: self.take(size)?,
                limit: self.limit,
            };
            let is_known = known(tag, &mut field)?;
            self.limit = field.limit;
            if is_known {
                field.finish()?;
            } else {
                // A list begins with room for four, and has its old and its new memory as it doubles.
                let entries = if unknown.is_empty() { 5_usize } else { 3 };
                self.charge(size_of::<(u32, Bytes)>().saturating_mul(entries))?;
                unknown.push(tag, field.buffer);
            }
        }
        Ok(unknown)
    }

    fn length(&mut self, flexible: bool) -> Read<Option<usize>> {
        if flexible {
            self.compact_length()
        } else {
            length(self.i32()?.into())
        }
    }

    fn compact_length(&mut self) -> Read<Option<usize>> {
        let length = self.unsigned_varint()?;
        Ok(length.checked_sub(1).map(|length| length as usize))
    }

    fn take(&mut self, length: usize) -> Read<Bytes> {
        if length > self.buffer.len() {
            return Err(Malformed::Truncated);
        }
        Ok(self.buffer.split_to(length))
    }

    fn charge(&mut self, bytes: usize) -> Read<()> {
        self.limit = self.limit.checked_sub(bytes).ok_or(Malformed::Limit)?;
        Ok(())
    }
}

/// A length as the older encodings have it: -1 is null.
fn length(value: i64) -> Read<Option<usize>> {
    match value {
        -1 => Ok(None),
        _ => usize::try_from(value)
            .map(Some)
            .map_err(|_| Malformed::Length(value)),
    }
}

#[cfg(test)]
mod tests;
