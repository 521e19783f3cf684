//! What an error code means, before the state is looked at.
//!
//! A code that is not listed is taken to leave open whether the request was executed.

use milena_codec::ErrorCode;

use super::{Because, Bump, Cause, Fate, Operation};

/// What a call's answer, or a batch's end, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    Again(Again),
    /// The transaction can only be aborted, and the epoch may have to be raised afterwards.
    Abort(Cause, Option<Bump>),
    Fatal(Cause),
}

/// When to make the same call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// The coordinator is still writing the markers of a transaction.
    Concurrent,
    /// After a backoff.
    Later,
    /// After another look-up.
    Elsewhere,
}

impl Verdict {
    const fn rank(&self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Again(Again::Concurrent) => 1,
            Self::Again(Again::Later) => 2,
            Self::Again(Again::Elsewhere) => 3,
            Self::Abort(..) => 4,
            Self::Fatal(_) => 5,
        }
    }
}

/// The verdict on an answer's error code. EndTxn has exceptions of its own.
pub(super) fn answer(operation: Operation, error: ErrorCode) -> Verdict {
    match error {
        ErrorCode::None => Verdict::Done,
        ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
            Verdict::Again(Again::Elsewhere)
        }
        ErrorCode::RequestTimedOut if operation == Operation::TxnOffsetCommit => {
            Verdict::Again(Again::Elsewhere)
        }
        ErrorCode::ConcurrentTransactions => Verdict::Again(Again::Concurrent),
        ErrorCode::OperationNotAttempted => Verdict::Again(Again::Later),
        _ if error.is_retriable() => Verdict::Again(Again::Later),
        ErrorCode::ProducerFenced
        | ErrorCode::InvalidProducerEpoch
        | ErrorCode::InvalidTxnState => Verdict::Fatal(Cause::Fenced { operation, error }),
        ErrorCode::TransactionalIdAuthorizationFailed | ErrorCode::ClusterAuthorizationFailed => {
            Verdict::Fatal(Cause::Unauthorized { operation, error })
        }
        _ => unretriable(operation, error),
    }
}

/// The worst of an answer's partitions; nothing if it names none.
pub(super) fn worst(
    operation: Operation,
    errors: impl IntoIterator<Item = ErrorCode>,
) -> Option<Verdict> {
    let verdicts = errors.into_iter().map(|error| answer(operation, error));
    verdicts.max_by_key(Verdict::rank)
}

/// The verdict on a batch that failed. In doubt, it could turn up in the next transaction; so could
/// its successors if the broker's state did not fit.
pub(super) fn batch(because: Because, fate: Fate) -> Verdict {
    let operation = Operation::Produce;
    let doubt = fate == Fate::MaybeWritten || matches!(because, Because::State(_));
    let bump = doubt.then_some(Bump::InDoubt);
    let (Because::Refused(error) | Because::State(error)) = because else {
        return Verdict::Abort(Cause::Batch(because), bump);
    };
    match error {
        ErrorCode::ProducerFenced => Verdict::Fatal(Cause::Fenced { operation, error }),
        ErrorCode::TransactionalIdAuthorizationFailed | ErrorCode::ClusterAuthorizationFailed => {
            Verdict::Fatal(Cause::Unauthorized { operation, error })
        }
        ErrorCode::UnsupportedVersion => Verdict::Fatal(Cause::Unsupported(operation)),
        ErrorCode::InvalidProducerIdMapping | ErrorCode::UnknownProducerId => {
            expired(operation, error)
        }
        _ => Verdict::Abort(Cause::Batch(because), bump),
    }
}

/// Whether a request that was answered like this may have been executed all the same. It will not
/// be later.
pub(super) const fn may_have_run(error: ErrorCode) -> bool {
    !matches!(
        error,
        ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::ConcurrentTransactions
            | ErrorCode::ProducerFenced
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::InvalidProducerIdMapping
            | ErrorCode::UnknownProducerId
            | ErrorCode::InvalidTxnState
            | ErrorCode::TransactionAbortable
            | ErrorCode::TransactionalIdAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::GroupAuthorizationFailed
            | ErrorCode::OperationNotAttempted
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::InvalidTopicException
            | ErrorCode::InvalidRequest
            | ErrorCode::UnsupportedVersion
    )
}

fn unretriable(operation: Operation, error: ErrorCode) -> Verdict {
    let refused = Cause::Refused { operation, error };
    if matches!(operation, Operation::InitProducerId) {
        return Verdict::Fatal(refused);
    }
    match error {
        ErrorCode::InvalidProducerIdMapping | ErrorCode::UnknownProducerId => {
            expired(operation, error)
        }
        ErrorCode::TopicAuthorizationFailed | ErrorCode::GroupAuthorizationFailed => {
            Verdict::Abort(Cause::Unauthorized { operation, error }, None)
        }
        ErrorCode::FencedInstanceId
        | ErrorCode::IllegalGeneration
        | ErrorCode::UnknownMemberId
        | ErrorCode::StaleMemberEpoch
        | ErrorCode::FencedMemberEpoch
        | ErrorCode::GroupIdNotFound
            if operation == Operation::TxnOffsetCommit =>
        {
            Verdict::Abort(Cause::CommitFailed(error), None)
        }
        _ if operation == Operation::EndTxn && error != ErrorCode::TransactionAbortable => {
            Verdict::Fatal(refused)
        }
        _ => Verdict::Abort(refused, None),
    }
}

/// The coordinator forgot the producer id, or only a partition did.
fn expired(operation: Operation, error: ErrorCode) -> Verdict {
    let bump = if error == ErrorCode::InvalidProducerIdMapping {
        Bump::Expired
    } else {
        Bump::InDoubt
    };
    Verdict::Abort(Cause::Expired { operation, error }, Some(bump))
}
