//! Functions of the user's that see every record on its way out and every outcome on its way back.
//!
//! - I1. A record that goes through them is accepted as the one before a panic left it: an
//!   interceptor that panics has changed nothing. Each panic is counted and told as an event.
//! - I2. Without interceptors a record passes one comparison here, and a batch another.
//! - I3. An outcome is shown once for each batch, before its receipts resolve.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use milena_accumulator::Reservation;
use milena_codec::Str;
use milena_records::{Batches, CheckedBatch, Decompressor, Header, RecordRef, SealedBatch, Stamp};

use crate::partition::Partition;
use crate::producer::Blocked;
use crate::shared::{Batch, Shared};
use crate::{DeliveryError, FailedBatch, Producer, ProducerEvent, Receipt, Record};

/// Sees every record before its partition is chosen, and every batch's outcome; Kafka's
/// `interceptor.classes` (KIP-42).
///
/// Interceptors are called in the order of [`ProducerConfig::interceptors`], each with what those
/// before have made of the record. They must not block: `on_send` runs in the sending task,
/// `on_acknowledgement` in that of a connection. A panic is caught, and the record goes on as if
/// the interceptor had not been called.
///
/// [`ProducerConfig::interceptors`]: crate::ProducerConfig::interceptors
pub trait ProducerInterceptor: Send + Sync + fmt::Debug {
    /// A name for events. Default: the type's.
    fn name(&self) -> &str {
        std::any::type_name::<Self>()
    }

    /// A record is about to be accepted; what is changed here is what is sent. Called once for each
    /// `send`, and also for records that are then refused: those have no acknowledgement.
    fn on_send(&self, record: &mut OutgoingRecord<'_>) {
        let _ = record;
    }

    /// A batch was acknowledged or has failed. Called for batches and not for records, so that who
    /// only counts pays for a batch what else each record would cost; the records' outcomes, and
    /// the records themselves, are made when asked for.
    fn on_acknowledgement(&self, batch: &BatchOutcome<'_>) {
        let _ = batch;
    }
}

/// A record on its way out, as an interceptor sees and changes it.
#[derive(Debug)]
pub struct OutgoingRecord<'r> {
    record: &'r Record<'r>,
    before: &'r Changes,
    changes: Changes,
}

/// What interceptors made of a record.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    partition: Option<Option<i32>>,
    key: Option<Option<Vec<u8>>>,
    value: Option<Option<Vec<u8>>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl OutgoingRecord<'_> {
    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.record.topic()
    }

    /// The partition, if it is not to be chosen.
    #[must_use]
    pub fn partition(&self) -> Option<i32> {
        let changed = self.changes.partition.or(self.before.partition);
        changed.unwrap_or(self.record.partition)
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        let changed = self.changes.key.as_ref().or(self.before.key.as_ref());
        changed.map_or_else(|| self.record.key_bytes(), Option::as_deref)
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        let changed = self.changes.value.as_ref().or(self.before.value.as_ref());
        changed.map_or_else(|| self.record.value_bytes(), Option::as_deref)
    }

    /// The headers so far, in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        let own = self.record.headers().iter().copied();
        own.chain(self.before.headers())
            .chain(self.changes.headers())
    }

    /// Sends it to this partition, or lets the key or the producer choose.
    pub fn set_partition(&mut self, partition: Option<i32>) {
        self.changes.partition = Some(partition);
    }

    /// Replaces the key: it chooses the partition, unless one is given.
    pub fn set_key(&mut self, key: Option<Vec<u8>>) {
        self.changes.key = Some(key);
    }

    /// Replaces the value.
    pub fn set_value(&mut self, value: Option<Vec<u8>>) {
        self.changes.value = Some(value);
    }

    /// Adds a header behind all others; names may repeat.
    pub fn add_header(&mut self, name: impl Into<String>, value: Option<Vec<u8>>) {
        self.changes.headers.push((name.into(), value));
    }
}

impl Changes {
    fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        let headers = self.headers.iter();
        headers.map(|(name, value)| Header::new(name, value.as_deref()))
    }

    fn merge(&mut self, newer: Self) {
        self.partition = newer.partition.or(self.partition);
        self.key = newer.key.or(self.key.take());
        self.value = newer.value.or(self.value.take());
        self.headers.extend(newer.headers);
    }

    /// The record as changed.
    pub(crate) fn apply<'a>(&'a self, record: &Record<'a>) -> Record<'a> {
        let mut record = record.clone();
        if let Some(partition) = self.partition {
            record.partition = partition;
        }
        record.replace(
            self.key.as_ref().map(Option::as_deref),
            self.value.as_ref().map(Option::as_deref),
            self.headers(),
        );
        record
    }
}

/// What became of a batch.
pub struct BatchOutcome<'a> {
    partition: &'a Partition,
    result: Settled<'a>,
}

enum Settled<'a> {
    Acknowledged {
        sealed: &'a SealedBatch,
        base_offset: Option<i64>,
        attempts: u32,
    },
    Failed(&'a Arc<FailedBatch>),
}

