//! The counters, and the events they count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use milena_codec::Str;
use milena_net::Outcome;
use milena_proto::sequencer::Fate;

use super::flow::{Clocked, Flow};
use super::histogram::Histogram;
use super::{Counts, ErrorKind, MetricsSnapshot, TimeLedger};
use crate::outbox::{Flying, Sending};
use crate::partition::Partition;
use crate::shared::{Batch, ClosedBatch, Shared, lock};
use crate::{FailedBatch, ProducerEvent};

pub(crate) struct Metrics {
    born: Instant,
    topics: Mutex<BTreeMap<Str, Arc<TopicCounts>>>,
    queued: Histogram,
    round_trip: Histogram,
    delivery: Histogram,
    ledger: Ledger,
    flow: Mutex<Flow>,
    pub(super) compression: Clocked,
    pub(super) memory: Clocked,
    pub(super) metadata: Clocked,
    failures: Mutex<Vec<(ErrorKind, u64)>>,
    retries: Mutex<Vec<(ErrorKind, u64)>>,
    epoch_bumps: AtomicU64,
    splits: AtomicU64,
    leader_changes: AtomicU64,
    panics: AtomicU64,
    /// What the last verdict ended with.
    judged: Mutex<Option<MetricsSnapshot>>,
}

/// Time, added up.
#[derive(Default)]
struct Clock(AtomicU64);

impl Clock {
    fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }

    fn read(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Default)]
struct Ledger {
    open: Clock,
    queued: Clock,
    throttled: Clock,
    in_flight: Clock,
    backoff: Clock,
    metadata: Clock,
}

/// One topic's counters, shared by its partitions.
#[derive(Default)]
pub(crate) struct TopicCounts {
    batches: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    sealed_batches: AtomicU64,
    sealed_bytes: AtomicU64,
    unsealed_bytes: AtomicU64,
    delivered: AtomicU64,
    not_written: AtomicU64,
    maybe_written: AtomicU64,
}

impl TopicCounts {
    fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            batches: read(&self.batches),
            records: read(&self.records),
            bytes: read(&self.bytes),
            sealed_batches: read(&self.sealed_batches),
            sealed_bytes: read(&self.sealed_bytes),
            unsealed_bytes: read(&self.unsealed_bytes),
            delivered: read(&self.delivered),
            not_written: read(&self.not_written),
            maybe_written: read(&self.maybe_written),
        }
    }
}

/// What a batch did before an attempt of it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waited {
    /// When it got its first record.
    pub(crate) opened_at: Instant,
    /// When it was closed, or came back from the attempt before.
    pub(crate) since: Instant,
    /// Its number of attempts, the one that begins included.
    pub(crate) attempts: u32,
    /// What went wrong with the partition last.
    pub(crate) last: Option<ErrorKind>,
}

fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

fn add_kind(kinds: &Mutex<Vec<(ErrorKind, u64)>>, kind: ErrorKind, number: u64) {
    let mut kinds = lock(kinds);
    match kinds.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, count)) => *count += number,
        None => kinds.push((kind, number)),
    }
}

