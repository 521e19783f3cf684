//! Snappy in xerial's framing: a 16-byte header, then blocks of `length · raw snappy`.

use super::{Fault, Output};
use crate::varint::Cursor;

/// `0x82 SNAPPY 0x00`, then version 1 and the oldest version that can read it, 1.
const HEADER: [u8; 16] = [
    0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
];
const MAGIC: &[u8] = b"\x82SNAPPY\0";
/// snappy-java's block size.
const BLOCK: usize = 32 * 1024;

pub(super) struct Encoder(snap::raw::Encoder);

impl Encoder {
    pub(super) fn new() -> Self {
        Self(snap::raw::Encoder::new())
    }

    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(&HEADER);
        out.reserve(input.len() >> 1);
        for block in input.chunks(BLOCK) {
            let at = out.len();
            out.extend_from_slice(&[0; 4]);
            let start = out.len();
            out.resize(
                start.checked_add(snap::raw::max_compress_len(block.len()))?,
                0,
            );
            let size = self.0.compress(block, out.get_mut(start..)?).ok()?;
            out.truncate(start.checked_add(size)?);
            let prefix = u32::try_from(size).ok()?.to_be_bytes();
            out.get_mut(at..start)?.copy_from_slice(&prefix);
        }
        Some(())
    }
}

/// Reads xerial's framing, also several of them one after another, and raw snappy (what
/// librdkafka and others write).
pub(super) fn decompress(input: &[u8], out: &mut Output<'_>) -> Result<(), Fault> {
    if !input.starts_with(MAGIC) {
        return raw(input, out);
    }
    let mut at = Cursor { rest: input };
    while !at.rest.is_empty() {
        if at.rest.starts_with(MAGIC) {
            at.take(HEADER.len()).ok_or(Fault::Corrupt("cut header"))?;
            continue;
        }
        let size = at
            .array()
            .map(u32::from_be_bytes)
            .ok_or(Fault::Corrupt("cut block"))?;
        let block = at.take(size as usize).ok_or(Fault::Corrupt("cut block"))?;
        raw(block, out)?;
    }
    Ok(())
}

fn raw(block: &[u8], out: &mut Output<'_>) -> Result<(), Fault> {
    let bad = |_| Fault::Corrupt("bad block");
    let declared = snap::raw::decompress_len(block).map_err(bad)?;
    // The densest element copies 64 bytes and takes 3, so a block can hold no more. // I1
    if declared > block.len().saturating_mul(22) {
        return Err(Fault::Corrupt(
            "a block that declares more than it can hold",
        ));
    }
    if declared > out.left() {
        return Err(Fault::TooLarge);
    }
    out.fill(declared, |_, room| {
        snap::raw::Decoder::new()
            .decompress(block, room)
            .map_err(bad)
    })
}
