//! The handle of a transactional producer.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use milena_proto::transaction::{Complete, State, Token};
use milena_rpc::Cluster;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::state::{Coordination, Finish, Inner, Start};
use super::{BeginError, Transaction, TransactionConfig, TransactionDriver};
use crate::shared::{Phase, Shared, lock};
use crate::{CloseReport, ConfigError, Producer, ProducerConfig};

/// More than a task takes to notice what has changed.
const HEARS: Duration = Duration::from_secs(1);

/// A producer whose records belong to transactions, one at a time. Clones share everything.
///
/// Brokers before Kafka 3.6 do not check that a batch belongs to an open transaction: there, a request
/// that was lost and is executed only after its transaction was aborted can become visible with the
/// next one, whatever a client does (KIP-890 ended that).
///
/// Nothing is sent before the first [`begin`](Self::begin) or [`init`](Self::init), which fences
/// other producers with the same transactional id and aborts what they left open.
#[derive(Clone)]
pub struct TransactionalProducer {
    handle: Arc<Handle>,
}

struct Handle {
    producer: Producer,
    state: Arc<Coordination>,
    driver: Mutex<Option<JoinHandle<()>>>,
}

impl TransactionalProducer {
    /// A producer on this cluster. Has to be called within a tokio runtime with its timer enabled.
    ///
    /// # Errors
    /// [`ConfigError`] if settings contradict each other.
    pub fn new(
        cluster: Cluster,
        config: ProducerConfig,
        transactions: &TransactionConfig,
    ) -> Result<Self, ConfigError> {
        transactions.validate(&config)?;
        let state = Arc::new(Coordination::new(transactions, &config));
        let producer = Producer::transactional(cluster, config, Arc::clone(&state));
        let shared = Arc::clone(producer.shared());
        let driver = TransactionDriver::new(shared, Arc::clone(&state), transactions);
        let driver = Mutex::new(Some(tokio::spawn(driver.run())));
        Ok(Self {
            handle: Arc::new(Handle {
                producer,
                state,
                driver,
            }),
        })
    }

    /// Gets the producer id now, so that the first [`begin`](Self::begin) need not: fences other
    /// producers with the transactional id, and aborts what they left open. Takes `max_block` at
    /// most.
    ///
    /// # Errors
    /// [`BeginError`].
    ///
    /// # Cancel safety
    /// Dropping the future stops waiting; it goes on in the background.
    pub async fn init(&self) -> Result<(), BeginError> {
        self.when_ready(|_| Some(())).await
    }

    /// Begins a transaction. Waits for the end of one that was dropped, for `max_block` at most.
    ///
    /// # Errors
    /// [`BeginError`].
    ///
    /// # Cancel safety
    /// Dropping the future begins nothing.
    pub async fn begin(&self) -> Result<Transaction, BeginError> {
        let state = &self.handle.state;
        let shared = self.shared();
        let number = self.when_ready(|inner| {
            let (number, identity) = state.begin(inner)?;
            shared.set_identity(identity);
            Some(number)
        });
        let number = number.await?;
        Ok(Transaction {
            producer: self.handle.producer.clone(),
            state: Arc::clone(state),
            number,
        })
    }

    /// The token of the last transaction, if how it ended is unknown.
    pub fn in_doubt(&self) -> Option<Token> {
        lock(&self.handle.state.inner).in_doubt()
    }

    /// Completes a transaction by its token: the one in doubt, or, as the first thing this producer
    /// does, one of an earlier process. Returns how it ended: a commit may have happened before an
    /// abort could. Takes `max_block` at most.
    ///
    /// # Errors
    /// [`BeginError`] if that is not possible now; [`BeginError::InDoubt`] if it is still unknown.
    ///
    /// # Cancel safety
    /// Dropping the future stops waiting; it goes on in the background.
    pub async fn resume(&self, token: Token, complete: Complete) -> Result<Complete, BeginError> {
        let shared = self.shared();
        let deadline = shared.now() + shared.config.max_block;
        let state = &self.handle.state;
        {
            let mut inner = lock(&state.inner);
            match inner.core.state() {
                State::Uninitialised => inner.starts = Some(Start::Resume(token, complete)),
                _ => inner.core.resume(token, complete)?,
            }
            inner.finished = None;
            inner.broken = None;
            state.notify.notify_one();
        }
        let ended = state.wait_until(deadline, |inner| {
            let number = inner.number;
            inner.finished(number).map(Ok).or_else(|| {
                inner
                    .broken
                    .take()
                    .map(|error| Err(BeginError::Call(error)))
            })
        });
        match ended.await {
            Some(Ok(Finish::Committed)) => Ok(Complete::Commit),
            Some(Ok(Finish::Aborted | Finish::NotCommitted(_))) => Ok(Complete::Abort),
            Some(Ok(Finish::Unknown(token))) => Err(BeginError::InDoubt(token)),
            Some(Ok(Finish::Fatal(cause))) => Err(BeginError::Fatal(cause)),
            Some(Err(error)) => Err(error),
            None => {
                lock(&state.inner).core.handle_deadline();
                state.notify.notify_one();
                // Its task says so too, at once unless the producer was closed.
                let heard = state.wait_until(shared.now() + HEARS, |inner| inner.in_doubt());
                Err(BeginError::InDoubt(heard.await.unwrap_or(token)))
            }
        }
    }

