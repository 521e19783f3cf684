//! The one task that sends.
//!
//! It sees which partitions have something due ([`dispatch`]), seals it ([`seal`]), sends one
//! request per leader with one batch of each of its partitions ([`request`]), and lets the
//! partition's sequence decide what an answer means ([`answer`]).
//!
//! - I1. At most one batch of a partition is in flight (or counts as such).
//! - I2. Every batch taken out of a queue is resolved: acknowledged, failed, or, when the driver
//!   ends, failed as closed.
//! - I3. A batch whose `delivery_timeout` has passed has failed, whatever it waits for.
//!
//! Not for accepting records.

mod answer;
mod dispatch;
mod identity;
mod lane;
mod request;
mod seal;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::sleep_until;

use crate::failed::DeliveryCause;
use crate::shared::{Phase, Shared};

use answer::Answered;
use identity::{Granted, Identification};
use lane::{Lane, Stage};
use seal::Sealed;

/// The state of the task.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    /// By slot: every partition this producer has used.
    lanes: BTreeMap<usize, Lane>,
    /// The slots of those that have something to send, or in flight.
    busy: BTreeSet<usize>,
    /// Requests in flight, by the leader's node id.
    in_flight: BTreeMap<i32, usize>,
    identification: Identification,
    work: FuturesUnordered<BoxFuture<'static, Event>>,
    /// Counts dispatches, to serve the partitions in turn.
    tick: u64,
}

/// What the driver waits for, done.
enum Event {
    Sealed(Sealed),
    Answered(Box<Answered>),
    Identified(Granted),
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let identification = Identification::new(&shared.config);
        Self {
            shared,
            lanes: BTreeMap::new(),
            busy: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            identification,
            work: FuturesUnordered::new(),
            tick: 0,
        }
    }

    pub(crate) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            self.adopt();
            while let Some(Some(event)) = self.work.next().now_or_never() {
                self.handle(event);
            }
            if self.is_done() {
                return;
            }
            let now = shared.cluster.env().now();
            let expiry = self.expire(now);
            let due = self.dispatch(now);
            let timer = [expiry, due].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = shared.notify.notified() => {}
                Some(event) = self.work.next() => self.handle(event),
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

    fn adopt(&mut self) {
        for partition in self.shared.take_woken() {
            let slot = partition.slot;
            let config = &self.shared.config;
            let lane = self.lanes.entry(slot);
            lane.or_insert_with(|| Lane::new(partition, config));
            self.busy.insert(slot);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Sealed(sealed) => self.handle_sealed(sealed),
            Event::Answered(answered) => self.handle_answered(*answered),
            Event::Identified(granted) => self.handle_identified(granted),
        }
    }

    /// Fails what is too old, and says when the next batch will be. // I3
    fn expire(&mut self, now: Instant) -> Option<Instant> {
        let timeout = self.shared.config.delivery_timeout;
        let mut next = None;
        for slot in &self.busy {
            let Some(lane) = self.lanes.get_mut(slot) else {
                continue;
            };
            if let Some(opened) = lane.head_opened_at()
                && opened + timeout <= now
            {
                let cause = lane.timed_out(now, timeout);
                let fate = lane.sequence.handle_expired();
                lane.fail_head(&self.shared, fate, cause);
            }
            if let Some(limit) = now.checked_sub(timeout) {
                while let Some(closed) = lane.partition.queue.take_opened_by(limit) {
                    let cause = lane.timed_out_in_queue(timeout);
                    self.shared.fail_unsent(&lane.partition, closed, cause);
                }
            }
            let oldest = lane
                .head_opened_at()
                .or_else(|| lane.partition.queue.oldest());
            let limit = oldest.map(|opened| opened + timeout);
            next = next.into_iter().chain(limit).min();
        }
        next
    }
}

impl Drop for Driver {
    /// Nobody is left to deliver anything. // I2
    fn drop(&mut self) {
        self.shared.enter(Phase::Ending);
        for lane in self.lanes.values_mut() {
            let last = lane.last_error.clone();
            let fate = lane.sequence.handle_expired();
            lane.fail_head(&self.shared, fate, DeliveryCause::Closed { last });
        }
        for partition in self.shared.all_partitions() {
            while let Some(closed) = partition.queue.take() {
                let last = self.lanes.get(&partition.slot);
                let last = last.and_then(|lane| lane.last_error.clone());
                let cause = DeliveryCause::Closed { last };
                self.shared.fail_unsent(&partition, closed, cause);
            }
        }
    }
}

async fn wake_at(timer: Option<Instant>) {
    match timer {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
