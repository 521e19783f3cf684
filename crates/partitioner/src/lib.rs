//! Which partition a record goes to: by its key, as the Java client does, or sticky without one.
//!
//! ```
//! use std::num::NonZeroU32;
//! use milena_partitioner::{Sticky, for_key};
//!
//! let partitions = NonZeroU32::new(12).unwrap();
//! assert_eq!(for_key(b"customer-42", partitions), 9);
//!
//! let mut sticky = Sticky::new(1_000_000);
//! let partition = sticky.partition(partitions, &[], || 7);
//! sticky.handle_produced(100, false);
//! assert_eq!(sticky.partition(partitions, &[], || 8), partition);
//! ```
//!
//! Not for weighing partitions by their brokers' load, nor for the partitioners of other clients.

#![forbid(unsafe_code)]

mod murmur2;
mod sticky;

pub use murmur2::{for_key, murmur2};
pub use sticky::Sticky;

/// Makes a number non-negative the way Kafka does, by dropping its sign bit.
fn positive(number: u32) -> i32 {
    (number & 0x7fff_ffff).cast_signed()
}

/// `number` reduced to a partition below `count`.
fn below(number: u32, count: std::num::NonZeroU32) -> i32 {
    // Both operands of the cast back are below 2^31, so the sign is kept.
    (positive(number).cast_unsigned() % count).cast_signed()
}
