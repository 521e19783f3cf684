//! The handle.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use milena_codec::messages::MetadataResponse;
use milena_codec::{Request, Str};
use milena_metadata::{AutoCreate, BrokerInfo, Cache, Lookup, RefreshReason, Snapshot};
use milena_net::{Address, Environment, Lane, Pool, Reply};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::error::Journal;
use crate::refresher;
use crate::shared::{Shared, lock};
use crate::{CallError, ClusterConfig, ConnectClusterError};

/// A connected cluster: its connections, metadata and coordinators. Clones share them; many
/// producers, consumers and others can use one handle without delaying each other.
///
/// Dropping the last clone ends the background task and closes the connections at once;
/// [`Cluster::close`] lets what is in flight finish.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(crate) shared: Arc<Shared>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Cluster {
    /// Connects: asks the bootstrap servers, one after the other and again after a pause, for the
    /// cluster's brokers.
    ///
    /// Has to be called within a tokio runtime with its timer enabled, which also runs the
    /// background task.
    ///
    /// Cancel safe: dropping it closes what it opened.
    ///
    /// # Errors
    ///
    /// No server gave an answer by `deadline`, or every one failed in a way that trying again does
    /// not cure (credentials, TLS, not Kafka). The error has each address's cause.
    pub async fn connect(
        config: ClusterConfig,
        env: Environment,
        deadline: Instant,
    ) -> Result<Self, ConnectClusterError> {
        if config.bootstrap.is_empty() {
            return Err(ConnectClusterError::NoAddress);
        }
        let pool = Pool::new(config.net.clone(), env);
        let shared = Arc::new(Shared::new(config, pool));
        bootstrap(&shared, deadline).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(refresher::run(Arc::clone(&shared)));
        Ok(Self {
            shared,
            tasks: Arc::new(Mutex::new(tasks)),
        })
    }

    /// What is known of the cluster now. Cheap.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot()
    }

    /// The connections.
    pub fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// The outside world.
    pub fn env(&self) -> &Environment {
        self.shared.pool.env()
    }

    /// The settings.
    pub fn config(&self) -> &ClusterConfig {
        &self.shared.config
    }

    /// Asks for fresh metadata soon: of all topics in use. Requests are put together, and spaced by
    /// the retry backoff.
    pub fn refresh(&self, reason: RefreshReason) {
        self.shared.refresh(reason);
    }

    /// Waits for metadata that was asked for after this call.
    ///
    /// Cancel safe: dropping it gives up waiting; the refresh takes place.
    ///
    /// # Errors
    ///
    /// The deadline passed, or the handle was closed.
    pub async fn refreshed(&self, deadline: Instant) -> Result<Arc<Snapshot>, CallError> {
        let begun = self.shared.now();
        let mut changes = self.changes();
        let ticket = self.shared.refresh(RefreshReason::Requested);
        loop {
            changes.mark_unchanged();
            if self.shared.is_closed() {
                return Err(CallError::Closed);
            }
            if self.shared.peek_cache(|cache| cache.is_fulfilled(ticket)) {
                return Ok(self.snapshot());
            }
            let changed = tokio::time::timeout_at(deadline.into(), changes.changed());
            if changed.await.is_err() {
                let mut journal = Journal::default();
                journal.spent.routing = self.since(begun);
                self.shared.add_failures(&mut journal);
                let error = journal.timed_out("refreshing the metadata", self.since(begun));
                return Err(CallError::TimedOut(error));
            }
        }
    }

    /// Says that a topic is in use. Those not used for `topic_max_idle` (5 min), by this, by
    /// [`Cluster::topic`] or by a call to a leader, are no longer kept fresh and vanish from the
    /// snapshot; looking them up again brings them back.
    pub fn touch(&self, topic: &str) {
        self.shared
            .with_cache_quietly(|cache, now| cache.touch(topic, now));
    }

    /// Takes over a partition's new leader as a broker named it in an answer (KIP-951; Produce from
    /// version 10, Fetch from 16). `endpoint` is where the leader is, from the same answer.
    ///
    /// Returns false, and asks for a refresh, if the hint is not newer than what is known or the
    /// leader's address is unknown.
    pub fn leader_changed(
        &self,
        topic: &str,
        partition: i32,
        (leader, epoch): (i32, i32),
        endpoint: Option<BrokerInfo>,
    ) -> bool {
        let applied = self.shared.with_cache_quietly(|cache, _| {
            cache.handle_hint(topic, partition, leader, epoch, endpoint)
        });
        if applied {
            self.shared.announce();
        } else {
            self.shared.refresh(RefreshReason::NoLeader);
        }
        applied
    }

    /// Leaves the connection alone for as long as the answer asks (KIP-219). The calls of this
    /// handle do so by themselves; this is for answers that came through an
    /// [`Outbox`](milena_net::Outbox). Returns the time.
    pub fn heed_throttle<R: Request>(
        &self,
        from: &Address,
        lane: Lane,
        answer: &R::Response,
        version: i16,
    ) -> Option<Duration> {
        let time = crate::throttle::time::<R>(answer, version)?;
        self.shared.mute(from, lane, time);
        Some(time)
    }

    /// Forgets a coordinator, for users that learn by other ways than [`Cluster::call`] that it is
    /// not one any more.
    pub fn forget_coordinator(&self, kind: crate::CoordinatorKind, key: &Str, address: &Address) {
        self.shared.coordinators.invalidate(kind, key, address);
    }

    /// Ends the background task, refuses new calls, lets those in flight finish until `deadline`,
    /// and closes all connections, for all clones of the handle.
    ///
    /// Cancel safe: if dropped, the handle is closed, and the connections close by themselves.
    ///
    /// # Panics
    ///
    /// If the background task or a connection's has panicked, with its panic.
    pub async fn close(&self, deadline: Instant) {
        self.shared.close();
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.abort_all();
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        self.shared.pool.close(deadline).await;
    }

    pub(crate) fn auto_create(&self, create: AutoCreate) -> AutoCreate {
        if self.shared.config.allow_auto_create_topics {
            create
        } else {
            AutoCreate::Never
        }
    }
}

