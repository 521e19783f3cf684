//! Which partition a record goes to: by its key, as this or that client does; sticky, random or in
//! turn without one; or as the user says.
//!
//! ```
//! use std::num::NonZeroU32;
//! use milena_partitioner::{Chooser, Keyed, Partitioning, Partitions};
//!
//! let available: Vec<i32> = (0..12).collect();
//! let partitions = Partitions::new(NonZeroU32::new(12).unwrap(), &available);
//! let chooser = Chooser::new(&Partitioning::Java, false, 1_000_000);
//!
//! let keyed = Keyed { topic: "orders", key: Some(b"customer-42"), value: None };
//! assert_eq!(chooser.choose(keyed, partitions, || 7, || None).partition, 9);
//!
//! let keyless = Keyed { topic: "orders", key: None, value: None };
//! let first = chooser.choose(keyless, partitions, || 7, || None);
//! assert!(first.is_sticky);
//! chooser.handle_produced(100, false);
//! assert_eq!(chooser.choose(keyless, partitions, || 8, || None), first);
//! ```
//!
//! Not for knowing which brokers are slow, far or gone: who does gives [`Weights`] to the choice.

#![forbid(unsafe_code)]

mod chooser;
mod crc32;
mod key_hash;
mod murmur2;
mod murmur2_legacy;
mod partitioner;
mod partitioning;
mod sticky;
mod weights;

pub use chooser::{Chooser, Chosen, Keyed};
pub use murmur2::{for_key, murmur2};
pub use partitioner::{Partitioner, Partitions};
pub use partitioning::{FranzGo, KafkaJs, Librdkafka, Partitioning, Sarama, UnknownPartitioning};
pub use weights::Weights;

/// Makes a number non-negative the way Kafka does, by dropping its sign bit.
fn positive(number: u32) -> i32 {
    (number & 0x7fff_ffff).cast_signed()
}

/// `number` reduced to a partition below `count`.
fn below(number: u32, count: std::num::NonZeroU32) -> i32 {
    // Both operands of the cast back are below 2^31, so the sign is kept.
    (positive(number).cast_unsigned() % count).cast_signed()
}

#[cfg(test)]
mod vector_tests;
