//! What a socket's task and its users share.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use milena_proto::wire::BrokerVersions;
use tokio::sync::Notify;

use crate::call::CallQueue;
use crate::{Address, ConnectError, NetConfig, Outbox, Stage};

/// What a socket is for. A broker serves one request at a time per socket, so requests that wait
/// for something have lanes of their own. The numbers are the users' ids, for example a producer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Produce requests of one producer.
    Produce(u64),
    /// Metadata, look-ups and commits.
    Main,
    /// Fetch requests of one consumer, or all requests of one share member.
    Fetch(u64),
    /// JoinGroup, SyncGroup and heartbeats of one member, or a transactional id's requests.
    Coordinator(u64),
    /// Admin requests that the broker answers when they are carried out.
    Slow,
    /// Produce requests with acks=0 of one producer, on whose errors the broker closes the socket.
    Unacknowledged(u64),
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Produce(id) => write!(f, "produce-{id}"),
            Self::Main => f.write_str("main"),
            Self::Fetch(id) => write!(f, "fetch-{id}"),
            Self::Coordinator(id) => write!(f, "coordinator-{id}"),
            Self::Slow => f.write_str("slow"),
            Self::Unacknowledged(id) => write!(f, "unacknowledged-{id}"),
        }
    }
}

/// One lane to one broker: where an [`Outbox`] is attached. Keeps the lane's task, not its socket,
/// alive.
#[derive(Clone, Debug)]
pub struct LaneHandle(pub(crate) Arc<LaneShared>);

impl LaneHandle {
    /// The broker.
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    /// The lane.
    pub fn lane(&self) -> Lane {
        self.0.lane
    }

    /// Lets `outbox` take part in the rotation of this socket. It learns of the end of the lane by
    /// [`Outcome::Lost`](crate::Outcome::Lost) only for what it has in flight.
    pub fn attach(&self, outbox: Arc<dyn Outbox>) {
        self.0.control().outboxes.push(outbox);
        self.wake();
    }

    /// Takes nothing more from `outbox`. What is in flight still finishes.
    pub fn detach(&self, outbox: &Arc<dyn Outbox>) {
        let mut control = self.0.control();
        control.outboxes.retain(|other| !Arc::ptr_eq(other, outbox));
        drop(control);
        self.wake();
    }

    /// Says that an attached outbox may have work.
    pub fn wake(&self) {
        self.0.waker.wake();
    }

    /// Whether the lane has ended, so that another has to be asked for.
    pub fn is_ended(&self) -> bool {
        self.0.link().ended.is_some()
    }
}

/// The shared part of one lane.
#[derive(Debug)]
pub(crate) struct LaneShared {
    pub(crate) address: Address,
    pub(crate) lane: Lane,
    pub(crate) waker: AtomicWaker,
    pub(crate) calls: CallQueue,
    link: Mutex<Link>,
    /// Wakes in the order of arrival, which keeps calls in order and runs reproducible.
    link_changed: Notify,
    /// Callers that wait for a connection.
    waiters: AtomicUsize,
    control: Mutex<Control>,
    /// Whether the task has yet to take note of a throttle.
    muted: AtomicBool,
    pub(crate) flights: Flights,
}

/// What the task has in flight, for those who look for the broker with the least to do.
#[derive(Debug)]
pub(crate) struct Flights {
    epoch: Instant,
    count: AtomicUsize,
    /// When the oldest was sent, in milliseconds since the epoch.
    oldest: AtomicU64,
}

impl Flights {
    pub(crate) fn note(&self, count: usize, oldest: Option<Instant>) {
        let since = oldest.map_or(Duration::ZERO, |at| {
            at.saturating_duration_since(self.epoch)
        });
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.oldest.store(millis, Ordering::Relaxed);
        self.count.store(count, Ordering::Relaxed);
    }

    /// How many there are, and for how long the oldest has been unanswered.
    pub(crate) fn now(&self, now: Instant) -> (usize, Duration) {
        let count = self.count.load(Ordering::Relaxed);
        let sent = Duration::from_millis(self.oldest.load(Ordering::Relaxed));
        let age = now.saturating_duration_since(self.epoch);
        match count {
            0 => (0, Duration::ZERO),
            _ => (count, age.saturating_sub(sent)),
        }
    }
}

/// What users ask of the task.
#[derive(Debug, Default)]
pub(crate) struct Control {
    pub(crate) outboxes: Vec<Arc<dyn Outbox>>,
    /// Outlives the connection: a new one does not evade a quota.
    pub(crate) mute_until: Option<Instant>,
    pub(crate) stop: Option<Ended>,
}