    /// Leaves the transaction in doubt to its fate, and starts anew with another epoch. Takes
    /// `max_block` at most.
    ///
    /// # Errors
    /// [`BeginError`].
    ///
    /// # Cancel safety
    /// Dropping the future stops waiting; it goes on in the background.
    pub async fn abandon(&self) -> Result<(), BeginError> {
        {
            let mut inner = lock(&self.handle.state.inner);
            if inner.in_doubt().is_some() {
                inner.core.init()?;
                self.handle.state.notify.notify_one();
            }
        }
        self.init().await
    }

    /// Begins no more transactions, ends the open one (by then its handle should be gone: then it is
    /// aborted) until `deadline`, and reports what became of the records since the last report.
    ///
    /// # Panics
    /// If a task of the producer has panicked, which only a hook or a bug does.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the producer closed; an open transaction is aborted in the
    /// background.
    pub async fn close(&self, deadline: Instant) -> CloseReport {
        let shared = self.shared();
        shared.enter(Phase::Draining);
        self.handle.state.notify.notify_one();
        let driver = lock(&self.handle.driver).take();
        if let Some(mut driver) = driver {
            match timeout_at(deadline.into(), &mut driver).await {
                Ok(Err(error)) if error.is_panic() => {
                    std::panic::resume_unwind(error.into_panic());
                }
                Ok(_) => {}
                Err(_) => driver.abort(),
            }
        }
        self.handle.producer.close(deadline).await
    }

    /// The settings.
    pub fn config(&self) -> &ProducerConfig {
        self.handle.producer.config()
    }

    fn shared(&self) -> &Arc<Shared> {
        self.handle.producer.shared()
    }

    /// Waits until a transaction can be begun, and lets `take` do so under the same lock.
    async fn when_ready<T>(&self, take: impl Fn(&mut Inner) -> Option<T>) -> Result<T, BeginError> {
        let shared = self.shared();
        let state = &self.handle.state;
        let deadline = shared.now() + shared.config.max_block;
        lock(&state.inner).broken = None;
        let ready = state.wait_until(deadline, |inner| {
            if shared.phase() != Phase::Open {
                return Some(Err(BeginError::Closed));
            }
            if let Some(cause) = &inner.fatal {
                return Some(Err(BeginError::Fatal(Arc::clone(cause))));
            }
            if let Some(token) = inner.in_doubt() {
                return Some(Err(BeginError::InDoubt(token)));
            }
            if let Some(error) = inner.broken.take() {
                return Some(Err(BeginError::Call(error)));
            }
            match inner.core.state() {
                State::Uninitialised => {
                    inner.starts.get_or_insert(Start::Init);
                    state.notify.notify_one();
                    None
                }
                State::Ready => take(inner).map(Ok),
                State::Open | State::Prepared if inner.ending.is_none() => {
                    Some(Err(BeginError::Open))
                }
                _ => None,
            }
        });
        let timed_out = || BeginError::TimedOut {
            after: shared.config.max_block,
            last: lock(&state.inner).last_error.clone(),
        };
        ready.await.unwrap_or_else(|| Err(timed_out()))
    }
}

impl fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalProducer")
            .field("transactional_id", &self.handle.state.transactional_id)
            .field("state", &lock(&self.handle.state.inner).core.state())
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.producer.shared().enter(Phase::Draining);
        self.state.notify.notify_one();
    }
}
