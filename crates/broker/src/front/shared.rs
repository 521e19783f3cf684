//! The model behind a lock, with a mailbox for each connection.
//!
//! I1. Whatever a call releases is in its connection's mailbox before the lock is given back.
//! I2. What is due of the cluster's own accord is done in time as long as anyone waits: each parked
//!     request's connection wakes for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_net::Clock;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, mpsc};

use crate::model::{ClusterModel, ConnectionId, Outcome};

/// A mailbox holds at most the answer of the one request under way and the closing after it.
const MAILBOX: usize = 2;

/// The cluster of a broker, shared by its connections.
#[derive(Debug)]
pub(crate) struct Shared {
    clock: Arc<dyn Clock>,
    origin: Instant,
    sooner: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    model: ClusterModel,
    mailboxes: BTreeMap<ConnectionId, mpsc::Sender<Outcome>>,
}

impl Shared {
    pub(crate) fn new(model: ClusterModel, clock: Arc<dyn Clock>) -> Self {
        let origin = clock.now();
        Self {
            clock,
            origin,
            sooner: Notify::new(),
            state: Mutex::new(State {
                model,
                mailboxes: BTreeMap::new(),
            }),
        }
    }

    /// The time since the cluster started.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.origin)
    }

    /// The moment when that much time has passed since the cluster started.
    pub(crate) fn moment(&self, since_start: Duration) -> Instant {
        self.origin + since_start
    }

    /// A moment that stands for never.
    pub(crate) fn far(&self) -> Instant {
        self.clock.now() + Duration::from_secs(24 * 60 * 60)
    }

    /// Does something to the model as it is now.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut ClusterModel) -> R) -> R {
        let now = self.now();
        self.locked(|model| {
            model.advance(now);
            change(model)
        })
    }

    fn locked<R>(&self, change: impl FnOnce(&mut ClusterModel) -> R) -> R {
        let mut state = self.lock();
        let before = state.model.next_event();
        let result = change(&mut state.model);
        state.deliver();
        let after = state.model.next_event();
        drop(state);
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.sooner.notify_waiters(); // I2
        }
        result
    }

    /// Ends when something of the cluster's own has become due sooner than
    /// [`Self::deadline`] said: parked requests must ask for it again.
    pub(crate) fn sooner(&self) -> Notified<'_> {
        self.sooner.notified()
    }

    /// A new connection to a node that is up.
    pub(crate) fn open(&self, node: i32) -> Option<(ConnectionId, mpsc::Receiver<Outcome>)> {
        let mut state = self.lock();
        let id = state.model.connect(node)?;
        let (sender, receiver) = mpsc::channel(MAILBOX);
        state.mailboxes.insert(id, sender);
        Some((id, receiver))
    }

    /// The connection is no more.
    pub(crate) fn close(&self, id: ConnectionId) {
        let mut state = self.lock();
        state.mailboxes.remove(&id);
        state.model.disconnect(id);
        state.deliver();
    }

    /// A request arrived.
    pub(crate) fn handle(&self, id: ConnectionId, frame: Bytes) -> Outcome {
        let now = self.now();
        self.locked(|model| model.handle(now, id, frame))
    }

    /// Ends what has waited long enough.
    pub(crate) fn handle_timeout(&self) {
        let now = self.now();
        self.locked(|model| model.handle_timeout(now));
    }

    /// When this connection's parked request ends at the latest; `None` if it has none, or one
    /// that only an event ends.
    pub(crate) fn deadline(&self, id: ConnectionId) -> Option<Instant> {
        let deadline = self.lock().model.deadline(id);
        deadline.map(|since_start| self.moment(since_start))
    }

    /// Whether an outcome of this connection's parked request will ever come.
    pub(crate) fn will_answer(&self, id: ConnectionId) -> bool {
        self.lock().model.will_answer(id)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A fault plan of the user's may have panicked: the model is sound between calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts what was released into the mailboxes. // I1
    fn deliver(&mut self) {
        while let Some((id, outcome)) = self.model.poll_release() {
            if let Some(mailbox) = self.mailboxes.get(&id)
                && mailbox.try_send(outcome).is_err()
            {
                // Its task has ended or is about to.
                self.mailboxes.remove(&id);
            }
        }
    }
}
