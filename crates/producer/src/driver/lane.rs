//! One partition as the driver sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_accumulator::Batch;
use milena_codec::Uuid;
use milena_proto::backoff::Backoff;
use milena_proto::sequence::{Fate, Sequence};

use crate::failed::{DeliveryCause, LastError, TimeSpent};
use crate::shared::{Outcome, Shared};
use crate::topic::Partition;
use crate::{ProducerConfig, ProducerEvent};

/// A partition's sequence, its head and what is known of its attempts.
pub(super) struct Lane {
    pub(super) partition: Arc<Partition>,
    pub(super) sequence: Sequence,
    pub(super) stage: Stage,
    /// The number of the last attempt: answers to others come too late.
    pub(super) attempt: u64,
    pub(super) retry_at: Option<Instant>,
    pub(super) backoff: Backoff,
    pub(super) last_error: Option<LastError>,
    pub(super) last_leader: Option<i32>,
    /// The id of the topic that the sequence counts in.
    pub(super) topic_id: Option<Uuid>,
    /// The dispatch that last sent something of it.
    pub(super) last_tick: u64,
    times: Times,
}

/// Where the head is.
pub(super) enum Stage {
    /// There is none.
    Idle,
    /// It is being compressed.
    Sealing,
    /// It waits to be sent, or sent again.
    Held(Arc<Batch<Outcome>>),
    InFlight(Arc<Batch<Outcome>>),
}

/// When the head's attempts took place.
#[derive(Default)]
struct Times {
    count: u32,
    first: Option<Instant>,
    current: Option<Instant>,
    attempts: Duration,
}

impl Lane {
    pub(super) fn new(partition: Arc<Partition>, config: &ProducerConfig) -> Self {
        Self {
            partition,
            sequence: Sequence::new(config.acks, config.is_idempotent()),
            stage: Stage::Idle,
            attempt: 0,
            retry_at: None,
            backoff: Backoff::new(config.retry_backoff, config.retry_backoff_max),
            last_error: None,
            last_leader: None,
            topic_id: None,
            last_tick: 0,
            times: Times::default(),
        }
    }

    pub(super) fn head(&self) -> Option<&Arc<Batch<Outcome>>> {
        match &self.stage {
            Stage::Held(batch) | Stage::InFlight(batch) => Some(batch),
            Stage::Idle | Stage::Sealing => None,
        }
    }

    pub(super) fn head_opened_at(&self) -> Option<Instant> {
        self.head().map(|batch| batch.opened_at())
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, now: Instant, batch: Arc<Batch<Outcome>>) {
        self.stage = Stage::InFlight(batch);
        self.attempt += 1;
        self.retry_at = None;
        self.times.count = self.times.count.saturating_add(1);
        self.times.first.get_or_insert(now);
        self.times.current = Some(now);
    }

    /// An attempt has ended, for better or worse.
    pub(super) fn end(&mut self, now: Instant) {
        if let Some(begun) = self.times.current.take() {
            self.times.attempts += now.saturating_duration_since(begun);
        }
        if let Stage::InFlight(batch) = &self.stage {
            self.stage = Stage::Held(Arc::clone(batch));
        }
    }

    /// The head will be sent again, after a pause unless it is known where to.
    pub(super) fn retry(&mut self, shared: &Shared, now: Instant, cause: LastError, pause: bool) {
        let wait = self.backoff.next(shared.cluster.env().random.next_u64());
        self.retry_at = pause.then(|| now + wait);
        self.last_error = Some(cause.clone());
        shared.emit(&ProducerEvent::Retry {
            topic: self.partition.topic.clone(),
            partition: self.partition.index,
            attempts: self.times.count,
            cause,
        });
        self.tell_bump(shared);
    }

    /// Nothing can be sent now; look again after a pause.
    pub(super) fn postpone(&mut self, shared: &Shared, now: Instant, cause: LastError) {
        let wait = self.backoff.next(shared.cluster.env().random.next_u64());
        self.retry_at = Some(now + wait);
        self.last_error = Some(cause);
    }

    pub(super) fn acknowledge_head(&mut self, shared: &Shared, outcome: Outcome) {
        if let Some(batch) = self.take_head() {
            shared.acknowledge(&batch, outcome);
        }
    }

    /// Fails the head, if there is one. Its attempts are those counted until it was given up.
    pub(super) fn fail_head(&mut self, shared: &Shared, fate: Fate, cause: DeliveryCause) {
        let attempts = self.times.count;
        if let Some(batch) = self.take_head() {
            shared.fail(&self.partition, &batch, (fate, cause, attempts));
        }
        self.tell_bump(shared);
    }

    pub(super) fn tell_bump(&mut self, shared: &Shared) {
        if let Some(bump) = self.sequence.poll_bump() {
            shared.emit(&ProducerEvent::EpochBump {
                topic: self.partition.topic.clone(),
                partition: self.partition.index,
                bump,
            });
        }
    }

    pub(super) fn timed_out(&self, now: Instant, after: Duration) -> DeliveryCause {
        let opened = self.head_opened_at().unwrap_or(now);
        let running = self.times.current;
        let running = running.map(|begun| now.saturating_duration_since(begun));
        let attempts = self.times.attempts + running.unwrap_or_default();
        let first = self.times.first.unwrap_or(now);
        let queued = first.saturating_duration_since(opened);
        let total = now.saturating_duration_since(opened);
        DeliveryCause::TimedOut {
            after,
            spent: TimeSpent {
                queued,
                attempts,
                waiting: total.saturating_sub(queued + attempts),
            },
            last: self.last_error.clone(),
        }
    }

    pub(super) fn timed_out_in_queue(&self, after: Duration) -> DeliveryCause {
        DeliveryCause::TimedOut {
            after,
            spent: TimeSpent {
                queued: after,
                ..TimeSpent::default()
            },
            last: self.last_error.clone(),
        }
    }

    fn take_head(&mut self) -> Option<Arc<Batch<Outcome>>> {
        let head = self.head().cloned()?;
        self.stage = Stage::Idle;
        // An answer that is still to come is for a head that is gone.
        self.attempt += 1;
        self.retry_at = None;
        self.last_error = None;
        self.times = Times::default();
        self.backoff.reset();
        Some(head)
    }
}
