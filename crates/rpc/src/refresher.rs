//! The one background task: asks for what the metadata cache needs.
//!
//! - I1: one look-up is under way at most.
//! - I2: look-ups that are repeated, or that failed, are spaced by the backoff; a new topic's first
//!   is not.
//! - I3: when every known broker has failed, the bootstrap servers are asked (KIP-899).

use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_codec::ErrorCode;
use milena_codec::messages::MetadataResponse;
use milena_metadata::{AnswerError, Cache, Lookup, Merged};
use milena_net::{Address, Lane, Reply};
use milena_proto::backoff::Backoff;
use tracing::{debug, info, warn};

use crate::shared::{Shared, address_of};

/// The time one broker has to answer a look-up, at first: another one may know more, or be
/// alive. Doubles with each round in which nobody answers.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);

/// Renews the metadata until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>) {
    let now = shared.now();
    let mut refresher = Refresher {
        backoff: shared.backoff(),
        patience: FIRST_PATIENCE,
        last_attempt: now,
        last_success: now,
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
    patience: Duration,
    last_attempt: Instant,
    /// Or the last time of beginning again.
    last_success: Instant,
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
        match self.ask_around(&lookup).await {
            Some(reply) => self.merge(lookup, reply),
            None => {
                self.patience = self.patience.saturating_mul(2);
                self.shared
                    .with_cache(|cache, _| cache.handle_failure(lookup));
            }
        }
        let pause = self.shared.pause(&mut self.backoff);
        self.shared
            .with_cache(|cache, now| cache.hold_until(now + pause)); // I2
        self.shared.announce();
    }

    /// Asks one broker after the other; the bootstrap servers last, or first if nothing is known
    /// for too long.
    async fn ask_around(&mut self, lookup: &Lookup) -> Option<Reply<MetadataResponse>> {
        if self.is_starved() {
            self.rebootstrap("no metadata for too long");
        }
        let known = match std::mem::take(&mut self.from_bootstrap) {
            true => Vec::new(),
            false => self.shared.brokers_in_rotation(),
        };
        for address in &known {
            if let Some(reply) = self.ask(address, lookup).await {
                return Some(reply);
            }
        }
        if !known.is_empty() {
            warn!(event = "all_brokers_failed", known = known.len());
        }
        let bootstrap = self.shared.config.bootstrap.clone(); // I3
        for address in bootstrap.iter().filter(|address| !known.contains(address)) {
            if let Some(reply) = self.ask(address, lookup).await {
                return Some(reply);
            }
        }
        None
    }

    async fn ask(&self, to: &Address, lookup: &Lookup) -> Option<Reply<MetadataResponse>> {
        let patience = self.patience.min(self.shared.config.net.request_timeout);
        let deadline = self.shared.now() + patience;
        let prepare = |version| lookup.request(version);
        let versions = lookup.versions();
        let attempt = self
            .shared
            .attempt(to, Lane::Main, versions, prepare, deadline);
        match attempt.await {
            Ok(reply) => Some(reply),
            Err(error) => {
                debug!(event = "metadata_lookup_failed", %error);
                None
            }
        }
    }

    fn is_starved(&self) -> bool {
        let silence = self
            .shared
            .now()
            .saturating_duration_since(self.last_success);
        let failing = self.patience > FIRST_PATIENCE;
        failing && silence > self.shared.config.rebootstrap_after
    }

    fn merge(&mut self, lookup: Lookup, reply: Reply<MetadataResponse>) {
        self.patience = FIRST_PATIENCE;
        let merged = self.shared.with_cache(|cache, now| {
            cache.handle_answer(lookup, reply.message, reply.version, now)
        });
        match merged {
            Ok(merged) => {
                self.last_success = self.shared.now();
                if merged.changed {
                    self.backoff.reset();
                }
                apply(&self.shared, &merged);
            }
            Err(AnswerError::Refused(ErrorCode::RebootstrapRequired)) => {
                self.rebootstrap("a broker asked for it");
            }
            Err(error) => warn!(event = "metadata_refused", address = %reply.address, %error),
        }
    }

    /// Drops all connections, so that the next look-up begins at the bootstrap servers (KIP-1102).
    fn rebootstrap(&mut self, reason: &'static str) {
        self.from_bootstrap = true;
        self.last_success = self.shared.now();
        warn!(event = "rebootstrap", reason);
        for broker in self.shared.snapshot().brokers() {
            self.shared.pool.forget(&address_of(broker));
        }
        for address in &self.shared.config.bootstrap {
            self.shared.pool.forget(address);
        }
    }
}

/// What else a new snapshot means.
pub(crate) fn apply(shared: &Shared, merged: &Merged) {
    for broker in &merged.left {
        let address = address_of(broker);
        info!(event = "broker_left", node = broker.id, %address);
        if !shared.config.bootstrap.contains(&address) {
            shared.pool.forget(&address);
        }
    }
    for topic in &merged.recreated {
        warn!(event = "topic_recreated", topic = %topic.topic, old = %topic.old, new = %topic.new);
    }
    if let Some(before) = &merged.cluster_changed {
        warn!(event = "cluster_changed", %before);
    }
    shared.prune_failures();
}
