//! Zstandard, one call per batch in each direction, so that neither side needs a window buffer:
//! a frame that declares a window of 128 MiB costs nothing but its output.

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx};

use super::{Fault, Output};

/// What zstd answers when the output does not fit: error codes are negated.
const TOO_SMALL: usize = 0usize.wrapping_sub(70);

pub(super) struct Encoder(CCtx<'static>);

impl Encoder {
    pub(super) fn new(level: i32) -> Self {
        let mut context = CCtx::create();
        // Every level that KIP-390 names exists; a context without it uses the default one.
        let _ = context.set_parameter(CParameter::CompressionLevel(level));
        Self(context)
    }

    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<()> {
        out.reserve(zstd_safe::compress_bound(input.len()));
        self.0.compress2(out, input).ok().map(drop)
    }
}

/// The decoder's context, made when first needed.
#[derive(Default)]
pub(super) struct Decoder(Option<DCtx<'static>>);

impl Decoder {
    /// Decodes into a buffer of a likely size, and into larger ones while it is too small: Java's
    /// frames do not say how large they are. A buffer is only found too small when the data has
    /// filled it up to a run that does not fit (2 MiB at most), so it follows the data, and the
    /// work is at most 4/3 of one call's. // I1
    pub(super) fn decompress(&mut self, input: &[u8], out: &mut Output<'_>) -> Result<(), Fault> {
        let context = match &mut self.0 {
            Some(context) => context,
            none => none.insert(DCtx::try_create().ok_or(Fault::Corrupt("no memory"))?),
        };
        // At least one: four times nothing would stay nothing.
        let mut room = likely_size(input).clamp(1, out.limit.max(1));
        loop {
            out.bytes.reserve_exact(room);
            match context.decompress(out.bytes, input) {
                Ok(size) if size > out.limit => return Err(Fault::TooLarge),
                Ok(_) => return Ok(()),
                Err(TOO_SMALL) if out.bytes.capacity() >= out.limit => return Err(Fault::TooLarge),
                Err(TOO_SMALL) => {
                    out.bytes.clear();
                    room = out.bytes.capacity().saturating_mul(4).min(out.limit);
                }
                Err(_) => return Err(Fault::Corrupt("bad frame")),
            }
        }
    }
}

/// The declared size if there is one and it is believable, else eight times the input.
fn likely_size(input: &[u8]) -> usize {
    let believable = input.len().saturating_mul(16).saturating_add(64 * 1024);
    let declared = zstd_safe::get_frame_content_size(input).ok().flatten();
    let declared = declared.and_then(|size| usize::try_from(size).ok());
    let guess = || input.len().saturating_mul(8).saturating_add(1024);
    declared.unwrap_or_else(guess).min(believable)
}
