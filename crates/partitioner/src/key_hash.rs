//! From a key to a partition, as each client does it.

use std::num::NonZeroU32;

use crate::crc32::crc32;
use crate::murmur2::for_key;
use crate::murmur2_legacy::murmur2_legacy;

/// How a key chooses among all partitions of a topic, whether they have a leader or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyHash {
    /// Kafka's MurmurHash2 without its sign bit.
    Murmur2,
    /// [`murmur2_legacy`] without its sign bit.
    Murmur2Legacy,
    /// All bits of CRC-32.
    Crc32,
    /// The absolute value of what FNV-1a, taken as a signed number, leaves over: Sarama's slip
    /// that became its format.
    Fnv1aSigned,
    /// FNV-1a without its sign bit.
    Fnv1aMasked,
    /// All bits of FNV-1a.
    Fnv1aUnsigned,
}

impl KeyHash {
    #[inline]
    pub(crate) fn partition(self, key: &[u8], count: NonZeroU32) -> i32 {
        if self == Self::Murmur2 {
            return for_key(key, count);
        }
        self.other_partition(key, count)
    }

    #[inline(never)]
    fn other_partition(self, key: &[u8], count: NonZeroU32) -> i32 {
        match self {
            Self::Murmur2 => for_key(key, count),
            Self::Murmur2Legacy => crate::below(murmur2_legacy(key), count),
            Self::Crc32 => (crc32(key) % count).cast_signed(),
            // |h % n| = |h| % n, also where |h| is 2^31.
            Self::Fnv1aSigned => (fnv1a(key).cast_signed().unsigned_abs() % count).cast_signed(),
            Self::Fnv1aMasked => crate::below(fnv1a(key), count),
            Self::Fnv1aUnsigned => (fnv1a(key) % count).cast_signed(),
        }
    }
}

/// The 32-bit FNV-1a hash.
fn fnv1a(bytes: &[u8]) -> u32 {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    let step = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(PRIME);
    bytes.iter().fold(OFFSET, step)
}
