//! What of a partition is on its way, and what its attempts' outcomes mean.
//!
//! The order, the stamps and the fates are [`Sequencer`]'s. A flight adds the bytes, the times, the
//! causes and the pauses between attempts.
//!
//! - I1. Every batch that enters leaves once, as a [`Settled`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_codec::Uuid;
use milena_proto::backoff::Backoff;
use milena_proto::sequencer::{
    Attempt, AttemptId, BatchId, Because, Bump, Config, Event, Fate, Identity, Next, Sequencer,
};

use milena_records::SealedBatch;

use crate::ProducerConfig;
use crate::failed::{DeliveryCause, LastError, TimeSpent};
use crate::metrics::{ErrorKind, Waited};
use crate::partition::Partition;
use crate::shared::Batch;

pub(crate) struct Flight {
    sequencer: Sequencer,
    /// What the sequencer knows by id, in the order of sealing.
    batches: VecDeque<Travelling>,
    next_id: u64,
    backoff: Backoff,
    retry_at: Option<Instant>,
    pub(crate) last_error: Option<LastError>,
    /// The node it was last sent to.
    pub(crate) leader: Option<i32>,
    /// The id of the topic that the sequence counts in.
    pub(crate) topic_id: Option<Uuid>,
    /// The request that holds a batch of it, while that request is made.
    pub(crate) request: Option<u64>,
}

/// A batch between its queue and its outcome.
pub(crate) struct Travelling {
    id: BatchId,
    pub(crate) batch: Batch,
    attempts: u32,
    first: Option<Instant>,
    /// When the attempt under way began.
    current: Option<Instant>,
    /// When it was closed, or the last attempt ended.
    since: Instant,
    in_attempts: Duration,
    log_append_time: Option<i64>,
    /// Why it fails, if it does.
    cause: Option<DeliveryCause>,
}

/// What became of a batch, to be told without the lock.
pub(crate) enum Settled {
    Acknowledged {
        batch: Batch,
        offset: Option<i64>,
        log_append_time: Option<i64>,
        attempts: u32,
    },
    Failed {
        batch: Batch,
        fate: Fate,
        because: Because,
        cause: DeliveryCause,
        attempts: u32,
    },
    Retry {
        attempts: u32,
        cause: LastError,
    },
    /// It has to be divided.
    TooLarge {
        id: BatchId,
        sealed: SealedBatch,
        partition: Arc<Partition>,
    },
    Bumped(Bump),
}

impl Settled {
    pub(crate) fn failed_records(&self) -> u64 {
        match self {
            Self::Failed { batch, .. } => u64::from(batch.sealed().count()),
            _ => 0,
        }
    }
}

/// What to send, or why nothing.
pub(crate) enum Prepared {
    Send(AttemptId, BatchId, milena_records::Stamp),
    /// The sequencer has nothing to send; it may be given the next batch.
    Empty,
    /// Something in flight has to come back first.
    Wait,
    NeedsIdentity {
        exhausted: Option<Identity>,
    },
}

impl Flight {
    pub(crate) fn new(config: &ProducerConfig, transactional: bool) -> Self {
        Self {
            sequencer: Sequencer::new(Config {
                acks: config.acks,
                idempotent: config.is_idempotent(),
                transactional,
                max_in_flight: config.max_in_flight,
            }),
            batches: VecDeque::new(),
            next_id: 0,
            backoff: Backoff::new(config.retry_backoff, config.retry_backoff_max),
            retry_at: None,
            last_error: None,
            leader: None,
            topic_id: None,
            request: None,
        }
    }

