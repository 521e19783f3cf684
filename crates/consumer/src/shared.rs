//! The handle that a consumer and its tasks share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use milena_net::Lane;
use milena_proto::backoff::Backoff;
use milena_rpc::Cluster;
use tokio::sync::{Notify, watch};

use crate::state::State;
use crate::{ConsumerConfig, ConsumerEvent};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cluster: Cluster,
    pub(crate) config: ConsumerConfig,
    /// The sockets for this consumer's fetches.
    pub(crate) lane: Lane,
    state: Mutex<State>,
    /// Counts what the tasks should look at again.
    work: watch::Sender<u64>,
    /// Wakes the one who waits for a batch.
    ready: Notify,
}

impl Shared {
    pub(crate) fn new(cluster: Cluster, config: ConsumerConfig, lane: Lane) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            config,
            lane,
            state: Mutex::default(),
            work: watch::Sender::new(0),
            ready: Notify::new(),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        self.cluster.env().now()
    }

    pub(crate) fn random(&self) -> u64 {
        self.cluster.env().random.next_u64()
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.config.retry_backoff, self.config.retry_backoff_max)
    }

    /// Looks at the state, or changes it in ways that concern nobody else; freed memory does.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let drained = state.drained;
        let result = work(&mut state);
        let freed = state.drained != drained;
        let events = state.take_events();
        drop(state);
        if freed {
            self.wake_tasks();
        }
        events.iter().for_each(|event| self.report(event));
        result
    }

    /// Changes the state and wakes whoever waits for a change.
    pub(crate) fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let result = self.with(work);
        self.wake_tasks();
        self.ready.notify_one();
        result
    }

    pub(crate) fn wake_tasks(&self) {
        self.work
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn wake_user(&self) {
        self.ready.notify_one();
    }

    pub(crate) fn watch_work(&self) -> watch::Receiver<u64> {
        self.work.subscribe()
    }

    /// Resolves once something may have come since the last time it did.
    pub(crate) async fn readied(&self) {
        self.ready.notified().await;
    }

    pub(crate) fn report(&self, event: &ConsumerEvent) {
        event.log();
        if let Some(hook) = &self.config.on_event {
            hook.call(event);
        }
    }

    /// A panic elsewhere leaves the state usable: every change is complete before the lock opens.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
