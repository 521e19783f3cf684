//! Memory before records: waiting for it, and having it in hand.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use milena_accumulator::{Reservation, Reserve};
use milena_records::HEADER_LEN;
use tokio::time::timeout_at;

use crate::metrics::Timed;
use crate::producer::refused_now;
use crate::record::RECORD_OVERHEAD;
use crate::shared::{Phase, Shared};
use crate::{Producer, Receipt, Record, SendError, TrySendError};

/// Memory for one record, taken before the record is made; see [`Producer::reserve`]. Dropping it
/// gives it back.
#[derive(Debug)]
#[must_use = "a permit holds memory until it is used or dropped"]
pub struct Permit {
    producer: Producer,
    reserved: Option<Reservation>,
}

impl Permit {
    /// Sends a record with the memory of this permit. A record that needs more takes it if there
    /// is some.
    ///
    /// # Errors
    /// [`TrySendError`]: the record was not accepted and will not be sent. It is never
    /// [`TrySendError::Full`] for a record that is, after the interceptors, within the reserved size.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "records are given as to `send`"
    )]
    pub fn send(mut self, record: Record<'_>) -> Result<Receipt, TrySendError> {
        let mut reserved = self.reserved.take();
        self.producer
            .accept_intercepted(&record, &mut reserved)
            .map_err(|blocked| refused_now(blocked, &record))
    }
}

impl Producer {
    /// Waits, as [`send`](Self::send) does, for room for one record of up to `bytes` bytes: key,
    /// value and headers, with 10 bytes more for each header. The record is then sent without
    /// waiting.
    ///
    /// # Errors
    /// [`SendError::BufferFull`] after `max_block`, [`SendError::RecordTooLarge`],
    /// [`SendError::Closed`].
    ///
    /// # Cancel safety
    /// Dropping the future reserves nothing.
    pub async fn reserve(&self, bytes: usize) -> Result<Permit, SendError> {
        let shared = self.shared();
        if shared.phase() != Phase::Open {
            return Err(SendError::Closed);
        }
        let bytes = bytes.saturating_add(RECORD_OVERHEAD);
        self.check_size("", bytes + HEADER_LEN)?;
        let deadline = shared.now() + shared.config.max_block;
        Ok(Permit {
            producer: self.clone(),
            reserved: Some(self.room(bytes, deadline).await?),
        })
    }

    /// Waits for memory. What lingers is sent as soon as nothing else can give memory back.
    pub(crate) async fn room(
        &self,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Reservation, SendError> {
        let shared = self.shared();
        let reserve = Nudge(shared.accumulator.budget().reserve(bytes), shared, None);
        let reserved = async {
            let reserved = timeout_at(deadline.into(), reserve).await;
            reserved.map_err(|_| SendError::BufferFull {
                waited: shared.config.max_block,
            })
        };
        shared.while_open(reserved).await
    }
}

/// Wakes the driver once its reservation waits, so that it sees that someone does.
struct Nudge<'a>(Reserve, &'a Shared, Option<Timed<'a>>);

impl Future for Nudge<'_> {
    type Output = Reservation;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reservation> {
        let polled = Pin::new(&mut self.0).poll(context);
        if polled.is_pending() {
            let shared = self.1;
            self.2.get_or_insert_with(|| Timed::wait_for_memory(shared));
            shared.hurry();
        }
        polled
    }
}
