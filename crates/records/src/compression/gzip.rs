//! Gzip (RFC 1952): a small header, raw deflate, checksum and length.

use flate2::{Compress, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Fault, Output};
use crate::varint::Cursor;

/// Magic, deflate, no flags, no time, no extra flags, unknown system: Java's header.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const MAGIC: [u8; 2] = [0x1f, 0x8b];

pub(super) struct Encoder(Compress);

impl Encoder {
    pub(super) fn new(level: i32) -> Self {
        let level = flate2::Compression::new(level.unsigned_abs());
        Self(Compress::new(level, false))
    }

    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<()> {
        self.0.reset();
        out.extend_from_slice(&HEADER);
        // Deflate's stored blocks add 5 bytes for each 16 KiB or so: this is enough at once.
        out.reserve(
            input
                .len()
                .saturating_add(input.len() >> 6)
                .saturating_add(64),
        );
        loop {
            let taken = usize::try_from(self.0.total_in()).ok()?;
            let rest = input.get(taken..)?;
            match self.0.compress_vec(rest, out, FlushCompress::Finish).ok()? {
                Status::StreamEnd => break,
                Status::Ok | Status::BufError => out.reserve(input.len().max(1024)),
            }
        }
        let mut crc = Crc::new();
        crc.update(input);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&crc.amount().to_le_bytes());
        Some(())
    }
}

/// The state of the last gzip stream, made when first needed.
#[derive(Default)]
pub(super) struct Decoder(Option<Box<Decompress>>);

impl Decoder {
    /// Reads one member after another, as Java does; what follows the last one and is no member
    /// is ignored.
    pub(super) fn decompress(&mut self, input: &[u8], out: &mut Output<'_>) -> Result<(), Fault> {
        let mut at = Cursor { rest: input };
        loop {
            skip_header(&mut at).ok_or(Fault::Corrupt("bad gzip header"))?;
            let start = out.bytes.len();
            self.inflate(&mut at, out)?;
            let trailer = Fault::Corrupt("cut before its checksum");
            let (Some(sum), Some(size)) = (at.array(), at.array()) else {
                return Err(trailer);
            };
            let mut crc = Crc::new();
            crc.update(out.bytes.get(start..).unwrap_or_default());
            if crc.sum() != u32::from_le_bytes(sum) || crc.amount() != u32::from_le_bytes(size) {
                return Err(Fault::Corrupt("wrong checksum"));
            }
            if !at.rest.starts_with(&MAGIC) {
                return Ok(());
            }
        }
    }

    fn inflate(&mut self, at: &mut Cursor<'_>, out: &mut Output<'_>) -> Result<(), Fault> {
        let state = self
            .0
            .get_or_insert_with(|| Box::new(Decompress::new(false)));
        state.reset(false);
        loop {
            reserve(out, at.rest.len())?;
            let before = (state.total_in(), out.bytes.len());
            let status = state
                .decompress_vec(at.rest, out.bytes, FlushDecompress::None)
                .map_err(|_| Fault::Corrupt("bad deflate data"))?;
            let taken = state.total_in().saturating_sub(before.0);
            let _ = at.take(usize::try_from(taken).unwrap_or(usize::MAX));
            if out.bytes.len() > out.limit {
                return Err(Fault::TooLarge);
            }
            match status {
                Status::StreamEnd => return Ok(()),
                _ if taken == 0 && out.bytes.len() == before.1 => {
                    return Err(Fault::Corrupt("cut inside its data"));
                }
                _ => {}
            }
        }
    }
}

/// Makes room when there is none: four times the input at first, then double.
fn reserve(out: &mut Output<'_>, input: usize) -> Result<(), Fault> {
    if out.bytes.len() < out.bytes.capacity() {
        return Ok(());
    }
    // One byte past the limit tells an output that ends there from one that goes on.
    let left = out.left().saturating_add(1);
    let wanted = input.saturating_mul(4).max(out.bytes.len()).max(512);
    out.bytes.reserve_exact(wanted.min(left));
    Ok(())
}

fn skip_header(at: &mut Cursor<'_>) -> Option<()> {
    const HEADER_CRC: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const RESERVED: u8 = 0xe0;
    if at.array()? != MAGIC || at.byte()? != 8 {
        return None;
    }
    let flags = at.byte()?;
    at.take(6)?;
    if flags & RESERVED != 0 {
        return None;
    }
    if flags & EXTRA != 0 {
        let size = u16::from_le_bytes(at.array()?);
        at.take(usize::from(size))?;
    }
    for text in [NAME, COMMENT] {
        while flags & text != 0 && at.byte()? != 0 {}
    }
    if flags & HEADER_CRC != 0 {
        at.take(2)?;
    }
    Some(())
}
