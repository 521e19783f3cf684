//! Who needs what: the sans-IO core behind a cluster's metadata.
//!
//! - I1: only a topic's first look-up may create it: once it was seen, no request that names it
//!   allows creation; a request that allows creation names nothing else.
//! - I2: all topics are never asked for, only those wanted.
//! - I3: every look-up that leaves [`Cache::needs`] is either answered or put back by
//!   [`Cache::handle_failure`]; nothing it was to ask is forgotten.
//! - I4: while look-ups are held back, only topics never asked for before pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_codec::messages::MetadataResponse;
use milena_codec::{ErrorCode, Str};

use crate::merge::{self, AnswerError, Merged};
use crate::{BrokerInfo, Lookup, Snapshot};

/// How long knowledge is good for.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// Everything is asked again at this age (`metadata.max.age.ms`, default 5 minutes).
    pub max_age: Duration,
    /// Topics not used for this long are forgotten (`metadata.max.idle.ms`, default 5 minutes).
    pub topic_idle: Duration,
}

impl Default for CacheConfig {
    fn default() -> Self {
        let five_minutes = Duration::from_secs(300);
        Self {
            max_age: five_minutes,
            topic_idle: five_minutes,
        }
    }
}

/// Whether looking a topic up may create it, if the brokers are configured to
/// (`auto.create.topics.enable`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCreate {
    /// The first look-up may create it.
    Allow,
    /// Looking never creates.
    Never,
}

/// Why fresh metadata is wanted: for logs and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefreshReason {
    /// It has reached its maximum age, or there is none yet.
    Age,
    /// A broker answered with this error.
    Error(ErrorCode),
    /// A connection was lost or could not be made.
    Disconnected,
    /// A partition has no known leader.
    NoLeader,
    /// The caller asked.
    Requested,
}

/// Merges answers into [`Snapshot`]s and says which [`Lookup`] is due.
#[derive(Debug)]
pub struct Cache {
    config: CacheConfig,
    snapshot: Arc<Snapshot>,
    wanted: BTreeMap<Str, Wanted>,
    refresh: Option<RefreshReason>,
    requested: u64,
    fulfilled: u64,
    renewed_at: Option<Instant>,
    held_until: Option<Instant>,
}

#[derive(Debug)]
struct Wanted {
    last_used: Instant,
    state: State,
    create: bool,
    asked_before: bool,
    seen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Due,
    Asked,
}

impl Cache {
    /// Knows nothing, and needs a first look-up.
    pub fn new(config: CacheConfig) -> Self {
        Self {
            config,
            snapshot: Arc::default(),
            wanted: BTreeMap::new(),
            refresh: Some(RefreshReason::Age),
            requested: 1,
            fulfilled: 0,
            renewed_at: None,
            held_until: None,
        }
    }

    /// What is known.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// A topic is to be looked up (again): [`Cache::is_pending`] until an answer has come.
    pub fn want(&mut self, topic: &str, create: AutoCreate, now: Instant) {
        // A topic that was just dropped as idle is in the snapshot until the next answer.
        let known = self.snapshot.topic(topic);
        let seen = known.is_some_and(|topic| !topic.partitions.is_empty());
        let entry = self.wanted.entry(topic.into()).or_insert(Wanted {
            last_used: now,
            state: State::Idle,
            create: false,
            asked_before: false,
            seen,
        });
        entry.last_used = now;
        if entry.state == State::Idle {
            entry.state = State::Due;
        }
        entry.create |= create == AutoCreate::Allow && !entry.seen; // I1
    }

    /// A topic is in use: it is kept, and renewed with the others. Topics never wanted are left
    /// alone.
    pub fn touch(&mut self, topic: &str, now: Instant) {
        if let Some(entry) = self.wanted.get_mut(topic) {
            entry.last_used = now;
        }
    }

    /// Whether a wanted topic still waits for an answer.
    pub fn is_pending(&self, topic: &str) -> bool {
        let entry = self.wanted.get(topic);
        entry.is_some_and(|entry| entry.state != State::Idle)
    }

    /// Everything wanted is to be asked again. Returns a ticket for [`Cache::is_fulfilled`];
    /// requests made before a look-up leaves share one.
    pub fn refresh(&mut self, reason: RefreshReason) -> u64 {
        if self.refresh.is_none() {
            self.refresh = Some(reason);
            self.requested += 1;
        }
        self.requested
    }

    /// Whether an answer has come to a look-up made after this ticket was given.
    pub fn is_fulfilled(&self, ticket: u64) -> bool {
        self.fulfilled >= ticket
    }

    /// Holds look-ups back until `until`, to limit their rate; not those of topics never asked for
    /// before.
    pub fn hold_until(&mut self, until: Instant) {
        self.held_until = Some(until);
    }

