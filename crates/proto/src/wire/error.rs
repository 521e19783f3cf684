//! What can be wrong with what a peer sends.

use std::fmt;

use milena_auth::AuthError;
use milena_codec::{ApiKey, DecodeError, EncodeError, ErrorCode};

use super::OpeningStage;

/// The bytes of a connection are not what they should be. The connection has to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The first bytes do not begin a frame of Kafka's protocol.
    #[error("the peer does not speak Kafka's protocol here but {0}")]
    NotKafka(Foreign),
    /// A frame announces a size that no answer has.
    #[error("a frame announces {size} bytes; 4 to {max} are allowed (max_response_bytes)")]
    Size {
        /// What it announces.
        size: i32,
        /// The limit.
        max: usize,
    },
    /// A frame arrived although no request is unanswered.
    #[error("a frame arrived that answers no request")]
    Unexpected,
    /// An answer is not to the oldest unanswered request.
    #[error("the answer to {api} has correlation id {found} instead of {expected}")]
    Correlation {
        /// The API of the oldest unanswered request.
        api: ApiKeyName,
        /// Its correlation id.
        expected: i32,
        /// The one that came.
        found: i32,
    },
    /// An answer cannot be read.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// An [`ApiKey`] that shows as its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKeyName(pub ApiKey);

impl fmt::Display for ApiKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

/// What speaks on a port instead of a Kafka broker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// A web server; the beginning of its first line, escaped.
    Http(String),
    /// A TLS record: the listener wants TLS.
    Tls,
    /// Something else; its first bytes, escaped.
    Unknown(String),
}

impl Foreign {
    /// How many bytes [`Foreign::recognize`] looks at.
    pub(super) const LOOK: usize = 32;

    /// What a stream beginning like this is, given that it is not Kafka's protocol.
    pub(super) fn recognize(first: &[u8]) -> Self {
        let shown = first.get(..Self::LOOK).unwrap_or(first);
        let shown = shown.escape_ascii().to_string();
        match first {
            [b'H', b'T', b'T', b'P', ..] => {
                let line = shown.split("\\r").next().unwrap_or_default();
                Self::Http(line.to_owned())
            }
            [0x14..=0x17, 0x03, 0..=4, ..] => Self::Tls,
            _ => Self::Unknown(shown),
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(first) => write!(
                f,
                "HTTP (\"{first}\"); use the port of a Kafka listener, not that of a web interface"
            ),
            Self::Tls => f.write_str(
                "TLS; turn TLS on (security.protocol=SSL or SASL_SSL), or use the port of a \
                 plaintext listener",
            ),
            Self::Unknown(first) => write!(
                f,
                "something else (\"{first}\"); use the port of a Kafka listener"
            ),
        }
    }
}

/// Why a connection could not be opened, once its bytes flow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpeningError {
    /// The peer broke the protocol.
    #[error("{stage}: {error}")]
    Wire {
        /// Where in the opening.
        stage: OpeningStage,
        /// How.
        error: WireError,
    },
    /// A message of the opening cannot be written, as the client id or a credential is too long.
    #[error("{stage}: {message} cannot be written: {error}; shorten client.id or the credentials")]
    Encode {
        /// Where in the opening.
        stage: OpeningStage,
        /// The message.
        message: &'static str,
        /// Why.
        error: EncodeError,
    },
    /// The broker and this library have no version of ApiVersions in common.
    #[error(
        "the broker answers ApiVersions with {error:?} and offers no version of it that this \
         library has; Kafka 2.1 and later are supported"
    )]
    NoCommonVersion {
        /// The broker's answer.
        error: ErrorCode,
    },
    /// The broker answers ApiVersions with an error other than UNSUPPORTED_VERSION.
    #[error("the broker refuses ApiVersions: {} ({})", .error.name(), .error.meaning())]
    Refused {
        /// The broker's answer.
        error: ErrorCode,
    },
    /// The broker does not offer SASL in a form this library has.
    #[error(
        "credentials are set, but the broker offers no SaslHandshake 1 and SaslAuthenticate; use a \
         SASL listener of Kafka 2.1 or later, or remove the credentials"
    )]
    NoSasl,
    /// The broker does not offer the mechanism.
    #[error(
        "the broker does not offer SASL mechanism {mechanism} but {}; set sasl.mechanism to one \
         of them", .offered.join(", ")
    )]
    MechanismNotOffered {
        /// The one that the credentials need.
        mechanism: &'static str,
        /// Those that the broker offers.
        offered: Vec<String>,
    },
    /// The listener refuses SASL altogether.
    #[error(
        "{mechanism}: the listener refuses SaslHandshake: {} ({}); use the port of a SASL \
         listener, or remove the credentials", .error.name(), .error.meaning()
    )]
    HandshakeRefused {
        /// The mechanism.
        mechanism: &'static str,
        /// The broker's answer.
        error: ErrorCode,
    },
    /// The broker refuses the credentials.
    #[error(
        "{mechanism}: the broker refuses the credentials: {reason}; check sasl.username and \
         sasl.password"
    )]
    Denied {
        /// The mechanism.
        mechanism: &'static str,
        /// The broker's code.
        error: ErrorCode,
        /// The broker's words.
        reason: String,
    },
    /// The exchange failed on our side.
    #[error("{error}")]
    Auth {
        /// The mechanism.
        mechanism: &'static str,
        /// What failed.
        error: AuthError,
    },
    /// The broker answers a finished exchange, or the mechanism needs more rounds than any has.
    #[error("{mechanism}: the exchange did not end within {rounds} rounds")]
    TooManyRounds {
        /// The mechanism.
        mechanism: &'static str,
        /// How many there were.
        rounds: u8,
    },
}
