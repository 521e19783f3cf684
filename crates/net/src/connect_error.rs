//! Why a connection could not be opened.

use std::fmt;
use std::io;
use std::time::Duration;

use milena_proto::wire::{Foreign, OpeningError, OpeningStage, WireError};

use crate::tcp::ResolveError;
use crate::tls;

/// Where in opening a connection something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Waiting out the pause after a failed attempt.
    Backoff,
    /// Resolving the name and opening a TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Asking for the broker's versions.
    ApiVersions,
    /// Agreeing on a SASL mechanism.
    SaslHandshake,
    /// Logging in.
    SaslAuthenticate,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backoff => "backoff",
            Self::Connect => "connect",
            Self::Tls => "TLS handshake",
            Self::ApiVersions => "ApiVersions",
            Self::SaslHandshake => "SaslHandshake",
            Self::SaslAuthenticate => "SaslAuthenticate",
        })
    }
}

impl From<OpeningStage> for Stage {
    fn from(stage: OpeningStage) -> Self {
        match stage {
            OpeningStage::SaslHandshake => Self::SaslHandshake,
            OpeningStage::SaslAuthenticate => Self::SaslAuthenticate,
            _ => Self::ApiVersions,
        }
    }
}

/// Why a connection could not be opened. The address is in the error around it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot resolve {host:?}: {reason}; check the host name and DNS")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// Nothing listens there.
    #[error("connection refused ({reason}); check that a broker runs and listens there")]
    Refused {
        /// What the operating system said, for each IP address that was tried.
        reason: String,
    },
    /// Any other failure of the transport.
    #[error("{stage}: {reason}")]
    Io {
        /// Where in the opening.
        stage: Stage,
        /// What kind of failure.
        kind: io::ErrorKind,
        /// What the operating system or the TLS library said.
        reason: String,
    },
    /// The peer did not answer in time.
    #[error("{stage}: no answer after {after:?}; {SILENCE_HINT}")]
    TimedOut {
        /// Where in the opening.
        stage: Stage,
        /// How long the attempt had lasted.
        after: Duration,
    },
    /// The peer closed the connection.
    #[error("{stage}: the peer closed the connection; {}", closed_hint(*.stage))]
    Closed {
        /// Where in the opening.
        stage: Stage,
    },
    /// TLS failed.
    #[error("TLS: {reason}")]
    Tls {
        /// What failed and what to do.
        reason: String,
    },
    /// The broker refused the login, or it failed on our side.
    #[error("SASL {mechanism}: {reason}")]
    Authentication {
        /// The mechanism.
        mechanism: String,
        /// What failed and what to do.
        reason: String,
        /// The broker's error code, if it sent one.
        code: Option<i16>,
    },
    /// Something other than a Kafka broker, or another protocol of one, is on the port.
    #[error("the peer does not speak Kafka's protocol here but {what}")]
    NotKafka {
        /// What it speaks.
        what: Foreign,
    },
    /// The peer broke the protocol, or there is no common version of it.
    #[error("{stage}: {reason}")]
    Protocol {
        /// Where in the opening.
        stage: Stage,
        /// How.
        reason: String,
    },
}

impl ConnectError {
    /// Whether trying again later may succeed without anybody changing anything.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Refused { .. }
            | Self::Io { .. }
            | Self::TimedOut { .. }
            | Self::Closed { .. } => true,
            Self::Tls { .. }
            | Self::Authentication { .. }
            | Self::NotKafka { .. }
            | Self::Protocol { .. } => false,
        }
    }

    pub(crate) fn from_io(stage: Stage, error: &io::Error) -> Self {
        if let Some(failed) = error
            .get_ref()
            .and_then(|e| e.downcast_ref::<ResolveError>())
        {
            return Self::Resolve {
                host: failed.host.clone(),
                reason: failed.reason.clone(),
            };
        }
        if let Some(reason) = tls::explain(error) {
            return Self::Tls { reason };
        }
        let reason = error.to_string();
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { reason },
            io::ErrorKind::TimedOut if stage == Stage::Connect => Self::Io {
                stage,
                kind: io::ErrorKind::TimedOut,
                reason,
            },
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
                if stage != Stage::Connect =>
            {
                Self::Closed { stage }
            }
            kind => Self::Io {
                stage,
                kind,
                reason,
            },
        }
    }
}

impl From<OpeningError> for ConnectError {
    fn from(error: OpeningError) -> Self {
        let reason = error.to_string();
        let authentication = |mechanism: &str, code: Option<i16>| {
            let prefix = format!("{mechanism}: ");
            Self::Authentication {
                mechanism: mechanism.to_owned(),
                reason: reason.strip_prefix(&prefix).unwrap_or(&reason).to_owned(),
                code,
            }
        };
        match &error {
            OpeningError::Wire {
                error: WireError::NotKafka(what),
                ..
            } => Self::NotKafka { what: what.clone() },
            OpeningError::Wire { stage, error } => Self::Protocol {
                stage: (*stage).into(),
                reason: format!("{error}; check that a Kafka broker listens there"),
            },
            OpeningError::MechanismNotOffered { mechanism, .. }
            | OpeningError::TooManyRounds { mechanism, .. } => authentication(mechanism, None),
            OpeningError::HandshakeRefused { mechanism, error }
            | OpeningError::Denied {
                mechanism, error, ..
            } => authentication(mechanism, Some(error.code())),
            OpeningError::Auth { mechanism, .. } => authentication(mechanism, None),
            OpeningError::NoSasl => Self::Protocol {
                stage: Stage::SaslHandshake,
                reason,
            },
            _ => Self::Protocol {
                stage: Stage::ApiVersions,
                reason,
            },
        }
    }
}

/// What may be the matter when nothing comes.
pub(crate) const SILENCE_HINT: &str = "check firewalls, that the listener's protocol (TLS, SASL) \
    is the one configured, and that the broker is not overloaded";

fn closed_hint(stage: Stage) -> &'static str {
    match stage {
        Stage::Tls => "the listener is probably not TLS: turn TLS off or use a TLS port",
        Stage::ApiVersions => {
            "the listener may expect TLS, a client certificate or another protocol, or the broker \
             is shutting down"
        }
        Stage::SaslHandshake | Stage::SaslAuthenticate => {
            "check the credentials and that the listener is a SASL one"
        }
        Stage::Backoff | Stage::Connect => "the broker may be shutting down",
    }
}
