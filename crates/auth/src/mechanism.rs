//! What every SASL mechanism is to a connection.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{AuthError, Secret};

/// What to do after a step.
#[derive(Debug)]
pub enum Step {
    /// Send this to the broker and pass its answer to the next step. It may contain a password.
    Send(Secret),
    /// The exchange is complete and the broker is authentic as far as the mechanism can tell.
    Done,
}

/// The client's side of one exchange on one connection.
///
/// Pure: time, randomness and the network stay outside.
pub trait Mechanism: Send + fmt::Debug {
    /// The SASL name, as in `SaslHandshake`.
    fn name(&self) -> &'static str;

    /// Takes the broker's last message, `None` at the start.
    ///
    /// # Errors
    ///
    /// Any error ends the exchange; the connection has to be closed.
    fn step(&mut self, challenge: Option<&[u8]>) -> Result<Step, AuthError>;

    /// Whether [`step`](Self::step) with this challenge burns CPU for milliseconds and had better
    /// run beside the I/O task. Cheap to ask; `false` unless the mechanism says otherwise.
    fn is_heavy(&self, challenge: Option<&[u8]>) -> bool {
        let _ = challenge;
        false
    }
}

/// Who we are: makes a fresh [`Mechanism`] for each connection and each re-authentication
/// (KIP-368).
pub trait Credentials: Send + Sync + fmt::Debug {
    /// The SASL name of the mechanism that [`start`](Self::start) makes.
    fn mechanism_name(&self) -> &'static str;

    /// Begins an exchange. The nonce must be new for every call.
    fn start(&self, nonce: Nonce) -> Box<dyn Mechanism>;
}

/// Randomness for one exchange, drawn by the caller.
#[derive(Debug)]
pub struct Nonce(String);

impl Nonce {
    /// Turns 24 bytes from a cryptographic random source into a nonce.
    #[must_use]
    pub fn from_random(random: [u8; 24]) -> Self {
        Self(STANDARD.encode(random))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn fixed(text: &str) -> Self {
        Self(text.to_owned())
    }
}
