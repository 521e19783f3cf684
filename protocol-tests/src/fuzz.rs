//! The bodies of the fuzz targets: what must hold for every input, asserted.
//!
//! The programs in `fuzz/fuzz_targets` call these, and so does `tests/mutations.rs`, with the
//! committed seeds and mutations of them. Each is a pure function of its input, so an input that
//! failed once fails again.

mod batch;
mod builder;
mod frame;
pub(crate) mod message;
pub(crate) mod sasl;

pub use batch::record_batches;
pub use builder::batch_builder;
pub use frame::frames;
pub use message::{data_messages, requests, responses};
pub use sasl::sasl;

/// A target: takes any bytes and panics when something does not hold for them.
pub type Target = fn(&[u8]);

/// All targets, by the name of their program and of the directory of their seeds.
pub const TARGETS: &[(&str, Target)] = &[
    ("batch_builder", batch_builder),
    ("data_messages", data_messages),
    ("frames", frames),
    ("record_batches", record_batches),
    ("requests", requests),
    ("responses", responses),
    ("sasl", sasl),
];
