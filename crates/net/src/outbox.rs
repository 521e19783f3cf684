//! How work reaches a socket.

use std::fmt::Debug;
use std::time::Instant;

use bytes::Bytes;
use milena_codec::{ApiKey, Str};
use milena_proto::wire::{BrokerVersions, FetchBlocks, FetchedPart};

use crate::{ConnectError, LostCause};

/// A source of requests for one socket, and the receiver of their answers.
///
/// The socket's task calls it, so no method may block or take long. Whoever has new work calls
/// [`LaneHandle::wake`](crate::LaneHandle::wake).
///
/// - I1: each [`Outgoing`] that `take` returned is followed by exactly one `finish` with its token,
///   and, if that is [`Outcome::TimedOut`], by nothing more.
pub trait Outbox: Send + Sync + Debug + 'static {
    /// Whether a connection is wanted. Asked while there is none.
    fn has_work(&self) -> bool;

    /// The next request, or `None` if there is none now.
    fn take(&self, turn: &Turn<'_>) -> Option<Outgoing>;

    /// What became of a request.
    fn finish(&self, token: u64, outcome: Outcome);

    /// How to receive the answer to a Fetch request that `take` has just returned: `Some` if its
    /// records are to come in blocks of their own, through [`part`](Self::part).
    fn blocks(&self, token: u64) -> Option<FetchBlocks> {
        let _ = token;
        None
    }

    /// A partition's records have come. The rest of the answer, which has an empty field in their
    /// place, is on its way; should it not come, what has come is no less valid.
    fn part(&self, token: u64, part: FetchedPart) {
        let _ = (token, part);
    }

    /// The last byte of a request has been handed to the transport: from now on the broker may
    /// execute it.
    fn written(&self, token: u64, now: Instant) {
        let _ = (token, now);
    }

    /// An attempt to connect has failed, nothing of this outbox being in flight. The task tries
    /// again, after the backoff, as long as `has_work` says so.
    fn unreachable(&self, cause: &ConnectError);
}

/// What an [`Outbox`] may know when it makes a request.
#[derive(Debug)]
pub struct Turn<'a> {
    /// What the broker can do.
    pub versions: &'a BrokerVersions,
    /// The time.
    pub now: Instant,
    /// About how many bytes the socket would like; a hint that a request may exceed.
    pub room: usize,
    /// The id to put into the request's header.
    pub correlation_id: i32,
    /// The client id to put into the request's header.
    pub client_id: Option<&'a Str>,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The frame, its size included, to be written one after the other.
    pub segments: Vec<Bytes>,
    /// The API in the header.
    pub key: ApiKey,
    /// The version in the header.
    pub version: i16,
    /// When waiting for the answer ends. If nothing older is unanswered then, the connection is
    /// closed.
    pub deadline: Instant,
    /// As far as throttles may move the deadline (KIP-219): a broker reads what came behind the
    /// request that it throttles only afterwards. The same as `deadline` for one that stays.
    pub latest: Instant,
    /// False for Produce with acks=0, which no broker answers.
    pub expects_answer: bool,
    /// The outbox's name for it.
    pub token: u64,
}

/// What became of a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The answer, without its header.
    Answer(Bytes),
    /// Handed to the transport; there is no answer to wait for.
    Written,
    /// The deadline passed.
    TimedOut {
        /// Whether the broker may have received the request.
        sent: bool,
    },
    /// The connection ended.
    Lost {
        /// Whether the broker may have received the request.
        sent: bool,
        /// Why it ended.
        cause: LostCause,
    },
}
