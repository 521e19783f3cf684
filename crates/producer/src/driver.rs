//! The one task that looks after what no event of a socket takes care of: routes, producer id,
//! alarms, hurry, and the end of time.
//!
//! Batches do not pass through it: they go from [`send`](crate::Producer::send) to a connection's
//! task and back.
//!
//! - I1. When the driver ends, everything that is left fails as closed.
//! - I2. A batch whose `delivery_timeout` has passed has failed, whatever it waits for.

mod identity;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use milena_rpc::{Changes, RefreshReason, Snapshot};
use tokio::time::sleep_until;

use crate::failed::{DeliveryCause, LastError};
use crate::partition::{Partition, Turn};
use crate::shared::{Cell, Obstacle, Phase, Shared, lock};

use identity::{Granted, Identification};

/// How often the topics in use are named to the metadata cache, which forgets idle ones.
const TOUCH: Duration = Duration::from_secs(60);

/// When to look again at an expired batch that is being sealed.
const SEALING: Duration = Duration::from_millis(10);

/// The state of the task.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    changes: Changes,
    seen: Arc<Snapshot>,
    identification: Identification,
    asking: Option<BoxFuture<'static, Granted>>,
    /// By slot: partitions without a leader.
    leaderless: BTreeMap<usize, Arc<Partition>>,
    touch_at: Instant,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            changes: shared.cluster.changes(),
            seen: shared.cluster.snapshot(),
            identification: Identification::new(&shared.config, shared.transactions.is_some()),
            asking: None,
            leaderless: BTreeMap::new(),
            touch_at: shared.now() + TOUCH,
            shared,
        }
    }

    pub(crate) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let now = shared.now();
            self.attend(now);
            if self.is_done() {
                return;
            }
            let timer = self.next_timer(now);
            let asking = &mut self.asking;
            let granted = async {
                match asking {
                    Some(answer) => answer.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = shared.notify.notified() => {}
                () = self.changes.changed() => {}
                granted = granted => {
                    self.asking = None;
                    self.handle_granted(granted);
                }
                () = wake_at(timer) => {}
            }
        }
    }

    fn is_done(&self) -> bool {
        match self.shared.phase() {
            Phase::Open => false,
            Phase::Draining => self.shared.accumulator.is_idle(),
            Phase::Ending => true,
        }
    }

    fn attend(&mut self, now: Instant) {
        self.heed_metadata();
        for stalled in self.shared.take_stalled() {
            match stalled.by {
                Obstacle::NoLeader => self.await_leader(stalled.partition, now),
                Obstacle::NoIdentity { exhausted } => {
                    self.await_identity(stalled.partition, exhausted);
                }
            }
        }
        self.ask(now);
        self.heed_identity();
        for partition in self.shared.alarms.take_due(now) {
            self.shared.schedule(&partition, Turn::Now);
        }
        if self.shared.hurried.swap(false, Ordering::AcqRel)
            && let Some(turn) = self.shared.haste()
        {
            for cell in self.shared.accumulator.outstanding() {
                self.shared.schedule(cell.owner(), turn);
            }
        }
        self.expire(now);
        if self.touch_at <= now {
            self.touch(now);
        }
    }

    /// Tells topics and lines of new metadata.
    fn heed_metadata(&mut self) {
        let snapshot = self.shared.cluster.snapshot();
        let closed = self.shared.cluster.is_closed();
        if Arc::ptr_eq(&snapshot, &self.seen) && !closed {
            return;
        }
        for topic in self.shared.topics() {
            topic.see(snapshot.topic(&topic.name));
        }
        self.seen = snapshot;
        let outboxes: Vec<_> = lock(&self.shared.outboxes).values().cloned().collect();
        for outbox in outboxes {
            for partition in outbox.give_up_lines() {
                self.line_up_again(&partition);
            }
        }
        for partition in std::mem::take(&mut self.leaderless).into_values() {
            if self.has_leader(&partition) {
                lock(&partition.flight).end_pause();
            }
            self.line_up_again(&partition);
        }
    }

    fn has_leader(&self, partition: &Partition) -> bool {
        let leader = self.seen.leader(&partition.topic, partition.index);
        leader.is_some()
    }

    fn line_up_again(&self, partition: &Arc<Partition>) {
        let shared = &self.shared;
        if let Some(turn) = partition.wants(shared, shared.now()) {
            shared.schedule(partition, turn);
        }
    }

    fn await_leader(&mut self, partition: Arc<Partition>, now: Instant) {
        let shared = &self.shared;
        let at = {
            let mut flight = lock(&partition.flight);
            flight.last_error = Some(LastError::NoLeader);
            flight.pause(now, shared.random())
        };
        shared.alarms.set(at, &partition);
        shared.cluster.touch(&partition.topic);
        shared.cluster.refresh(RefreshReason::NoLeader);
        self.leaderless.insert(partition.slot, partition);
    }

    /// Fails what is too old. // I2
    fn expire(&self, now: Instant) {
        let timeout = self.shared.config.delivery_timeout;
        let Some(limit) = now.checked_sub(timeout) else {
            return;
        };
        let expired = |cell: &Arc<Cell>| cell.opened_at() <= limit;
        while let Some(oldest) = self.shared.accumulator.oldest().filter(expired) {
            oldest.owner().expire(&self.shared, now, limit);
            if self
                .shared
                .accumulator
                .oldest()
                .is_some_and(|next| next.id() == oldest.id())
            {
                // It is being sealed, and comes back to its sealer.
                return;
            }
        }
    }

    fn touch(&mut self, now: Instant) {
        for topic in self.shared.topics() {
            if topic.used.swap(false, Ordering::Relaxed) {
                self.shared.cluster.touch(&topic.name);
            }
        }
        self.touch_at = now + TOUCH;
    }

    fn next_timer(&self, now: Instant) -> Option<Instant> {
        let timeout = self.shared.config.delivery_timeout;
        // Nobody tells of a batch that is opened later: it cannot expire earlier than this.
        let expiry = match self.shared.accumulator.oldest() {
            Some(cell) => (cell.opened_at() + timeout).max(now + SEALING),
            None => now + timeout,
        };
        let alarm = self.shared.alarms.next();
        let times = [
            Some(expiry),
            alarm,
            self.identification.retry_at(),
            Some(self.touch_at),
        ];
        times.into_iter().flatten().min()
    }
}

impl Drop for Driver {
    /// Nobody is left to deliver anything. // I1
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.enter(Phase::Ending);
        for partition in shared.all_partitions() {
            let cause = |last: Option<&LastError>| DeliveryCause::Closed {
                last: last.cloned(),
            };
            partition.fail(shared, |_| true, cause);
        }
        for outbox in std::mem::take(&mut *lock(&shared.outboxes)).into_values() {
            outbox.detach();
        }
    }
}

pub(crate) async fn wake_at(timer: Option<Instant>) {
    match timer {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
