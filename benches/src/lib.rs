//! What the benchmarks share: payloads, loops over record batches, and a client on the embedded
//! broker.

#![forbid(unsafe_code)]

pub mod batches;
pub mod embedded;
pub mod scenarios;

#[path = "../../crates/cli/src/bench/ring.rs"]
#[allow(dead_code, reason = "the checksum is for the CLI")]
mod ring;

/// The payloads of `milena bench`: 4096 values of `size` bytes each, always the same.
pub fn payloads(size: usize) -> Vec<Vec<u8>> {
    ring::payloads(size, u64::MAX)
}
