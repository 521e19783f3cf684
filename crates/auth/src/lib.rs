//! SASL mechanisms as state machines, and secrets.
//!
//! A connection asks its [`Credentials`] for a fresh [`Mechanism`] and passes what the broker says
//! to [`Mechanism::step`], sending what comes out, until [`Step::Done`]. PLAIN and SCRAM-SHA-256
//! and -512 are built in, delegation tokens (KIP-48) included; both traits are public, so any
//! other mechanism can be plugged in the same way. [`server`] holds the broker's side.
//!
//! ```
//! use milena_auth::{Credentials, Nonce, PlainCredentials, Step};
//!
//! let credentials = PlainCredentials::new("alice", "wonderland")?;
//! let mut exchange = credentials.start(Nonce::from_random([7; 24]));
//! let Step::Send(message) = exchange.step(None)? else { unreachable!() };
//! assert_eq!(message.expose(), b"\0alice\0wonderland");
//! assert!(matches!(exchange.step(Some(b""))?, Step::Done));
//! # Ok::<(), milena_auth::AuthError>(())
//! ```
//!
//! - I1: no `Debug` and no `Display` of this crate shows a secret.
//! - I2: nothing a peer sends can panic, or cost more than [`MAX_ITERATIONS`] rounds of hashing and
//!   memory in proportion to what it sent.
//! - I3: an exchange that failed or finished stays so; further steps are an error.
//!
//! Not for framing (`SaslHandshake`, `SaslAuthenticate`), for deciding when to authenticate again,
//! nor for authorisation.

#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod error;
mod mechanism;
mod plain;
mod scram;
mod secret;
pub mod server;

pub use error::AuthError;
pub use mechanism::{Credentials, Mechanism, Nonce, Step};
pub use plain::PlainCredentials;
pub use scram::{
    HEAVY_ITERATIONS, MAX_ITERATIONS, MIN_ITERATIONS, ScramCredential, ScramCredentials, ScramHash,
};
pub use secret::Secret;
