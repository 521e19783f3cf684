//! A producer for programs without an async runtime.
//!
//! One thread of its own runs everything. `send` on the caller's thread is as quick as it is in an
//! async program as long as it need not wait; only what waits blocks the caller.
//!
//! - I1. What would block a thread of an async runtime is refused with an error instead, and nothing
//!   has happened then.
//! - I2. Dropping anything returns at once: what was accepted is delivered in the background, for
//!   `delivery_timeout` at most, as long as the process lives.
//! - I3. A receipt can be waited for after its producer is gone.
//!
//! Not for async programs, nor for [`spawn_blocking`](tokio::task::spawn_blocking), whose threads
//! cannot be told from those that must not block: use [`crate::Producer`] there.

mod park;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use milena_codec::Str;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::shared::Shared;
use crate::{
    Ack, CloseReport, DeliveryError, DeliveryReport, ProducerConfig, Record, TopicHandle,
    TrySendError,
};

/// Sends records from threads that may block. Clones share everything.
///
/// When the last clone is dropped, what was accepted is still delivered in the background as long
/// as the process lives. A program that ends should [`close`](Self::close) first.
#[derive(Clone)]
pub struct Producer {
    engine: Arc<Engine>,
}

struct Engine {
    producer: crate::Producer,
    runtime: Handle,
    /// Its end ends the thread.
    _end: oneshot::Sender<()>,
}

/// It was called where blocking would hold up an async runtime. Nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a blocking call inside an async runtime would hold up its other tasks; use the async producer \
     there"
)]
pub struct InsideRuntime;

/// Why there is no producer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError<E> {
    /// It was called inside an async runtime.
    #[error(transparent)]
    InsideRuntime(#[from] InsideRuntime),
    /// The operating system gave no thread, or nothing to wait for sockets with.
    #[error("no thread for the producer: {0}")]
    Thread(io::Error),
    /// The thread has panicked.
    #[error("the producer's thread has panicked while the producer was made")]
    Panicked,
    /// Making the producer failed.
    #[error(transparent)]
    Make(E),
}

/// Why a record was not accepted.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It would have had to wait inside an async runtime.
    #[error(transparent)]
    InsideRuntime(#[from] InsideRuntime),
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] crate::SendError),
}

