//! What `send` returns: the promise of an outcome.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use milena_accumulator::Slot;
use milena_codec::Str;

use crate::DeliveryError;
use crate::shared::{Cell, Outcome};

/// A record's acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ack {
    /// The partition; the topic is the [`Receipt`]'s.
    pub partition: i32,
    /// The record's offset; `None` with acks 0, and where the broker knows only that it was
    /// written before.
    pub offset: Option<i64>,
    /// Milliseconds since 1970 UTC: the record's own, or the broker's where the topic says
    /// `LogAppendTime`.
    pub timestamp: i64,
    /// How often its batch was sent, or tried to: 1 unless something went wrong.
    pub attempts: u32,
}

/// Resolves when the record was acknowledged or has failed.
///
/// # Cancel safety
/// Dropping it cancels nothing: the record is delivered all the same, and a failure reaches
/// `on_failed_batch`, `flush` and `close`.
#[must_use = "a dropped receipt leaves failures to on_failed_batch, flush and close"]
pub struct Receipt {
    cell: Arc<Cell>,
    slot: Slot,
    index: u32,
    timestamp: i64,
}

impl Receipt {
    #[inline]
    pub(crate) fn new(cell: Arc<Cell>, index: u32, timestamp: i64) -> Self {
        Self {
            cell,
            slot: Slot::default(),
            index,
            timestamp,
        }
    }

    /// The record's topic.
    pub fn topic(&self) -> &Str {
        &self.cell.owner().topic
    }

    /// The partition that was chosen.
    pub fn partition(&self) -> i32 {
        self.cell.owner().index
    }

    /// The outcome, if it is known already.
    pub fn outcome(&self) -> Option<Result<Ack, DeliveryError>> {
        self.cell
            .outcome(self.index)
            .map(|outcome| self.read(outcome))
    }

    #[inline]
    fn read(&self, outcome: &Outcome) -> Result<Ack, DeliveryError> {
        match outcome {
            Outcome::Acknowledged {
                base_offset,
                log_append_time,
                attempts,
            } => Ok(Ack {
                partition: self.partition(),
                offset: base_offset.map(|base| base + i64::from(self.index)),
                timestamp: log_append_time.unwrap_or(self.timestamp),
                attempts: *attempts,
            }),
            Outcome::Failed(batch) => Err(batch.error_of(self.index)),
        }
    }
}

impl Future for Receipt {
    type Output = Result<Ack, DeliveryError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.cell.poll(this.index, &mut this.slot, context) {
            Poll::Ready(outcome) => Poll::Ready(this.read(outcome)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Receipt {
    #[inline]
    fn drop(&mut self) {
        self.cell.forget(&mut self.slot);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("topic", self.topic())
            .field("partition", &self.partition())
            .field("resolved", &self.outcome().is_some())
            .finish()
    }
}
