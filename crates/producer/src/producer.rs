//! The handle.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use milena_accumulator::{Refused, Reservation};
use milena_records::HEADER_LEN;
use milena_rpc::{AutoCreate, Cluster, Topic};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use crate::driver::Driver;
use crate::shared::{Phase, Shared, lock};
use crate::{
    CloseReport, ConfigError, DeliveryReport, FlushError, ProducerConfig, Receipt, Record,
    SendAllError, SendError, TrySendError,
};

/// Sends records. Clones share everything; use one producer for many tasks.
///
/// When the last clone is dropped without [`Producer::close`], what was accepted is still
/// delivered in the background, for `delivery_timeout` at most, as long as the runtime lives; the
/// drop itself does not wait.
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    driver: Mutex<Option<JoinHandle<()>>>,
}

/// Why a record cannot be taken in now.
enum Blocked {
    Metadata,
    Room(usize),
    Refused(SendError),
}

impl Producer {
    /// A producer on this cluster. Nothing is sent before the first record.
    ///
    /// Has to be called within a tokio runtime with its timer enabled, which also runs the
    /// producer's task.
    ///
    /// # Errors
    /// [`ConfigError`] if settings contradict each other.
    pub fn new(cluster: Cluster, config: ProducerConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let shared = Arc::new(Shared::new(cluster, config));
        let driver = tokio::spawn(Driver::new(Arc::clone(&shared)).run());
        let driver = Mutex::new(Some(driver));
        Ok(Self {
            handle: Arc::new(Handle { shared, driver }),
        })
    }

    /// Accepts a record for delivery. Waits for the topic's first metadata and for room in
    /// `buffer_memory`, for `max_block` in all, and for nothing else. Records for one partition are
    /// written in the order in which their `send`s returned.
    ///
    /// # Errors
    /// [`SendError`]: the record was not accepted and will not be sent.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready accepts nothing.
    pub async fn send(&self, record: Record<'_>) -> Result<Receipt, SendError> {
        let shared = self.shared();
        if shared.crowded.swap(false, Ordering::Relaxed) {
            // On a current-thread runtime a loop of sends has to let the driver run.
            tokio::task::yield_now().await;
        }
        match self.accept_known(&record, &mut None) {
            Ok(receipt) => Ok(receipt),
            Err(blocked) => self.send_waiting(&record, blocked).await,
        }
    }

