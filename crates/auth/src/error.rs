//! Why a client's exchange failed.

use crate::{MAX_ITERATIONS, MIN_ITERATIONS};

/// Why authentication failed on the client's side.
///
/// A broker that refuses the credentials mostly says so outside SASL, with
/// `SASL_AUTHENTICATION_FAILED`; only SCRAM has words of its own for it ([`Self::Refused`]).
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The caller's user name or password cannot be used with the mechanism.
    #[error("{mechanism}: {problem}; correct sasl.username or sasl.password")]
    InvalidCredentials {
        /// SASL name of the mechanism.
        mechanism: &'static str,
        /// What is wrong with them.
        problem: &'static str,
    },
    /// The peer sent something that is not a message of the mechanism.
    #[error(
        "{mechanism}: the broker's {message} message is malformed: {problem}; check that \
         bootstrap.servers names a SASL listener of a Kafka broker"
    )]
    Malformed {
        /// SASL name of the mechanism.
        mechanism: &'static str,
        /// Which message, in the mechanism's own terms.
        message: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The peer's nonce does not begin with ours or adds nothing to it: a replay or a foreign
    /// exchange.
    #[error(
        "{mechanism}: the broker's nonce does not extend the client's, so this may be a replayed \
         exchange; check what stands between client and broker"
    )]
    NonceNotExtended {
        /// SASL name of the mechanism.
        mechanism: &'static str,
    },
    /// The iteration count is too low to protect the password or too high to be honest.
    #[error(
        "{mechanism}: {iterations} iterations are outside {MIN_ITERATIONS}..={MAX_ITERATIONS}; \
         store the user's SCRAM credential again with a count in that range"
    )]
    IterationsOutOfRange {
        /// SASL name of the mechanism.
        mechanism: &'static str,
        /// What was asked for; `u32::MAX` stands for anything larger.
        iterations: u32,
    },
    /// The peer could not prove that it knows the user's credential.
    #[error(
        "{mechanism}: the server signature is wrong, so the peer does not hold this user's \
         credential and may be an impostor; check bootstrap.servers and use TLS"
    )]
    ServerNotAuthentic {
        /// SASL name of the mechanism.
        mechanism: &'static str,
    },
    /// The broker refused the exchange within the mechanism.
    #[error(
        "{mechanism}: the broker refused: {reason}; check sasl.username, sasl.password and that \
         the user has a credential for this mechanism"
    )]
    Refused {
        /// SASL name of the mechanism.
        mechanism: &'static str,
        /// The broker's word for it: printable ASCII, cut at 200 characters.
        reason: String,
    },
    /// The broker demands an extension that this client does not have.
    #[error(
        "{mechanism}: the broker demands an extension this client does not know; use another \
         sasl.mechanism"
    )]
    MandatoryExtension {
        /// SASL name of the mechanism.
        mechanism: &'static str,
    },
    /// The driver stepped an exchange that has ended or was not started; a bug of the caller.
    #[error("{mechanism}: this step is out of turn; start a new exchange for each connection")]
    OutOfTurn {
        /// SASL name of the mechanism.
        mechanism: &'static str,
    },
}
