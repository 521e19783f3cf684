//! Writing Kafka's primitives to whatever takes bytes.

use bytes::{Bytes, BytesMut};

use crate::{EncodeError, EncodeTag, TaggedFields, Uuid};

type Write = Result<(), EncodeError>;

/// Takes the bytes of a message as they are encoded.
///
/// The provided methods are the encodings; an implementation says only where bytes go, so that the
/// size of a message is counted by the very code that writes it.
pub trait Sink {
    /// Takes `bytes`, copying them.
    fn put(&mut self, bytes: &[u8]);

    /// Takes `bytes`, sharing them where the sink can.
    fn put_shared(&mut self, bytes: &Bytes) {
        self.put(bytes);
    }

    #[doc(hidden)]
    fn put_bool(&mut self, value: bool) {
        self.put(&[value.into()]);
    }

    #[doc(hidden)]
    fn put_i8(&mut self, value: i8) {
        self.put(&value.to_be_bytes());
    }

    #[doc(hidden)]
    fn put_i16(&mut self, value: i16) {
        self.put(&value.to_be_bytes());
    }

    #[doc(hidden)]
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    #[doc(hidden)]
    fn put_i32(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }

    #[doc(hidden)]
    fn put_i64(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }

    #[doc(hidden)]
    fn put_f64(&mut self, value: f64) {
        self.put(&value.to_be_bytes());
    }

    #[doc(hidden)]
    fn put_uuid(&mut self, value: Uuid) {
        self.put(&value.0);
    }

    #[doc(hidden)]
    fn put_unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.put(&[(value & 0x7f | 0x80) as u8]);
            value >>= 7;
        }
        self.put(&[value as u8]);
    }

    #[doc(hidden)]
    fn put_string(&mut self, value: &str, flexible: bool) -> Write {
        if flexible {
            put_compact_length(self, value.len())?;
        } else {
            let length =
                i16::try_from(value.len()).map_err(|_| EncodeError::TooLong(value.len()))?;
            self.put_i16(length);
        }
        self.put(value.as_bytes());
        Ok(())
    }

    #[doc(hidden)]
    fn put_nullable_string(&mut self, value: Option<&str>, flexible: bool) -> Write {
        match value {
            Some(value) => return self.put_string(value, flexible),
            None if flexible => self.put_unsigned_varint(0),
            None => self.put_i16(-1),
        }
        Ok(())
    }

    #[doc(hidden)]
    fn put_bytes(&mut self, value: &Bytes, flexible: bool) -> Write {
        put_length(self, value.len(), flexible)?;
        self.put_shared(value);
        Ok(())
    }

    #[doc(hidden)]
    fn put_nullable_bytes(&mut self, value: Option<&Bytes>, flexible: bool) -> Write {
        match value {
            Some(value) => return self.put_bytes(value, flexible),
            None => put_null(self, flexible),
        }
        Ok(())
    }

    #[doc(hidden)]
    fn put_array<T>(
        &mut self,
        items: &[T],
        flexible: bool,
        mut put: impl FnMut(&mut Self, &T) -> Write,
    ) -> Write {
        put_length(self, items.len(), flexible)?;
        items.iter().try_for_each(|item| put(self, item))
    }

    #[doc(hidden)]
    fn put_nullable_array<T>(
        &mut self,
        items: Option<&[T]>,
        flexible: bool,
        put: impl FnMut(&mut Self, &T) -> Write,
    ) -> Write {
        match items {
            Some(items) => return self.put_array(items, flexible, put),
            None => put_null(self, flexible),
        }
        Ok(())
    }

    #[doc(hidden)]
    fn put_unknown_tagged_fields(&mut self, fields: &TaggedFields) -> Write {
        put_count(self, fields.len())?;
        fields
            .iter()
            .try_for_each(|(tag, value)| put_raw_tag(self, *tag, value))
    }

    /// Writes the tagged fields of `part`, the known ones that are marked present and the unknown
    /// ones, in the order of their tags.
    #[doc(hidden)]
    fn put_tagged_fields<P: EncodeTag>(
        &mut self,
        part: &P,
        version: i16,
        known: &[(u32, bool)],
        unknown: &TaggedFields,
    ) -> Write
    where
        Self: Sized,
    {
        let present = known.iter().filter(|(_, present)| *present);
        put_count(self, present.clone().count().saturating_add(unknown.len()))?;
        let mut unknown = unknown.iter().peekable();
        for (tag, _) in present {
            while let Some((other, value)) = unknown.next_if(|(other, _)| other < tag) {
                put_raw_tag(self, *other, value)?;
            }
            let mut size = Counter::default();
            part.encode_tag(*tag, &mut size, version)?;
            self.put_unsigned_varint(*tag);
            put_count(self, size.0)?;
            part.encode_tag(*tag, self, version)?;
        }
        unknown.try_for_each(|(tag, value)| put_raw_tag(self, *tag, value))
    }
}

fn put_raw_tag<S: Sink + ?Sized>(out: &mut S, tag: u32, value: &Bytes) -> Write {
    out.put_unsigned_varint(tag);
    put_count(out, value.len())?;
    out.put_shared(value);
    Ok(())
}

fn put_null<S: Sink + ?Sized>(out: &mut S, flexible: bool) {
    if flexible {
        out.put_unsigned_varint(0);
    } else {
        out.put_i32(-1);
    }
}

fn put_length<S: Sink + ?Sized>(out: &mut S, length: usize, flexible: bool) -> Write {
    if flexible {
        return put_compact_length(out, length);
    }
    out.put_i32(i32::try_from(length).map_err(|_| EncodeError::TooLong(length))?);
    Ok(())
}

fn put_compact_length<S: Sink + ?Sized>(out: &mut S, length: usize) -> Write {
    let length = i32::try_from(length).map_err(|_| EncodeError::TooLong(length))?;
    out.put_unsigned_varint(length.unsigned_abs().saturating_add(1));
    Ok(())
}

fn put_count<S: Sink + ?Sized>(out: &mut S, count: usize) -> Write {
    out.put_unsigned_varint(u32::try_from(count).map_err(|_| EncodeError::TooLong(count))?);
    Ok(())
}

/// Counts bytes instead of keeping them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter(pub usize);

impl Sink for Counter {
    fn put(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for BytesMut {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
