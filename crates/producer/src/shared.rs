//! What the producer's handles and its driver share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use milena_accumulator::{Accumulator, Batch, ClosedBatch, Limits};
use milena_codec::Str;
use milena_proto::sequence::Fate;
use milena_records::{CompressError, Compressor};
use milena_rpc::Cluster;
use tokio::sync::Notify;

use crate::failed::{DeliveryCause, FailedBatch};
use crate::topic::{Partition, TopicHandle};
use crate::{DeliveryReport, ProducerConfig, ProducerEvent};

/// What became of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Acknowledged {
        base_offset: Option<i64>,
        log_append_time: Option<i64>,
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

pub(crate) struct Shared {
    pub(crate) cluster: Cluster,
    pub(crate) config: ProducerConfig,
    pub(crate) accumulator: Arc<Accumulator<Outcome>>,
    /// Names this producer's lanes.
    pub(crate) id: u64,
    /// Wakes the driver.
    pub(crate) notify: Notify,
    /// Flushes under way: while there are any, nothing lingers.
    pub(crate) flushing: AtomicUsize,
    /// A batch was closed, and the next `send` should let the driver run.
    pub(crate) crowded: AtomicBool,
    phase: AtomicU8,
    topics: RwLock<BTreeMap<Str, Arc<TopicHandle>>>,
    next_slot: AtomicUsize,
    /// Partitions that got a batch which the driver may not know of.
    woken: Mutex<Vec<Arc<Partition>>>,
    report: Mutex<DeliveryReport>,
    compressors: Mutex<Vec<Compressor>>,
}

impl Shared {
    pub(crate) fn new(cluster: Cluster, config: ProducerConfig) -> Self {
        let limits = Limits {
            batch: config.batch_size,
            memory: config.buffer_memory,
        };
        Self {
            id: cluster.env().random.next_u64(),
            cluster,
            config,
            accumulator: Arc::new(Accumulator::new(limits)),
            notify: Notify::new(),
            flushing: AtomicUsize::new(0),
            crowded: AtomicBool::new(false),
            phase: AtomicU8::new(Phase::Open as u8),
            topics: RwLock::default(),
            next_slot: AtomicUsize::new(0),
            woken: Mutex::default(),
            report: Mutex::default(),
            compressors: Mutex::default(),
        }
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
        {
            // Under the lock that new topics are made under: none escapes.
            let topics = self.topics.write();
            let topics = topics.unwrap_or_else(PoisonError::into_inner);
            self.phase.fetch_max(phase as u8, Ordering::AcqRel);
            for partition in topics.values().flat_map(|topic| topic.partitions()) {
                partition.queue.shut();
            }
        }
        self.notify.notify_one();
    }

    pub(crate) fn topic(&self, name: &str) -> Arc<TopicHandle> {
        let known = self.topics.read();
        if let Some(known) = known.unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(known);
        }
        let topics = self.topics.write();
        let mut topics = topics.unwrap_or_else(PoisonError::into_inner);
        let name = Str::from(name);
        let topic = topics
            .entry(name.clone())
            .or_insert_with(|| Arc::new(TopicHandle::new(name, self.config.batch_size)));
        Arc::clone(topic)
    }

    pub(crate) fn partition(&self, topic: &TopicHandle, index: i32) -> Arc<Partition> {
        let slot = || self.next_slot.fetch_add(1, Ordering::Relaxed);
        let partition = topic.partition(index, &self.accumulator, slot);
        if self.phase() != Phase::Open {
            partition.queue.shut();
        }
        partition
    }

    pub(crate) fn all_partitions(&self) -> Vec<Arc<Partition>> {
        let topics = self.topics.read();
        let topics = topics.unwrap_or_else(PoisonError::into_inner);
        topics
            .values()
            .flat_map(|topic| topic.partitions())
            .collect()
    }

    /// A partition got a new batch.
    pub(crate) fn wake_for(&self, partition: &Arc<Partition>) {
        lock(&self.woken).push(Arc::clone(partition));
        self.notify.notify_one();
    }

    pub(crate) fn take_woken(&self) -> Vec<Arc<Partition>> {
        std::mem::take(&mut *lock(&self.woken))
    }

    pub(crate) fn take_report(&self) -> DeliveryReport {
        std::mem::take(&mut *lock(&self.report))
    }

    pub(crate) fn emit(&self, event: &ProducerEvent) {
        event.trace();
        // A hook that panicked once may do so again, and twice aborts the process.
        if let Some(hook) = &self.config.on_event
            && !std::thread::panicking()
        {
            hook.call(event);
        }
    }

    pub(crate) fn acknowledge(&self, batch: &Batch<Outcome>, outcome: Outcome) {
        lock(&self.report).count_delivered(batch.sealed().count());
        self.accumulator.resolve(batch, outcome);
    }

    pub(crate) fn fail(
        &self,
        partition: &Arc<Partition>,
        batch: &Batch<Outcome>,
        why: (Fate, DeliveryCause, u32),
    ) {
        let sealed = batch.sealed().clone();
        let records = sealed.count();
        let failed = FailedBatch::new(Arc::clone(partition), why, records, Some(sealed));
        let failed = self.announce(failed);
        self.accumulator.resolve(batch, Outcome::Failed(failed));
    }

    /// Fails a batch that was never sent.
    pub(crate) fn fail_unsent(
        &self,
        partition: &Arc<Partition>,
        closed: ClosedBatch<Outcome>,
        cause: DeliveryCause,
    ) {
        let records = closed.records();
        match closed.seal(&mut Compressor::default()) {
            Ok(batch) => self.fail(partition, &batch, (Fate::NotWritten, cause, 0)),
            Err((error, cell)) => self.fail_unsealed(partition, records, error, &cell),
        }
    }

    pub(crate) fn fail_unsealed(
        &self,
        partition: &Arc<Partition>,
        records: u32,
        error: CompressError,
        cell: &milena_accumulator::Cell<Outcome>,
    ) {
        let why = (Fate::NotWritten, DeliveryCause::Compression(error), 0);
        let failed = FailedBatch::new(Arc::clone(partition), why, records, None);
        let failed = self.announce(failed);
        self.accumulator.resolve_cell(cell, Outcome::Failed(failed));
    }

    /// Counts and tells before the receipts resolve, so that whoever they wake sees the counts.
    fn announce(&self, failed: FailedBatch) -> Arc<FailedBatch> {
        let failed = Arc::new(failed);
        lock(&self.report).count_failed(&failed);
        if let Some(hook) = &self.config.on_failed_batch
            && !std::thread::panicking()
        {
            hook.call(&failed);
        }
        self.emit(&ProducerEvent::BatchFailed(Arc::clone(&failed)));
        failed
    }

    pub(crate) fn compressor(&self) -> Compressor {
        let kept = lock(&self.compressors).pop();
        kept.unwrap_or_else(|| {
            let made = self.config.compressor();
            made.expect("the settings were validated")
        })
    }

    pub(crate) fn keep(&self, compressor: Compressor) {
        lock(&self.compressors).push(compressor);
    }
}

/// Locks, also after a panic elsewhere: every critical section here leaves a whole state behind.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
