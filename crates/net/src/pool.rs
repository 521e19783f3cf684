//! All connections of one client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use milena_codec::{ApiKey, Request, VersionRange, decode};
use milena_proto::wire::BrokerVersions;
use tokio::task::{JoinError, JoinSet};
use tracing::error;

use crate::backoff::Reconnect;
use crate::call::Attempt;
use crate::connection;
use crate::lane::{Ended, LaneShared};
use crate::load::Load;
use crate::{Address, CallError, Environment, Lane, LaneHandle, Limit, NetConfig};

/// Sockets to brokers, one per ([`Address`], [`Lane`]), each opened when first needed and closed
/// when idle. Clones share them; dropping the last one closes everything at once.
///
/// Must be used within a tokio runtime with its timer enabled.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: Arc<Inner>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<T> {
    /// The answer itself. A broker's error codes are inside; nobody has looked at them.
    pub message: T,
    /// The version of the request and of the answer.
    pub version: i16,
    /// Who answered.
    pub address: Address,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<PoolShared>,
    /// One task per lane. Dropped with the last pool: I6.
    tasks: Mutex<JoinSet<()>>,
    /// The first task that panicked, to be told by `close`.
    failed: Mutex<Option<JoinError>>,
}

/// What the lanes' tasks may use; does not keep them alive.
#[derive(Debug)]
pub(crate) struct PoolShared {
    pub(crate) config: NetConfig,
    pub(crate) env: Environment,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lanes: BTreeMap<(Address, Lane), Arc<LaneShared>>,
    reconnect: BTreeMap<Address, Reconnect>,
    throttled: BTreeMap<Address, Duration>,
    closed: bool,
}

impl Pool {
    /// A pool without any connection.
    pub fn new(config: NetConfig, env: Environment) -> Self {
        Self {
            inner: Arc::new(Inner {
                shared: Arc::new(PoolShared {
                    config,
                    env,
                    state: Mutex::default(),
                }),
                tasks: Mutex::default(),
                failed: Mutex::default(),
            }),
        }
    }

    /// One attempt at one broker: opens the lane's socket if necessary, sends one request in the
    /// newest version that both `versions` and the broker allow, and waits for the answer.
    ///
    /// `versions` is the caller's cap; usually `R::KEY.stable_versions()`. `prepare` builds the
    /// request once the version is known.
    ///
    /// If the socket has to be opened first and that fails, the call fails with that reason and
    /// does not wait for another attempt; a call that arrives during the backoff after a failure
    /// waits for the next attempt.
    ///
    /// # Errors
    ///
    /// Every [`CallError`], within `limit`, which may be just a deadline. Error codes in an answer
    /// are not errors.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the call: a request not yet taken by the socket is never sent,
    /// otherwise its answer is dropped when it comes. The socket stays sound.
    pub async fn call<R: Request>(
        &self,
        to: &Address,
        lane: Lane,
        versions: VersionRange,
        prepare: impl FnOnce(i16) -> R,
        limit: impl Into<Limit>,
    ) -> Result<Reply<R::Response>, CallError> {
        let attempt = self.attempt(to, lane, R::KEY, limit.into())?;
        let exchanged = attempt.exchange(versions, prepare, true).await?;
        let message =
            decode(exchanged.body, exchanged.version).map_err(|cause| CallError::Malformed {
                address: to.clone(),
                cause,
            })?;
        Ok(Reply {
            message,
            version: exchanged.version,
            address: to.clone(),
        })
    }

    /// As [`call`](Self::call), for a request without an answer (Produce with acks=0): done when
    /// the transport has taken its last byte.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    ///
    /// # Cancel safety
    ///
    /// As [`call`](Self::call).
    pub async fn send_only<R: Request>(
        &self,
        to: &Address,
        lane: Lane,
        versions: VersionRange,
        prepare: impl FnOnce(i16) -> R,
        limit: impl Into<Limit>,
    ) -> Result<(), CallError> {
        let attempt = self.attempt(to, lane, R::KEY, limit.into())?;
        attempt.exchange(versions, prepare, false).await?;
        Ok(())
    }

