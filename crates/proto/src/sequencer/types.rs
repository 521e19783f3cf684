//! What goes into and comes out of the [`Sequencer`](super::Sequencer).

use milena_codec::ErrorCode;
use milena_records::Stamp;

/// How many replicas must have a batch before the broker answers (`acks`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// The broker does not answer at all (`0`).
    None,
    /// The leader alone (`1`).
    Leader,
    /// All in-sync replicas (`all`, `-1`).
    #[default]
    All,
}

impl Acks {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// Whether a failed batch is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It is not, and never will be: it was not sent, or each attempt was refused before the
    /// append. Producing its records again cannot duplicate them.
    NotWritten,
    /// It may be, or may yet come to be, once and never more often with idempotence.
    MaybeWritten,
}

/// A producer id with an epoch, as InitProducerId gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The producer id, at least 0.
    pub producer_id: i64,
    /// The epoch to start with.
    pub epoch: i16,
}

/// What a Produce answer says of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The partition's error code.
    pub error: ErrorCode,
    /// The first record's offset, −1 if the broker does not say.
    pub base_offset: i64,
    /// Where the partition's log starts, −1 if the broker does not say.
    pub log_start_offset: i64,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// None of it reached a socket.
    NotSent,
    /// It was sent, wholly or in part, and no answer will come. It may still be executed.
    Lost,
    /// It was written to the socket and asks for no answer (acks 0).
    Unacknowledged,
    /// The broker answered.
    Answered(Answer),
}

/// A batch, named by whoever holds its bytes. Ids are unique within a sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// One sending of one batch. Ids ascend and are unique within a sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u64);

/// How a partition's batches are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// What the requests ask for.
    pub acks: Acks,
    /// Whether batches are stamped.
    pub idempotent: bool,
    /// Whether batches belong to transactions; implies `idempotent`. The epoch is the transaction
    /// coordinator's then: the partition never raises it by itself, and takes over every identity
    /// it is offered once nothing of the former one is unresolved.
    pub transactional: bool,
    /// How many batches may be sent and unresolved at once, from 1 to 5. Without idempotence it
    /// counts as 1, as nothing else keeps the order of batches of which one has to be sent again.
    pub max_in_flight: usize,
}

/// What to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// This batch. Its outcome must be told to
    /// [`handle_attempt`](super::Sequencer::handle_attempt) exactly once.
    Send(Sending),
    /// Nothing waits to be sent.
    Empty,
    /// Nothing until an attempt that is under way has ended.
    Wait,
    /// An identity is needed to stamp the next batch.
    NeedsIdentity {
        /// The identity that this partition cannot go on with: its producer id has no higher epoch,
        /// or, in transactions, its sequence is broken.
        exhausted: Option<Identity>,
    },
}

/// A batch to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The batch.
    pub id: BatchId,
    /// This sending of it.
    pub attempt: AttemptId,
    /// What its header has to carry.
    pub stamp: Stamp,
    /// How many records it has.
    pub records: u32,
    /// Whether it was sent before.
    pub retry: bool,
}

/// What became of a batch, or of the partition's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Event {
    /// The batch is in the log, at this offset if the broker said it.
    Acknowledged {
        /// The batch.
        id: BatchId,
        /// The first record's offset.
        offset: Option<i64>,
    },
    /// The batch has to be sent again: `poll_send` will yield it, after a backoff if the caller
    /// keeps one.
    Retry {
        /// The batch.
        id: BatchId,
    },
    /// The broker takes no batch so large, and certainly has not written it. It holds several
    /// records: divide it and call [`handle_split`](super::Sequencer::handle_split), or give it up.
    /// Until then nothing behind it is sent.
    TooLarge {
        /// The batch.
        id: BatchId,
    },
    /// The batch has failed for good.
    Failed {
        /// The batch.
        id: BatchId,
        /// Whether it is in the log.
        fate: Fate,
        /// Why it failed.
        because: Because,
    },
    /// The partition raised its epoch.
    Bumped(Bump),
}

/// Why a batch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The broker refused it for good.
    Refused(ErrorCode),
    /// It was given up: its time was over, or the producer closed.
    Expired,
    /// The broker's state of the producer did not fit, and an earlier attempt may have been
    /// written, so that a new stamp could write it twice.
    State(ErrorCode),
    /// The topic was deleted and created again, and it may be in the old one.
    TopicReplaced,
}

/// The partition raised its epoch, or left its identity: its producer id has no higher epoch, or the
/// epoch is not the partition's to raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bump {
    /// The identity it had.
    pub from: Identity,
    /// The identity it has now, `None` if it needs another one: a new producer id, or in a
    /// transaction a new epoch.
    pub to: Option<Identity>,
    /// Why.
    pub reason: BumpReason,
}

/// Why a partition raised its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BumpReason {
    /// A batch failed and may have been written.
    InDoubt,
    /// The broker's state does not fit ours, and no attempt was lost: it forgot or lost some.
    BrokerState(ErrorCode),
    /// As before, and the log starts after the last acknowledged record: retention removed the
    /// producer's state with its records, which is not a loss.
    Retention(ErrorCode),
    /// The topic was deleted and created again.
    TopicReplaced,
}
