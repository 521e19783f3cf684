//! What the producer's handles, its outboxes and its driver share.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use milena_accumulator::{Accumulator, Limits, Unsealed};
use milena_codec::Str;
use milena_proto::sequencer::{Because, Fate, Identity};
use milena_rpc::Cluster;
use tokio::sync::Notify;

use crate::alarms::Alarms;
use crate::failed::{DeliveryCause, FailedBatch, LastError};
use crate::flight::{Settled, Travelling};
use crate::metrics::Metrics;
use crate::outbox::LeaderOutbox;
use crate::partition::{Partition, Turn};
use crate::report::KEPT_PART;
use crate::seal::Sealers;
use crate::topic::TopicState;
use crate::transaction::Coordination;
use crate::{DeliveryReport, ProducerConfig, ProducerEvent, SendError};

pub(crate) type Cell = milena_accumulator::Cell<Outcome, Arc<Partition>>;
pub(crate) type Queue = milena_accumulator::Queue<Outcome, Arc<Partition>>;
pub(crate) type Batch = milena_accumulator::Batch<Outcome, Arc<Partition>>;
pub(crate) type Opened = milena_accumulator::Opened<Outcome, Arc<Partition>>;
pub(crate) type ClosedBatch = milena_accumulator::ClosedBatch<Outcome, Arc<Partition>>;

/// What became of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Acknowledged {
        /// The offset of the first record that shares the cell, as those of its range count it.
        base_offset: Option<i64>,
        log_append_time: Option<i64>,
        attempts: u32,
    },
    Failed(Arc<FailedBatch>),
}

/// How far the producer is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Open,
    /// No records come any more; those there are delivered.
    Draining,
    /// What is left fails.
    Ending,
}

/// A partition that cannot be sent to, and what has to change: work for the driver.
pub(crate) struct Stalled {
    pub(crate) partition: Arc<Partition>,
    pub(crate) by: Obstacle,
}

pub(crate) enum Obstacle {
    NoLeader,
    /// No producer id, or only one whose epochs are used up.
    NoIdentity {
        exhausted: Option<Identity>,
    },
}

pub(crate) struct Shared {
    pub(crate) cluster: Cluster,
    pub(crate) config: ProducerConfig,
    /// What a transactional producer's records belong to.
    pub(crate) transactions: Option<Arc<Coordination>>,
    pub(crate) accumulator: Arc<Accumulator<Outcome, Arc<Partition>>>,
    /// Names this producer's lanes, and tells its topic handles from others'.
    pub(crate) id: u64,
    /// Wakes the driver.
    pub(crate) notify: Notify,
    /// Tells those who wait to send that the producer is open no longer.
    closing: Notify,
    /// Whether [`Self::haste`] may have begun since the driver looked.
    pub(crate) hurried: AtomicBool,
    pub(crate) alarms: Alarms,
    pub(crate) sealers: Sealers,
    pub(crate) metrics: Metrics,
    /// A batch was closed, and the next `send` should let the sockets' tasks run.
    pub(crate) crowded: AtomicBool,
    /// By node id.
    pub(crate) outboxes: Mutex<BTreeMap<i32, Arc<LeaderOutbox>>>,
    pub(crate) next_request: AtomicU64,
    /// Flushes under way: while there are any, nothing lingers.
    flushing: AtomicUsize,
    phase: AtomicU8,
    topics: RwLock<BTreeMap<Str, Arc<TopicState>>>,
    next_slot: AtomicUsize,
    identity: Mutex<Option<Identity>>,
    stalled: Mutex<Vec<Stalled>>,
    report: Mutex<DeliveryReport>,
}

impl Shared {
    pub(crate) fn new(
        cluster: Cluster,
        config: ProducerConfig,
        transactions: Option<Arc<Coordination>>,
    ) -> Self {
        let limits = Limits {
            batch: config.batch_size,
            memory: config.buffer_memory,
            records: config.batch_records.unwrap_or(u32::MAX),
            due_bytes: config.flush_bytes.unwrap_or(usize::MAX),
            due_records: config.flush_records.unwrap_or(u32::MAX),
        };
        Self {
            id: cluster.env().random.next_u64(),
            metrics: Metrics::new(cluster.env().now()),
            cluster,
            transactions,
            accumulator: Arc::new(Accumulator::new(limits)),
            notify: Notify::new(),
            closing: Notify::new(),
            hurried: AtomicBool::new(false),
            alarms: Alarms::default(),
            sealers: Sealers::default(),
            crowded: AtomicBool::new(false),
            outboxes: Mutex::default(),
            next_request: AtomicU64::new(0),
            flushing: AtomicUsize::new(0),
            phase: AtomicU8::new(Phase::Open as u8),
            topics: RwLock::default(),
            next_slot: AtomicUsize::new(0),
            identity: Mutex::default(),
            stalled: Mutex::default(),
            report: Mutex::default(),
            config,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.cluster.env().now()
    }

    pub(crate) fn random(&self) -> u64 {
        self.cluster.env().random.next_u64()
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Open,
            1 => Phase::Draining,
            _ => Phase::Ending,
        }
    }