    /// What the broker can do, opening the lane's socket if necessary.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call); a time-out names ApiVersions.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect but that the socket may have been opened.
    pub async fn versions(
        &self,
        to: &Address,
        lane: Lane,
        deadline: Instant,
    ) -> Result<Arc<BrokerVersions>, CallError> {
        let attempt = self.attempt(to, lane, ApiKey::ApiVersions, deadline.into())?;
        attempt.versions().await
    }

    /// The lane itself, to attach an [`Outbox`](crate::Outbox) to. Opens nothing yet.
    ///
    /// # Errors
    ///
    /// [`CallError::Closed`].
    pub fn lane(&self, to: &Address, lane: Lane) -> Result<LaneHandle, CallError> {
        let shared = &self.inner.shared;
        let mut state = shared.state();
        if state.closed {
            return Err(CallError::Closed);
        }
        let key = (to.clone(), lane);
        // A lane whose task has panicked is replaced.
        if let Some(found) = state.lanes.get(&key)
            && found.link().ended.is_none()
        {
            return Ok(LaneHandle(Arc::clone(found)));
        }
        let new = Arc::new(LaneShared::new(
            to.clone(),
            lane,
            &shared.config,
            shared.env.now(),
        ));
        state.lanes.insert(key, Arc::clone(&new));
        drop(state);
        let mut tasks = self.inner.tasks();
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended {
                error!(event = "connection_task_failed", %error);
                self.inner.failed().get_or_insert(error);
            }
        }
        tasks.spawn(connection::run(Arc::clone(&new), Arc::clone(shared)));
        Ok(LaneHandle(new))
    }

    /// Sends nothing on one lane before `until`, because the broker has throttled it and reads
    /// nothing before that (KIP-219). The deadlines of what was sent there move by that time,
    /// except those that callers must not pass ([`Limit::deadline`]). Another connection of the
    /// lane is muted as well.
    ///
    /// Whether a throttle time in an answer asks for that depends on the request's version, so
    /// it is the caller's decision.
    pub fn mute(&self, to: &Address, lane: Lane, until: Instant) {
        let now = self.env().now();
        let mut state = self.inner.shared.state();
        let Some(found) = state.lanes.get(&(to.clone(), lane)).map(Arc::clone) else {
            return;
        };
        let more = found.mute(now, until);
        let total = state.throttled.entry(to.clone()).or_default();
        *total = total.saturating_add(more);
    }

    /// Until when nothing is sent on this lane; `None` if something may be.
    pub fn muted_until(&self, to: &Address, lane: Lane) -> Option<Instant> {
        let state = self.inner.shared.state();
        let found = state.lanes.get(&(to.clone(), lane)).map(Arc::clone);
        drop(state);
        found?.muted_until(self.env().now())
    }

    /// For how long the broker at this address has throttled us in all, the current throttle to
    /// its end included. Times of several lanes add up.
    pub fn throttled(&self, address: &Address) -> Duration {
        let state = self.inner.shared.state();
        state.throttled.get(address).copied().unwrap_or_default()
    }

    /// Whether any connection is open.
    pub fn has_connections(&self) -> bool {
        let state = self.inner.shared.state();
        state.lanes.values().any(|lane| lane.link().up.is_some())
    }

    /// How busy a broker is, seen from one lane. Cheap; opens nothing.
    pub fn load(&self, of: &Address, lane: Lane) -> Load {
        let now = self.env().now();
        let state = self.inner.shared.state();
        let pause = state.reconnect.get(of).and_then(Reconnect::not_before);
        let mut load = Load {
            is_backing_off: pause.is_some_and(|until| until > now),
            ..Load::default()
        };
        let first = (of.clone(), Lane::Produce(0));
        for ((address, other), shared) in state.lanes.range(first..) {
            if address != of {
                break;
            }
            load.count(shared, *other == lane, now);
        }
        load
    }

    /// Closes the connections to an address that has left the cluster. Calls in flight there are
    /// lost. A later call opens new ones.
    pub fn forget(&self, to: &Address) {
        let mut state = self.inner.shared.state();
        state.reconnect.remove(to);
        state.throttled.remove(to);
        let mut forgotten = Vec::new();
        state.lanes.retain(|(address, _), lane| {
            if address == to {
                forgotten.push(Arc::clone(lane));
            }
            address != to
        });
        drop(state);
        for lane in forgotten {
            lane.stop(Ended::Forgotten);
        }
    }

    /// Closes all connections, whatever their addresses. Calls in flight are lost; later ones open
    /// new connections, for which names are resolved anew. What was learnt about how often to try
    /// an address stays.
    pub fn forget_all(&self) {
        let lanes = std::mem::take(&mut self.inner.shared.state().lanes);
        for lane in lanes.values() {
            lane.stop(Ended::Forgotten);
        }
    }

    /// Refuses new calls, lets those in flight finish until `deadline`, then closes everything.
    /// Later calls fail with [`CallError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the pool stays closed and its tasks end by themselves.
    ///
    /// # Panics
    ///
    /// If a connection's task has panicked, with its panic.
    pub async fn close(&self, deadline: Instant) {
        self.inner.shared.refuse();
        let mut tasks = std::mem::take(&mut *self.inner.tasks());
        let joined = async {
            while let Some(ended) = tasks.join_next().await {
                surface(ended.err());
            }
        };
        if tokio::time::timeout_at(deadline.into(), joined)
            .await
            .is_err()
        {
            tasks.shutdown().await;
        }
        let failed = self.inner.failed().take();
        surface(failed);
    }

    /// The outside world that the pool was given.
    pub fn env(&self) -> &Environment {
        &self.inner.shared.env
    }

    /// The settings that the pool was given.
    pub fn config(&self) -> &NetConfig {
        &self.inner.shared.config
    }

    #[cfg(test)]
    pub(crate) fn lanes(&self) -> usize {
        self.inner.shared.state().lanes.len()
    }

    fn attempt(
        &self,
        to: &Address,
        lane: Lane,
        api: ApiKey,
        limit: Limit,
    ) -> Result<Attempt<'_>, CallError> {
        let started = self.env().now();
        Ok(Attempt {
            lane: self.lane(to, lane)?.0,
            env: self.env(),
            config: self.config(),
            api,
            deadline: limit.deadline,
            due: limit.due(started),
            started,
        })
    }
}

