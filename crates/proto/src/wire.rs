//! One connection to a broker: how it opens, which answer belongs to which request, when waiting
//! ends, and where one received frame ends and the next begins.
//!
//! [`Opening`] negotiates versions (KIP-35, KIP-511) and logs in (KIP-43, KIP-152); what it learns
//! is in [`Opened`]. [`Pipeline`] then hands out correlation ids and matches answers.
//! [`FrameReader`] cuts a byte stream into frames, and the records out of Fetch answers into blocks
//! of a [`BlockPool`].
//!
//! - I1: an answer is accepted only if it carries the correlation id of the oldest unanswered
//!   request; anything else ends the connection.
//! - I2: opening sends a bounded number of requests, whatever the broker answers.
//! - I3: no buffer grows beyond four times the bytes received and 128 KiB, or the credit that we
//!   granted.
//! - I4: every request leaves the pipeline exactly once: answered, or lost with the connection; its
//!   call may have been abandoned before.
//!
//! Not for sockets, TLS, reconnecting, nor for what requests and answers mean.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod blocks;
mod carve;
mod error;
mod frames;
mod opening;
mod pipeline;
mod versions;

pub use blocks::BlockPool;
pub use carve::FetchedPart;
pub use error::{ApiKeyName, Foreign, OpeningError, WireError};
pub use frames::{FetchBlocks, FrameReader, Room};
pub use opening::{Action, ClientIdentity, Exchange, Opened, Opening, OpeningStage, Stepped};
pub use pipeline::{Answer, Expiry, Pipeline, Sent};
pub use versions::BrokerVersions;
