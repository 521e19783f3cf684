//! The handle.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use milena_accumulator::{Refused, Reservation};
use milena_partitioner::Chooser;
use milena_records::HEADER_LEN;
use milena_rpc::{AutoCreate, Cluster};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use crate::driver::Driver;
use crate::failed::DeliveryCause;
use crate::flight::Travelling;
use crate::metrics::Timed;
use crate::partition::{Partition, Turn};
use crate::record::Destination;
use crate::send::SendFuture;
use crate::shared::{Opened, Phase, Shared, lock};
use crate::topic::{TopicState, View, choose};
use crate::transaction::Coordination;
use crate::{
    CloseReport, ConfigError, DeliveryReport, FlushError, ProducerConfig, Receipt, Record,
    SendAllError, SendError, TopicHandle, TrySendError,
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
pub(crate) enum Blocked {
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
        Ok(Self::start(Shared::new(cluster, config, None)))
    }

    /// The sending half of a transactional producer, whose settings are valid.
    pub(crate) fn transactional(
        cluster: Cluster,
        config: ProducerConfig,
        transactions: Arc<Coordination>,
    ) -> Self {
        Self::start(Shared::new(cluster, config, Some(transactions)))
    }

    fn start(shared: Shared) -> Self {
        let shared = Arc::new(shared);
        let driver = tokio::spawn(Driver::new(Arc::clone(&shared)).run());
        let driver = Mutex::new(Some(driver));
        Self {
            handle: Arc::new(Handle { shared, driver }),
        }
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
    #[inline]
    pub fn send<'a>(&'a self, record: Record<'a>) -> SendFuture<'a> {
        SendFuture::new(self, record)
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
        self.accept_intercepted(&record, &mut None)
            .map_err(|blocked| refused_now(blocked, &record))
    }

    /// The topic, looked up, as a handle that saves every [`send`](Self::send) the look-up.
    ///
    /// # Errors
    /// [`SendError::Topic`] after `max_block` at the latest.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect but that the topic may have been created, where brokers
    /// do so on a look-up.
    pub async fn topic(&self, name: &str) -> Result<TopicHandle, SendError> {
        let shared = self.shared();
        let topic = shared.topic(name);
        if topic.view().is_none() {
            let deadline = shared.now() + shared.config.max_block;
            let record = Record::to(name);
            let looked_up = self.look_up(&record, deadline);
            shared.while_open(looked_up).await?;
        }
        Ok(TopicHandle::new(topic, shared.id))
    }

    /// Fails all records that were never sent, as [`DeliveryCause::Aborted`], whole batches at a
    /// time. What was sent once goes on. Returns how many records that were.
    pub fn abort_buffered(&self) -> u64 {
        let shared = self.shared();
        let partitions = shared.all_partitions();
        let abort = |partition| {
            Partition::fail(partition, shared, Travelling::is_unsent, |_| {
                DeliveryCause::Aborted
            })
        };
        partitions.iter().map(abort).sum()
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

    /// The bytes of `buffer_memory` that are taken now.
    pub fn buffered_bytes(&self) -> usize {
        self.shared().accumulator.budget().used()
    }

    /// The settings.
    pub fn config(&self) -> &ProducerConfig {
        &self.shared().config
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Waits for all batches that are outstanding now.
    async fn settle(&self) {
        let shared = self.shared();
        let outstanding = shared.accumulator.outstanding();
        let _flushing = shared.flushing();
        for cell in outstanding {
            cell.resolved().await;
        }
    }

    pub(crate) async fn send_waiting(
        &self,
        record: &Record<'_>,
        mut blocked: Blocked,
    ) -> Result<Receipt, SendError> {
        let shared = self.shared();
        let deadline = shared.now() + shared.config.max_block;
        let mut reserved = None;
        loop {
            match blocked {
                Blocked::Metadata => {
                    let looked_up = self.look_up(record, deadline);
                    shared.while_open(looked_up).await?;
                }
                Blocked::Room(bytes) => {
                    drop(reserved.take());
                    reserved = Some(self.room(bytes, deadline).await?);
                }
                Blocked::Refused(error) => return Err(error),
            }
            match self.accept(record, &mut reserved) {
                Ok(receipt) => return Ok(receipt),
                Err(again) => blocked = again,
            }
        }
    }

    /// Looks the topic up, and once more if it lacks the partition that the record names.
    async fn look_up(&self, record: &Record<'_>, deadline: Instant) -> Result<(), SendError> {
        let shared = self.shared();
        let _waiting = Timed::wait_for_metadata(shared);
        let cluster = &shared.cluster;
        let name = record.topic();
        let state = shared.topic(name);
        let mut topic = cluster.topic(name, AutoCreate::Allow, deadline).await?;
        if let Some(partition) = record.partition
            && topic.partition(partition).is_none()
        {
            if let Ok(snapshot) = cluster.refreshed(deadline).await
                && let Some(newer) = snapshot.topic(name)
            {
                topic = Arc::clone(newer);
            }
            if topic.partition(partition).is_none() {
                return Err(SendError::UnknownPartition {
                    topic: state.name.clone(),
                    partition,
                    count: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
                });
            }
        }
        state.see(Some(&topic));
        Ok(())
    }

    /// Accepts a record if that needs no waiting.
    #[inline]
    pub(crate) fn accept(
        &self,
        record: &Record<'_>,
        reserved: &mut Option<Reservation>,
    ) -> Result<Receipt, Blocked> {
        let shared = self.shared();
        match record.to {
            Destination::Handle(handle) if handle.producer == shared.id => {
                if let Some(view) = handle.own_view() {
                    return self.accept_at(
                        record,
                        (&handle.topic, view, &handle.chooser),
                        reserved,
                    );
                }
                let view = handle.topic.view().ok_or(Blocked::Metadata)?;
                self.accept_at(record, (&handle.topic, &view, &handle.chooser), reserved)
            }
            _ => {
                let topic = shared.topic(record.topic());
                let view = topic.view().ok_or(Blocked::Metadata)?;
                self.accept_at(record, (&topic, &view, &topic.chooser), reserved)
            }
        }
    }

    fn accept_at(
        &self,
        record: &Record<'_>,
        (topic, view, chooser): (&TopicState, &View, &Chooser),
        reserved: &mut Option<Reservation>,
    ) -> Result<Receipt, Blocked> {
        let shared = self.shared();
        let env = shared.cluster.env();
        let timestamp = match record.timestamp {
            Some(timestamp) => timestamp,
            None => env.clock.coarse_wall_millis(),
        };
        let parts = record.parts(timestamp);
        if record.size_hint() > self.largest_record() {
            self.check_size(&topic.name, parts.max_encoded_len() + HEADER_LEN)
                .map_err(Blocked::Refused)?;
        }
        let from = (topic, view, chooser);
        let random = || env.random.next_u64();
        let chosen = choose(record, from, random, || shared.balanced(topic, view));
        let index = chosen.partition;
        let partition = view.partition(index, || shared.partition(topic, index));
        let partition = partition.ok_or_else(|| no_partition(record, topic, index, view))?;
        let accepted = match partition
            .queue
            .append(&parts, partition, || env.now(), reserved)
        {
            Ok(accepted) => accepted,
            Err(refused) => return Err(blocked(refused, topic, parts.max_encoded_len())),
        };
        if chosen.is_sticky {
            let ended = accepted.opened.as_ref();
            let ended = ended.is_some_and(|opened| opened.closed.is_some());
            chooser.handle_produced(accepted.size, ended);
        }
        if let Some(opened) = accepted.opened {
            topic.used.store(true, Ordering::Relaxed);
            shared.batch_opened(partition, accepted.cell.opened_at(), *opened);
        }
        Ok(Receipt::new(accepted.cell, accepted.index, timestamp))
    }

    #[inline]
    fn largest_record(&self) -> usize {
        let config = &self.shared().config;
        config.max_request_size.min(config.buffer_memory)
    }

    pub(crate) fn check_size(&self, topic: &str, size: usize) -> Result<(), SendError> {
        if size <= self.largest_record() {
            return Ok(());
        }
        Err(too_large(self.config(), topic, size))
    }
}

impl Shared {
    /// A batch was opened, or is due by what it holds: sees to it that it goes when it is due, and
    /// the one before at once.
    #[cold]
    fn batch_opened(self: &Arc<Self>, partition: &Arc<Partition>, at: Instant, opened: Opened) {
        if let Some(closed) = opened.closed {
            self.crowded.store(true, Ordering::Relaxed);
            self.seal(closed);
        }
        match self.config.linger.time() {
            _ if opened.due || self.haste() == Some(Turn::Now) => {
                self.schedule(partition, Turn::Now);
            }
            Some(_) if self.haste().is_some() => self.schedule(partition, Turn::WhenQuiet),
            None => self.schedule(partition, Turn::WhenQuiet),
            Some(linger) if linger.is_zero() => self.schedule(partition, Turn::Now),
            Some(linger) => {
                if self.alarms.set(at + linger, partition) {
                    self.notify.notify_one();
                }
            }
        }
    }
}

/// One that the record names may be new, and is looked up.
#[cold]
fn no_partition(record: &Record<'_>, topic: &TopicState, index: i32, view: &View) -> Blocked {
    if record.partition.is_some() {
        return Blocked::Metadata;
    }
    Blocked::Refused(SendError::PartitionerOutOfRange {
        topic: topic.name.clone(),
        partition: index,
        count: i32::try_from(view.len()).unwrap_or(i32::MAX),
    })
}

#[cold]
fn blocked(refused: Refused, topic: &TopicState, size: usize) -> Blocked {
    match refused {
        Refused::NeedsRoom(bytes) => Blocked::Room(bytes),
        Refused::Shut => Blocked::Refused(SendError::Closed),
        _ => Blocked::Refused(SendError::RecordTooLarge {
            topic: topic.name.clone(),
            size,
            limit: i32::MAX as usize,
            setting: "the record format",
        }),
    }
}

#[cold]
pub(crate) fn refused_now(blocked: Blocked, record: &Record<'_>) -> TrySendError {
    match blocked {
        Blocked::Metadata => TrySendError::MetadataMissing {
            topic: record.topic().into(),
        },
        Blocked::Room(_) => TrySendError::Full,
        Blocked::Refused(error) => TrySendError::Refused(error),
    }
}

#[cold]
fn too_large(config: &ProducerConfig, topic: &str, size: usize) -> SendError {
    let (limit, setting) = if size > config.max_request_size {
        (
            config.max_request_size,
            "max_request_size (max.request.size)",
        )
    } else {
        (config.buffer_memory, "buffer_memory (buffer.memory)")
    };
    SendError::RecordTooLarge {
        topic: topic.into(),
        size,
        limit,
        setting,
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
