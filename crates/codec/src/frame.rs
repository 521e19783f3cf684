//! Frames: a size, a header, a body. What travels on a connection, for client and broker.

use bytes::Bytes;

use crate::message::checked_encode;
use crate::messages::{RequestHeader, ResponseHeader};
use crate::{
    ApiKey, Counter, DecodeError, EncodeError, Malformed, Message, Reader, Request, Sink, Str,
};

/// Bytes fields from this size on are referred to by a frame and not copied into it.
const SHARE_FROM: usize = 4 * 1024;

/// An encoded frame: segments to be written one after the other, the size prefix included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The segments, none of them empty.
    pub segments: Vec<Bytes>,
}

impl Frame {
    /// All bytes, the size prefix included.
    pub fn len(&self) -> usize {
        self.segments
            .iter()
            .fold(0, |sum, segment| sum.saturating_add(segment.len()))
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The frame in one piece; copies unless there is one segment only.
    pub fn into_bytes(mut self) -> Bytes {
        match self.segments.len() {
            0 => Bytes::new(),
            1 => self.segments.remove(0),
            _ => self.segments.concat().into(),
        }
    }
}

/// A request as a frame. Large byte fields (record batches) are shared, not copied.
pub fn request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<Str>,
) -> Result<Frame, EncodeError> {
    let header = RequestHeader {
        request_api_key: R::KEY.code(),
        request_api_version: version,
        correlation_id,
        client_id,
        ..RequestHeader::default()
    };
    encode(
        &header,
        R::KEY.request_header_version(version),
        request,
        version,
    )
}

/// An answer to a request of `key` and `version` as a frame.
pub fn response<M: Message>(
    response: &M,
    key: ApiKey,
    version: i16,
    correlation_id: i32,
) -> Result<Frame, EncodeError> {
    let header = ResponseHeader {
        correlation_id,
        ..ResponseHeader::default()
    };
    encode(
        &header,
        key.response_header_version(version),
        response,
        version,
    )
}

/// The header of a request, and its body. `frame` is without the size prefix.
///
/// The header's version follows from the key and version it names; for a key or version that this
/// library does not know, the client id and tagged fields stay unread in the body.
pub fn read_request(frame: Bytes) -> Result<(RequestHeader, Bytes), DecodeError> {
    let mut peek = Reader::new(frame.clone());
    let (Ok(key), Ok(version), Ok(_)) = (peek.i16(), peek.i16(), peek.i32()) else {
        return Err(header_error(RequestHeader::NAME, 0, Malformed::Truncated));
    };
    let header_version =
        ApiKey::from_code(key).map_or(1, |key| key.request_header_version(version));
    read_header(frame, header_version)
}

/// The correlation id of an answer to a request of `key` and `version`, and the answer's body.
pub fn read_response(frame: Bytes, key: ApiKey, version: i16) -> Result<(i32, Bytes), DecodeError> {
    let (header, body) =
        read_header::<ResponseHeader>(frame, key.response_header_version(version))?;
    Ok((header.correlation_id, body))
}

fn read_header<H: Message>(frame: Bytes, version: i16) -> Result<(H, Bytes), DecodeError> {
    let mut input = Reader::new(frame);
    let header =
        H::decode_body(&mut input, version).map_err(|kind| header_error(H::NAME, version, kind))?;
    Ok((header, input.into_rest()))
}

fn header_error(message: &'static str, version: i16, kind: Malformed) -> DecodeError {
    DecodeError {
        message,
        version,
        offset: 0,
        kind,
    }
}

fn encode<H: Message, M: Message>(
    header: &H,
    header_version: i16,
    body: &M,
    version: i16,
) -> Result<Frame, EncodeError> {
    let mut count = FrameSize::default();
    header.encode_body(&mut count, header_version)?;
    checked_encode(body, &mut count, version)?;
    let total = count.copied.0.saturating_add(count.shared);
    let size = i32::try_from(total).map_err(|_| EncodeError::TooLong(total))?;
    let mut out = FrameSink {
        copied: Vec::with_capacity(count.copied.0.saturating_add(size_of::<i32>())),
        cuts: Vec::new(),
    };
    out.put_i32(size);
    header.encode_body(&mut out, header_version)?;
    body.encode_body(&mut out, version)?;
    Ok(out.finish())
}

/// Counts the bytes that a [`FrameSink`] copies and those it shares.
#[derive(Default)]
struct FrameSize {
    copied: Counter,
    shared: usize,
}

impl Sink for FrameSize {
    fn put(&mut self, bytes: &[u8]) {
        self.copied.put(bytes);
    }

    fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARE_FROM {
            self.copied.put(bytes);
        } else {
            self.shared = self.shared.saturating_add(bytes.len());
        }
    }
}

/// One buffer for what is copied, and where in it the shared segments belong.
struct FrameSink {
    copied: Vec<u8>,
    cuts: Vec<(usize, Bytes)>,
}

impl Sink for FrameSink {
    fn put(&mut self, bytes: &[u8]) {
        self.copied.extend_from_slice(bytes);
    }

    fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARE_FROM {
            self.copied.extend_from_slice(bytes);
        } else {
            self.cuts.push((self.copied.len(), bytes.clone()));
        }
    }
}

impl FrameSink {
    fn finish(self) -> Frame {
        let mut copied = Bytes::from(self.copied);
        let mut segments = Vec::with_capacity(self.cuts.len().saturating_mul(2).saturating_add(1));
        let mut done = 0_usize;
        for (at, shared) in self.cuts {
            let piece = copied.split_to(at.saturating_sub(done));
            done = at;
            segments.extend((!piece.is_empty()).then_some(piece));
            segments.push(shared);
        }
        segments.extend((!copied.is_empty()).then_some(copied));
        Frame { segments }
    }
}

#[cfg(test)]
mod tests;