/// Why there was no successful flush.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// It was called inside an async runtime.
    #[error(transparent)]
    InsideRuntime(#[from] InsideRuntime),
    /// Records failed.
    #[error(transparent)]
    Failed(#[from] crate::FlushError),
}

/// Why there is no acknowledgement.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// It would have had to wait inside an async runtime.
    #[error(transparent)]
    InsideRuntime(#[from] InsideRuntime),
    /// There is no outcome yet.
    #[error("no outcome within {0:?}; the record is still being delivered")]
    TimedOut(Duration),
    /// The record was not delivered.
    #[error(transparent)]
    Failed(#[from] DeliveryError),
}

impl Producer {
    /// Starts a thread with a runtime, and makes the producer there: `make` connects and returns
    /// the producer with whatever has to live as long, such as the client that it came from.
    ///
    /// # Errors
    /// [`StartError`], with the error of `make`.
    pub fn start<K, E, F>(make: impl FnOnce() -> F + Send + 'static) -> Result<Self, StartError<E>>
    where
        K: 'static,
        E: Send + 'static,
        F: Future<Output = Result<(crate::Producer, K), E>>,
    {
        outside()?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Thread)?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        let (tell, told) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("milena-producer".into())
            .spawn(move || live(runtime, make, &tell, ended))
            .map_err(StartError::Thread)?;
        let made = told
            .recv()
            .map_err(|mpsc::RecvError| StartError::Panicked)?;
        Ok(Self {
            engine: Arc::new(Engine {
                producer: made.map_err(StartError::Make)?,
                runtime: handle,
                _end: end,
            }),
        })
    }

    /// Accepts a record for delivery, as [`crate::Producer::send`] does: blocks for the topic's first
    /// metadata and for room in `buffer_memory`, for `max_block` in all.
    ///
    /// # Errors
    /// [`SendError`]: the record was not accepted and will not be sent. Inside an async runtime that
    /// is so only where it would have had to wait.
    pub fn send(&self, record: Record<'_>) -> Result<Receipt, SendError> {
        let engine = &self.engine;
        if Handle::try_current().is_ok() {
            return match self.try_send(record) {
                Ok(receipt) => Ok(receipt),
                Err(TrySendError::Refused(refused)) => Err(refused.into()),
                Err(_) => Err(InsideRuntime.into()), // I1
            };
        }
        let sending = engine.producer.send(record);
        Ok(self.receipt(park::block_on(&engine.runtime, sending)?))
    }

    /// As [`Self::send`], but never waits; for all threads.
    ///
    /// # Errors
    /// [`TrySendError`]: the record was not accepted and will not be sent.
    pub fn try_send(&self, record: Record<'_>) -> Result<Receipt, TrySendError> {
        Ok(self.receipt(self.engine.producer.try_send(record)?))
    }

    /// As [`Self::send`], but `callback` is called with the outcome, on the producer's thread: it
    /// must not block, and blocking calls in it are refused. See [`crate::Producer::send_with`].
    ///
    /// # Errors
    /// [`SendError`]: the record was not accepted, and `callback` is not called.
    pub fn send_with(
        &self,
        record: Record<'_>,
        callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static,
    ) -> Result<(), SendError> {
        let receipt = self.send(record)?;
        crate::callback::attach(self.engine.producer.shared(), receipt.inner, callback);
        Ok(())
    }

    /// The topic, looked up, as a handle that saves every send the look-up.
    ///
    /// # Errors
    /// [`SendError`], after `max_block` at the latest.
    pub fn topic(&self, name: &str) -> Result<TopicHandle, SendError> {
        outside()?;
        let engine = &self.engine;
        Ok(engine.runtime.block_on(engine.producer.topic(name))?)
    }

    /// Sends what was accepted before without lingering, and blocks until all of it was
    /// acknowledged or has failed, which takes `delivery_timeout` at most.
    ///
    /// # Errors
    /// [`FlushError`], with the report, if a record failed since the last report.
    pub fn flush(&self) -> Result<DeliveryReport, FlushError> {
        outside()?;
        let engine = &self.engine;
        Ok(engine.runtime.block_on(engine.producer.flush())?)
    }

    /// Accepts no more records, for all clones, delivers what it can within `timeout`, fails the
    /// rest, and reports what became of the records since the last report.
    ///
    /// # Errors
    /// [`InsideRuntime`].
    pub fn close(&self, timeout: Duration) -> Result<CloseReport, InsideRuntime> {
        outside()?;
        let engine = &self.engine;
        let deadline = engine.producer.shared().now() + timeout;
        Ok(engine.runtime.block_on(engine.producer.close(deadline)))
    }

    /// The settings.
    pub fn config(&self) -> &ProducerConfig {
        self.engine.producer.config()
    }

    /// The async producer, for what never waits: [`metrics`](crate::Producer::metrics),
    /// [`verdict`](crate::Producer::verdict), [`abort_buffered`](crate::Producer::abort_buffered).
    /// Clones of it are no clones of this: they end with the thread.
    pub fn inner(&self) -> &crate::Producer {
        &self.engine.producer
    }

    fn receipt(&self, inner: crate::Receipt) -> Receipt {
        Receipt {
            inner,
            shared: Arc::clone(self.engine.producer.shared()),
        }
    }
}

/// The life of the thread.
fn live<K, E, F>(
    runtime: Runtime,
    make: impl FnOnce() -> F,
    tell: &mpsc::SyncSender<Result<crate::Producer, E>>,
    ended: oneshot::Receiver<()>,
) where
    F: Future<Output = Result<(crate::Producer, K), E>>,
{
    runtime.block_on(async {
        let (producer, kept) = match make().await {
            Ok(made) => made,
            // Who asked for it waits for this.
            Err(error) => return drop(tell.send(Err(error))),
        };
        if tell.send(Ok(producer.clone())).is_err() {
            return;
        }
        // It ends by being dropped.
        let _ = ended.await;
        let shared = producer.shared();
        let deadline = shared.now() + shared.config.delivery_timeout;
        producer.close(deadline).await; // I2, I3
        drop(kept);
    });
    runtime.shutdown_background();
}

/// Whether this thread may block. // I1
fn outside() -> Result<(), InsideRuntime> {
    match Handle::try_current() {
        Ok(_) => Err(InsideRuntime),
        Err(_) => Ok(()),
    }
}

/// Resolves when the record was acknowledged or has failed. Dropping it cancels nothing.
#[must_use = "a dropped receipt leaves failures to on_failed_batch, flush and close"]
pub struct Receipt {
    inner: crate::Receipt,
    shared: Arc<Shared>,
}

impl Receipt {
    /// The record's topic.
    pub fn topic(&self) -> &Str {
        self.inner.topic()
    }

    /// The partition that was chosen.
    pub fn partition(&self) -> i32 {
        self.inner.partition()
    }

    /// The outcome, if it is known already.
    pub fn outcome(&self) -> Option<Result<Ack, DeliveryError>> {
        self.inner.outcome()
    }

    /// Blocks until there is an outcome, by `delivery_timeout` or the producer's end at the latest.
    ///
    /// # Errors
    /// [`WaitError`], never [`WaitError::TimedOut`].
    pub fn wait(mut self) -> Result<Ack, WaitError> {
        self.wait_until(None, Duration::MAX)
    }

    /// Blocks for this time at most. It can be waited for again afterwards.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Ack, WaitError> {
        self.wait_until(Some(timeout), timeout)
    }

    fn wait_until(&mut self, limit: Option<Duration>, timeout: Duration) -> Result<Ack, WaitError> {
        if let Some(outcome) = self.outcome() {
            return Ok(outcome?);
        }
        outside()?;
        let shared = &self.shared;
        let deadline = limit.and_then(|limit| shared.now().checked_add(limit));
        match park::wait(&mut self.inner, deadline, || shared.now()) {
            Some(outcome) => Ok(outcome?),
            None => Err(WaitError::TimedOut(timeout)),
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("blocking::Producer")
            .field(&self.engine.producer)
            .finish()
    }
}
