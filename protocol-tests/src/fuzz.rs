//! The bodies of the fuzz targets: what must hold for every input, asserted.
//!
//! The programs in `fuzz/fuzz_targets` call these, and so does `tests/mutations.rs`, with the
//! committed seeds and mutations of them. Each is a pure function of its input, so an input that
//! failed once fails again.

mod batch;
mod broker;
mod builder;
mod fetch;
mod frame;
pub(crate) mod message;
mod opening;
pub(crate) mod sasl;

pub use batch::record_batches;
pub use broker::broker_model;
pub use builder::batch_builder;
pub use fetch::fetch_answers;
pub use frame::frames;
pub use message::{data_messages, requests, responses};
pub use opening::opening;
pub use sasl::sasl;

use crate::dice::Dice;

/// A target: takes any bytes and panics when something does not hold for them.
pub type Target = fn(&[u8]);

/// All targets, by the name of their program and of the directory of their seeds.
pub const TARGETS: &[(&str, Target)] = &[
    ("batch_builder", batch_builder),
    ("broker_model", broker_model),
    ("data_messages", data_messages),
    ("fetch_answers", fetch_answers),
    ("frames", frames),
    ("opening", opening),
    ("record_batches", record_batches),
    ("requests", requests),
    ("responses", responses),
    ("sasl", sasl),
];

/// The most messages of an input that consists of several.
const MAX_MESSAGES: usize = 8;

/// Messages, each after its length in two bytes.
fn unpacked(mut dice: Dice<'_>) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while !dice.is_empty() && messages.len() < MAX_MESSAGES {
        let length = u16::from_be_bytes(dice.array());
        messages.push(dice.take(length.into()));
    }
    messages
}

/// [`unpacked`]'s input.
pub(crate) fn packed(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut input = Vec::new();
    for message in messages {
        input.extend((message.len() as u16).to_be_bytes());
        input.extend(message);
    }
    input
}