/// What the task tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    /// The versions negotiated on the open connection.
    pub(crate) up: Option<Arc<BrokerVersions>>,
    /// Attempts to connect that failed.
    pub(crate) failures: u64,
    pub(crate) last_error: Option<ConnectError>,
    /// What the current attempt is at.
    pub(crate) stage: Option<Stage>,
    pub(crate) ended: Option<Ended>,
}

/// Why a lane takes no more calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The pool is closing: what was accepted is finished first.
    Closed,
    /// The address is no longer in use: everything is lost at once.
    Forgotten,
    /// The task panicked.
    Failed,
}

impl LaneShared {
    pub(crate) fn new(address: Address, lane: Lane, config: &NetConfig, now: Instant) -> Self {
        Self {
            address,
            lane,
            waker: AtomicWaker::new(),
            calls: CallQueue::new(config.max_queued),
            link: Mutex::default(),
            link_changed: Notify::new(),
            waiters: AtomicUsize::new(0),
            control: Mutex::new(Control::default()),
            muted: AtomicBool::new(false),
            flights: Flights {
                epoch: now,
                count: AtomicUsize::new(0),
                oldest: AtomicU64::new(0),
            },
        }
    }

    pub(crate) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the end of the lane.
    pub(crate) fn stop(&self, why: Ended) {
        self.control().stop.get_or_insert(why);
        self.calls.refuse(why);
        self.waker.wake();
    }

    pub(crate) fn stopped(&self) -> Option<Ended> {
        self.control().stop
    }

    /// Sends nothing before `until`; returns by how much that prolongs an earlier mute.
    pub(crate) fn mute(&self, now: Instant, until: Instant) -> Duration {
        let mut control = self.control();
        let before = control.mute_until.map_or(now, |old| old.max(now));
        control.mute_until = Some(before.max(until));
        drop(control);
        self.muted.store(true, Ordering::Release);
        self.waker.wake();
        until.saturating_duration_since(before)
    }

    /// Until when nothing may be sent, if the task does not know yet.
    pub(crate) fn news_of_mute(&self) -> Option<Instant> {
        if !self.muted.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.control().mute_until
    }

    /// Until when nothing may be sent; `None` if something may.
    pub(crate) fn muted_until(&self, now: Instant) -> Option<Instant> {
        self.control().mute_until.filter(|until| *until > now)
    }

    /// Whether somebody wants a connection.
    pub(crate) fn has_demand(&self) -> bool {
        if self.waiters.load(Ordering::Acquire) > 0 || self.calls.has_work() {
            return true;
        }
        // Outboxes are asked without the lock, which they may need.
        let outboxes = self.control().outboxes.clone();
        outboxes.iter().any(|outbox| outbox.has_work())
    }

    /// Waits until there is a connection, an attempt from now on has failed, or the lane ends.
    pub(crate) async fn settled(&self) -> Link {
        let _waiting = Waiting::new(&self.waiters);
        let before = self.link().failures;
        self.waker.wake();
        loop {
            let mut changed = pin!(self.link_changed.notified());
            changed.as_mut().enable();
            let link = self.link().clone();
            if link.up.is_some() || link.ended.is_some() || link.failures > before {
                return link;
            }
            changed.await;
        }
    }

    pub(crate) fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the current attempt is at.
    pub(crate) fn at(&self, stage: Option<Stage>) {
        self.link().stage = stage;
    }

    pub(crate) fn up(&self, versions: Arc<BrokerVersions>) {
        self.muted.store(true, Ordering::Release);
        self.change(|link| {
            link.up = Some(versions);
            link.last_error = None;
            link.stage = None;
        });
    }

    pub(crate) fn down(&self) {
        self.flights.note(0, None);
        self.change(|link| link.up = None);
    }

    /// An attempt to connect has failed: so does every call that waited for it.
    pub(crate) fn unreachable(&self, cause: &ConnectError) {
        self.change(|link| {
            link.failures += 1;
            link.last_error = Some(cause.clone());
            link.stage = None;
        });
        self.calls.unreachable(cause);
        let outboxes = self.control().outboxes.clone();
        for outbox in outboxes {
            outbox.unreachable(cause);
        }
    }

    /// The task has ended; nobody waits in vain.
    pub(crate) fn end(&self) {
        let why = *self.control().stop.get_or_insert(Ended::Failed);
        self.change(|link| {
            link.up = None;
            link.ended = Some(why);
        });
        self.calls.end(why);
    }

    fn change(&self, change: impl FnOnce(&mut Link)) {
        change(&mut self.link());
        self.link_changed.notify_waiters();
    }
}

/// Counts a caller for as long as it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiters: &'a AtomicUsize) -> Self {
        waiters.fetch_add(1, Ordering::AcqRel);
        Self(waiters)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
