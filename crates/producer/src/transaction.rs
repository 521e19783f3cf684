//! Transactions: records on any partitions, and offsets of what was consumed for them, visible to
//! readers of committed data all together or not at all (KIP-98, KIP-447, KIP-890).
//!
//! A [`Transaction`] is a value. Committing or aborting consumes it; dropping it aborts. Which calls
//! that takes, and what their answers mean, is decided by [`milena_proto::transaction`]; a task makes
//! the calls.
//!
//! - I1. `Committed` is said only when it is certain; what is uncertain has a token that resolves it.
//! - I2. A transaction that is not committed for certain is aborted, whoever drops what.

mod calls;
mod config;
mod driver;
mod error;
mod offsets;
mod producer;
mod state;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use milena_codec::ErrorCode;
pub use milena_proto::transaction::{Cause as TransactionCause, Complete, Level, Token};
use milena_proto::transaction::{OffsetsId, Operation};

pub(crate) use calls::{at_least, context};
pub use config::TransactionConfig;
pub(crate) use driver::TransactionDriver;
pub use error::{AbortError, BeginError, CommitError, OffsetsError};
pub use offsets::{ConsumedOffset, GroupMetadata};
pub use producer::TransactionalProducer;
pub(crate) use state::{Admission, Coordination};

use crate::failed::DeliveryCause;
use crate::shared::lock;
use crate::{Producer, Receipt, Record, SendError, TopicHandle, TrySendError};
use offsets::Offsets;
use state::Finish;

/// An open transaction. Share it by reference or in an `Arc` to send from many tasks.
///
/// Dropping it aborts it in the background; the next [`TransactionalProducer::begin`] waits for that.
#[must_use = "a transaction that is dropped is aborted"]
pub struct Transaction {
    producer: Producer,
    state: Arc<Coordination>,
    number: u64,
}

impl Transaction {
    /// Accepts a record for this transaction, as [`Producer::send`](crate::Producer::send) does. Its
    /// receipt tells that it is in the log, not that it is committed.
    ///
    /// # Errors
    /// [`SendError`]: the record was not accepted; [`SendError::Transaction`] if the transaction can
    /// only be aborted.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready accepts nothing.
    pub async fn send(&self, record: Record<'_>) -> Result<Receipt, SendError> {
        self.check()?;
        self.producer.send(record).await
    }

    /// As [`Transaction::send`], but never waits.
    ///
    /// # Errors
    /// [`TrySendError`]: the record was not accepted and will not be sent.
    pub fn try_send(&self, record: Record<'_>) -> Result<Receipt, TrySendError> {
        self.check()?;
        self.producer.try_send(record)
    }

