//! Apache Kafka's wire protocol as plain data: primitives, generated messages in both directions,
//! the table of API versions, and error codes. No I/O and no state.
//!
//! A message is a struct in [`messages`]; a version is an argument of [`Message::encode_body`] and
//! [`Message::decode_body`], so client and broker share the same code. [`frame`] puts headers and
//! sizes around bodies.
//!
//! Invariants
//! - I1: decoding never panics, never loops without consuming input, and never allocates beyond the
//!   reader's limit ([`Reader::with_limit`]); nothing is allocated from a declared length alone.
//! - I2: strings and bytes of a decoded message are views of the received buffer.
//! - I3: a size is computed before encoding, by the encoder itself with a counting sink, so that a
//!   frame is allocated once.
//! - I4: what decodes encodes back to the same bytes, unknown tagged fields included.

#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod api_key;
mod error;
mod error_code;
pub mod frame;
mod message;
#[allow(
    clippy::all,
    clippy::redundant_closure_for_method_calls,
    clippy::semicolon_if_nothing_returned,
    reason = "generated"
)]
pub mod messages;
mod reader;
mod sink;
mod tagged;
mod uuid;
mod version;

pub use bytes::Bytes;
pub use bytestring::ByteString as Str;

pub use self::api_key::ApiKey;
pub use self::error::{DecodeError, EncodeError, Malformed};
pub use self::error_code::{ErrorCode, Refresh};
pub use self::message::{Message, Request, decode, decode_with_limit, encode, encoded_size};
pub use self::reader::Reader;
pub use self::sink::{Counter, Sink};
pub use self::tagged::{EncodeTag, TaggedFields};
pub use self::uuid::Uuid;
pub use self::version::VersionRange;

/// What generated code imports.
mod runtime {
    pub(crate) use crate::{
        ApiKey, Bytes, EncodeError, EncodeTag, Malformed, Message, Reader, Request, Sink, Str,
        TaggedFields, Uuid, VersionRange,
    };
}
