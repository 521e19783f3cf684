//! The payloads of every load: 4096 values of one size that look like JSON events, in a ring.
//!
//! They compress about as well as such events do, and they are the same bytes in every program that
//! follows this description, in whatever language:
//!
//! - Chance is SplitMix64 with the seed 42, one stream for the whole ring.
//! - A payload is made of events with commas between them, as many as it takes to reach its size,
//!   and is then cut off there.
//! - An event takes six numbers from the stream, in this order: `id`, below 100,000,000; `ts`,
//!   below 1,000,000,000, on top of 1,700,000,000,000; `user`, the lower 32 bits; `event`, an index
//!   into [`EVENTS`]; the item of `path`, below 100,000; `v`, below 1,000,000. "Below" is the
//!   remainder of a division.
//! - It reads `{"id":1,"ts":1700000000002,"user":"u00000003","event":"login","path":"/items/4","v":5}`,
//!   with the user as eight hexadecimal digits.
//!
//! [`checksum`] tells whether a program has got it right.

use std::fmt::Write as _;

/// How many payloads there are: the record of number `n` has the one of number `n % LEN`.
pub(crate) const LEN: usize = 4096;

const SEED: u64 = 42;
const EVENTS: [&str; 8] = [
    "page_view",
    "click",
    "add_to_cart",
    "purchase",
    "login",
    "logout",
    "search",
    "scroll",
];

/// The payloads, of `size` bytes each: as many as `count` records need, which is all at most.
pub(crate) fn payloads(size: usize, count: u64) -> Vec<Vec<u8>> {
    let mut chance = SplitMix64(SEED);
    let needed = usize::try_from(count).map_or(LEN, |count| count.min(LEN));
    (0..needed).map(|_| payload(&mut chance, size)).collect()
}

/// FNV-1a, in 64 bits, over all payloads one after the other.
pub(crate) fn checksum(payloads: &[Vec<u8>]) -> u64 {
    payloads
        .iter()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

fn payload(chance: &mut SplitMix64, size: usize) -> Vec<u8> {
    let mut text = String::with_capacity(size + 128);
    while text.len() < size {
        if !text.is_empty() {
            text.push(',');
        }
        event(&mut text, chance);
    }
    let mut bytes = text.into_bytes();
    bytes.truncate(size);
    bytes
}

fn event(text: &mut String, chance: &mut SplitMix64) {
    let id = chance.next() % 100_000_000;
    let ts = 1_700_000_000_000 + chance.next() % 1_000_000_000;
    let user = chance.next() & 0xffff_ffff;
    let event = EVENTS[(chance.next() % 8) as usize];
    let item = chance.next() % 100_000;
    let v = chance.next() % 1_000_000;
    // Writing to a string does not fail.
    let _ = write!(
        text,
        r#"{{"id":{id},"ts":{ts},"user":"u{user:08x}","event":"{event}","path":"/items/{item}","v":{v}}}"#
    );
}

struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
