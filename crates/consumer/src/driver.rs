//! The one background task of a consumer: attaches a fetcher to every broker that leads an assigned
//! partition, looks offsets up, and watches the metadata for leaders and recreated topics.
//!
//! - I1: a fetcher is attached to one lane at a time, and to none once the driver has ended, however
//!   it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_net::{LaneHandle, Outbox};
use milena_rpc::{CallError, Changes, RefreshReason, Snapshot, Target, address_of};
use tokio::task::{JoinError, JoinSet};

use crate::fetcher::{self, Fetcher};
use crate::lookup::{self, Question};
use crate::plan::leader_of;
use crate::shared::Shared;
use crate::slot::Fault;
use crate::state::State;
use crate::{ConsumeError, ConsumerEvent, TopicPartition};

/// How often the driver looks around without another reason.
const GLANCE: Duration = Duration::from_secs(1);
/// How often the topics in use are named to the metadata cache, which forgets idle ones.
const TOUCH: Duration = Duration::from_secs(60);

/// Runs until the consumer closes; returns how many fetch sessions were closed.
pub(crate) async fn run(shared: Arc<Shared>) -> usize {
    let mut driver = Driver {
        changes: shared.cluster.changes(),
        fetchers: BTreeMap::new(),
        lookups: JoinSet::new(),
        goodbyes: JoinSet::new(),
        sessions_closed: 0,
        touched: None,
        missed: None,
        trimmed: None,
        shared,
    };
    while !driver.shared.with(|state| state.closed) {
        driver.changes.mark_unchanged();
        let until = driver.look_around();
        driver.wait(until).await;
    }
    driver.lookups.shutdown().await;
    driver.keep_fetchers(&BTreeSet::new(), true);
    while let Some(joined) = driver.goodbyes.join_next().await {
        driver.count(joined);
    }
    driver.sessions_closed
}

struct Driver {
    shared: Arc<Shared>,
    changes: Changes,
    fetchers: BTreeMap<i32, Attached>,
    lookups: JoinSet<()>,
    /// Sessions being closed; true for one that was.
    goodbyes: JoinSet<bool>,
    sessions_closed: usize,
    touched: Option<Instant>,
    /// When a leader was last asked for.
    missed: Option<Instant>,
    trimmed: Option<Instant>,
}

/// A fetcher on a lane, for as long as this lives. // I1
struct Attached {
    fetcher: Arc<Fetcher>,
    outbox: Arc<dyn Outbox>,
    lane: LaneHandle,
}

impl Attached {
    fn new(fetcher: Arc<Fetcher>, lane: LaneHandle) -> Self {
        let outbox: Arc<dyn Outbox> = fetcher.clone();
        fetcher.stay(&lane);
        lane.attach(Arc::clone(&outbox));
        Self {
            fetcher,
            outbox,
            lane,
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.lane.detach(&self.outbox);
    }
}

/// What the assigned partitions need now.
#[derive(Default)]
struct Needs {
    leaders: BTreeSet<i32>,
    questions: BTreeMap<i32, Vec<Question>>,
    without_leader: bool,
    retry_at: Option<Instant>,
}

impl Driver {
    /// Starts what has to be started; returns when to look again at the latest.
    fn look_around(&mut self) -> Instant {
        let now = self.shared.now();
        let snapshot = self.shared.cluster.snapshot();
        self.touch(now);
        if self.trimmed.is_none_or(|at| at + GLANCE <= now) {
            self.trimmed = Some(now);
            self.shared.blocks.trim();
        }
        let (needs, something) = self.shared.with(|state| {
            let needs = survey(state, &snapshot, now);
            (needs, state.has_something())
        });
        if something {
            self.shared.wake_user(); // A recreated topic is an error to return.
        }
        if needs.without_leader && self.missed.is_none_or(|at| at + GLANCE <= now) {
            self.missed = Some(now);
            self.shared.cluster.refresh(RefreshReason::NoLeader);
        }
        self.keep_fetchers(&needs.leaders, false);
        for node in &needs.leaders {
            self.attach(*node, &snapshot);
        }
        let fetchers = self.fetchers.len();
        self.shared.with(|state| state.fetchers = fetchers);
        for (node, questions) in needs.questions {
            let shared = Arc::clone(&self.shared);
            self.lookups
                .spawn(async move { lookup::look_up(&shared, node, questions).await });
        }
        let retries = self
            .fetchers
            .values()
            .filter_map(|a| a.fetcher.retry_at(now));
        let earliest = retries.chain(needs.retry_at).min();
        earliest.map_or(now + GLANCE, |at| at.min(now + GLANCE))
    }