/// Rounds over all addresses, until one answers with a cluster. Each address of a round gets an
/// equal share of the time left, so that a silent one does not keep the others from being tried.
async fn bootstrap(shared: &Shared, deadline: Instant) -> Result<(), ConnectClusterError> {
    let mut backoff = shared.backoff();
    let mut journal = Journal::default();
    loop {
        let mut hopeless = true;
        let mut refused = None;
        let addresses = &shared.config.bootstrap;
        for (at, address) in addresses.iter().enumerate() {
            let lookup = shared.with_cache_quietly(Cache::needs);
            let Some(lookup) = lookup else {
                return Ok(());
            };
            let left = deadline.saturating_duration_since(shared.now());
            let untried = u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
            match ask(shared, address, &lookup, shared.now() + left / untried).await {
                Ok(reply) => match accept(shared, lookup, reply) {
                    Ok(()) => return Ok(()),
                    Err(cause) => {
                        refused = Some((address.clone(), cause));
                        hopeless = false;
                    }
                },
                Err(cause) => {
                    shared.with_cache_quietly(|cache, _| cache.handle_failure(lookup));
                    journal.failed(address, &cause);
                    hopeless &= !cause.is_retriable();
                }
            }
        }
        let pause = shared.pause(&mut backoff);
        if hopeless || shared.now() + pause >= deadline {
            return Err(match refused {
                Some((address, cause)) => ConnectClusterError::Refused { address, cause },
                None => ConnectClusterError::Unreachable {
                    failures: journal.failures,
                },
            });
        }
        warn!(event = "bootstrap_failed", tried = addresses.len());
        shared.sleep(pause, deadline).await;
    }
}

async fn ask(
    shared: &Shared,
    address: &Address,
    lookup: &Lookup,
    deadline: Instant,
) -> Result<Reply<MetadataResponse>, milena_net::CallError> {
    let prepare = |version| lookup.request(version);
    shared
        .attempt(address, Lane::Main, lookup.versions(), prepare, deadline)
        .await
}

fn accept(
    shared: &Shared,
    lookup: Lookup,
    reply: Reply<MetadataResponse>,
) -> Result<(), milena_metadata::AnswerError> {
    let merged = shared.with_cache_quietly(|cache, now| {
        cache.handle_answer(lookup, reply.message, reply.version, now)
    })?;
    refresher::apply(shared, &merged);
    let snapshot = shared.snapshot();
    let id = snapshot.cluster_id().map_or("", |id| id);
    info!(
        event = "connected",
        cluster = id,
        brokers = snapshot.brokers().len()
    );
    Ok(())
}
