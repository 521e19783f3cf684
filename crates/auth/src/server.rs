//! The broker's side of the mechanisms, for the embedded broker and for tests.
//!
//! As strict as Apache Kafka's own, and no stricter: it tells an unknown user at once instead of
//! inventing a salt for it. Not meant to face an untrusted network.

mod plain;
mod scram;

use std::fmt;

pub use plain::PlainServer;
pub use scram::ScramServer;

use crate::{ScramCredential, ScramHash, Secret};

/// Where a broker looks its users up. Each method's default knows nobody.
pub trait CredentialStore: Send + Sync {
    /// The password of a user who may log in by PLAIN.
    fn plain_password(&self, user: &str) -> Option<Secret> {
        let _ = user;
        None
    }

    /// The SCRAM credential of a user.
    fn scram_credential(&self, hash: ScramHash, user: &str) -> Option<ScramCredential> {
        let _ = (hash, user);
        None
    }

    /// The owner and the SCRAM credential of a delegation token (KIP-48).
    fn token_credential(
        &self,
        hash: ScramHash,
        token_id: &str,
    ) -> Option<(String, ScramCredential)> {
        let _ = (hash, token_id);
        None
    }
}

/// The server's side of one exchange on one connection.
pub trait ServerMechanism: Send + fmt::Debug {
    /// The SASL name, as in `SaslHandshake`.
    fn name(&self) -> &'static str;

    /// Takes the client's next message.
    ///
    /// # Errors
    ///
    /// Any error ends the exchange: answer `SASL_AUTHENTICATION_FAILED` and close.
    fn step(
        &mut self,
        response: &[u8],
        store: &dyn CredentialStore,
    ) -> Result<ServerStep, ServerAuthError>;
}

/// What the broker does after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerStep {
    /// Answer this and await the client's next message.
    Continue(Vec<u8>),
    /// Answer this; the client is authentic.
    Done {
        /// The last answer, possibly empty.
        answer: Vec<u8>,
        /// Who it is; for a delegation token its owner.
        user: String,
        /// Whether a delegation token was used.
        token_auth: bool,
    },
}

/// Why a broker refuses an exchange. `Display` is fit to be sent to the client.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerAuthError {
    /// The client's message does not follow the mechanism.
    #[error("{mechanism}: the client's message is malformed: {problem}")]
    Malformed {
        /// SASL name of the mechanism.
        mechanism: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Unknown user or token, or wrong password; which of them is not told.
    #[error("{mechanism}: authentication failed: invalid credentials")]
    InvalidCredentials {
        /// SASL name of the mechanism.
        mechanism: &'static str,
    },
    /// The client wants to act as someone else, which Kafka does not support.
    #[error("{mechanism}: the authorization id differs from the user name; leave it out")]
    ForeignAuthorizationId {
        /// SASL name of the mechanism.
        mechanism: &'static str,
    },
    /// A step after the exchange has ended.
    #[error("{mechanism}: this step is out of turn")]
    OutOfTurn {
        /// SASL name of the mechanism.
        mechanism: &'static str,
    },
}

#[cfg(test)]
mod tests;