    /// Sees to it that the broker's fetcher is attached to the lane to its present address, and
    /// looks for work.
    fn attach(&mut self, node: i32, snapshot: &Snapshot) {
        let Some(address) = snapshot.broker(node).map(address_of) else {
            return;
        };
        if let Some(found) = self.fetchers.get(&node)
            && *found.lane.address() == address
            && !found.lane.is_ended()
        {
            found.fetcher.stay(&found.lane);
            return found.lane.wake();
        }
        let known = self
            .fetchers
            .remove(&node)
            .map(|old| Arc::clone(&old.fetcher));
        match self.shared.cluster.pool().lane(&address, self.shared.lane) {
            Ok(lane) => {
                let new = || Fetcher::new(Arc::clone(&self.shared), node, lane.clone());
                let fetcher = known.unwrap_or_else(new);
                self.fetchers.insert(node, Attached::new(fetcher, lane));
            }
            Err(cause) => {
                let cause = CallError::from(cause);
                let fault = ConsumeError::Broker { node, cause };
                self.shared.with(|state| state.fail_broker(node, fault));
                self.shared.wake_user();
            }
        }
    }

    /// Lets the other fetchers go, those with a request under way once that has ended unless it has
    /// to be `at_once`; and says goodbye to their brokers.
    fn keep_fetchers(&mut self, leaders: &BTreeSet<i32>, at_once: bool) {
        let leaving: Vec<i32> = self
            .fetchers
            .iter()
            .filter(|(node, _)| !leaders.contains(node))
            .filter(|(_, attached)| attached.fetcher.leave() || at_once)
            .map(|(node, _)| *node)
            .collect();
        for node in leaving {
            let Some(attached) = self.fetchers.remove(&node) else {
                continue;
            };
            let Some(session) = attached.fetcher.closing_request() else {
                continue;
            };
            let shared = Arc::clone(&self.shared);
            let deadline = shared.now() + shared.cluster.config().net.request_timeout;
            self.goodbyes.spawn(async move {
                let (to, lane) = (Target::Node(node), shared.lane);
                let prepare =
                    |version| fetcher::request(&shared, session, version, Duration::ZERO, 0);
                // A failure is no loss: the broker drops idle sessions by itself.
                let told = shared.cluster.call_once(to, lane, prepare, deadline);
                told.await.is_ok()
            });
        }
    }

    fn count(&mut self, joined: Result<bool, JoinError>) {
        self.sessions_closed += usize::from(surface(joined) == Some(true));
    }

    fn touch(&mut self, now: Instant) {
        if self
            .touched
            .is_some_and(|at| now.saturating_duration_since(at) < TOUCH)
        {
            return;
        }
        self.touched = Some(now);
        let topics: BTreeSet<_> = self
            .shared
            .with(|state| state.slots.keys().map(|name| name.topic.clone()).collect());
        topics
            .iter()
            .for_each(|topic| self.shared.cluster.touch(topic));
    }

    async fn wait(&mut self, until: Instant) {
        tokio::select! {
            biased;
            () = self.shared.attention() => {}
            () = self.changes.changed() => {}
            Some(joined) = self.lookups.join_next() => {
                surface(joined);
            }
            Some(joined) = self.goodbyes.join_next() => self.count(joined),
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }
}

/// A task's panic goes on in its parent.
fn surface<T>(joined: Result<T, JoinError>) -> Option<T> {
    match joined {
        Ok(value) => Some(value),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}

fn survey(state: &mut State, snapshot: &Snapshot, now: Instant) -> Needs {
    let mut needs = Needs::default();
    let mut recreated = Vec::new();
    let mut lost = Vec::new();
    for (name, slot) in &mut state.slots {
        if let Some(topic) = snapshot.topic(&name.topic) {
            let known = !topic.id.is_zero() && topic.error.is_none();
            if known && slot.topic_id.is_zero() {
                slot.topic_id = topic.id;
            }
            if known && slot.topic_id != topic.id && !slot.has_failed() {
                recreated.push((name.clone(), slot.topic_id, topic.id));
                continue;
            }
        }
        if slot.is_over() || slot.fault.is_some() {
            continue;
        }
        needs.retry_at = needs.retry_at.into_iter().chain(slot.retry_at(now)).min();
        let Some((node, leader_epoch)) = leader_of(slot, snapshot) else {
            needs.without_leader = true;
            if slot.await_leader() {
                lost.push(name.clone());
            }
            slot.note(now);
            continue;
        };
        needs.leaders.insert(node);
        if slot.retry_at(now).is_none() {
            slot.leader_known();
            slot.note(now);
        }
        if slot.needs_lookup(now)
            && let Some(lookup) = slot.core.poll_lookup()
        {
            let name = name.clone();
            needs.questions.entry(node).or_default().push(Question {
                name,
                lookup,
                leader_epoch,
            });
        }
    }
    report(state, recreated, lost, now);
    needs
}

fn report(
    state: &mut State,
    recreated: Vec<(TopicPartition, milena_codec::Uuid, milena_codec::Uuid)>,
    lost: Vec<TopicPartition>,
    now: Instant,
) {
    for (name, old, new) in recreated {
        state.fail(&name, Fault::Recreated { old, new }, now);
    }
    for partition in lost {
        state.event(ConsumerEvent::LeaderUnknown { partition });
    }
}
