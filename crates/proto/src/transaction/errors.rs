//! What the caller did wrong, and why a transaction or the producer fails.

use std::fmt;

use milena_codec::ErrorCode;

use super::State;
use crate::sequencer::Because;

/// A command that the state does not allow. It changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The command does not fit what is going on.
    #[error("cannot {command}: {state}")]
    State {
        /// What was wanted.
        command: Command,
        /// What is going on.
        state: State,
    },
    /// `prepare` without two-phase commit.
    #[error(
        "cannot prepare: two-phase commit is not enabled (transaction.two.phase.commit.enable)"
    )]
    OnePhase,
    /// `prepare` while partitions or offsets are not confirmed.
    #[error("cannot prepare: not all that was sent is confirmed; flush first")]
    Unconfirmed,
    /// The token is of another transaction than the one in doubt.
    #[error("the token is not that of the transaction in doubt")]
    OtherToken,
    /// The token is of a transaction whose abort would prove nothing.
    #[error(
        "the transaction may have been committed and re-opened by a lost request: commit it, or initialise the producer again"
    )]
    OnlyCommit,
    /// The token is of a transaction that was to be aborted.
    #[error("the transaction was to be aborted and cannot be committed")]
    WasAborted,
}

/// A command, as [`Misuse`] names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `init`.
    Init,
    /// `begin`.
    Begin,
    /// `add_partition`.
    AddPartition,
    /// `send_offsets`.
    SendOffsets,
    /// `commit`.
    Commit,
    /// `abort`.
    Abort,
    /// `prepare`.
    Prepare,
    /// `resume`.
    Resume,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "initialise the producer",
            Self::Begin => "begin a transaction",
            Self::AddPartition => "send records",
            Self::SendOffsets => "send offsets",
            Self::Commit => "commit",
            Self::Abort => "abort",
            Self::Prepare => "prepare",
            Self::Resume => "resume a transaction",
        })
    }
}

/// Which request a [`Cause`] came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Produce.
    Produce,
    /// InitProducerId.
    InitProducerId,
    /// AddPartitionsToTxn.
    AddPartitions,
    /// AddOffsetsToTxn.
    AddOffsets,
    /// TxnOffsetCommit.
    TxnOffsetCommit,
    /// EndTxn.
    EndTxn,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Produce => "Produce",
            Self::InitProducerId => "InitProducerId",
            Self::AddPartitions => "AddPartitionsToTxn",
            Self::AddOffsets => "AddOffsetsToTxn",
            Self::TxnOffsetCommit => "TxnOffsetCommit",
            Self::EndTxn => "EndTxn",
        })
    }
}

/// Why a transaction must be aborted, or the producer is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// Another producer with this transactional id has taken over, or the transaction timed out.
    #[error(
        "fenced: another producer has this transactional id, or the transaction timed out ({operation}: {error})"
    )]
    Fenced {
        /// Which request was refused.
        operation: Operation,
        /// How.
        error: ErrorCode,
    },
    /// The principal may not do it.
    #[error("not authorised ({operation}: {error})")]
    Unauthorized {
        /// Which request was refused.
        operation: Operation,
        /// How.
        error: ErrorCode,
    },
    /// The group has moved on: the consumer that read the input is no longer its member, or not in
    /// that generation (KIP-447).
    #[error("the offsets are of a member or generation that the group has left behind ({0})")]
    CommitFailed(ErrorCode),
    /// The coordinator no longer knows the producer id.
    #[error("the producer id has expired ({operation}: {error})")]
    Expired {
        /// Which request was refused.
        operation: Operation,
        /// How.
        error: ErrorCode,
    },
    /// A broker refused a request for good.
    #[error("{operation} was refused: {error}")]
    Refused {
        /// Which request.
        operation: Operation,
        /// How.
        error: ErrorCode,
    },
    /// A batch of the transaction failed.
    #[error("a batch of the transaction failed ({0:?})")]
    Batch(Because),
    /// Offsets were sent again in a transaction in which a request with earlier ones was lost: it
    /// could be executed after them.
    #[error("offsets were sent twice, and the first request was lost")]
    OffsetsInDoubt,
    /// The deadline of a commit passed before the commit was sent, or while each attempt had been
    /// refused: it is not committed.
    #[error("the commit's deadline passed before it was sent")]
    Deadline,
    /// The epoch had to be raised, and the brokers cannot do that (below Kafka 2.5).
    #[error("the producer's epoch must be raised, which needs InitProducerId 3 (Kafka 2.5)")]
    BumpUnsupported,
    /// The broker lacks the version of a request that is needed.
    #[error("the broker does not support the version of {0} that is needed")]
    Unsupported(Operation),
}
