//! The five codecs in Kafka's framing, both directions.
//!
//! I1. Output grows with the data that produces it and never beyond the caller's limit; a length
//!     that the input declares is at most a hint, refused when its codec could not reach it.
//! I2. What is written is what Java's client writes or reads: gzip without name or time, snappy in
//!     xerial's framing with 32 KiB blocks, LZ4 frames of 64 KB independent blocks without
//!     checksums, zstd frames.
//!
//! Contexts are costly to make (a zstd one halves the speed at 16 KiB) and are kept in the
//! [`Compressor`] or [`Decompressor`], which is meant to be long-lived and used by one thread at a
//! time.

use std::cell::Cell;
use std::fmt;

mod gzip;
mod lz4;
mod snappy;
mod zstandard;

/// A codec of record batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not compressed.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy in the framing of xerial's snappy-java; raw snappy is read too.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// Zstandard (KIP-110, Kafka 2.1).
    Zstd,
}

impl Compression {
    /// All codecs, in the order of their ids.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with this id in a batch's attributes.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// The codec's id in a batch's attributes.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The codec's name in Kafka's configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The level used when none is given (KIP-390); `None` where there are no levels.
    pub const fn default_level(self) -> Option<i32> {
        match self {
            Self::None | Self::Snappy => None,
            Self::Gzip => Some(6),
            Self::Lz4 => Some(9),
            Self::Zstd => Some(3),
        }
    }

    /// The smallest and largest level (KIP-390); `None` where there are no levels.
    pub const fn levels(self) -> Option<(i32, i32)> {
        match self {
            Self::None | Self::Snappy => None,
            Self::Gzip => Some((1, 9)),
            Self::Lz4 => Some((1, 17)),
            Self::Zstd => Some((-131_072, 22)),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, UnknownCompression> {
        let known = Self::ALL.into_iter().find(|codec| codec.name() == name);
        known.ok_or_else(|| UnknownCompression(name.to_owned()))
    }
}

/// A name that no codec has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression {0:?}; use none, gzip, snappy, lz4 or zstd")]
pub struct UnknownCompression(pub String);

/// A level that the codec does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    /// Outside the codec's range.
    #[error("{codec} has no level {level}; use {min} to {max}")]
    OutOfRange {
        /// The codec.
        codec: Compression,
        /// The level asked for.
        level: i32,
        /// The smallest level.
        min: i32,
        /// The largest level.
        max: i32,
    },
    /// The codec has no levels at all.
    #[error("{0} has no levels; leave the level out")]
    NoLevels(Compression),
}

/// The codec found no memory, or its output is too large for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{codec} could not compress {size} bytes")]
pub struct CompressError {
    /// The codec.
    pub codec: Compression,
    /// The size of what was to be compressed.
    pub size: usize,
}

/// Compressed bytes that cannot be read.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// More output than allowed.
    #[error(
        "its records decompress to more than the limit of {limit} bytes; raise the limit if they are trusted"
    )]
    TooLarge {
        /// The caller's limit.
        limit: usize,
    },
    /// Not what the codec writes.
    #[error("its {codec} data is damaged: {what}")]
    Corrupt {
        /// The codec.
        codec: Compression,
        /// What is wrong.
        what: &'static str,
    },
}

/// Compresses batches with one codec at one level, and keeps what the codec needs between them.
pub struct Compressor {
    codec: Codec,
    gathered: Vec<u8>,
    output: Vec<u8>,
}

enum Codec {
    None,
    Gzip(Box<gzip::Encoder>),
    Snappy(Box<snappy::Encoder>),
    Lz4(Box<lz4::Encoder>),
    Zstd(zstandard::Encoder),
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new(Compression::None)
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compressor")
            .field(&self.compression())
            .finish()
    }
}

impl Compressor {
    /// A compressor at the codec's default level.
    pub fn new(compression: Compression) -> Self {
        Self::build(compression, compression.default_level().unwrap_or_default())
    }

    /// A compressor at a level of KIP-390. As in Kafka, gzip's −1 is its default.
    ///
    /// LZ4's levels are checked and have no effect: its pure-Rust implementation has the fast
    /// mode only, whose output every level's reader reads.
    ///
    /// # Errors
    /// [`LevelError`] for a level that the codec does not have.
    pub fn with_level(compression: Compression, level: i32) -> Result<Self, LevelError> {
        if (compression, level) == (Compression::Gzip, -1) {
            return Ok(Self::new(compression));
        }
        let (min, max) = compression
            .levels()
            .ok_or(LevelError::NoLevels(compression))?;
        if !(min..=max).contains(&level) {
            return Err(LevelError::OutOfRange {
                codec: compression,
                level,
                min,
                max,
            });
        }
        Ok(Self::build(compression, level))
    }

    fn build(compression: Compression, level: i32) -> Self {
        let codec = match compression {
            Compression::None => Codec::None,
            Compression::Gzip => Codec::Gzip(Box::new(gzip::Encoder::new(level))),
            Compression::Snappy => Codec::Snappy(Box::new(snappy::Encoder::new())),
            Compression::Lz4 => Codec::Lz4(Box::default()),
            Compression::Zstd => Codec::Zstd(zstandard::Encoder::new(level)),
        };
        Self {
            codec,
            gathered: Vec::new(),
            output: Vec::new(),
        }
    }

