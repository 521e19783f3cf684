//! Why bytes are not a message, or a message has no bytes.

use thiserror::Error;

/// What is wrong with received bytes, without saying where; [`DecodeError`] adds that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The input ends inside a field.
    #[error("the input ends inside a field")]
    Truncated,
    /// A length is below -1, or null where null has no meaning.
    #[error("a length of {0} where none such is allowed")]
    Length(i64),
    /// Null where this version has no null.
    #[error("null where this version of the message allows none")]
    UnexpectedNull,
    /// A variable-length integer has more bits than its type.
    #[error("a variable-length integer does not fit its type")]
    Varint,
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// Tagged fields are not in ascending order, or one is there twice.
    #[error("tagged field {0} is out of order")]
    TagOrder(u32),
    /// Bytes remain after the last field.
    #[error("{0} bytes remain after the last field")]
    Trailing(usize),
    /// Decoding would allocate more than the limit allows.
    #[error("the message would take more memory than its size justifies")]
    Limit,
    /// The version is not one of the message's.
    #[error("the message has no such version")]
    Version,
}

/// Received bytes are not the message that they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed {message} version {version} near byte {offset}: {kind}")]
pub struct DecodeError {
    /// The name of the message in Kafka's schemas.
    pub message: &'static str,
    /// The version that was decoded.
    pub version: i16,
    /// How many bytes of the body had been consumed.
    pub offset: usize,
    /// What is wrong.
    pub kind: Malformed,
}

/// A message that cannot be written in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A field has a value that this version cannot carry and that must not be dropped.
    #[error("field {field} has no place in version {version}; use a newer version or its default")]
    Unsupported {
        /// The field's name in Kafka's schemas.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field is null in a version that has no null there.
    #[error("field {field} must not be null in version {version}")]
    Null {
        /// The field's name in Kafka's schemas.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A string, array or byte field is longer than its length prefix can say.
    #[error("a field of length {0} is longer than the protocol can say")]
    TooLong(usize),
    /// The version is not one of the message's.
    #[error("{message} has no version {version}")]
    Version {
        /// The name of the message in Kafka's schemas.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
}

impl EncodeError {
    pub(crate) fn unsupported(field: &'static str, version: i16) -> Self {
        Self::Unsupported { field, version }
    }

    pub(crate) fn null(field: &'static str, version: i16) -> Self {
        Self::Null { field, version }
    }
}
