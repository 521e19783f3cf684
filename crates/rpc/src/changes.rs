//! Hearing of new metadata.
//!
//! Waiters are woken in the order in which they began to wait, so that runs are reproducible.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::Cluster;
use crate::shared::Shared;

/// Counts what waiters may wait for: look-ups that have ended, and the end.
#[derive(Debug, Default)]
pub(crate) struct ChangeCount {
    count: AtomicU64,
    notify: Notify,
}

impl ChangeCount {
    pub(crate) fn announce(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.notify.notify_waiters();
    }

    fn now(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }
}

/// Tells when look-ups have ended, whether or not they brought anything new; see
/// [`Cluster::changes`].
#[derive(Debug)]
pub struct Changes {
    shared: Arc<Shared>,
    seen: u64,
}

impl Changes {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            seen: shared.changes.now(),
            shared: Arc::clone(shared),
        }
    }

    /// Takes everything until now as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.changes.now();
    }

    /// Waits until a look-up has ended since the last one that was seen, or the handle was closed.
    ///
    /// Cancel safe: dropping it sees nothing.
    pub async fn changed(&mut self) {
        let changes = &self.shared.changes;
        loop {
            let mut notified = pin!(changes.notify.notified());
            notified.as_mut().enable();
            let now = changes.now();
            if now != self.seen {
                self.seen = now;
                return;
            }
            notified.await;
        }
    }
}

impl Cluster {
    /// Tells of look-ups that end from now on, for those who keep routes of their own.
    pub fn changes(&self) -> Changes {
        Changes::new(&self.shared)
    }

    /// Whether the handle was closed.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }
}
