//! What KafkaJS before 2.0 computed instead of MurmurHash2: JavaScript's numbers, 64-bit floats,
//! lose the low bits of its products.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: f64 = 0x5bd1_e995_u32 as f64;

/// The hash of KafkaJS' `LegacyPartitioner`.
pub(crate) fn murmur2_legacy(bytes: &[u8]) -> u32 {
    let mut hash = SEED ^ bytes.len() as u32;
    // Its loop compares with a quarter of the length, unrounded: an incomplete last word counts
    // here, filled up with zeros, and again below.
    for word in bytes.chunks(4) {
        let word = little_endian(word);
        let mixed = multiply(word.cast_signed());
        let mixed = to_bits(mixed);
        let mixed = multiply((mixed ^ mixed >> 24).cast_signed());
        hash = to_bits(multiply(hash.cast_signed())) ^ to_bits(mixed);
    }
    let rest = bytes.chunks_exact(4).remainder();
    if !rest.is_empty() {
        hash = to_bits(multiply((hash ^ little_endian(rest)).cast_signed()));
    }
    hash = to_bits(multiply((hash ^ hash >> 13).cast_signed()));
    hash ^ hash >> 15
}

fn little_endian(bytes: &[u8]) -> u32 {
    let bytes = bytes.iter().rev();
    bytes.fold(0, |word, &byte| word << 8 | u32::from(byte))
}

fn multiply(number: i32) -> f64 {
    f64::from(number) * MULTIPLIER
}

/// JavaScript's conversion before a bit operation: modulo 2^32. The products are below 2^63.
fn to_bits(number: f64) -> u32 {
    number as i64 as u32
}
