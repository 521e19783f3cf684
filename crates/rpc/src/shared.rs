//! What all clones of a handle and its background task share.
//!
//! - I1: no lock here is held across an await, nor while another one is taken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use milena_codec::{Request, VersionRange};
use milena_metadata::{BrokerInfo, Cache, CacheConfig, RefreshReason, Snapshot};
use milena_net::{Address, Lane, Limit, Load, Pool, Reply};
use milena_proto::backoff::Backoff;
use tokio::sync::Notify;

use crate::ClusterConfig;
use crate::changes::ChangeCount;
use crate::coordinator::Coordinators;
use crate::error::{BrokerFailure, Journal};
use crate::event::ClusterEvent;
use crate::throttle;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ClusterConfig,
    pub(crate) pool: Pool,
    pub(crate) coordinators: Coordinators,
    cache: Mutex<Cache>,
    snapshot: ArcSwap<Snapshot>,
    pub(crate) changes: ChangeCount,
    wake: Notify,
    /// The last failure of each address, until it answers again.
    failures: Mutex<BTreeMap<Address, milena_net::CallError>>,
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(config: ClusterConfig, pool: Pool) -> Self {
        let cache = Cache::new(CacheConfig {
            max_age: config.metadata_max_age,
            topic_idle: config.topic_max_idle,
        });
        Self {
            snapshot: ArcSwap::new(cache.snapshot().clone()),
            cache: Mutex::new(cache),
            config,
            pool,
            coordinators: Coordinators::default(),
            changes: ChangeCount::default(),
            wake: Notify::new(),
            failures: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.pool.env().clock.now()
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Lets `change` see and change the cache, publishes the snapshot, and wakes the background
    /// task.
    pub(crate) fn with_cache<T>(&self, change: impl FnOnce(&mut Cache, Instant) -> T) -> T {
        let result = self.with_cache_quietly(change);
        self.wake.notify_one();
        result
    }

    /// The same for the background task itself, which does not wake itself.
    pub(crate) fn with_cache_quietly<T>(&self, change: impl FnOnce(&mut Cache, Instant) -> T) -> T {
        let now = self.now();
        let mut cache = lock(&self.cache);
        let result = change(&mut cache, now);
        let fresh = cache.snapshot();
        if !Arc::ptr_eq(fresh, &self.snapshot.load()) {
            self.snapshot.store(fresh.clone());
        }
        result
    }

    pub(crate) fn peek_cache<T>(&self, look: impl FnOnce(&Cache) -> T) -> T {
        look(&lock(&self.cache))
    }

    /// Tells everybody who waits that a look-up has ended.
    pub(crate) fn announce(&self) {
        self.changes.announce();
    }

    /// Waits until the cache may need something.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn refresh(&self, reason: RefreshReason) -> u64 {
        self.with_cache(|cache, _| cache.refresh(reason))
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.announce();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.config.retry_backoff, self.config.retry_backoff_max)
    }

    /// The next wait of `backoff`.
    pub(crate) fn pause(&self, backoff: &mut Backoff) -> Duration {
        backoff.next(self.pool.env().random.next_u64())
    }

    /// Sleeps, until `deadline` at the latest; returns how long.
    pub(crate) async fn sleep(&self, pause: Duration, deadline: Instant) -> Duration {
        let begun = self.now();
        let until = deadline.min(begun + pause);
        tokio::time::sleep_until(until.into()).await;
        self.now().saturating_duration_since(begun)
    }

    /// The known brokers, the one with the least to do first, seen from `lane`. Chance decides
    /// between equals.
    pub(crate) fn brokers_by_load(&self, lane: Lane) -> Vec<Address> {
        let snapshot = self.snapshot.load();
        let mut addresses: Vec<Address> = snapshot.brokers().map(address_of).collect();
        if addresses.len() < 2 {
            return addresses;
        }
        let turn = self.pool.env().random.next_u64() % addresses.len() as u64;
        addresses.rotate_left(turn as usize);
        let failed: Vec<Address> = lock(&self.failures).keys().cloned().collect();
        addresses.sort_by_cached_key(|address| {
            rank(self.pool.load(address, lane), failed.contains(address))
        });
        addresses
    }

    /// One attempt at one broker, after any throttle, with its outcome remembered.
    pub(crate) async fn attempt<R: Request>(
        &self,
        to: &Address,
        lane: Lane,
        versions: VersionRange,
        prepare: impl FnOnce(i16) -> R,
        limit: impl Into<Limit>,
    ) -> Result<Reply<R::Response>, milena_net::CallError> {
        let outcome = self.pool.call(to, lane, versions, prepare, limit).await;
        match &outcome {
            Ok(reply) => {
                lock(&self.failures).remove(to);
                if let Some(time) = throttle::time::<R>(&reply.message, reply.version) {
                    self.mute(to, lane, time);
                }
            }
            Err(error) => {
                use milena_net::CallError as E;
                // The others do not speak against the broker.
                if !matches!(error, E::Encode(_) | E::Unsupported { .. } | E::Closed) {
                    lock(&self.failures).insert(to.clone(), error.clone());
                }
            }
        }
        outcome
    }

    /// Nothing is to be sent there for `time`.
    pub(crate) fn mute(&self, to: &Address, lane: Lane, time: Duration) {
        self.pool.mute(to, lane, self.now() + time);
        self.emit(&ClusterEvent::Throttled {
            address: to.clone(),
            lane,
            time,
        });
    }

    /// Tells `tracing` and whoever wants to know.
    pub(crate) fn emit(&self, event: &ClusterEvent) {
        event.trace();
        // A hook that panicked once may do so again, and twice aborts the process.
        if let Some(hook) = &self.config.on_event
            && !std::thread::panicking()
        {
            hook.call(event);
        }
    }

    /// Adds the standing failures of all brokers to what an operation met itself.
    pub(crate) fn add_failures(&self, journal: &mut Journal) {
        for (address, cause) in lock(&self.failures).iter() {
            let new = BrokerFailure {
                address: address.clone(),
                cause: cause.clone(),
            };
            if !journal
                .failures
                .iter()
                .any(|known| known.address == new.address)
            {
                journal.failures.push(new);
            }
        }
    }

    /// Forgets the failures of addresses that are in use no longer.
    pub(crate) fn prune_failures(&self) {
        let snapshot = self.snapshot.load();
        lock(&self.failures).retain(|address, _| {
            let known = |broker: &BrokerInfo| address_of(broker) == *address;
            self.config.bootstrap.contains(address) || snapshot.brokers().any(known)
        });
    }
}

/// What to prefer: brokers that work; those with a connection, as long as nothing waits there; those
/// with fewer requests in flight. As Java's `leastLoadedNode`, but for looking at what waits.
fn rank(load: Load, has_failed: bool) -> impl Ord {
    (
        has_failed || load.is_backing_off,
        load.is_throttled,
        load.is_busy,
        !load.is_connected,
        load.in_flight,
    )
}

/// Where a broker listens.
pub fn address_of(broker: &BrokerInfo) -> Address {
    Address {
        host: broker.host.clone(),
        port: broker.port,
    }
}

/// What these locks guard is whole between any two statements, so a panic elsewhere spoils
/// nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