    /// As [`Producer::send`], but never waits.
    ///
    /// # Errors
    /// [`TrySendError`]: the record was not accepted and will not be sent.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "records are given as to `send`"
    )]
    pub fn try_send(&self, record: Record<'_>) -> Result<Receipt, TrySendError> {
        self.accept_known(&record, &mut None)
            .map_err(|blocked| match blocked {
                Blocked::Metadata => TrySendError::MetadataMissing {
                    topic: record.topic.into(),
                },
                Blocked::Room(_) => TrySendError::Full,
                Blocked::Refused(error) => TrySendError::Refused(error),
            })
    }

    /// Accepts records in order, as [`Producer::send`] does each, and returns their receipts in the
    /// same order.
    ///
    /// # Errors
    /// [`SendAllError`] with the receipts of those accepted before one was not.
    ///
    /// # Cancel safety
    /// Not cancel safe: those accepted when it is dropped are delivered, and their receipts lost.
    pub async fn send_all<'a>(
        &self,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Result<Vec<Receipt>, SendAllError> {
        let mut receipts = Vec::new();
        for record in records {
            match self.send(record).await {
                Ok(receipt) => receipts.push(receipt),
                Err(error) => return Err(SendAllError { receipts, error }),
            }
        }
        Ok(receipts)
    }

    /// Sends what was accepted before this call without lingering, and waits until all of it was
    /// acknowledged or has failed, which takes `delivery_timeout` at most.
    ///
    /// Returns what became of the records since the last report, of this or another flush.
    ///
    /// # Errors
    /// [`FlushError`], with the report, if a record failed since the last report.
    ///
    /// # Cancel safety
    /// Dropping the future stops waiting, nothing else; what it would have reported, the next
    /// report has.
    pub async fn flush(&self) -> Result<DeliveryReport, FlushError> {
        self.settle().await;
        let report = self.shared().take_report();
        if report.is_success() {
            Ok(report)
        } else {
            Err(FlushError { report })
        }
    }

    /// Accepts no more records, for all clones, delivers what it can until `deadline`, fails the
    /// rest, and reports what became of the records since the last report.
    ///
    /// Closing again waits for nothing and reports nothing.
    ///
    /// # Panics
    /// If the producer's task has panicked, which only a hook or a bug does.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the producer closed; what was accepted is delivered in the
    /// background.
    pub async fn close(&self, deadline: Instant) -> CloseReport {
        let shared = self.shared();
        shared.enter(Phase::Draining);
        // What is not settled by then fails below, and is in the report.
        let _ = timeout_at(deadline.into(), self.settle()).await;
        shared.enter(Phase::Ending);
        let driver = lock(&self.handle.driver).take();
        if let Some(driver) = driver
            && let Err(error) = driver.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
        shared.take_report()
    }

    /// The settings.
    pub fn config(&self) -> &ProducerConfig {
        &self.shared().config
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Waits for all batches that are outstanding now.
    async fn settle(&self) {
        let shared = self.shared();
        let outstanding = shared.accumulator.outstanding();
        let _flushing = Flushing::begin(shared);
        for cell in outstanding {
            cell.resolved().await;
        }
    }

    #[cold]
    async fn send_waiting(
        &self,
        record: &Record<'_>,
        mut blocked: Blocked,
    ) -> Result<Receipt, SendError> {
        let shared = self.shared();
        let deadline = shared.cluster.env().now() + shared.config.max_block;
        let mut looked_up = None;
        let mut reserved = None;
        loop {
            match blocked {
                Blocked::Metadata => looked_up = Some(self.look_up(record, deadline).await?),
                Blocked::Room(bytes) => {
                    drop(reserved.take());
                    // The driver sends open batches as soon as someone waits.
                    let waits = shared.accumulator.budget().reserve(bytes);
                    let waits = Nudge(waits, shared);
                    let room = timeout_at(deadline.into(), waits).await;
                    let waited = shared.config.max_block;
                    reserved = Some(room.map_err(|_| SendError::BufferFull { waited })?);
                }
                Blocked::Refused(error) => return Err(error),
            }
            let accepted = match &looked_up {
                Some(topic) => self.accept(record, topic, &mut reserved),
                None => self.accept_known(record, &mut reserved),
            };
            match accepted {
                Ok(receipt) => return Ok(receipt),
                Err(other) => blocked = other,
            }
        }
    }

    async fn look_up(
        &self,
        record: &Record<'_>,
        deadline: Instant,
    ) -> Result<Arc<Topic>, SendError> {
        let shared = self.shared();
        let topic = shared
            .cluster
            .topic(record.topic, AutoCreate::Allow, deadline);
        let topic = topic.await?;
        let missing = |partition: &i32| topic.partition(*partition).is_none();
        if record.partition.as_ref().is_some_and(missing)
            && let Ok(snapshot) = shared.cluster.refreshed(deadline).await
            && let Some(newer) = snapshot.topic(record.topic)
        {
            return Ok(Arc::clone(newer));
        }
        Ok(topic)
    }

    /// Accepts a record whose topic is known.
    fn accept_known(
        &self,
        record: &Record<'_>,
        reserved: &mut Option<Reservation>,
    ) -> Result<Receipt, Blocked> {
        let snapshot = self.shared().cluster.snapshot();
        let known = snapshot.topic(record.topic).filter(|topic| {
            let partition = record.partition;
            topic.error.is_none()
                && !topic.partitions.is_empty()
                && partition.is_none_or(|partition| topic.partition(partition).is_some())
        });
        match known {
            Some(topic) => self.accept(record, topic, reserved),
            None if self.shared().phase() != Phase::Open => {
                Err(Blocked::Refused(SendError::Closed))
            }
            None => Err(Blocked::Metadata),
        }
    }

    fn accept(
        &self,
        record: &Record<'_>,
        topic: &Arc<Topic>,
        reserved: &mut Option<Reservation>,
    ) -> Result<Receipt, Blocked> {
        let shared = self.shared();
        let env = shared.cluster.env();
        let timestamp = record.timestamp.unwrap_or_else(|| env.clock.wall_millis());
        let parts = record.parts(timestamp);
        self.check_size(record, parts.max_encoded_len() + HEADER_LEN)?;
        let handle = shared.topic(record.topic);
        let index = handle
            .choose(record, topic, || env.random.next_u64())
            .map_err(Blocked::Refused)?;
        let partition = shared.partition(&handle, index);
        let accepted = partition
            .queue
            .append(&parts, || env.now(), reserved)
            .map_err(|refused| match refused {
                Refused::NeedsRoom(bytes) => Blocked::Room(bytes),
                Refused::Shut => Blocked::Refused(SendError::Closed),
                _ => Blocked::Refused(SendError::RecordTooLarge {
                    topic: handle.name.clone(),
                    size: parts.max_encoded_len(),
                    limit: i32::MAX as usize,
                    setting: "the record format",
                }),
            })?;
        if record.partition.is_none() && record.key_bytes().is_none() {
            handle.count_keyless(accepted.size, accepted.closed);
        }
        if accepted.closed {
            shared.crowded.store(true, Ordering::Relaxed);
        }
        if accepted.opened {
            shared.wake_for(&partition);
        }
        Ok(Receipt::new(
            accepted.cell,
            accepted.index,
            partition,
            timestamp,
        ))
    }

    fn check_size(&self, record: &Record<'_>, size: usize) -> Result<(), Blocked> {
        let config = &self.shared().config;
        let limits = [
            (
                config.max_request_size,
                "max_request_size (max.request.size)",
            ),
            (config.buffer_memory, "buffer_memory (buffer.memory)"),
        ];
        match limits.into_iter().find(|(limit, _)| size > *limit) {
            None => Ok(()),
            Some((limit, setting)) => Err(Blocked::Refused(SendError::RecordTooLarge {
                topic: record.topic.into(),
                size,
                limit,
                setting,
            })),
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("config", self.config())
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.enter(Phase::Draining);
    }
}

/// Wakes the driver once its reservation waits, so that it sees that someone does.
struct Nudge<'a>(milena_accumulator::Reserve, &'a Shared);

impl Future for Nudge<'_> {
    type Output = Reservation;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Reservation> {
        let polled = std::pin::Pin::new(&mut self.0).poll(context);
        if polled.is_pending() {
            self.1.notify.notify_one();
        }
        polled
    }
}

/// While one lives, nothing lingers.
struct Flushing<'a>(&'a Shared);

impl<'a> Flushing<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.flushing.fetch_add(1, Ordering::AcqRel);
        shared.notify.notify_one();
        Self(shared)
    }
}

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.flushing.fetch_sub(1, Ordering::AcqRel);
    }
}
