//! Cuts received bytes into frames.

use bytes::{Bytes, BytesMut};

use super::{Foreign, WireError};

/// Room that is made between frames.
const FIRST: usize = 8 * 1024;
/// Room that is made inside a large frame, until more than that has been received.
const CHUNK: usize = 64 * 1024;
/// Frames up to this size are copied out, so that they do not pin a chunk.
const COPY_BELOW: usize = 4 * 1024;
const PREFIX: usize = size_of::<i32>();
/// The smallest answer is a correlation id.
const MIN_FRAME: usize = 4;

/// A receive buffer that knows where frames end.
///
/// Fill [`buffer`](Self::buffer) as far as it has room, then take frames with
/// [`poll_frame`](Self::poll_frame) until there are none.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    max: usize,
    credit: usize,
    seen_frame: bool,
}

impl FrameReader {
    /// A reader that accepts frames of up to `max` bytes.
    pub fn new(max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            max,
            credit: 0,
            seen_frame: false,
        }
    }

    /// Allows frames of up to `bytes` to be allocated as announced, because the caller has set
    /// that much aside for the answers it waits for.
    pub fn set_credit(&mut self, bytes: usize) {
        self.credit = bytes;
    }

    /// The buffer to append received bytes to; it has spare capacity. Appending more than that is
    /// allowed but makes it grow.
    pub fn buffer(&mut self) -> &mut BytesMut {
        let wanted = self.wanted();
        self.buffer.reserve(wanted);
        &mut self.buffer
    }

    /// Whether part of a frame has been received.
    pub fn is_mid_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next whole frame, without its size.
    ///
    /// # Errors
    ///
    /// [`WireError::Size`] and [`WireError::NotKafka`]; the reader must not be used further.
    pub fn poll_frame(&mut self) -> Result<Option<Bytes>, WireError> {
        let Some(size) = self.announced()? else {
            return Ok(None);
        };
        let end = size.saturating_add(PREFIX);
        if self.buffer.len() < end {
            return Ok(None);
        }
        self.seen_frame = true;
        let frame = self.buffer.split_to(end);
        let body = frame.get(PREFIX..).unwrap_or_default();
        Ok(Some(if size < COPY_BELOW {
            Bytes::copy_from_slice(body)
        } else {
            frame.freeze().split_off(PREFIX)
        }))
    }

    /// The size of the frame at the front of the buffer, if its prefix is there.
    fn announced(&self) -> Result<Option<usize>, WireError> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let announced = i32::from_be_bytes(*prefix);
        let size = usize::try_from(announced).unwrap_or(0);
        let first = !self.seen_frame;
        if first && (prefix.starts_with(b"HTTP") || size > self.max || size < MIN_FRAME) {
            return Err(WireError::NotKafka(Foreign::recognize(&self.buffer)));
        }
        if (MIN_FRAME..=self.max).contains(&size) {
            return Ok(Some(size));
        }
        Err(WireError::Size {
            size: announced,
            max: self.max,
        })
    }

    /// How much room to make: as much as has been received, a chunk at least, the credit at most
    /// beyond that, and never more than the frame lacks.
    fn wanted(&self) -> usize {
        let have = self.buffer.len();
        match self.announced() {
            Ok(Some(size)) => {
                let missing = size.saturating_add(PREFIX).saturating_sub(have);
                let earned = have.max(CHUNK); // I3
                let granted = if size <= self.credit { size } else { 0 };
                missing.min(earned.max(granted.saturating_add(PREFIX)))
            }
            _ => FIRST,
        }
        .max(1)
    }
}

#[cfg(test)]
mod tests;
