//! MurmurHash2 as Kafka computes it, and the partition of a key.

use std::num::NonZeroU32;

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;

/// The partition of a key: the same one as for the Java client's default partitioner.
///
/// It changes for most keys when the number of partitions does. `partition_count` counts all
/// partitions of the topic, whether they have a leader or not.
#[must_use]
pub fn for_key(key: &[u8], partition_count: NonZeroU32) -> i32 {
    crate::below(murmur2(key), partition_count)
}

/// Kafka's 32-bit MurmurHash2 of the bytes. Java shows the same bits as a signed number.
#[must_use]
pub fn murmur2(bytes: &[u8]) -> u32 {
    // Kafka hashes arrays, whose lengths fit 31 bits; longer input only wraps here.
    let mut hash = SEED ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let word = word
            .iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u32::from(byte));
        let mixed = word.wrapping_mul(MULTIPLIER);
        let mixed = (mixed ^ mixed >> 24).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest
            .iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u32::from(byte));
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(MULTIPLIER);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests;
