//! Why a step of a transaction did not succeed.

use std::sync::Arc;
use std::time::Duration;

use milena_proto::transaction::{Cause, Misuse, Token};
use milena_rpc::CallError;

/// Why no transaction was begun.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// One is open, or was dropped while it was open and is still being aborted after `max_block`.
    #[error("a transaction of this producer is open; commit or abort it first")]
    Open,
    /// How the last transaction ended is unknown. Resolve it with
    /// [`resume`](super::TransactionalProducer::resume), or leave it to its fate with
    /// [`abandon`](super::TransactionalProducer::abandon).
    #[error("the outcome of the last transaction is unknown ({0}); resume or abandon it first")]
    InDoubt(Token),
    /// This producer is finished, for example fenced by another one with its transactional id.
    #[error("this producer has failed for good: {0}")]
    Fatal(Arc<Cause>),
    /// The coordinator did not get as far in `max_block` (`max.block.ms`).
    #[error("the transaction coordinator did not make it in {:.1} s{}", .after.as_secs_f64(), and_last(.last))]
    TimedOut {
        /// `max_block`.
        after: Duration,
        /// What went wrong last.
        last: Option<Arc<CallError>>,
    },
    /// A call failed in a way that waiting does not cure, such as a refused login.
    #[error(transparent)]
    Call(Arc<CallError>),
    /// The command does not fit what is going on.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// The producer has been closed.
    #[error("the producer has been closed")]
    Closed,
}

/// Why a commit was not confirmed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The transaction is not committed and never will be: it is being aborted in the background.
    /// Its input can be processed again in another transaction.
    #[error("the transaction was not committed and is being aborted: {0}")]
    NotCommitted(Arc<Cause>),
    /// A commit was sent and not answered in time. The transaction is whole or nothing; which, the
    /// token can tell: by [`resume`](super::TransactionalProducer::resume), also in another process.
    #[error("it is unknown whether the transaction was committed; resume {0} to find out")]
    Unknown(Token),
    /// The transaction is not committed and never will be, and this producer is finished, for
    /// example fenced by another one with its transactional id.
    #[error("the transaction was not committed and this producer has failed for good: {0}")]
    Fatal(Arc<Cause>),
    /// It cannot be prepared; it is aborted.
    #[error(transparent)]
    Misuse(Misuse),
}

/// Why an abort was not confirmed. In no case is anything of the transaction committed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AbortError {
    /// It goes on in the background; the next `begin` waits for it.
    #[error("the transaction is still being aborted after {:.1} s{}", .after.as_secs_f64(), and_last(.last))]
    Pending {
        /// `max_block`.
        after: Duration,
        /// What went wrong last.
        last: Option<Arc<CallError>>,
    },
    /// This producer is finished; its coordinator aborts the transaction.
    #[error("this producer has failed for good: {0}")]
    Fatal(Arc<Cause>),
}

/// Why offsets did not become part of a transaction.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OffsetsError {
    /// The transaction has failed and can only be aborted.
    #[error("the transaction has failed: {0}")]
    Failed(Arc<Cause>),
    /// They were not confirmed in `max_block` (`max.block.ms`): commit waits for them.
    #[error("the offsets were not confirmed in {:.1} s{}", .after.as_secs_f64(), and_last(.last))]
    TimedOut {
        /// `max_block`.
        after: Duration,
        /// What went wrong last.
        last: Option<Arc<CallError>>,
    },
}

fn and_last(last: &Option<Arc<CallError>>) -> String {
    last.as_ref()
        .map_or_else(String::new, |last| format!("; last, {last}"))
}
