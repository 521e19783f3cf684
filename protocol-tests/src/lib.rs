//! Golden bytes, differential tests and tests against a real Kafka: what they share.
//!
//! Tests are in `tests/`, a file a subject. Those that need Java or brokers are `#[ignore]`d and
//! run by `cargo xtask kafka test`; see [`real_kafka`].
//!
//! A program that uses this library counts its allocations ([`allocation`]), so it can have no
//! global allocator of its own.

#![forbid(unsafe_code)]

pub mod allocation;
pub mod batches;
pub mod cancel;
pub mod dice;
pub mod fuzz;
pub mod hex;
pub mod messages;
pub mod mutate;
pub mod real_kafka;
pub mod replay;
pub mod seeds;

use std::path::{Path, PathBuf};

/// A file of this package.
pub fn file(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Apache Kafka 4.3.1's bodies of every message at every version.
pub const MESSAGES: &str = include_str!("../vectors/messages-4.3.1.txt");

/// Record batches of Apache Kafka 4.3.1 and what it reads from them.
pub const BATCHES: &str = include_str!("../vectors/batches-4.3.1.txt");