    /// When something is tried again, if that is later than `now`.
    pub(crate) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.retry_at.filter(|at| *at > now)
    }

    /// Whether a batch waits here that may be sent now. Not one that succeeded before those in
    /// front of it: it waits for them alone.
    pub(crate) fn has_retry(&self, now: Instant) -> bool {
        self.sequencer.waiting().is_some() && self.paused_until(now).is_none()
    }

    /// The size of the batch that would be sent next, if it is here.
    pub(crate) fn next_size(&self) -> Option<usize> {
        let next = self.batch(self.sequencer.waiting()?)?;
        Some(next.sealed().len())
    }

    /// How many batches wait here to be sent again.
    pub(crate) fn retries(&self) -> usize {
        let waiting = self.batches.iter().filter(|batch| batch.is_idle());
        waiting.count()
    }

    /// Takes in a sealed batch, behind all others.
    pub(crate) fn push(&mut self, batch: Batch) {
        let id = self.name();
        self.sequencer.handle_sealed(id, batch.sealed().count());
        self.batches.push_back(Travelling::new(id, batch));
    }

    /// Puts parts in the place of a batch that was too large. Returns how many, unless it was given
    /// up meanwhile.
    pub(crate) fn divide(&mut self, id: BatchId, parts: Vec<SealedBatch>) -> Option<usize> {
        let at = self.batches.iter().position(|one| one.id == id)?;
        let parts = self.batches[at].batch.divide(parts)?;
        let whole = self.batches.remove(at)?;
        let count = parts.len();
        let mut names = Vec::with_capacity(count);
        for (at, batch) in (at..).zip(parts) {
            let id = self.name();
            names.push((id, batch.sealed().count()));
            self.batches.insert(at, whole.part(id, batch));
        }
        let divided = self.sequencer.handle_split(id, &names);
        debug_assert!(divided, "the sequencer knows what the flight knows");
        Some(count)
    }

    /// Begins an attempt of the next batch at the leader `to`.
    pub(crate) fn next(&mut self, identity: Option<Identity>, to: i32, now: Instant) -> Prepared {
        match self.sequencer.poll_send(identity, to, now) {
            Next::Send(sending) => {
                if let Some(travelling) = self.find(sending.id) {
                    travelling.begin(now);
                }
                Prepared::Send(sending.attempt, sending.id, sending.stamp)
            }
            Next::Empty => Prepared::Empty,
            Next::Wait => Prepared::Wait,
            Next::NeedsIdentity { exhausted } => Prepared::NeedsIdentity { exhausted },
        }
    }

    pub(crate) fn batch(&self, id: BatchId) -> Option<&Batch> {
        let travelling = self.batches.iter().find(|one| one.id == id);
        travelling.map(|travelling| &travelling.batch)
    }

    /// What a batch whose attempt has begun did before.
    pub(crate) fn waited(&self, id: BatchId) -> Option<Waited> {
        let travelling = self.batches.iter().find(|one| one.id == id)?;
        Some(Waited {
            opened_at: travelling.batch.opened_at(),
            since: travelling.since,
            attempts: travelling.attempts,
            last: self.last_error.as_ref().map(ErrorKind::of_last),
        })
    }

    /// Takes an attempt's outcome. `cause` is the failure, should this be one.
    pub(crate) fn finish(
        &mut self,
        (id, attempt): (BatchId, AttemptId),
        outcome: Attempt,
        told: Told,
        now: Instant,
        settled: &mut Vec<Settled>,
    ) {
        if let Some(travelling) = self.find(id) {
            travelling.end(now);
            travelling.log_append_time = told.log_append_time;
            travelling.cause = told.cause;
        }
        self.last_error = told.error.or(self.last_error.take());
        self.sequencer.handle_attempt(attempt, outcome);
        self.drain(settled);
    }

    /// Waits before the next attempt; returns until when. A wait that has begun stays.
    pub(crate) fn pause(&mut self, now: Instant, random: u64) -> Instant {
        if let Some(at) = self.paused_until(now) {
            return at;
        }
        let at = now + self.backoff.next(random);
        self.retry_at = Some(at);
        at
    }

    /// What it waited for has come.
    pub(crate) fn end_pause(&mut self) {
        self.retry_at = None;
    }

    /// Gives batches up: those for which `why` has a cause.
    pub(crate) fn give_up(
        &mut self,
        why: impl Fn(&Travelling, Option<&LastError>) -> Option<DeliveryCause>,
        settled: &mut Vec<Settled>,
    ) {
        let last = self.last_error.as_ref();
        let mut given_up = Vec::new();
        for travelling in &mut self.batches {
            if let Some(cause) = why(travelling, last) {
                travelling.cause = Some(cause);
                given_up.push(travelling.id);
            }
        }
        for id in given_up {
            self.sequencer.handle_expired(id);
            self.drain(settled);
        }
    }

    /// The topic was deleted and created again.
    pub(crate) fn replace_topic(&mut self, settled: &mut Vec<Settled>) {
        self.sequencer.handle_topic_replaced();
        self.drain(settled);
    }

    // I1
    fn drain(&mut self, settled: &mut Vec<Settled>) {
        while let Some(event) = self.sequencer.poll_event() {
            match event {
                Event::Acknowledged { id, offset } => {
                    self.backoff.reset();
                    self.retry_at = None;
                    self.last_error = None;
                    let acknowledged = self.remove(id);
                    settled.extend(acknowledged.map(|one| one.acknowledged(offset)));
                }
                Event::Retry { id } => {
                    let attempts = self.find(id).map(|travelling| travelling.attempts);
                    let cause = self.last_error.clone();
                    settled.extend(
                        attempts
                            .zip(cause)
                            .map(|(attempts, cause)| Settled::Retry { attempts, cause }),
                    );
                }
                Event::TooLarge { id } => {
                    let found = self.find(id).map(|travelling| &travelling.batch);
                    settled.extend(found.map(|batch| Settled::TooLarge {
                        id,
                        sealed: batch.sealed().clone(),
                        partition: Arc::clone(batch.cell().owner()),
                    }));
                }
                Event::Failed { id, fate, because } => {
                    let failed = self.remove(id);
                    settled.extend(failed.map(|one| one.failed(fate, because)));
                }
                Event::Bumped(bump) => settled.push(Settled::Bumped(bump)),
            }
        }
    }

    fn name(&mut self) -> BatchId {
        self.next_id += 1;
        BatchId(self.next_id)
    }

    fn find(&mut self, id: BatchId) -> Option<&mut Travelling> {
        self.batches.iter_mut().find(|one| one.id == id)
    }

    fn remove(&mut self, id: BatchId) -> Option<Travelling> {
        let at = self.batches.iter().position(|one| one.id == id)?;
        self.batches.remove(at)
    }
}

