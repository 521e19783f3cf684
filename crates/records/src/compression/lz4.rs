//! The LZ4 frame format, framed here so that tables are kept, blocks are decoded in place, and
//! memory follows the data instead of the declared block size.

use std::hash::Hasher;

use lz4_flex::block::{self, CompressTable};
use twox_hash::XxHash32;

use super::{Fault, Output};
use crate::varint::Cursor;

const MAGIC: [u8; 4] = 0x184d_2204u32.to_le_bytes();
/// Version 1, independent blocks (Java's reader rejects linked ones), no checksums, 64 KB blocks,
/// and the checksum of these two bytes.
const DESCRIPTOR: [u8; 3] = [0x60, 0x40, 0x82];
const BLOCK: usize = 64 * 1024;
/// Set in a block's length when the block is stored as it is.
const STORED: u32 = 1 << 31;

pub(super) struct Encoder {
    table: CompressTable,
    /// Where a block is compressed to: room for the worst case.
    room: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            table: CompressTable::large(),
            room: vec![0; block::get_maximum_output_size(BLOCK)],
        }
    }
}

impl Encoder {
    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<()> {
        self.compress_pieces(std::iter::once(input), out)
    }

    /// One frame of the pieces, each in blocks of its own.
    pub(super) fn compress_pieces<'a>(
        &mut self,
        pieces: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&DESCRIPTOR);
        for block in pieces.flat_map(|piece| piece.chunks(BLOCK)) {
            let size = block::compress_into_with_table(block, &mut self.room, &mut self.table);
            let compressed = self.room.get(..size.ok()?)?;
            let (bytes, flag) = if compressed.len() < block.len() {
                (compressed, 0)
            } else {
                (block, STORED)
            };
            let prefix = u32::try_from(bytes.len()).ok()? | flag;
            out.extend_from_slice(&prefix.to_le_bytes());
            out.extend_from_slice(bytes);
        }
        out.extend_from_slice(&[0; 4]);
        Some(())
    }
}

/// A frame's descriptor.
struct Frame {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_size: Option<u64>,
    max_block: usize,
}

/// Reads one frame; what follows it is ignored, as Java does.
pub(super) fn decompress(input: &[u8], out: &mut Output<'_>) -> Result<(), Fault> {
    let cut = || Fault::Corrupt("cut");
    let mut at = Cursor { rest: input };
    if at.array() != Some(MAGIC) {
        return Err(Fault::Corrupt("not an LZ4 frame"));
    }
    let frame = Frame::read(&mut at)?;
    let start = out.bytes.len();
    loop {
        let prefix = at.array().map(u32::from_le_bytes).ok_or_else(cut)?;
        if prefix == 0 {
            break;
        }
        let size = (prefix & !STORED) as usize;
        if size > frame.max_block {
            return Err(Fault::Corrupt("a block larger than its frame allows"));
        }
        let data = at.take(size).ok_or_else(cut)?;
        if frame.block_checksums && at.array().map(u32::from_le_bytes) != Some(xxh32(data)) {
            return Err(Fault::Corrupt("wrong block checksum"));
        }
        if prefix & STORED == 0 {
            frame.block(data, start, out)?;
        } else {
            out.extend(data)?;
        }
    }
    let content = out.bytes.get(start..).unwrap_or_default();
    if frame
        .content_size
        .is_some_and(|size| size != content.len() as u64)
    {
        return Err(Fault::Corrupt("wrong content size"));
    }
    if frame.content_checksum && at.array().map(u32::from_le_bytes) != Some(xxh32(content)) {
        return Err(Fault::Corrupt("wrong content checksum"));
    }
    Ok(())
}

impl Frame {
    fn read(at: &mut Cursor<'_>) -> Result<Self, Fault> {
        let bad = || Fault::Corrupt("bad frame header");
        let descriptor = at.rest;
        let [flags, sizes] = at.array().ok_or_else(bad)?;
        // Version 1, no reserved bit, no dictionary.
        if flags & 0xc3 != 0x40 || sizes & 0x8f != 0 {
            return Err(bad());
        }
        let max_block = match sizes >> 4 {
            4 => 64 * 1024,
            5 => 256 * 1024,
            6 => 1024 * 1024,
            7 => 4 * 1024 * 1024,
            _ => return Err(bad()),
        };
        let content_size = if flags & 0x08 == 0 {
            None
        } else {
            Some(u64::from_le_bytes(at.array().ok_or_else(bad)?))
        };
        let size = descriptor.len().saturating_sub(at.rest.len());
        let hash = xxh32(descriptor.get(..size).unwrap_or_default());
        if at.byte() != hash.to_le_bytes().get(1).copied() {
            return Err(Fault::Corrupt("wrong header checksum"));
        }
        Ok(Self {
            linked: flags & 0x20 == 0,
            block_checksums: flags & 0x10 != 0,
            content_checksum: flags & 0x04 != 0,
            content_size,
            max_block,
        })
    }

    fn block(&self, data: &[u8], start: usize, out: &mut Output<'_>) -> Result<(), Fault> {
        // A byte of LZ4 stands for at most 255 bytes. // I1
        let reachable = data.len().saturating_mul(255).min(self.max_block);
        let limited = out.left() < reachable;
        out.fill(reachable, |written, room| {
            let done = if self.linked {
                let from = written.len().saturating_sub(BLOCK).max(start);
                let window = written.get(from..).unwrap_or_default();
                block::decompress_into_with_dict(data, room, window)
            } else {
                block::decompress_into(data, room)
            };
            done.map_err(|error| match error {
                block::DecompressError::OutputTooSmall { .. } if limited => Fault::TooLarge,
                _ => Fault::Corrupt("bad block"),
            })
        })
    }
}

fn xxh32(data: &[u8]) -> u32 {
    let mut hasher = XxHash32::with_seed(0);
    hasher.write(data);
    // A 32-bit hash in the low half.
    (hasher.finish() & 0xffff_ffff) as u32
}
