//! The handle that a consumer and its tasks share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use milena_net::{BlockPool, Lane, LaneHandle};
use milena_proto::backoff::Backoff;
use milena_rpc::Cluster;
use tokio::sync::Notify;

use crate::state::State;
use crate::{ConsumerConfig, ConsumerEvent};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cluster: Cluster,
    pub(crate) config: ConsumerConfig,
    /// The sockets for this consumer's fetches.
    pub(crate) lane: Lane,
    /// What fetched and decompressed bytes lie in.
    pub(crate) blocks: BlockPool,
    state: Mutex<State>,
    /// Wakes the driver.
    attention: Notify,
    /// Wakes the one who waits for a batch.
    ready: Notify,
}

impl Shared {
    pub(crate) fn new(cluster: Cluster, config: ConsumerConfig, lane: Lane) -> Arc<Self> {
        Arc::new(Self {
            blocks: BlockPool::new(config.fetch_memory),
            cluster,
            config,
            lane,
            state: Mutex::default(),
            attention: Notify::new(),
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

    /// Looks at the state or changes it, and wakes those background tasks that the change concerns.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = work(&mut state);
        let news = state.take_news();
        drop(state);
        if news.attention {
            self.wake_driver();
        }
        news.freed.iter().for_each(LaneHandle::wake);
        news.events.iter().for_each(|event| self.report(event));
        result
    }

    /// As [`with`](Self::with), for changes of the assignment: wakes whoever waits.
    pub(crate) fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let result = self.with(work);
        self.wake_driver();
        self.wake_user();
        result
    }

    pub(crate) fn wake_driver(&self) {
        self.attention.notify_one();
    }

    /// Resolves once the driver was woken since the last time it did.
    pub(crate) async fn attention(&self) {
        self.attention.notified().await;
    }

    pub(crate) fn wake_user(&self) {
        self.ready.notify_one();
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
