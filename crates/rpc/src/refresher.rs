//! The one background task: asks for what the metadata cache needs.
//!
//! - I1: one look-up is under way at most.
//! - I2: look-ups that are repeated, or that failed, are spaced by the backoff; a new topic's first
//!   is not. Those that every broker refused for good are spaced by up to a minute.
//! - I3: when every known broker has failed, or the first four of many, the bootstrap servers are
//!   asked (KIP-899), unless `metadata.recovery.strategy` is `none`.
//! - I4: connections are dropped only when none of them is open, when no broker gave metadata for
//!   too long, when a broker asks for it, or when another cluster answers; and in one stretch
//!   without metadata only once for the first of these reasons.

use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_codec::ErrorCode;
use milena_codec::messages::MetadataResponse;
use milena_metadata::{AnswerError, Cache, Lookup, Merged};
use milena_net::{Address, CallError, Lane, Reply};
use milena_proto::backoff::Backoff;
use tracing::{debug, warn};

use crate::MetadataRecovery;
use crate::event::{ClusterEvent, RebootstrapReason};
use crate::shared::{Shared, address_of};

/// The time one broker has to answer a look-up, at first: another one may know more, or be
/// alive. Doubles with each round in which nobody answers.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);

/// So many known brokers are asked before the bootstrap servers, and the others in later rounds: in a
/// large cluster that is silent, all of them would take minutes.
const KNOWN_A_ROUND: usize = 4;

/// The waits while every broker refuses the client for a reason that trying again does not cure,
/// such as a wrong password: each attempt may count against the account.
const REFUSED: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Renews the metadata until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>) {
    let now = shared.now();
    let mut refresher = Refresher {
        backoff: shared.backoff(),
        refused: Backoff::new(REFUSED[0], REFUSED[1]),
        curable: false,
        patience: FIRST_PATIENCE,
        last_attempt: now,
        failing_since: None,
        has_dropped: false,
        from_bootstrap: false,
        shared,
    };
    loop {
        match refresher.shared.with_cache_quietly(Cache::needs) {
            Some(lookup) => refresher.look_up(lookup).await,
            None => refresher.idle().await,
        }
    }
}

struct Refresher {
    shared: Arc<Shared>,
    backoff: Backoff,
    /// Instead of `backoff` while nothing is `curable`.
    refused: Backoff,
    /// Whether a broker, when last asked around, failed in a way that may pass.
    curable: bool,
    patience: Duration,
    last_attempt: Instant,
    /// When the first look-up began that failed, or since the last time of beginning again.
    failing_since: Option<Instant>,
    /// Whether connections were dropped since because no broker could be reached.
    has_dropped: bool,
    /// The next look-up is to begin again at the bootstrap servers.
    from_bootstrap: bool,
}

impl Refresher {
    async fn idle(&self) {
        let until = self.shared.peek_cache(Cache::poll_timeout);
        match until {
            Some(until) => {
                let woken = self.shared.woken();
                // Running out of time is as good a reason to look again.
                let _ = tokio::time::timeout_at(until.into(), woken).await;
            }
            None => tokio::task::yield_now().await,
        }
    }

    async fn look_up(&mut self, lookup: Lookup) {
        let begun = self.shared.now();
        let quiet = self.shared.config.retry_backoff_max * 2;
        if begun.saturating_duration_since(self.last_attempt) > quiet {
            self.backoff.reset();
        }
        self.last_attempt = begun;
        debug!(event = "metadata_lookup", topics = lookup.topics().len(), reason = ?lookup.refresh());
        let reply = self.ask_around(&lookup).await;
        let answered = reply.is_some();
        match reply {
            Some(reply) => {
                self.refused.reset();
                self.merge(lookup, reply);
            }
            None => {
                self.patience = self.patience.saturating_mul(2);
                self.failing_since.get_or_insert(begun);
                self.shared
                    .with_cache(|cache, _| cache.handle_failure(lookup));
            }
        }
        let pause = if answered || self.curable {
            self.shared.pause(&mut self.backoff)
        } else {
            self.shared.pause(&mut self.refused)
        };
        self.shared
            .with_cache(|cache, now| cache.hold_until(now + pause)); // I2
        self.shared.announce();
    }

