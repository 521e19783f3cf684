//! The future of [`Producer::send`](crate::Producer::send).
//!
//! Written by hand, so that it is small, and a record that need not wait is encoded from where its
//! caller put it.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use crate::interceptor::Changes;
use crate::producer::Blocked;
use crate::{Producer, Receipt, Record, SendError};

/// Sends a record when polled; see [`Producer::send`](crate::Producer::send).
#[must_use = "nothing is sent until it is awaited"]
pub struct SendFuture<'a> {
    producer: &'a Producer,
    /// Gone once it waits.
    record: Option<Record<'a>>,
    waiting: Option<BoxFuture<'a, Result<Receipt, SendError>>>,
}

impl<'a> SendFuture<'a> {
    #[inline]
    pub(crate) fn new(producer: &'a Producer, record: Record<'a>) -> Self {
        Self {
            producer,
            record: Some(record),
            waiting: None,
        }
    }

    #[cold]
    fn wait(
        &mut self,
        blocked: Blocked,
        context: &mut Context<'_>,
    ) -> Poll<<Self as Future>::Output> {
        let Some(record) = self.record.take() else {
            return self.go_on(context);
        };
        let producer = self.producer;
        let waiting = self.waiting.insert(Box::pin(async move {
            producer.send_waiting(&record, blocked).await
        }));
        waiting.as_mut().poll(context)
    }

    /// Sends the record as interceptors have changed it.
    #[cold]
    fn send_changed(
        &mut self,
        changes: Changes,
        context: &mut Context<'_>,
    ) -> Poll<<Self as Future>::Output> {
        let Some(record) = self.record.take() else {
            return self.go_on(context);
        };
        let producer = self.producer;
        let accepted = producer.accept(&changes.apply(&record), &mut None);
        let blocked = match accepted {
            Ok(receipt) => return Poll::Ready(Ok(receipt)),
            Err(blocked) => blocked,
        };
        let waiting = self.waiting.insert(Box::pin(async move {
            let record = changes.apply(&record);
            producer.send_waiting(&record, blocked).await
        }));
        waiting.as_mut().poll(context)
    }

    #[cold]
    fn go_on(&mut self, context: &mut Context<'_>) -> Poll<<Self as Future>::Output> {
        let waiting = self.waiting.as_mut();
        waiting
            .expect("a future is not polled after it is ready")
            .as_mut()
            .poll(context)
    }
}

impl Future for SendFuture<'_> {
    type Output = Result<Receipt, SendError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(record) = &this.record else {
            return this.go_on(context);
        };
        if this.producer.shared().crowded.load(Ordering::Relaxed)
            && gives_way(this.producer, context)
        {
            return Poll::Pending;
        }
        if let Some(changes) = this.producer.shared().intercept(record) {
            return this.send_changed(changes, context);
        }
        match this.producer.accept(record, &mut None) {
            Ok(receipt) => {
                this.record = None;
                Poll::Ready(Ok(receipt))
            }
            Err(blocked) => this.wait(blocked, context),
        }
    }
}

/// On a current-thread runtime a loop of sends has to let the sockets' tasks run.
#[cold]
fn gives_way(producer: &Producer, context: &mut Context<'_>) -> bool {
    producer.shared().crowded.store(false, Ordering::Relaxed);
    pin!(tokio::task::yield_now()).poll(context).is_pending()
}

impl fmt::Debug for SendFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFuture")
            .field("waits", &self.waiting.is_some())
            .finish_non_exhaustive()
    }
}
