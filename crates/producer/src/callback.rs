//! Outcomes by a function called with them, instead of a receipt.
//!
//! The function waits in the waker with which the record's receipt is polled, so that whoever
//! resolves the batch calls it: there is no task for it.
//!
//! - I1. A callback of an accepted record is called exactly once.
//! - I2. It is called without any lock of the producer's, and its panic is caught.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::shared::{Shared, lock};
use crate::{Ack, DeliveryError, Producer, Receipt, Record, SendError, TrySendError};

type Outcome = Result<Ack, DeliveryError>;

struct Callback<F> {
    shared: Arc<Shared>,
    /// Gone once it is called.
    waiting: Mutex<Option<(Receipt, F)>>,
}

/// Calls `callback` when the receipt resolves, at once if it has.
pub(crate) fn attach<F>(shared: &Arc<Shared>, receipt: Receipt, callback: F)
where
    F: FnOnce(Outcome) + Send + 'static,
{
    let callback = Arc::new(Callback {
        shared: Arc::clone(shared),
        waiting: Mutex::new(Some((receipt, callback))),
    });
    callback.look();
}

impl<F: FnOnce(Outcome) + Send + 'static> Callback<F> {
    /// Calls it if there is an outcome; else the receipt keeps the waker that calls this again.
    fn look(self: &Arc<Self>) {
        let waker = Waker::from(Arc::clone(self));
        let ready = {
            // Held while the receipt is polled, so that a wake-up in between finds it here. // I1
            let mut waiting = lock(&self.waiting);
            let Some((receipt, _)) = &mut *waiting else {
                return;
            };
            let polled = Pin::new(receipt).poll(&mut Context::from_waker(&waker));
            match polled {
                Poll::Ready(outcome) => waiting.take().map(|waiting| (waiting, outcome)),
                Poll::Pending => None,
            }
        };
        if let Some(((receipt, callback), outcome)) = ready {
            drop(receipt);
            let call = || callback(outcome); // I2
            self.shared.isolated("delivery callback", "called", call);
        }
    }
}

impl<F: FnOnce(Outcome) + Send + 'static> Wake for Callback<F> {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

impl Producer {
    /// As [`send`](Self::send), but calls `callback` with the outcome instead of returning a
    /// receipt.
    ///
    /// It is called exactly once, by `delivery_timeout` or when the producer ends at the latest: in
    /// the task of the connection or of the producer, or in this one if the outcome is there
    /// already. It must not block. A panic is caught, counted and told as
    /// [`ProducerEvent::Panicked`](crate::ProducerEvent::Panicked). Each record costs two
    /// allocations more than with a receipt.
    ///
    /// # Errors
    /// [`SendError`]: the record was not accepted, and `callback` is not called.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready accepts nothing, and `callback` is not called.
    pub async fn send_with(
        &self,
        record: Record<'_>,
        callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static,
    ) -> Result<(), SendError> {
        let receipt = self.send(record).await?;
        attach(self.shared(), receipt, callback);
        Ok(())
    }

    /// As [`send_with`](Self::send_with), but never waits.
    ///
    /// # Errors
    /// [`TrySendError`]: the record was not accepted, and `callback` is not called.
    pub fn try_send_with(
        &self,
        record: Record<'_>,
        callback: impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static,
    ) -> Result<(), TrySendError> {
        let receipt = self.try_send(record)?;
        attach(self.shared(), receipt, callback);
        Ok(())
    }
}