    /// Asks one broker after the other; the bootstrap servers last, or first if nothing is known
    /// for too long.
    async fn ask_around(&mut self, lookup: &Lookup) -> Option<Reply<MetadataResponse>> {
        self.curable = false;
        if let Some(silence) = self.starved_for() {
            self.rebootstrap(RebootstrapReason::NoMetadata { silence });
        }
        let mut known = match std::mem::take(&mut self.from_bootstrap) {
            true => Vec::new(),
            false => self.shared.brokers_by_load(Lane::Main),
        };
        if self.may_rebootstrap() {
            known.truncate(KNOWN_A_ROUND);
        }
        let mut reachable = known.is_empty();
        for address in &known {
            match self.ask(address, lookup).await {
                Ok(reply) => return Some(reply),
                Err(error) => reachable |= error.was_sent(),
            }
        }
        if !known.is_empty() {
            debug!(event = "all_brokers_failed", known = known.len());
        }
        if !self.may_rebootstrap() && !known.is_empty() {
            return None;
        }
        if !reachable && !self.has_dropped && !self.shared.pool.has_connections() {
            self.has_dropped = true;
            self.rebootstrap(RebootstrapReason::Unreachable);
            self.from_bootstrap = false; // at once, not only the next time
        }
        let bootstrap = self.shared.config.bootstrap.clone(); // I3
        for address in bootstrap.iter().filter(|address| !known.contains(address)) {
            if let Ok(reply) = self.ask(address, lookup).await {
                return Some(reply);
            }
        }
        None
    }

    async fn ask(
        &mut self,
        to: &Address,
        lookup: &Lookup,
    ) -> Result<Reply<MetadataResponse>, CallError> {
        let patience = self.patience.min(self.shared.config.net.request_timeout);
        let deadline = self.shared.now() + patience;
        let prepare = |version| lookup.request(version);
        let versions = lookup.versions();
        let attempt = self
            .shared
            .attempt(to, Lane::Main, versions, prepare, deadline);
        let outcome = attempt.await;
        if let Err(error) = &outcome {
            self.curable |= error.is_retriable();
            debug!(event = "metadata_lookup_failed", %error);
        }
        outcome
    }

    fn may_rebootstrap(&self) -> bool {
        self.shared.config.recovery == MetadataRecovery::Rebootstrap
    }

    /// For how long look-ups have failed, if that is too long.
    fn starved_for(&self) -> Option<Duration> {
        let since = self.failing_since.filter(|_| self.may_rebootstrap())?;
        let silence = self.shared.now().saturating_duration_since(since);
        (silence >= self.shared.config.rebootstrap_after).then_some(silence)
    }

    fn merge(&mut self, lookup: Lookup, reply: Reply<MetadataResponse>) {
        self.patience = FIRST_PATIENCE;
        let merged = self.shared.with_cache(|cache, now| {
            cache.handle_answer(lookup, reply.message, reply.version, now)
        });
        match merged {
            Ok(merged) => {
                self.failing_since = None;
                self.has_dropped = false;
                if merged.changed {
                    self.backoff.reset();
                }
                apply(&self.shared, &merged);
            }
            Err(AnswerError::Refused(ErrorCode::RebootstrapRequired)) if self.may_rebootstrap() => {
                self.rebootstrap(RebootstrapReason::Required);
            }
            Err(error) => {
                self.failing_since.get_or_insert(self.shared.now());
                warn!(event = "metadata_refused", address = %reply.address, %error);
            }
        }
    }

    /// Drops all connections, so that the next look-up begins at the bootstrap servers.
    fn rebootstrap(&mut self, reason: RebootstrapReason) {
        self.from_bootstrap = true;
        self.failing_since = Some(self.shared.now());
        self.shared.emit(&ClusterEvent::Rebootstrap { reason });
        drop_connections(&self.shared);
    }
}

/// What else a new snapshot means.
pub(crate) fn apply(shared: &Shared, merged: &Merged) {
    if let Some(before) = &merged.cluster_changed {
        let now = shared.snapshot().cluster_id().cloned().unwrap_or_default();
        let before = before.clone();
        shared.emit(&ClusterEvent::ClusterChanged { before, now });
        drop_connections(shared);
    }
    for broker in &merged.left {
        let (node, address) = (broker.id, address_of(broker));
        shared.pool.forget(&address);
        shared.emit(&ClusterEvent::BrokerLeft { node, address });
    }
    for broker in &merged.joined {
        let (node, address) = (broker.id, address_of(broker));
        shared.emit(&ClusterEvent::BrokerJoined { node, address });
    }
    for topic in &merged.recreated {
        shared.emit(&ClusterEvent::TopicRecreated {
            topic: topic.topic.clone(),
            old: topic.old,
            new: topic.new,
        });
    }
    let snapshot = shared.snapshot();
    for address in &shared.config.bootstrap {
        if !snapshot.brokers().any(|b| address_of(b) == *address) {
            // The brokers are known by other addresses: this connection is used no longer.
            shared.pool.forget(address);
        }
    }
    shared.prune_failures();
}

/// What is known of where things are may be wrong altogether.
fn drop_connections(shared: &Shared) {
    shared.pool.forget_all();
    shared.coordinators.clear();
}
