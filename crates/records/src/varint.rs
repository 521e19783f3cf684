//! Kafka's varints: zigzag, little end first, seven bits a byte.
//!
//! Reading is strict: what does not fit in 32 (64) bits, or does not end within 5 (10) bytes, is
//! an error and never silently cut.

use std::fmt;

/// Maps a signed number to an unsigned one, small magnitudes to small numbers.
#[inline]
pub(crate) const fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

/// As [`zigzag32`], for 64 bits.
#[inline]
pub(crate) const fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

const fn unzigzag32(raw: u32) -> i32 {
    (raw >> 1).cast_signed() ^ (raw & 1).cast_signed().wrapping_neg()
}

const fn unzigzag64(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ (raw & 1).cast_signed().wrapping_neg()
}

/// The number of bytes that an already zigzagged number takes.
#[inline]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "1..=64 bits give 1..=10 bytes"
)]
pub(crate) const fn len(raw: u64) -> usize {
    if raw < 0x80 {
        return 1;
    }
    let bits = 64 - (raw | 1).leading_zeros() as usize;
    // ceil(bits / 7) without a division: exact for 1..=64.
    (bits * 37 + 222) >> 8
}

/// Reads a record's fields from the front of a slice; each read is `None` when the bytes end
/// first or do not form such a field.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) rest: &'a [u8],
}

impl fmt::Debug for Cursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Contents never reach a log by accident.
        write!(f, "Cursor({} left)", self.rest.len())
    }
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Option<i32> {
        match self.rest {
            [first, rest @ ..] if *first < 0x80 => {
                self.rest = rest;
                Some(unzigzag32(u32::from(*first)))
            }
            [first, second, rest @ ..] if *second < 0x80 => {
                self.rest = rest;
                Some(unzigzag32(
                    u32::from(*first & 0x7f) | u32::from(*second) << 7,
                ))
            }
            _ => u32::try_from(self.long_varint(5)?).ok().map(unzigzag32),
        }
    }

    #[inline]
    pub(crate) fn varlong(&mut self) -> Option<i64> {
        match self.rest {
            [first, rest @ ..] if *first < 0x80 => {
                self.rest = rest;
                Some(unzigzag64(u64::from(*first)))
            }
            _ => self.long_varint(10).map(unzigzag64),
        }
    }

    fn long_varint(&mut self, max_bytes: u32) -> Option<u64> {
        let mut raw = 0u64;
        for index in 0..max_bytes {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shift = index.checked_mul(7)?;
            let shifted = bits.checked_shl(shift)?;
            if shifted >> shift != bits {
                return None;
            }
            raw |= shifted;
            if byte < 0x80 {
                return Some(raw);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