impl Metrics {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            born: now,
            topics: Mutex::default(),
            queued: Histogram::default(),
            round_trip: Histogram::default(),
            delivery: Histogram::default(),
            ledger: Ledger::default(),
            flow: Mutex::default(),
            compression: Clocked::default(),
            memory: Clocked::default(),
            metadata: Clocked::default(),
            failures: Mutex::default(),
            retries: Mutex::default(),
            epoch_bumps: AtomicU64::new(0),
            splits: AtomicU64::new(0),
            leader_changes: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            judged: Mutex::default(),
        }
    }

    pub(crate) fn topic(&self, name: &Str) -> Arc<TopicCounts> {
        let mut topics = lock(&self.topics);
        Arc::clone(topics.entry(name.clone()).or_default())
    }

    /// A batch takes no more records.
    pub(crate) fn closed(&self, batch: &ClosedBatch) {
        let counts = &batch.cell().owner().counts;
        add(&counts.batches, 1);
        add(&counts.records, u64::from(batch.records()));
        add(&counts.bytes, batch.size() as u64);
    }

    /// A batch of this size has got its final bytes.
    pub(crate) fn sealed(&self, batch: &Batch, unsealed: usize) {
        let counts = &batch.cell().owner().counts;
        add(&counts.sealed_batches, 1);
        add(&counts.sealed_bytes, batch.sealed().len() as u64);
        add(&counts.unsealed_bytes, unsealed as u64);
    }

    /// A request is about to be written.
    pub(crate) fn sent(&self, node: i32, flying: &Flying, max_in_flight: usize) {
        let now = flying.begun;
        let bytes = flying.batches.iter().map(|sending| sending.size as u64);
        let muted = lock(&self.flow).sent(node, bytes.sum(), max_in_flight, now);
        for sending in &flying.batches {
            self.attempted(sending, muted, now);
        }
    }

    fn attempted(&self, sending: &Sending, muted: Option<(Instant, Instant)>, now: Instant) {
        let Waited {
            opened_at,
            since,
            attempts,
            last,
        } = sending.waited;
        let spend = |clock: &Clock, from: Instant, to: Instant| {
            let time = to.saturating_duration_since(from);
            let throttled = muted.map_or(Duration::ZERO, |(muted, until)| {
                until.min(to).saturating_duration_since(muted.max(from))
            });
            self.ledger.throttled.add(throttled);
            clock.add(time.saturating_sub(throttled));
        };
        let clock = match (last, attempts) {
            (Some(last), _) if last.waits_for_metadata() => &self.ledger.metadata,
            (_, ..2) => &self.ledger.queued,
            _ => &self.ledger.backoff,
        };
        spend(clock, since, now);
        if attempts < 2 {
            spend(&self.ledger.open, opened_at, since);
            self.queued.record(now.saturating_duration_since(opened_at));
        }
    }

    /// What became of a request.
    pub(crate) fn ended(
        &self,
        node: i32,
        flying: &Flying,
        outcome: &Outcome,
        (max_in_flight, now): (usize, Instant),
    ) {
        let time = now.saturating_duration_since(flying.begun);
        let came_back = matches!(outcome, Outcome::Answer(_) | Outcome::Written);
        let round_trip = came_back.then_some(time);
        lock(&self.flow).ended(node, round_trip, max_in_flight, now);
        if came_back {
            self.round_trip.record(time);
        }
        let batches = u32::try_from(flying.batches.len()).unwrap_or(u32::MAX);
        self.ledger.in_flight.add(time.saturating_mul(batches));
    }

    /// A broker asks to be left alone for this time.
    pub(crate) fn throttled(&self, node: i32, time: Duration, now: Instant) {
        lock(&self.flow).throttled(node, time, now);
    }

    pub(crate) fn delivered(&self, partition: &Partition, batch: &Batch, now: Instant) {
        let records = u64::from(batch.sealed().count());
        add(&partition.counts.delivered, records);
        self.delivery
            .record(now.saturating_duration_since(batch.opened_at()));
    }

    pub(crate) fn count_event(&self, event: &ProducerEvent) {
        match event {
            ProducerEvent::Retry { cause, .. } => {
                add_kind(&self.retries, ErrorKind::of_last(cause), 1);
            }
            ProducerEvent::EpochBump { .. } => add(&self.epoch_bumps, 1),
            ProducerEvent::BatchSplit { .. } => add(&self.splits, 1),
            ProducerEvent::LeaderChanged { .. } => add(&self.leader_changes, 1),
            ProducerEvent::BatchFailed(batch) => self.failed(batch),
            ProducerEvent::Panicked { .. } => add(&self.panics, 1),
        }
    }

    fn failed(&self, batch: &FailedBatch) {
        let records = u64::from(batch.len());
        let counts = self.topic(batch.topic());
        match batch.fate() {
            Fate::NotWritten => add(&counts.not_written, records),
            Fate::MaybeWritten => add(&counts.maybe_written, records),
        }
        add_kind(&self.failures, ErrorKind::of_cause(batch.cause()), records);
    }

    /// Keeps a snapshot for the next verdict, and returns the one before.
    pub(crate) fn judge(&self, snapshot: MetricsSnapshot) -> Option<MetricsSnapshot> {
        lock(&self.judged).replace(snapshot)
    }
}

impl Shared {
    pub(crate) fn snapshot(&self) -> MetricsSnapshot {
        let now = self.now();
        let metrics = &self.metrics;
        let topics: BTreeMap<_, _> = lock(&metrics.topics)
            .iter()
            .map(|(name, counts)| (name.clone(), counts.read()))
            .collect();
        let mut totals = Counts::default();
        topics.values().for_each(|counts| totals.add(counts));
        let limit = totals.batches as f64 * self.config.batch_size as f64;
        let (busy, in_flight_requests, nodes) = {
            let flow = lock(&metrics.flow);
            (flow.busy.total(now), flow.busy.count(), flow.nodes(now))
        };
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MetricsSnapshot {
            at: now,
            uptime: now.saturating_duration_since(metrics.born),
            totals,
            topics,
            failures: lock(&metrics.failures).clone(),
            retries: lock(&metrics.retries).clone(),
            epoch_bumps: read(&metrics.epoch_bumps),
            splits: read(&metrics.splits),
            leader_changes: read(&metrics.leader_changes),
            panics: read(&metrics.panics),
            batch_fill: totals.bytes as f64 / limit.max(1.0),
            compression: metrics.compression.read(now),
            outstanding_batches: self.accumulator.outstanding().len(),
            in_flight_requests,
            buffer_used: self.accumulator.budget().used(),
            buffer_total: self.accumulator.budget().limit(),
            memory_waits: metrics.memory.read(now),
            metadata_waits: metrics.metadata.read(now),
            busy,
            nodes,
            queued: metrics.queued.snapshot(),
            round_trip: metrics.round_trip.snapshot(),
            delivery: metrics.delivery.snapshot(),
            time: metrics.ledger.read(),
        }
    }
}

impl Ledger {
    fn read(&self) -> TimeLedger {
        TimeLedger {
            open: self.open.read(),
            queued: self.queued.read(),
            throttled: self.throttled.read(),
            in_flight: self.in_flight.read(),
            backoff: self.backoff.read(),
            metadata: self.metadata.read(),
        }
    }
}
