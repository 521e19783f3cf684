//! The task that runs a producer's transactions: calls to the coordinators, what their answers mean
//! for the partitions, and the way to the end of each transaction.
//!
//! - I1. Each call of the core is answered once.
//! - I2. A transaction whose handle is gone ends all the same.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, future};
use milena_net::Address;
use milena_proto::backoff::Backoff;
use milena_proto::transaction::{Call, CallId, Cause, Coordinator, Event, Outcome, Reply, State};
use milena_rpc::{CallError, CoordinatorKind};

use super::TransactionConfig;
use super::calls::{Caller, Returned, Seen};
use super::state::{Coordination, Ending, Finish, Start};
use crate::driver::wake_at;
use crate::flight::Travelling;
use crate::partition::Turn;
use crate::shared::{Phase, Shared, lock};

/// The state of the task.
pub(crate) struct TransactionDriver {
    shared: Arc<Shared>,
    state: Arc<Coordination>,
    caller: Caller,
    calls: FuturesUnordered<BoxFuture<'static, Returned>>,
    /// Looks the cluster's level up.
    level: Option<BoxFuture<'static, Result<Seen, CallError>>>,
    seen: Option<Seen>,
    /// When it is looked up again, and how long the next wait is.
    level_at: Option<Instant>,
    backoff: Backoff,
    /// Waits for the batches of a transaction that ends.
    draining: Option<BoxFuture<'static, ()>>,
    /// Who answered last.
    coordinator: Option<Address>,
    group: Option<Address>,
    /// When a transaction that nobody holds any more is left to its coordinator.
    leave_at: Option<Instant>,
}

