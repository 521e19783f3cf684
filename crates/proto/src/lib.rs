//! The sans-IO cores of the client: state machines that take events, time and randomness as arguments
//! and yield work. They hold ids and counts, know no runtime, and do no I/O.
//!
//! | core | whose |
//! |---|---|
//! | [`wire`] | one connection: opening, matching answers, deadlines, framing |
//! | [`sequencer`] | the producer: one partition's order, stamps and fates, several batches in flight |
//! | [`transaction`] | the producer: one transactional id's transactions, their calls and outcomes |
//! | [`fetch_session`] | the consumer: what a Fetch request has to carry (KIP-227) |
//! | [`position`] | the consumer: where it stands in one partition |
//! | [`backoff`] | everyone: how long to wait before trying again (KIP-580) |

#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod backoff;
pub mod fetch_session;
pub mod position;
pub mod sequencer;
pub mod transaction;
pub mod wire;