    /// The codec.
    pub fn compression(&self) -> Compression {
        match self.codec {
            Codec::None => Compression::None,
            Codec::Gzip(_) => Compression::Gzip,
            Codec::Snappy(_) => Compression::Snappy,
            Codec::Lz4(_) => Compression::Lz4,
            Codec::Zstd(_) => Compression::Zstd,
        }
    }

    /// Replaces the contents of `out` by the compressed form of `input`.
    ///
    /// # Errors
    /// [`CompressError`]; `out` then holds a useless part.
    pub fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        out.clear();
        let done = match &mut self.codec {
            Codec::None => {
                out.extend_from_slice(input);
                Some(())
            }
            Codec::Gzip(encoder) => encoder.compress(input, out),
            Codec::Snappy(encoder) => encoder.compress(input, out),
            Codec::Lz4(encoder) => encoder.compress(input, out),
            Codec::Zstd(encoder) => encoder.compress(input, out),
        };
        done.ok_or(CompressError {
            codec: self.compression(),
            size: input.len(),
        })
    }

    /// The compressed form of a chain of pieces, at most `max` bytes, or `None` when the codec is
    /// none. It lies in memory of the compressor's own, which the next one uses again.
    ///
    /// LZ4 takes the pieces as they are, in blocks of their own. For the others they are gathered
    /// first: a copy costs little beside the codec, which then has one slice to look back in.
    pub(crate) fn compress_chain(
        &mut self,
        pieces: &[Vec<u8>],
        max: usize,
    ) -> Result<Option<&[u8]>, CompressError> {
        let mut output = std::mem::take(&mut self.output);
        let done = match (&mut self.codec, pieces) {
            (Codec::None, _) => return Ok(None),
            (Codec::Lz4(encoder), _) => {
                output.clear();
                let pieces = pieces.iter().map(|piece| &piece[..]);
                let size = pieces.clone().map(<[u8]>::len).sum();
                let codec = Compression::Lz4;
                let done = encoder.compress_pieces(pieces, &mut output);
                done.ok_or(CompressError { codec, size })
            }
            (_, [piece]) => self.compress(piece, &mut output),
            _ => {
                let mut gathered = std::mem::take(&mut self.gathered);
                gathered.clear();
                pieces
                    .iter()
                    .for_each(|piece| gathered.extend_from_slice(piece));
                let done = self.compress(&gathered, &mut output);
                self.gathered = gathered;
                done
            }
        };
        self.output = output;
        done?;
        if self.output.len() > max {
            return Err(CompressError {
                codec: self.compression(),
                size: self.output.len(),
            });
        }
        Ok(Some(&self.output))
    }
}

/// Decompresses batches of every codec, and keeps what the codecs need between them.
#[derive(Default)]
pub struct Decompressor {
    gzip: gzip::Decoder,
    zstd: zstandard::Decoder,
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decompressor")
    }
}

thread_local! {
    static LOCAL: Cell<Option<Decompressor>> = const { Cell::new(None) };
}

impl Decompressor {
    /// A decompressor; contexts are made when first needed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work` with this thread's own decompressor.
    pub fn with_local<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        let mut local = LOCAL.take().unwrap_or_default();
        let result = work(&mut local);
        LOCAL.set(Some(local));
        result
    }

    /// Replaces the contents of `out` by the decompressed form of `input`, at most `limit` bytes
    /// of it. The capacity of `out` is used, and grows with the data.
    ///
    /// # Errors
    /// [`DecompressError`]; `out` then holds a useless part.
    pub fn decompress(
        &mut self,
        compression: Compression,
        input: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        let limit = limit.min(i32::MAX as usize);
        out.clear();
        let mut output = Output { bytes: out, limit };
        let done = match compression {
            Compression::None => output.extend(input),
            Compression::Gzip => self.gzip.decompress(input, &mut output),
            Compression::Snappy => snappy::decompress(input, &mut output),
            Compression::Lz4 => lz4::decompress(input, &mut output),
            Compression::Zstd => self.zstd.decompress(input, &mut output),
        };
        done.map_err(|fault| match fault {
            Fault::TooLarge => DecompressError::TooLarge { limit },
            Fault::Corrupt(what) => DecompressError::Corrupt {
                codec: compression,
                what,
            },
        })
    }
}

/// What a codec's decoder finds.
enum Fault {
    TooLarge,
    Corrupt(&'static str),
}

/// A growing output and the size it must not pass. // I1
struct Output<'a> {
    bytes: &'a mut Vec<u8>,
    limit: usize,
}

impl Output<'_> {
    /// How many more bytes are allowed.
    fn left(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }

    fn extend(&mut self, part: &[u8]) -> Result<(), Fault> {
        if part.len() > self.left() {
            return Err(Fault::TooLarge);
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    /// Lets `fill` write up to `max` bytes at the end, given what stands before them; it returns
    /// how many it wrote. `max` must be what the input can produce, not what it declares. When
    /// the output's end is nearer than `max`, `fill` gets less room.
    fn fill(
        &mut self,
        max: usize,
        fill: impl FnOnce(&[u8], &mut [u8]) -> Result<usize, Fault>,
    ) -> Result<(), Fault> {
        let before = self.bytes.len();
        self.bytes
            .resize(before.saturating_add(max.min(self.left())), 0);
        let (written, room) = self.bytes.split_at_mut(before);
        let count = fill(written, room);
        self.bytes
            .truncate(before.saturating_add(*count.as_ref().unwrap_or(&0)));
        count.map(drop)
    }
}

#[cfg(test)]
mod tests;