impl TransactionDriver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        state: Arc<Coordination>,
        config: &TransactionConfig,
    ) -> Self {
        let timeout = config.transaction_timeout.as_millis();
        let caller = Caller {
            shared: Arc::clone(&shared),
            transactional_id: config.transactional_id.clone(),
            timeout_ms: i32::try_from(timeout).unwrap_or(i32::MAX),
            unstable: config.two_phase_commit,
        };
        Self {
            state,
            caller,
            calls: FuturesUnordered::new(),
            level: None,
            seen: None,
            level_at: None,
            backoff: Backoff::new(shared.config.retry_backoff, shared.config.retry_backoff_max),
            draining: None,
            coordinator: None,
            group: None,
            leave_at: None,
            shared,
        }
    }

    pub(crate) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let state = Arc::clone(&self.state);
        loop {
            let now = shared.now();
            self.advance(now);
            if self.is_done(now) {
                return;
            }
            let timer = self.next_timer();
            tokio::select! {
                biased;
                () = state.notify.notified() => {}
                Some(returned) = self.calls.next(), if !self.calls.is_empty() => {
                    self.handle_returned(returned);
                }
                seen = pending_or(&mut self.level) => {
                    self.level = None;
                    self.handle_level(seen);
                }
                () = pending_or(&mut self.draining) => self.draining = None,
                () = wake_at(timer) => {
                    let now = shared.now();
                    lock(&state.inner).core.handle_timeout(now);
                }
            }
        }
    }

    fn is_done(&mut self, now: Instant) -> bool {
        match self.shared.phase() {
            Phase::Open => return false,
            Phase::Ending => return true,
            Phase::Draining => {}
        }
        let inner = lock(&self.state.inner);
        let idle = inner.ending.is_none() && !inner.is_open();
        let leave_at = *self
            .leave_at
            .get_or_insert(now + self.shared.config.max_block);
        idle || leave_at <= now
    }

    fn next_timer(&self) -> Option<Instant> {
        let inner = lock(&self.state.inner);
        let deadline = inner.ending.and_then(|ending| ending.deadline);
        let timers = [
            inner.core.poll_timeout(),
            deadline,
            self.leave_at,
            self.level_at,
        ];
        timers.into_iter().flatten().min()
    }

    /// Does all that can be done now.
    fn advance(&mut self, now: Instant) {
        loop {
            self.start(now);
            let approached = self.approach_end(now);
            let (events, calls) = self.poll();
            if events.is_empty() && calls.is_empty() && !approached {
                return;
            }
            for event in events {
                self.handle_event(event);
            }
            for (id, call) in calls {
                self.make(id, call);
            }
            self.state.changed.notify_waiters();
        }
    }

    fn poll(&self) -> (Vec<Event>, Vec<(CallId, Call)>) {
        let mut inner = lock(&self.state.inner);
        let events = std::iter::from_fn(|| inner.core.poll_event()).collect();
        let calls = std::iter::from_fn(|| inner.core.poll_call()).collect();
        (events, calls)
    }

    /// Begins the core's life, once the cluster's level is known.
    fn start(&mut self, now: Instant) {
        let mut inner = lock(&self.state.inner);
        self.level_at = self.level_at.filter(|at| *at > now);
        if inner.starts.is_none() || self.level.is_some() || self.level_at.is_some() {
            return;
        }
        let Some(seen) = self.seen else {
            let caller = self.caller.clone();
            self.level = Some(async move { caller.level().await }.boxed());
            return;
        };
        inner.core.handle_level(seen.level);
        let started = match inner.starts.take() {
            Some(Start::Init) => inner.core.init(),
            Some(Start::Resume(token, complete)) => inner.core.resume(token, complete),
            None => Ok(()),
        };
        if let Err(misuse) = started {
            tracing::error!(%misuse, "a transaction's command came too late");
        }
    }

    fn handle_level(&mut self, seen: Result<Seen, CallError>) {
        match seen {
            Ok(seen) => self.see(seen),
            Err(error) => {
                self.note(&Arc::new(error));
                let wait = self.backoff.next(self.shared.random());
                self.level_at = Some(self.shared.now() + wait);
                let mut inner = lock(&self.state.inner);
                if inner.broken.is_some() {
                    inner.starts = None;
                }
                drop(inner);
                self.state.changed.notify_waiters();
            }
        }
    }

    /// The newest word on the level counts.
    fn see(&mut self, seen: Seen) {
        if self.seen.is_none_or(|known| seen.epoch >= known.epoch) {
            self.seen = Some(seen);
            lock(&self.state.inner).core.handle_level(seen.level);
        }
    }

    fn note(&self, error: &Arc<CallError>) {
        let mut inner = lock(&self.state.inner);
        inner.last_error = Some(Arc::clone(error));
        let unsupported = matches!(
            **error,
            CallError::Attempt(milena_net::CallError::Unsupported { .. })
        );
        let refused = matches!(**error, CallError::NoCoordinator { .. });
        if !error.is_retriable() && !unsupported && !refused {
            inner.broken = Some(Arc::clone(error));
        }
    }

    fn make(&mut self, id: CallId, call: Call) {
        let offsets = {
            let inner = lock(&self.state.inner);
            match &call {
                Call::AddOffsets { offsets, .. } | Call::TxnOffsetCommit { offsets, .. } => {
                    inner.offsets.get(offsets).cloned()
                }
                _ => None,
            }
        };
        tracing::debug!(?call, "transaction call");
        let caller = self.caller.clone();
        self.calls.push(caller.make(id, call, offsets).boxed());
    }

    // I1
    fn handle_returned(&mut self, returned: Returned) {
        tracing::debug!(reply = ?returned.reply, "transaction call returned");
        let group = matches!(returned.reply, Reply::TxnOffsetCommit(_));
        let from = returned.from;
        if group {
            self.group = from.or(self.group.take());
        } else {
            self.coordinator = from.or(self.coordinator.take());
        }
        match &returned.error {
            Some(error) => self.note(error),
            None => lock(&self.state.inner).broken = None,
        }
        if let Some(seen) = returned.seen {
            self.see(seen);
        }
        let (now, random) = (self.shared.now(), self.shared.random());
        let mut inner = lock(&self.state.inner);
        let core = &mut inner.core;
        core.handle_reply(returned.id, returned.reply, now, random);
    }

    fn handle_event(&mut self, event: Event) {
        tracing::debug!(?event, "transaction event");
        match event {
            Event::PartitionsAdded(names) => {
                let joined = self.state.joined(&mut lock(&self.state.inner), &names);
                for partition in joined {
                    self.shared.schedule(&partition, Turn::Now);
                }
            }
            Event::OffsetsSent(id) => {
                lock(&self.state.inner).offsets.remove(&id);
            }
            Event::Ended { outcome, .. } => self.handle_ended(outcome),
            Event::MustAbort(cause) => self.handle_must_abort(&Arc::new(cause)),
            Event::Fatal(cause) => self.handle_fatal(&Arc::new(cause)),
            Event::Moved(coordinator) => self.forget(coordinator),
            Event::Bumping(bump) => tracing::info!(?bump, "the producer's epoch is being raised"),
            Event::Ready { .. } | Event::PreparedFound(_) => {}
        }
    }

    fn handle_ended(&self, outcome: Outcome) {
        let mut inner = lock(&self.state.inner);
        inner.finish(match outcome {
            Outcome::Committed => Finish::Committed,
            Outcome::Aborted => Finish::Aborted,
            Outcome::Unknown(token) => Finish::Unknown(token),
        });
        inner.ending = None;
        inner.joining.clear();
        inner.offsets.clear();
    }

    /// The transaction can only be aborted, and what is not sent yet never will be.
    fn handle_must_abort(&self, cause: &Arc<Cause>) {
        {
            let mut inner = lock(&self.state.inner);
            inner.cause.get_or_insert_with(|| Arc::clone(cause));
            if let Some(ending) = &mut inner.ending {
                let committing = ending.commit;
                *ending = Ending {
                    commit: false,
                    deadline: None,
                    told: false,
                };
                if committing {
                    inner.finish(Finish::NotCommitted(Arc::clone(cause)));
                }
            }
        }
        self.give_up();
    }

    fn handle_fatal(&self, cause: &Arc<Cause>) {
        tracing::error!(%cause, "the transactional producer has failed for good");
        {
            let mut inner = lock(&self.state.inner);
            inner.fatal = Some(Arc::clone(cause));
            inner.ending = None;
            inner.finish(Finish::Fatal(Arc::clone(cause)));
        }
        self.give_up();
    }

    /// Stops the transaction and fails what is not in flight.
    fn give_up(&self) {
        self.state.stop();
        self.shared.set_identity(None);
        for partition in self.shared.all_partitions() {
            partition.fail(&self.shared, Travelling::is_idle, |_| {
                self.state.stop_cause()
            });
        }
    }

    /// Takes a transaction that is to end a step further, if that is possible now.
    fn approach_end(&mut self, now: Instant) -> bool {
        let (ending, state) = {
            let inner = lock(&self.state.inner);
            (inner.ending, inner.core.state())
        };
        let Some(ending) = ending else { return false };
        if ending.deadline.is_some_and(|deadline| deadline <= now) {
            self.handle_deadline(ending);
            return true;
        }
        if ending.told {
            return false;
        }
        if ending.commit && state == State::MustAbort {
            let cause = lock(&self.state.inner).cause.clone();
            // Without a cause its event is still to come.
            return cause.is_some_and(|cause| {
                self.handle_must_abort(&cause);
                true
            });
        }
        if !ending.commit && !self.state.is_stopped() {
            self.give_up();
        }
        if self.shared.accumulator.is_idle() {
            self.tell(ending);
            return true;
        }
        if self.draining.is_none() {
            self.draining = Some(drain(Arc::clone(&self.shared)));
        }
        false
    }

    /// All batches have come to an end: the core takes over.
    fn tell(&mut self, ending: Ending) {
        self.draining = None;
        self.state.stop();
        self.shared.set_identity(None);
        let mut inner = lock(&self.state.inner);
        let told = if ending.commit {
            inner.core.commit()
        } else {
            inner.core.abort()
        };
        match told {
            Ok(()) => {
                if let Some(ending) = &mut inner.ending {
                    ending.told = true;
                }
            }
            // It has failed at this moment, which its event says.
            Err(_) if matches!(inner.core.state(), State::MustAbort | State::Fatal) => {}
            Err(misuse) => {
                tracing::error!(%misuse, "a transaction cannot be ended");
                inner.ending = None;
            }
        }
    }

    fn handle_deadline(&mut self, ending: Ending) {
        {
            let mut inner = lock(&self.state.inner);
            if let Some(ending) = &mut inner.ending {
                ending.deadline = None;
            }
            if ending.told {
                inner.core.handle_deadline();
                return;
            }
        }
        self.handle_must_abort(&Arc::new(Cause::Deadline));
    }

    fn forget(&self, coordinator: Coordinator) {
        let cluster = &self.shared.cluster;
        match coordinator {
            Coordinator::Transaction => {
                if let Some(address) = &self.coordinator {
                    let id = &self.caller.transactional_id;
                    cluster.forget_coordinator(CoordinatorKind::Transaction, id, address);
                }
            }
            Coordinator::Group(id) => {
                let offsets = lock(&self.state.inner).offsets.get(&id).cloned();
                if let (Some(address), Some(offsets)) = (&self.group, offsets) {
                    let group = &offsets.group.group_id;
                    cluster.forget_coordinator(CoordinatorKind::Group, group, address);
                }
            }
        }
    }
}

/// Sends what lingers, and waits until every batch has come to its end.
fn drain(shared: Arc<Shared>) -> BoxFuture<'static, ()> {
    async move {
        let _flushing = shared.flushing();
        for cell in shared.accumulator.outstanding() {
            cell.resolved().await;
        }
    }
    .boxed()
}

async fn pending_or<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => future::pending().await,
    }
}
