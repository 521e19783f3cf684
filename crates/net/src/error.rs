//! Why a call failed.

use std::fmt;
use std::io;
use std::time::Duration;

use milena_codec::{ApiKey, DecodeError, EncodeError, VersionRange};
use milena_proto::wire::WireError;

use crate::connect_error::SILENCE_HINT;
use crate::{Address, ConnectError, Stage};

/// Why a call to one broker failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There is no connection, and an attempt to open one failed.
    #[error("cannot connect to {address}: {cause}")]
    Connect {
        /// The broker.
        address: Address,
        /// Why.
        cause: ConnectError,
    },
    /// The deadline passed.
    #[error("{} at {address} timed out {}: {ledger}", .api.name(), sent_text(*.sent))]
    TimedOut {
        /// The broker.
        address: Address,
        /// What was asked.
        api: ApiKey,
        /// Whether the broker may have received the request.
        sent: bool,
        /// Where the time went.
        ledger: Ledger,
    },
    /// The connection ended before the answer came.
    #[error("{} at {address} was lost {}: {cause}", .api.name(), sent_text(*.sent))]
    Lost {
        /// The broker.
        address: Address,
        /// What was asked.
        api: ApiKey,
        /// Whether the broker may have received the request.
        sent: bool,
        /// Why the connection ended.
        cause: LostCause,
    },
    /// The broker and the caller have no version of the request in common.
    #[error(
        "{address} has no usable version of {}: the client can use {ours}, the broker {}; {}",
        .api.name(),
        .theirs.map_or("offers none".to_owned(), |range| range.to_string()),
        upgrade_hint(*.ours, *.theirs)
    )]
    Unsupported {
        /// The broker.
        address: Address,
        /// What was asked.
        api: ApiKey,
        /// The versions that the caller allows.
        ours: VersionRange,
        /// The broker's; `None` if it does not know the API.
        theirs: Option<VersionRange>,
    },
    /// The answer cannot be read.
    #[error("{address} sent an answer that cannot be read: {cause}")]
    Malformed {
        /// The broker.
        address: Address,
        /// What is wrong with it.
        cause: DecodeError,
    },
    /// The request cannot be written.
    #[error("the request cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// The pool has been closed.
    #[error("the client has been closed")]
    Closed,
}

impl CallError {
    /// Whether the broker may have received, and so executed, the request.
    pub fn was_sent(&self) -> bool {
        match self {
            Self::TimedOut { sent, .. } | Self::Lost { sent, .. } => *sent,
            Self::Malformed { .. } => true,
            Self::Connect { .. } | Self::Unsupported { .. } | Self::Encode(_) | Self::Closed => {
                false
            }
        }
    }

    /// Whether the same call may succeed later, here or at another broker. Whether it may be
    /// repeated although it [was sent](Self::was_sent) depends on the request.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { cause, .. } => cause.is_retriable(),
            Self::TimedOut { .. } | Self::Lost { .. } => true,
            Self::Unsupported { .. } | Self::Malformed { .. } | Self::Encode(_) | Self::Closed => {
                false
            }
        }
    }

    /// Whether nothing helps but a change of settings, of the broker or of the request.
    pub fn is_fatal(&self) -> bool {
        !self.is_retriable()
    }

    /// The broker, where one is to blame.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Connect { address, .. }
            | Self::TimedOut { address, .. }
            | Self::Lost { address, .. }
            | Self::Unsupported { address, .. }
            | Self::Malformed { address, .. } => Some(address),
            Self::Encode(_) | Self::Closed => None,
        }
    }
}

/// Where the time of a call went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ledger {
    /// Waiting for the connection to be opened, backoff included.
    pub connection: Duration,
    /// Waiting behind other requests, or for the socket to take the bytes.
    pub queue: Duration,
    /// Since the request was written.
    pub in_flight: Duration,
    /// What the opening was at when the time was up, if the connection was not open.
    pub stage: Option<Stage>,
}

impl Ledger {
    /// Of a request that an [`Outbox`](crate::Outbox) handed to an open connection.
    pub fn of_flight(in_flight: Duration) -> Self {
        Self {
            in_flight,
            ..Self::default()
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |d: Duration| d.as_secs_f64();
        write!(f, "{:.3} s for the connection", seconds(self.connection))?;
        if let Some(stage) = self.stage {
            write!(f, " (now at {stage})")?;
        }
        let (queue, in_flight) = (seconds(self.queue), seconds(self.in_flight));
        write!(f, ", {queue:.3} s in the queue, {in_flight:.3} s in flight")?;
        match self.stage {
            Some(_) => write!(f, "; {SILENCE_HINT}"),
            None => Ok(()),
        }
    }
}

/// Why an open connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LostCause {
    /// The broker closed it.
    #[error("the broker closed the connection")]
    PeerClosed,
    /// The broker closed it instead of answering the first request, and there was no login.
    #[error(
        "the broker closed the connection instead of answering its first request; if the listener \
         asks for a login, set SASL credentials (security.protocol=SASL_SSL or SASL_PLAINTEXT)"
    )]
    ClosedUnanswered,
    /// The transport failed.
    #[error("{reason}")]
    Io {
        /// What kind of failure.
        kind: io::ErrorKind,
        /// What the operating system or the TLS library said.
        reason: String,
    },
    /// The broker broke the protocol.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The oldest request was not answered by its deadline, so the connection was given up.
    #[error("an earlier {} request on the connection got no answer in time", .api.name())]
    Unanswered {
        /// What the oldest request was.
        api: ApiKey,
    },
    /// The connection was reopened to a broker that no longer has the request's version.
    #[error("the broker at this address changed and no longer offers the request's version")]
    VersionGone,
    /// The connection was dropped, because the broker left the cluster, or because the brokers are to
    /// be found anew.
    #[error("the connection was dropped: the broker left, or the brokers are looked for anew")]
    Forgotten,
    /// The connection's task failed; a bug.
    #[error("the connection's task failed, which is a bug; please report it")]
    TaskFailed,
}

impl From<&io::Error> for LostCause {
    fn from(error: &io::Error) -> Self {
        let kind = error.kind();
        match kind {
            io::ErrorKind::UnexpectedEof => Self::PeerClosed,
            _ => Self::Io {
                kind,
                reason: error.to_string(),
            },
        }
    }
}

fn sent_text(sent: bool) -> &'static str {
    if sent {
        "after it was sent"
    } else {
        "before it was sent"
    }
}

fn upgrade_hint(ours: VersionRange, theirs: Option<VersionRange>) -> &'static str {
    match theirs {
        Some(theirs) if theirs.min > ours.max => "use a newer client",
        _ => "use a newer broker",
    }
}
