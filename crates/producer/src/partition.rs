//! One partition: what waits to be sent ([`Queue`]), what is on its way ([`Flight`]), and where it
//! stands in line.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use milena_accumulator::{Drained, Front};
use milena_codec::Str;

use crate::failed::{DeliveryCause, LastError};
use crate::flight::{Flight, Settled, Travelling};
use crate::metrics::TopicCounts;
use crate::shared::{Outcome, Queue, Shared, lock};

/// A partition that this producer has used.
pub(crate) struct Partition {
    pub(crate) topic: Str,
    pub(crate) index: i32,
    /// Its number among all partitions of the producer.
    pub(crate) slot: usize,
    pub(crate) queue: Queue,
    pub(crate) flight: Mutex<Flight>,
    /// Whether it stands in its leader's line of those that may have something to send now.
    pub(crate) ready: AtomicBool,
    /// Whether it stands in the line of those that send once nothing is in flight there.
    pub(crate) patient: AtomicBool,
    /// The number of the last transaction that its coordinator knows it to be part of.
    pub(crate) joined: AtomicU64,
    pub(crate) counts: Arc<TopicCounts>,
}

/// When a partition wants its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// As soon as its leader's connection takes something.
    Now,
    /// When nothing is in flight to its leader.
    WhenQuiet,
}

impl Partition {
    pub(crate) fn new(topic: Str, index: i32, slot: usize, shared: &Shared) -> Self {
        Self {
            counts: shared.metrics.topic(&topic),
            topic,
            index,
            slot,
            queue: Queue::new(Arc::clone(&shared.accumulator)),
            flight: Mutex::new(Flight::new(&shared.config, shared.transactions.is_some())),
            ready: AtomicBool::new(false),
            patient: AtomicBool::new(false),
            joined: AtomicU64::new(0),
        }
    }

    pub(crate) fn flag(&self, turn: Turn) -> &AtomicBool {
        match turn {
            Turn::Now => &self.ready,
            Turn::WhenQuiet => &self.patient,
        }
    }

    /// Forgets its places in line, which its leader has given up.
    pub(crate) fn leave_lines(&self) {
        self.ready.store(false, Ordering::Release);
        self.patient.store(false, Ordering::Release);
    }

    /// When it wants a turn next, if it has anything to send.
    pub(crate) fn wants(&self, shared: &Shared, now: Instant) -> Option<Turn> {
        {
            let flight = lock(&self.flight);
            if flight.paused_until(now).is_some() {
                return None; // its alarm is set
            }
            if flight.has_retry(now) {
                return Some(Turn::Now);
            }
        }
        match self.queue.front() {
            Front::Empty | Front::Sealing => None,
            Front::Sealed { .. } => Some(Turn::Now),
            Front::Open { due: true, .. } => Some(Turn::Now),
            Front::Open { opened_at, .. } => shared.haste().or({
                match shared.config.linger.time() {
                    None => Some(Turn::WhenQuiet),
                    // Else the alarm that was set when it was opened is still to come.
                    Some(linger) => (opened_at + linger <= now).then_some(Turn::Now),
                }
            }),
        }
    }

    /// Fails everything that was opened at `limit` or before, whatever it waits for.
    pub(crate) fn expire(self: &Arc<Self>, shared: &Arc<Shared>, now: Instant, limit: Instant) {
        let mut settled = Vec::new();
        let last = {
            let mut flight = lock(&self.flight);
            let timeout = shared.config.delivery_timeout;
            flight.give_up(
                |travelling, last| {
                    let expired = travelling.batch.opened_at() <= limit;
                    expired.then(|| travelling.timed_out(now, timeout, last))
                },
                &mut settled,
            );
            flight.last_error.clone()
        };
        shared.settle(self, settled);
        for drained in self.queue.drain(Some(limit)) {
            let cause =
                DeliveryCause::timed_out_in_queue(shared.config.delivery_timeout, last.as_ref());
            fail_drained(shared, drained, cause);
        }
    }

    /// Fails what is on its way as far as `which` says so, and all that waits. Returns how many
    /// records.
    pub(crate) fn fail(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        which: impl Fn(&Travelling) -> bool,
        cause: impl Fn(Option<&LastError>) -> DeliveryCause,
    ) -> u64 {
        let mut settled: Vec<Settled> = Vec::new();
        let last = {
            let mut flight = lock(&self.flight);
            flight.give_up(
                |travelling, last| which(travelling).then(|| cause(last)),
                &mut settled,
            );
            flight.last_error.clone()
        };
        let mut records = settled.iter().map(Settled::failed_records).sum();
        shared.settle(self, settled);
        for drained in self.queue.drain(None) {
            records += u64::from(drained.records());
            fail_drained(shared, drained, cause(last.as_ref()));
        }
        records
    }
}

fn fail_drained(shared: &Shared, drained: Drained<Outcome, Arc<Partition>>, cause: DeliveryCause) {
    match drained {
        Drained::Closed(closed) => shared.fail_unsealed_batch(*closed, cause),
        Drained::Sealed(batch) => shared.fail_unsent(&batch, cause),
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}