impl Inner {
    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> MutexGuard<'_, Option<JoinError>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PoolShared {
    /// Opens no more lanes, and ends those there are.
    fn refuse(&self) {
        let mut state = self.state();
        state.closed = true;
        let lanes = std::mem::take(&mut state.lanes);
        drop(state);
        for lane in lanes.values() {
            lane.stop(Ended::Closed);
        }
    }

    /// Takes a lane without users out of the pool. False if it has users after all.
    pub(crate) fn retire(&self, lane: &Arc<LaneShared>) -> bool {
        let mut state = self.state();
        // New users come from the map only, which is locked: the map and the lane's task are two.
        if Arc::strong_count(lane) > 2 {
            return false;
        }
        let key = (lane.address.clone(), lane.lane);
        if state
            .lanes
            .get(&key)
            .is_some_and(|known| Arc::ptr_eq(known, lane))
        {
            state.lanes.remove(&key);
        }
        true
    }

    /// What is known about connecting to an address.
    pub(crate) fn reconnect<T>(&self, to: &Address, f: impl FnOnce(&mut Reconnect) -> T) -> T {
        let mut state = self.state();
        let known = state.reconnect.entry(to.clone());
        f(known.or_insert_with(|| Reconnect::new(&self.config)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's panic is the pool's own.
fn surface(failed: Option<JoinError>) {
    if let Some(error) = failed
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