/// What an answer, or its absence, says besides the outcome.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) log_append_time: Option<i64>,
    pub(crate) error: Option<LastError>,
    pub(crate) cause: Option<DeliveryCause>,
}

fn cause_of(because: Because) -> DeliveryCause {
    match because {
        Because::Refused(code) | Because::State(code) => DeliveryCause::Refused {
            code,
            message: None,
            record_errors: Vec::new(),
        },
        Because::TopicReplaced => DeliveryCause::TopicReplaced,
        Because::Expired => DeliveryCause::Closed { last: None },
    }
}

impl Travelling {
    fn new(id: BatchId, batch: Batch) -> Self {
        Self {
            id,
            since: batch.closed_at(),
            batch,
            attempts: 0,
            first: None,
            current: None,
            in_attempts: Duration::ZERO,
            log_append_time: None,
            cause: None,
        }
    }

    /// A part of it, which has its past.
    fn part(&self, id: BatchId, batch: Batch) -> Self {
        Self {
            attempts: self.attempts,
            first: self.first,
            in_attempts: self.in_attempts,
            since: self.since,
            ..Self::new(id, batch)
        }
    }

    pub(crate) fn id(&self) -> BatchId {
        self.id
    }

    fn acknowledged(self, offset: Option<i64>) -> Settled {
        Settled::Acknowledged {
            offset,
            log_append_time: self.log_append_time,
            attempts: self.attempts,
            batch: self.batch,
        }
    }

    fn failed(self, fate: Fate, because: Because) -> Settled {
        Settled::Failed {
            fate,
            because,
            // What its last attempt met is not why.
            cause: match because {
                Because::TopicReplaced => DeliveryCause::TopicReplaced,
                _ => self.cause.unwrap_or_else(|| cause_of(because)),
            },
            attempts: self.attempts,
            batch: self.batch,
        }
    }

    /// Whether it was never sent.
    pub(crate) fn is_unsent(&self) -> bool {
        self.attempts == 0
    }

    /// Whether it is not in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.current.is_none()
    }

    fn begin(&mut self, now: Instant) {
        self.attempts = self.attempts.saturating_add(1);
        self.first.get_or_insert(now);
        self.current = Some(now);
        self.cause = None;
    }

    fn end(&mut self, now: Instant) {
        if let Some(begun) = self.current.take() {
            self.in_attempts += now.saturating_duration_since(begun);
            self.since = now;
        }
    }

    pub(crate) fn timed_out(
        &self,
        now: Instant,
        after: Duration,
        last: Option<&LastError>,
    ) -> DeliveryCause {
        let opened = self.batch.opened_at();
        let running = self
            .current
            .map(|begun| now.saturating_duration_since(begun));
        let attempts = self.in_attempts + running.unwrap_or_default();
        let first = self.first.unwrap_or(now);
        let queued = first.saturating_duration_since(opened);
        let total = now.saturating_duration_since(opened);
        DeliveryCause::TimedOut {
            after,
            spent: TimeSpent {
                queued,
                attempts,
                waiting: total.saturating_sub(queued + attempts),
            },
            last: last.cloned(),
        }
    }
}