    /// The topic, looked up, as [`Producer::topic`](crate::Producer::topic) gives it.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn topic(&self, name: &str) -> Result<TopicHandle, SendError> {
        self.producer.topic(name).await
    }

    /// Makes offsets of consumed records part of the transaction: they are committed with it or not
    /// at all (KIP-447). Waits until they are confirmed.
    ///
    /// # Errors
    /// [`OffsetsError`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the offsets are part of the transaction all the same, and a commit
    /// waits for them.
    pub async fn send_offsets(
        &self,
        group: GroupMetadata,
        offsets: impl IntoIterator<Item = ConsumedOffset>,
    ) -> Result<(), OffsetsError> {
        let offsets: Vec<_> = offsets.into_iter().collect();
        if offsets.is_empty() {
            return Ok(());
        }
        let id = self.register(Offsets { group, offsets })?;
        let deadline = self.deadline();
        let confirmed = self.state.wait_until(deadline, |inner| {
            if let Some(cause) = inner.fatal.as_ref().or(inner.cause.as_ref()) {
                return Some(Err(OffsetsError::Failed(Arc::clone(cause))));
            }
            (!inner.offsets.contains_key(&id)).then_some(Ok(()))
        });
        confirmed.await.unwrap_or_else(|| {
            Err(OffsetsError::TimedOut {
                after: self.producer.config().max_block,
                last: lock(&self.state.inner).last_error.clone(),
            })
        })
    }

    /// Delivers all records, and commits the transaction. Takes `max_block` at most.
    ///
    /// # Errors
    /// [`CommitError`]. Whatever the error, nothing has to be called to abort.
    ///
    /// # Cancel safety
    /// Once polled, the commit goes on in the background when the future is dropped, and its outcome
    /// is lost.
    pub async fn commit(self) -> Result<(), CommitError> {
        let deadline = self.deadline();
        self.commit_by(deadline).await
    }

    /// As [`Transaction::commit`], but until `deadline`. If records are not delivered then, the
    /// transaction is aborted; if a commit was sent and not answered, its outcome is unknown.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn commit_by(self, deadline: Instant) -> Result<(), CommitError> {
        self.state.request_end(self.number, true, Some(deadline));
        match self.finish().await {
            Finish::Committed => Ok(()),
            Finish::NotCommitted(cause) => Err(CommitError::NotCommitted(cause)),
            Finish::Unknown(token) => Err(CommitError::Unknown(token)),
            Finish::Fatal(cause) => Err(CommitError::Fatal(cause)),
            // Only its coordinator can have aborted it.
            Finish::Aborted => Err(CommitError::NotCommitted(Arc::new(
                TransactionCause::Fenced {
                    operation: Operation::EndTxn,
                    error: ErrorCode::InvalidTxnState,
                },
            ))),
        }
    }

    /// Aborts the transaction: what was not sent never is, what is in flight is waited for. Takes
    /// `max_block` at most.
    ///
    /// # Errors
    /// [`AbortError`]; nothing is committed in any case.
    ///
    /// # Cancel safety
    /// When the future is dropped the abort goes on in the background.
    pub async fn abort(self) -> Result<(), AbortError> {
        self.state.request_end(self.number, false, None);
        let deadline = self.deadline();
        let finished = self
            .state
            .wait_until(deadline, |inner| inner.finished(self.number));
        match finished.await {
            Some(Finish::Fatal(cause)) => Err(AbortError::Fatal(cause)),
            Some(_) => Ok(()),
            None => Err(AbortError::Pending {
                after: self.producer.config().max_block,
                last: lock(&self.state.inner).last_error.clone(),
            }),
        }
    }

    /// Delivers all records and prepares the transaction (KIP-939, unstable): nothing more can be
    /// sent, and it waits for [`PreparedTransaction::commit`] or `abort`, or for
    /// [`TransactionalProducer::resume`] with its token.
    ///
    /// # Errors
    /// [`CommitError::NotCommitted`] if it cannot be prepared; it is aborted then.
    ///
    /// # Cancel safety
    /// When the future is dropped the transaction is aborted.
    pub async fn prepare(self) -> Result<PreparedTransaction, CommitError> {
        let delivered = self.producer.flush().await;
        let prepared = {
            let mut inner = lock(&self.state.inner);
            match inner.fatal.clone().or_else(|| inner.cause.clone()) {
                Some(cause) => Err(CommitError::NotCommitted(cause)),
                None => inner.core.prepare().map_err(CommitError::Misuse),
            }
        };
        if let Err(error) = delivered {
            tracing::debug!(%error, "records of a transaction to be prepared failed");
        }
        let token = prepared?;
        self.state.stop();
        Ok(PreparedTransaction {
            transaction: self,
            token,
        })
    }

    fn check(&self) -> Result<(), SendError> {
        if !self.state.is_stopped() {
            return Ok(());
        }
        match self.state.stop_cause() {
            DeliveryCause::Transaction(cause) => Err(SendError::Transaction(cause)),
            _ => Err(SendError::Closed),
        }
    }

    fn register(&self, offsets: Offsets) -> Result<OffsetsId, OffsetsError> {
        let mut inner = lock(&self.state.inner);
        let id = OffsetsId(inner.next_offsets);
        inner.next_offsets += 1;
        if inner.core.send_offsets(id).is_err() {
            let cause = inner.fatal.clone().or_else(|| inner.cause.clone());
            let cause = cause.unwrap_or_else(|| Arc::new(TransactionCause::Deadline));
            return Err(OffsetsError::Failed(cause));
        }
        inner.offsets.insert(id, Arc::new(offsets));
        self.state.notify.notify_one();
        Ok(id)
    }

    async fn finish(&self) -> Finish {
        let finished = |inner: &mut state::Inner| inner.finished(self.number);
        self.state.wait_for(finished).await
    }

    fn deadline(&self) -> Instant {
        let shared = self.producer.shared();
        shared.now() + shared.config.max_block
    }
}

impl Drop for Transaction {
    // I2
    fn drop(&mut self) {
        self.state.request_end(self.number, false, None);
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("transactional_id", &self.state.transactional_id)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// A transaction between the two phases of its commit (KIP-939). Dropping it aborts it, unless
/// [`PreparedTransaction::leave`] is called.
#[derive(Debug)]
#[must_use = "a prepared transaction that is dropped is aborted"]
pub struct PreparedTransaction {
    transaction: Transaction,
    token: Token,
}

impl PreparedTransaction {
    /// What completes it, also in another process.
    pub fn token(&self) -> Token {
        self.token
    }

    /// Commits it.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    ///
    /// # Cancel safety
    /// As [`Transaction::commit`].
    pub async fn commit(self) -> Result<(), CommitError> {
        self.transaction.commit().await
    }

    /// Aborts it.
    ///
    /// # Errors
    /// As [`Transaction::abort`].
    ///
    /// # Cancel safety
    /// As [`Transaction::abort`].
    pub async fn abort(self) -> Result<(), AbortError> {
        self.transaction.abort().await
    }

    /// Leaves it prepared, for whoever has the token; this producer can begin no other.
    pub fn leave(self) -> Token {
        // Its drop must not abort it.
        self.transaction.state.leave();
        self.token
    }
}