    /// Moves on to `phase`, never back. From then on no queue takes records.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        // Partitions made from now on see the phase and are shut when made.
        for partition in self.all_partitions() {
            partition.queue.shut();
        }
        self.closing.notify_waiters();
        self.hurry();
    }

    /// The outcome of what somebody waits for who wants to send, unless the producer is closed
    /// first.
    pub(crate) async fn while_open<T>(
        &self,
        work: impl Future<Output = Result<T, SendError>>,
    ) -> Result<T, SendError> {
        let mut closing = pin!(self.closing.notified());
        closing.as_mut().enable();
        if self.phase() != Phase::Open {
            return Err(SendError::Closed);
        }
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = closing => Err(SendError::Closed),
        }
    }

    /// Whether somebody waits for what lingers, and how soon it has to go: at once for a flush or
    /// the end; for those who wait for memory when nothing else is on its way to give some back.
    pub(crate) fn haste(&self) -> Option<Turn> {
        if self.flushing.load(Ordering::Acquire) > 0 || self.phase() != Phase::Open {
            Some(Turn::Now)
        } else if self.accumulator.budget().is_contended() {
            Some(Turn::WhenQuiet)
        } else {
            None
        }
    }

    pub(crate) fn topic(&self, name: &str) -> Arc<TopicState> {
        let known = self.topics.read();
        if let Some(known) = known.unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(known);
        }
        let topics = self.topics.write();
        let mut topics = topics.unwrap_or_else(PoisonError::into_inner);
        let name = Str::from(name);
        let topic = topics.entry(name.clone()).or_insert_with(|| {
            let topic = TopicState::new(name.clone(), &self.config);
            topic.see(self.cluster.snapshot().topic(&name));
            Arc::new(topic)
        });
        Arc::clone(topic)
    }

    pub(crate) fn topics(&self) -> Vec<Arc<TopicState>> {
        let topics = self.topics.read();
        let topics = topics.unwrap_or_else(PoisonError::into_inner);
        topics.values().cloned().collect()
    }

    /// The partition, made when first used.
    pub(crate) fn partition(&self, topic: &TopicState, index: i32) -> Arc<Partition> {
        let partition = topic.partition(index, || {
            let slot = self.next_slot.fetch_add(1, Ordering::Relaxed);
            Arc::new(Partition::new(topic.name.clone(), index, slot, self))
        });
        if self.phase() != Phase::Open {
            partition.queue.shut();
        }
        partition
    }

    pub(crate) fn all_partitions(&self) -> Vec<Arc<Partition>> {
        let topics = self.topics();
        topics.iter().flat_map(|topic| topic.partitions()).collect()
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        *lock(&self.identity)
    }

    pub(crate) fn set_identity(&self, identity: Option<Identity>) {
        *lock(&self.identity) = identity;
    }

    /// If the partition's transaction is over, fails what is not in flight.
    pub(crate) fn fail_stopped(self: &Arc<Self>, partition: &Arc<Partition>) {
        if let Some(transactions) = &self.transactions
            && transactions.is_stopped()
        {
            let cause = |_: Option<&LastError>| transactions.stop_cause();
            partition.fail(self, Travelling::is_idle, cause);
        }
    }

    /// What lingers has to be put in line: somebody began to wait for it.
    pub(crate) fn hurry(&self) {
        self.hurried.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// While it lives, nothing lingers.
    pub(crate) fn flushing(&self) -> Flushing<'_> {
        self.flushing.fetch_add(1, Ordering::AcqRel);
        self.hurry();
        Flushing(&self.flushing)
    }

    /// Leaves a partition to the driver.
    pub(crate) fn stall(&self, partition: &Arc<Partition>, by: Obstacle) {
        lock(&self.stalled).push(Stalled {
            partition: Arc::clone(partition),
            by,
        });
        self.notify.notify_one();
    }

    pub(crate) fn take_stalled(&self) -> Vec<Stalled> {
        std::mem::take(&mut *lock(&self.stalled))
    }

    pub(crate) fn take_report(&self) -> DeliveryReport {
        std::mem::take(&mut *lock(&self.report))
    }

    pub(crate) fn emit(&self, event: &ProducerEvent) {
        event.trace();
        self.metrics.count_event(event);
        // A hook that panicked once may do so again, and twice aborts the process.
        if let Some(hook) = &self.config.on_event
            && !std::thread::panicking()
        {
            hook.call(event);
        }
    }

    /// Tells what became of batches of a partition.
    pub(crate) fn settle(self: &Arc<Self>, partition: &Partition, settled: Vec<Settled>) {
        let topic = || partition.topic.clone();
        let index = partition.index;
        for settled in settled {
            match settled {
                Settled::Acknowledged {
                    batch,
                    offset,
                    log_append_time,
                    attempts,
                } => {
                    self.metrics.delivered(partition, &batch, self.now());
                    self.show_acknowledged(&batch, offset, attempts);
                    lock(&self.report).count_delivered(batch.sealed().count());
                    let outcome = Outcome::Acknowledged {
                        base_offset: offset.map(|offset| offset - i64::from(batch.first())),
                        log_append_time,
                        attempts,
                    };
                    self.accumulator.resolve(&batch, outcome);
                }
                Settled::Failed {
                    batch,
                    fate,
                    because,
                    cause,
                    attempts,
                } => {
                    self.tell_transaction(because, fate);
                    self.fail(&batch, (fate, cause, attempts));
                }
                Settled::Retry { attempts, cause } => self.emit(&ProducerEvent::Retry {
                    topic: topic(),
                    partition: index,
                    attempts,
                    cause,
                }),
                Settled::TooLarge {
                    id,
                    sealed,
                    partition,
                } => self.divide(&partition, id, sealed),
                Settled::Bumped(bump) => self.emit(&ProducerEvent::EpochBump {
                    topic: topic(),
                    partition: index,
                    bump,
                }),
            }
        }
    }

    fn fail(&self, batch: &Batch, why: (Fate, DeliveryCause, u32)) {
        let sealed = batch.sealed().clone();
        let partition = Arc::clone(batch.cell().owner());
        let records = sealed.count();
        let records = (batch.first(), records);
        let failed = self.announce(FailedBatch::new(partition, why, records, Some(sealed)));
        self.accumulator.resolve(batch, Outcome::Failed(failed));
    }

    /// A batch that fails makes its transaction fail.
    fn tell_transaction(&self, because: Because, fate: Fate) {
        if let Some(transactions) = &self.transactions {
            transactions.handle_failed(because, fate);
        }
    }

    /// Fails a batch that was never sent.
    pub(crate) fn fail_unsent(&self, batch: &Batch, cause: DeliveryCause) {
        self.tell_transaction(Because::Expired, Fate::NotWritten);
        self.fail(batch, (Fate::NotWritten, cause, 0));
    }

    /// Fails a batch that was never sealed: without its codec, which nobody needs now.
    pub(crate) fn fail_unsealed_batch(&self, closed: ClosedBatch, cause: DeliveryCause) {
        let records = closed.records();
        self.metrics.closed(&closed);
        match closed.seal(&mut milena_records::Compressor::default()) {
            Ok(batch) => self.fail_unsent(&batch, cause),
            Err(Unsealed { error, cell }) => {
                self.fail_cell(&cell, records, DeliveryCause::Compression(error));
            }
        }
    }

    /// Fails a batch whose records are gone.
    pub(crate) fn fail_cell(&self, cell: &Cell, records: u32, cause: DeliveryCause) {
        self.tell_transaction(Because::Expired, Fate::NotWritten);
        let why = (Fate::NotWritten, cause, 0);
        let failed = FailedBatch::new(Arc::clone(cell.owner()), why, (0, records), None);
        let failed = self.announce(failed);
        self.accumulator.resolve_cell(cell, Outcome::Failed(failed));
    }

    /// Counts and tells before the receipts resolve, so that whoever they wake sees the counts.
    fn announce(&self, failed: FailedBatch) -> Arc<FailedBatch> {
        let failed = Arc::new(failed);
        let room = self.config.buffer_memory / KEPT_PART;
        lock(&self.report).count_failed(&failed, room);
        if let Some(hook) = &self.config.on_failed_batch
            && !std::thread::panicking()
        {
            hook.call(&failed);
        }
        self.emit(&ProducerEvent::BatchFailed(Arc::clone(&failed)));
        self.show_failed(&failed);
        failed
    }
}

/// A flush under way.
pub(crate) struct Flushing<'a>(&'a AtomicUsize);

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Locks, also after a panic elsewhere: every critical section here leaves a whole state behind.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