    /// The look-up that is due, if any. Ask again after each: there may be another.
    pub fn needs(&mut self, now: Instant) -> Option<Lookup> {
        let held = self.held_until.is_some_and(|until| now < until);
        if self.refresh.is_none() && self.age_is_due(now) {
            self.refresh(RefreshReason::Age);
        }
        if let Some(creating) = self.take_due(held, true) {
            return Some(creating);
        }
        if self.refresh.is_some() && !held {
            return Some(self.take_refresh(now));
        }
        self.take_due(held, false)
    }

    /// When [`Cache::needs`] has to be asked again, if nothing happens before; `None` for at once.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.wanted.values().any(|entry| entry.state == State::Due);
        if due || self.refresh.is_some() {
            return self.held_until;
        }
        self.renewed_at.map(|at| at + self.config.max_age)
    }

    /// Merges an answer into the next snapshot. `version` is the one that was negotiated.
    ///
    /// # Errors
    ///
    /// The answer is of no use, and the look-up remains due, as after [`Cache::handle_failure`].
    pub fn handle_answer(
        &mut self,
        lookup: Lookup,
        answer: MetadataResponse,
        version: i16,
        now: Instant,
    ) -> Result<Merged, AnswerError> {
        if let Err(error) = merge::check(&answer) {
            self.handle_failure(lookup);
            return Err(error);
        }
        let (next, merged) = merge::merge(&self.snapshot, &lookup, answer, version, now);
        self.snapshot = Arc::new(next);
        self.settle(&lookup, now);
        if merged.cluster_changed.is_some() {
            self.refresh(RefreshReason::Requested);
        }
        Ok(merged)
    }

    /// No answer came: what the look-up asked for is due again.
    pub fn handle_failure(&mut self, lookup: Lookup) {
        for name in lookup.topics {
            if let Some(entry) = self.wanted.get_mut(&name)
                && entry.state == State::Asked
            {
                entry.state = State::Due;
                entry.create |= lookup.create && !entry.seen;
            }
        }
        self.refresh = self.refresh.or(lookup.refresh);
    }

    /// A broker named a partition's new leader (KIP-951). Applied only if its epoch is newer and
    /// the leader can be reached; returns whether it was, and if not a refresh is in order.
    pub fn handle_hint(
        &mut self,
        topic: &str,
        partition: i32,
        leader: i32,
        epoch: i32,
        endpoint: Option<BrokerInfo>,
    ) -> bool {
        match merge::hint(&self.snapshot, topic, partition, (leader, epoch), endpoint) {
            Some(next) => {
                self.snapshot = Arc::new(next);
                true
            }
            None => false,
        }
    }

    fn age_is_due(&self, now: Instant) -> bool {
        self.renewed_at
            .is_none_or(|at| now.saturating_duration_since(at) >= self.config.max_age)
    }

    fn take_due(&mut self, fresh_only: bool, create: bool) -> Option<Lookup> {
        let mut topics = Vec::new();
        for (name, entry) in &mut self.wanted {
            let passes = !(fresh_only && entry.asked_before); // I4
            if entry.state == State::Due && entry.create == create && passes {
                entry.take();
                topics.push(name.clone());
            }
        }
        (!topics.is_empty()).then_some(Lookup {
            topics,
            create,
            refresh: None,
            covers: 0,
        })
    }

    fn take_refresh(&mut self, now: Instant) -> Lookup {
        let idle = self.config.topic_idle;
        self.wanted.retain(|_, entry| {
            entry.state != State::Idle || now.saturating_duration_since(entry.last_used) < idle
        });
        for entry in self.wanted.values_mut() {
            entry.take();
        }
        Lookup {
            topics: self.wanted.keys().cloned().collect(), // I2
            create: false,
            refresh: self.refresh.take(),
            covers: self.requested,
        }
    }

    fn settle(&mut self, lookup: &Lookup, now: Instant) {
        for name in &lookup.topics {
            let exists = self.snapshot.topic(name).is_some_and(|t| t.error.is_none());
            if let Some(entry) = self.wanted.get_mut(name) {
                entry.seen |= exists;
                entry.create &= !entry.seen; // I1
                if entry.state == State::Asked {
                    entry.state = State::Idle;
                }
            }
        }
        if lookup.refresh.is_some() {
            self.renewed_at = Some(now);
            self.fulfilled = self.fulfilled.max(lookup.covers);
            self.forget_unwanted();
        }
    }

    fn forget_unwanted(&mut self) {
        let wanted = &self.wanted;
        if self
            .snapshot
            .topics
            .keys()
            .any(|name| !wanted.contains_key(name))
        {
            let next = Arc::make_mut(&mut self.snapshot);
            next.topics.retain(|name, _| wanted.contains_key(name));
        }
    }
}

impl Wanted {
    fn take(&mut self) {
        self.state = State::Asked;
        self.asked_before = true;
        self.create = false;
    }
}

#[cfg(test)]
mod seeded_tests;
#[cfg(test)]
mod tests;
