//! Cuts received bytes into frames.

use std::collections::VecDeque;

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::carve::{Carver, FetchedPart, Step};
use super::{BlockPool, Foreign, WireError};

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
/// Fill [`room`](Self::room), then take frames with [`poll_frame`](Self::poll_frame) until there
/// are none.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    max: usize,
    seen_frame: bool,
    expected: Option<(FetchBlocks, i32)>,
    carving: Option<Carving>,
    parts: VecDeque<FetchedPart>,
}

/// How to receive the answer to a Fetch request: each partition's records go straight into a block
/// of their own.
#[derive(Clone, Debug)]
pub struct FetchBlocks {
    /// The request's version.
    pub version: i16,
    /// What was set aside for the records of this answer. Blocks are allocated as announced as far
    /// as it goes; beyond it they grow with the bytes received.
    pub credit: usize,
    /// Where the blocks come from.
    pub pool: BlockPool,
}

/// Where received bytes are to be put.
#[derive(Debug)]
pub enum Room<'a> {
    /// Behind what is there.
    Buffer(Limit<&'a mut BytesMut>),
    /// The rest of a partition's records.
    Block(Limit<&'a mut Vec<u8>>),
}

/// A Fetch answer on its way into blocks.
#[derive(Debug)]
struct Carving {
    carver: Carver,
    envelope: BytesMut,
    /// Bytes of the frame behind those in the envelope and in blocks.
    left: usize,
    /// The block being filled, how much it is to hold, and what is known of it.
    block: Option<(Vec<u8>, usize, FetchedPart)>,
    /// Whether the last block was a large one.
    large: bool,
    /// Whether the rest is envelope.
    foreign: bool,
    credit: usize,
    pool: BlockPool,
}

impl FrameReader {
    /// A reader that accepts frames of up to `max` bytes.
    pub fn new(max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            max,
            seen_frame: false,
            expected: None,
            carving: None,
            parts: VecDeque::new(),
        }
    }

    /// The next frame, of which nothing was taken yet, answers the Fetch request with this
    /// correlation id.
    pub fn expect(&mut self, blocks: FetchBlocks, correlation_id: i32) {
        self.expected = Some((blocks, correlation_id));
    }

    /// Where to put received bytes; there is room for at least one.
    pub fn room(&mut self) -> Room<'_> {
        let wanted = self.wanted();
        let carving = self.carving.as_mut();
        let exactly = carving.is_some();
        if let Some((block, size, _)) = carving.and_then(|carving| carving.block.as_mut()) {
            let missing = size.saturating_sub(block.len());
            if block.len() == block.capacity() {
                // Beyond the credit. // I3
                block.reserve_exact(block.len().max(CHUNK).min(missing));
            }
            return Room::Block(block.limit(missing));
        }
        self.buffer.reserve(wanted);
        let spare = self.buffer.capacity().saturating_sub(self.buffer.len());
        let limit = if exactly { wanted } else { spare };
        Room::Buffer((&mut self.buffer).limit(limit))
    }

    /// The buffer to append received bytes to while no [`FetchBlocks`] are expected; it has spare
    /// capacity. Appending more than that is allowed but makes it grow.
    pub fn buffer(&mut self) -> &mut BytesMut {
        let wanted = self.wanted();
        self.buffer.reserve(wanted);
        &mut self.buffer
    }

    /// Whether part of a frame has been received.
    pub fn is_mid_frame(&self) -> bool {
        !self.buffer.is_empty() || self.carving.is_some()
    }

    /// The next whole frame, without its size. If it was [expected](Self::expect), the records are
    /// cut out of it and come from [`poll_part`](Self::poll_part), which is to be called after each
    /// call of this.
    ///
    /// # Errors
    ///
    /// [`WireError::Size`] and [`WireError::NotKafka`]; the reader must not be used further.
    pub fn poll_frame(&mut self) -> Result<Option<Bytes>, WireError> {
        if self.carving.is_none() {
            let Some(size) = self.announced()? else {
                return Ok(None);
            };
            match self.expected.take() {
                None => return Ok(self.plain(size)),
                Some((blocks, id)) => {
                    self.buffer.advance(PREFIX);
                    self.carving = Some(Carving::new(blocks, id, size));
                }
            }
        }
        let Some(carving) = &mut self.carving else {
            return Ok(None);
        };
        self.seen_frame = true;
        if !carving.carve(&mut self.buffer, &mut self.parts) {
            return Ok(None);
        }
        let whole = self.carving.take();
        Ok(whole.map(|carving| carving.envelope.freeze()))
    }

    /// The next records that were cut out of the frame that is arriving or has just come; they come
    /// before the frame, and may have come although it never will.
    pub fn poll_part(&mut self) -> Option<FetchedPart> {
        self.parts.pop_front()
    }

    fn plain(&mut self, size: usize) -> Option<Bytes> {
        let end = size.saturating_add(PREFIX);
        if self.buffer.len() < end {
            return None;
        }
        self.seen_frame = true;
        let frame = self.buffer.split_to(end);
        let body = frame.get(PREFIX..).unwrap_or_default();
        Some(if size < COPY_BELOW {
            Bytes::copy_from_slice(body)
        } else {
            frame.freeze().split_off(PREFIX)
        })
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

    /// How much room to make: as much as has been received, a chunk at least, and never more than
    /// the frame lacks.
    fn wanted(&self) -> usize {
        let have = self.buffer.len();
        match (&self.carving, self.announced()) {
            (Some(carving), _) => carving.wanted(have),
            (None, Ok(Some(size))) if self.expected.is_none() => {
                let missing = size.saturating_add(PREFIX).saturating_sub(have);
                missing.min(have.max(CHUNK)) // I3
            }
            _ => FIRST,
        }
        .max(1)
    }
}

