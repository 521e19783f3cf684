//! What goes into and comes out of [`Transactions`](super::Transactions).

use std::fmt;
use std::time::Duration;

use milena_codec::Str;

use super::{Cause, Token};
pub use crate::sequencer::Identity;

/// How transactions of one transactional id are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// After how long the coordinator aborts a transaction of its own accord
    /// (`transaction.timeout.ms`); ignored by brokers when `two_phase_commit` is on.
    pub transaction_timeout: Duration,
    /// Two-phase commit (KIP-939): transactions do not time out and can be prepared. No released
    /// Kafka offers it without a broker flag.
    pub two_phase_commit: bool,
    /// InitProducerId leaves a prepared transaction as it is instead of aborting it (KIP-939). No
    /// released Kafka accepts it. Only with `two_phase_commit`.
    pub keep_prepared: bool,
    /// The first wait before a call is made again (`retry.backoff.ms`).
    pub retry_backoff: Duration,
    /// The longest (`retry.backoff.max.ms`).
    pub retry_backoff_max: Duration,
    /// The wait after CONCURRENT_TRANSACTIONS: the coordinator is still writing markers.
    pub concurrent_backoff: Duration,
}

impl Default for Config {
    /// The Java client's: a minute, 100 ms to 1 s, 20 ms.
    fn default() -> Self {
        Self {
            transaction_timeout: Duration::from_secs(60),
            two_phase_commit: false,
            keep_prepared: false,
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            concurrent_backoff: Duration::from_millis(20),
        }
    }
}

/// Which rules of transactions apply (KIP-890).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `transaction.version` below 2: partitions and groups are added to the transaction by calls,
    /// and the epoch stays from one transaction to the next.
    #[default]
    V1,
    /// 2 or above: Produce (12) and TxnOffsetCommit (5) add them, and each EndTxn (5) raises the
    /// epoch.
    V2,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Str,
    /// The partition's index.
    pub partition: i32,
}

/// Offsets handed to [`send_offsets`](super::Transactions::send_offsets); whoever has the ids has
/// the group's metadata and the offsets too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetsId(pub u64);

/// How to end a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Complete {
    /// All of it becomes visible.
    Commit,
    /// None of it ever does.
    Abort,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is, or is about to be, visible to readers of committed data.
    Committed,
    /// None of it is or will be.
    Aborted,
    /// Nobody said before the deadline, or another producer took over in between. It is whole or
    /// nothing; [`resume`](super::Transactions::resume) can tell which, as long as the coordinator
    /// still knows it. If the token was made by an abort, it is not committed.
    Unknown(Token),
}

/// Which coordinator a call goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coordinator {
    /// The transactional id's.
    Transaction,
    /// The consumer group's that these offsets are for.
    Group(OffsetsId),
}

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Event {
    /// [`begin`](super::Transactions::begin) may be called. If the identity is not the one before,
    /// sequence numbers start at 0 on every partition; else they continue.
    Ready {
        /// What to stamp batches with.
        identity: Identity,
        /// The level that the next transaction will follow.
        level: Level,
    },
    /// InitProducerId left this prepared transaction as it was (`keep_prepared`): commit or abort it
    /// before anything else.
    PreparedFound(Identity),
    /// Batches of these partitions may be sent. Only at level V1.
    PartitionsAdded(Vec<TopicPartition>),
    /// These offsets are part of the transaction.
    OffsetsSent(OffsetsId),
    /// The transaction has ended. Without a `next` identity, the epoch is being raised and `Ready`
    /// or `Fatal` follows, or, after `Unknown`, the transaction has to be resolved first.
    Ended {
        /// How.
        outcome: Outcome,
        /// What to stamp the next transaction's batches with; rules as for `Ready`.
        next: Option<Identity>,
    },
    /// The transaction cannot be committed any more, only aborted. Offsets and partitions that were
    /// not confirmed never will be. It also answers a commit that was under way.
    MustAbort(Cause),
    /// This producer is finished. What was not committed never will be, unless an `Ended` with
    /// `Unknown` came just before.
    Fatal(Cause),
    /// The epoch is being raised by InitProducerId before the next transaction.
    Bumping(Bump),
    /// A call found the coordinator elsewhere, or lost it: look it up again before the next call.
    Moved(Coordinator),
}

/// Why the epoch is raised by InitProducerId.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bump {
    /// A lost request could re-open the transaction at the coordinator. Left out where brokers
    /// cannot raise the epoch (below 2.5).
    LostAdd,
    /// Transactions change from V1 to V2. Left out where brokers cannot raise the epoch.
    Level,
    /// Batches, offsets or an EndTxn were lost, and could turn up in the next transaction.
    InDoubt,
    /// The coordinator no longer knows the producer id.
    Expired,
}

impl Bump {
    /// Whether transactions go on without it where brokers cannot raise the epoch.
    pub(super) const fn is_optional(self) -> bool {
        matches!(self, Self::LostAdd | Self::Level)
    }
}

/// What a [`Transactions`](super::Transactions) is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has no identity yet.
    Uninitialised,
    /// InitProducerId is under way, or the epoch is being raised.
    Initialising,
    /// A transaction may begin.
    Ready,
    /// A transaction is open.
    Open,
    /// A transaction is open and can only be aborted.
    MustAbort,
    /// A transaction is prepared and waits for the decision (KIP-939).
    Prepared,
    /// A commit is under way.
    Committing,
    /// An abort is under way.
    Aborting,
    /// How the last transaction ended is unknown.
    InDoubt,
    /// Nothing goes on any more.
    Fatal,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uninitialised => "the producer is not initialised",
            Self::Initialising => "the producer is being initialised",
            Self::Ready => "no transaction is open",
            Self::Open => "a transaction is open",
            Self::MustAbort => "the transaction has failed and must be aborted",
            Self::Prepared => "a prepared transaction waits to be completed",
            Self::Committing => "a commit is under way",
            Self::Aborting => "an abort is under way",
            Self::InDoubt => "the outcome of the last transaction is unknown",
            Self::Fatal => "the producer has failed for good",
        })
    }
}
