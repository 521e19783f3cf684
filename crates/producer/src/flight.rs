//! What of a partition is on its way, and what its attempts' outcomes mean.
//!
//! The order, the stamps and the fates are [`Sequencer`]'s. A flight adds the bytes, the times, the
//! causes and the pauses between attempts.
//!
//! - I1. Every batch that enters leaves once, as a [`Settled`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milena_codec::Uuid;
use milena_proto::backoff::Backoff;
use milena_proto::sequencer::{
    Attempt, AttemptId, BatchId, Because, Bump, Config, Event, Fate, Identity, Next, Sequencer,
};

use crate::ProducerConfig;
use crate::failed::{DeliveryCause, LastError, TimeSpent};
use crate::metrics::{ErrorKind, Waited};
use crate::shared::Batch;

pub(crate) struct Flight {
    sequencer: Sequencer,
    /// What the sequencer knows by id.
    batches: BTreeMap<BatchId, Travelling>,
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
        cause: DeliveryCause,
        attempts: u32,
    },
    Retry {
        attempts: u32,
        cause: LastError,
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
        exhausted: Option<i64>,
    },
}

impl Flight {
    pub(crate) fn new(config: &ProducerConfig) -> Self {
        Self {
            sequencer: Sequencer::new(Config {
                acks: config.acks,
                idempotent: config.is_idempotent(),
                max_in_flight: config.max_in_flight,
            }),
            batches: BTreeMap::new(),
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
        let next = self.batches.get(&self.sequencer.waiting()?)?;
        Some(next.batch.sealed().len())
    }

    /// Takes in a sealed batch, behind all others.
    pub(crate) fn push(&mut self, batch: Batch) {
        let id = BatchId(batch.cell().id());
        self.sequencer.handle_sealed(id, batch.sealed().count());
        self.batches.insert(id, Travelling::new(batch));
    }

    /// Begins an attempt of the next batch at the leader `to`.
    pub(crate) fn next(&mut self, identity: Option<Identity>, to: i32, now: Instant) -> Prepared {
        match self.sequencer.poll_send(identity, to, now) {
            Next::Send(sending) => {
                if let Some(travelling) = self.batches.get_mut(&sending.id) {
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
        Some(&self.batches.get(&id)?.batch)
    }

    /// What a batch whose attempt has begun did before.
    pub(crate) fn waited(&self, id: BatchId) -> Option<Waited> {
        let travelling = self.batches.get(&id)?;
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
        if let Some(travelling) = self.batches.get_mut(&id) {
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
        for (id, travelling) in &mut self.batches {
            if let Some(cause) = why(travelling, last) {
                travelling.cause = Some(cause);
                given_up.push(*id);
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
                    settled.extend(self.batches.remove(&id).map(|travelling| {
                        Settled::Acknowledged {
                            batch: travelling.batch,
                            offset,
                            log_append_time: travelling.log_append_time,
                            attempts: travelling.attempts,
                        }
                    }));
                }
                Event::Retry { id } => {
                    let attempts = self.batches.get(&id).map(|travelling| travelling.attempts);
                    let cause = self.last_error.clone();
                    settled.extend(
                        attempts
                            .zip(cause)
                            .map(|(attempts, cause)| Settled::Retry { attempts, cause }),
                    );
                }
                Event::Failed { id, fate, because } => {
                    settled.extend(self.batches.remove(&id).map(|travelling| Settled::Failed {
                        fate,
                        cause: travelling.cause.unwrap_or_else(|| cause_of(because)),
                        attempts: travelling.attempts,
                        batch: travelling.batch,
                    }));
                }
                Event::Bumped(bump) => settled.push(Settled::Bumped(bump)),
            }
        }
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
    fn new(batch: Batch) -> Self {
        Self {
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
