//! Kafka's 16-byte identifiers, such as topic ids.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A topic, cluster or member id. Kafka prints it as 22 characters of URL-safe base64.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_LENGTH: usize = 22;

impl Uuid {
    /// The id that stands for "none".
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is [`Uuid::ZERO`].
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 128 bits and four zero bits make 22 digits of six bits.
        let bits = u128::from_be_bytes(self.0);
        for digit in 0..TEXT_LENGTH as u32 {
            let shift = 122_u32.checked_sub(digit.saturating_mul(6));
            let value = match shift {
                Some(shift) => bits >> shift,
                None => bits << 4,
            };
            let character = ALPHABET.get((value & 63) as usize).copied().unwrap_or(b'A');
            write!(f, "{}", char::from(character))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an id: 22 characters of URL-safe base64 are expected")]
pub struct ParseUuidError;

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let text = text.trim_end_matches('=').as_bytes();
        let (last, head) = text.split_last().ok_or(ParseUuidError)?;
        if text.len() != TEXT_LENGTH {
            return Err(ParseUuidError);
        }
        let mut bits = 0_u128;
        for character in head {
            bits = (bits << 6) | value_of(*character)?;
        }
        let last = value_of(*last)?;
        if last & 15 != 0 {
            return Err(ParseUuidError);
        }
        Ok(Self(((bits << 2) | (last >> 4)).to_be_bytes()))
    }
}

fn value_of(character: u8) -> Result<u128, ParseUuidError> {
    ALPHABET
        .iter()
        .position(|c| *c == character)
        .map(|at| at as u128)
        .ok_or(ParseUuidError)
}

#[cfg(test)]
mod tests;