impl BatchOutcome<'_> {
    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Str {
        &self.partition.topic
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.partition.index
    }

    /// How many records it has.
    #[must_use]
    pub fn len(&self) -> u32 {
        match self.result {
            Settled::Acknowledged { sealed, .. } => sealed.count(),
            Settled::Failed(batch) => batch.len(),
        }
    }

    /// Whether it has no records; false, as batches are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often it was sent, or tried to.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        match self.result {
            Settled::Acknowledged { attempts, .. } => attempts,
            Settled::Failed(batch) => batch.attempts(),
        }
    }

    /// The offset of its first record, if it was acknowledged with one.
    #[must_use]
    pub fn base_offset(&self) -> Option<i64> {
        match self.result {
            Settled::Acknowledged { base_offset, .. } => base_offset,
            Settled::Failed(_) => None,
        }
    }

    /// The batch, if it has failed.
    #[must_use]
    pub fn failed(&self) -> Option<&Arc<FailedBatch>> {
        match self.result {
            Settled::Acknowledged { .. } => None,
            Settled::Failed(batch) => Some(batch),
        }
    }

    /// The records' outcomes in order: the offset, where there is one, or the failure.
    pub fn outcomes(&self) -> impl Iterator<Item = Result<Option<i64>, DeliveryError>> + '_ {
        (0..self.len()).map(|index| match self.result {
            Settled::Acknowledged { base_offset, .. } => {
                Ok(base_offset.map(|base| base + i64::from(index)))
            }
            Settled::Failed(batch) => Err(DeliveryError {
                batch: Arc::clone(batch),
                index,
            }),
        })
    }

    /// Calls `each` with the records in order, decoded for it, which copies and decompresses the
    /// batch; with none if the codec failed on them. Headers are found here (KIP-512).
    pub fn for_each_record(&self, mut each: impl FnMut(RecordRef<'_>)) {
        match self.result {
            Settled::Acknowledged { sealed, .. } => {
                if let Some(batch) = decode(sealed) {
                    batch.iter().for_each(each);
                }
            }
            Settled::Failed(batch) => batch.records().for_each(&mut each),
        }
    }
}

fn decode(sealed: &SealedBatch) -> Option<CheckedBatch> {
    let batch = Batches::new(sealed.to_bytes(Stamp::NONE)).next()?.ok()?;
    batch.check(&mut Decompressor::new(), usize::MAX).ok()
}

impl fmt::Debug for BatchOutcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchOutcome")
            .field("topic", self.topic())
            .field("partition", &self.partition())
            .field("records", &self.len())
            .field("base_offset", &self.base_offset())
            .field("failed", &self.failed())
            .finish()
    }
}

impl Shared {
    /// What the interceptors make of a record; `None` without any. // I2
    #[inline]
    pub(crate) fn intercept(&self, record: &Record<'_>) -> Option<Changes> {
        if self.config.interceptors.is_empty() {
            return None;
        }
        Some(self.intercepted(record))
    }

    #[cold]
    fn intercepted(&self, record: &Record<'_>) -> Changes {
        let mut all = Changes::default();
        for interceptor in &self.config.interceptors {
            let mut outgoing = OutgoingRecord {
                record,
                before: &all,
                changes: Changes::default(),
            };
            let called = || interceptor.on_send(&mut outgoing);
            // What it changed before it panicked is dropped with it. // I1
            if self.isolated(interceptor.name(), "on_send", called) {
                let changes = outgoing.changes;
                all.merge(changes);
            }
        }
        all
    }

    pub(crate) fn show_acknowledged(&self, batch: &Batch, offset: Option<i64>, attempts: u32) {
        self.show(
            batch.cell().owner(),
            Settled::Acknowledged {
                sealed: batch.sealed(),
                base_offset: offset,
                attempts,
            },
        );
    }

    pub(crate) fn show_failed(&self, batch: &Arc<FailedBatch>) {
        self.show(batch.owner(), Settled::Failed(batch));
    }

    fn show(&self, partition: &Partition, result: Settled<'_>) {
        if self.config.interceptors.is_empty() || std::thread::panicking() {
            return;
        }
        let outcome = BatchOutcome { partition, result };
        for interceptor in &self.config.interceptors {
            let called = || interceptor.on_acknowledgement(&outcome);
            self.isolated(interceptor.name(), "on_acknowledgement", called);
        }
    }

    /// Calls a function of the user's, and tells of its panic. Returns whether there was none.
    pub(crate) fn isolated(&self, who: &str, what: &'static str, call: impl FnOnce()) -> bool {
        let Err(panic) = catch_unwind(AssertUnwindSafe(call)) else {
            return true;
        };
        self.emit(&ProducerEvent::Panicked {
            who: who.into(),
            what,
            message: message_of(&*panic).into(),
        });
        false
    }
}

impl Producer {
    /// As [`accept`](Self::accept), after the interceptors.
    #[inline]
    pub(crate) fn accept_intercepted(
        &self,
        record: &Record<'_>,
        reserved: &mut Option<Reservation>,
    ) -> Result<Receipt, Blocked> {
        match self.shared().intercept(record) {
            None => self.accept(record, reserved),
            Some(changes) => self.accept(&changes.apply(record), reserved),
        }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests;
