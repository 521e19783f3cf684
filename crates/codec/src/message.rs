//! What all messages have in common.

use std::fmt::Debug;

use bytes::Bytes;

use crate::{ApiKey, Counter, DecodeError, EncodeError, Malformed, Reader, Sink, VersionRange};

/// A message of the protocol: a request, a response, a header or a data message.
pub trait Message: Clone + Debug + Default + PartialEq + Send + Sync + 'static {
    /// The name in Kafka's schemas.
    const NAME: &'static str;
    /// The versions that can be encoded and decoded, unstable ones included.
    const VERSIONS: VersionRange;
    /// The first version in the compact encoding with tagged fields (KIP-482).
    const FLEXIBLE_FROM: Option<i16>;

    /// Writes the body. Prefer [`encode`], which checks the version.
    fn encode_body<S: Sink>(&self, out: &mut S, version: i16) -> Result<(), EncodeError>;

    /// Reads the body. Prefer [`decode`], which checks the version and that nothing remains.
    fn decode_body(input: &mut Reader, version: i16) -> Result<Self, Malformed>;
}

/// A request, its key and the type of its answer.
pub trait Request: Message {
    /// The API it belongs to.
    const KEY: ApiKey;
    /// Its answer, which has the same versions.
    type Response: Message;
}

/// The bytes that `message` takes in `version`.
pub fn encoded_size<M: Message>(message: &M, version: i16) -> Result<usize, EncodeError> {
    let mut size = Counter::default();
    checked_encode(message, &mut size, version)?;
    Ok(size.0)
}

/// The body of `message` in `version`, in one allocation.
pub fn encode<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut out = Vec::with_capacity(encoded_size(message, version)?);
    message.encode_body(&mut out, version)?;
    Ok(out.into())
}

/// Reads a body that is nothing but one message. Strings and bytes are views of `body`.
///
/// Allocates at most 16 times the input and 64 KiB.
pub fn decode<M: Message>(body: Bytes, version: i16) -> Result<M, DecodeError> {
    decode_whole(body.len(), Reader::new(body), version)
}

/// As [`decode`], with an allocation limit, in bytes, of the caller's.
pub fn decode_with_limit<M: Message>(
    body: Bytes,
    version: i16,
    limit: usize,
) -> Result<M, DecodeError> {
    decode_whole(body.len(), Reader::with_limit(body, limit), version)
}

pub(crate) fn checked_encode<M: Message, S: Sink>(
    message: &M,
    out: &mut S,
    version: i16,
) -> Result<(), EncodeError> {
    if !M::VERSIONS.contains(version) {
        return Err(EncodeError::Version {
            message: M::NAME,
            version,
        });
    }
    message.encode_body(out, version)
}

fn decode_whole<M: Message>(
    size: usize,
    mut input: Reader,
    version: i16,
) -> Result<M, DecodeError> {
    let result = if M::VERSIONS.contains(version) {
        M::decode_body(&mut input, version).and_then(|m| input.finish().map(|()| m))
    } else {
        Err(Malformed::Version)
    };
    result.map_err(|kind| DecodeError {
        message: M::NAME,
        version,
        offset: size.saturating_sub(input.remaining()),
        kind,
    })
}

#[cfg(test)]
mod tests;