impl Carving {
    fn new(expected: FetchBlocks, correlation_id: i32, size: usize) -> Self {
        Self {
            carver: Carver::new(expected.version, correlation_id),
            envelope: BytesMut::new(),
            left: size,
            block: None,
            foreign: false,
            credit: expected.credit,
            pool: expected.pool,
            large: true,
        }
    }

    /// Moves what has been received to where it belongs; true once the frame is whole.
    fn carve(&mut self, buffer: &mut BytesMut, parts: &mut VecDeque<FetchedPart>) -> bool {
        loop {
            if let Some((block, size, part)) = self.block.take() {
                if block.len() < size {
                    self.block = Some((block, size, part));
                    return false;
                }
                self.large = size > CHUNK;
                let records = self.pool.freeze(block);
                parts.push_back(FetchedPart { records, ..part });
            }
            if self.left == 0 {
                return true;
            }
            let available = buffer.len().min(self.left);
            let bytes = buffer.get(..available).unwrap_or_default();
            let step = match bytes {
                [] => return false,
                bytes if self.foreign => Step::Envelope(bytes.len()),
                bytes => self.carver.step(bytes, available == self.left),
            };
            match step {
                Step::More => return false,
                Step::Foreign => self.foreign = true,
                Step::Envelope(size) => self.keep(buffer, size),
                // More than the frame holds.
                Step::Records { envelope, size, .. }
                    if size > self.left.saturating_sub(envelope) =>
                {
                    self.foreign = true;
                }
                Step::Records {
                    envelope,
                    length_field,
                    size,
                    part,
                } => {
                    self.keep(buffer, envelope.saturating_sub(length_field));
                    self.envelope.put_slice(self.carver.no_records());
                    self.skip(buffer, length_field);
                    let block = self.begin(buffer, size);
                    self.block = Some((block, size, part));
                }
            }
        }
    }

    fn keep(&mut self, buffer: &mut BytesMut, size: usize) {
        let kept = buffer.get(..size).unwrap_or_default();
        self.envelope.extend_from_slice(kept);
        self.skip(buffer, size);
    }

    fn skip(&mut self, buffer: &mut BytesMut, size: usize) {
        buffer.advance(size.min(buffer.len()));
        self.left = self.left.saturating_sub(size);
    }

    /// Begins a block with what has been received of it.
    fn begin(&mut self, buffer: &mut BytesMut, size: usize) -> Vec<u8> {
        let granted = size.min(self.credit);
        self.credit = self.credit.saturating_sub(granted);
        let mut block = self.pool.take(granted);
        let received = size.min(buffer.len());
        block.extend_from_slice(buffer.get(..received).unwrap_or_default());
        buffer.advance(received);
        self.left = self.left.saturating_sub(size);
        block
    }

    /// How much to read outside blocks: little where a large block is likely to follow, whose
    /// bytes would have to be moved.
    fn wanted(&self, have: usize) -> usize {
        let missing = self.left.saturating_sub(have);
        missing.min(match (self.foreign, self.large) {
            (true, _) => self.envelope.len().max(CHUNK), // I3
            (false, true) => FIRST,
            (false, false) => CHUNK,
        })
    }
}

#[cfg(test)]
mod tests;
