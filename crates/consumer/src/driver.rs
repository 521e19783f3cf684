//! The one background task of a consumer, parent of all others: starts a fetcher for every broker
//! that leads an assigned partition, looks offsets up, and watches the metadata for leaders and
//! recreated topics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use milena_rpc::{RefreshReason, Snapshot};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::fetcher::{self, Tally};
use crate::lookup::{self, Question};
use crate::plan::leader_of;
use crate::shared::Shared;
use crate::slot::Fault;
use crate::state::State;
use crate::{ConsumerEvent, TopicPartition};

/// How often the metadata is looked at without another reason.
const GLANCE: Duration = Duration::from_secs(1);
/// How often the topics in use are named to the metadata cache, which forgets idle ones.
const TOUCH: Duration = Duration::from_secs(60);

/// Runs until the consumer closes; returns how many fetch sessions were closed.
pub(crate) async fn run(shared: Arc<Shared>) -> usize {
    let mut driver = Driver {
        work: shared.watch_work(),
        fetchers: JoinSet::new(),
        lookups: JoinSet::new(),
        fetching: BTreeSet::new(),
        tally: Arc::default(),
        touched: None,
        shared,
    };
    while !driver.shared.with(|state| state.closed) {
        driver.work.mark_unchanged();
        let until = driver.look_around();
        driver.wait(until).await;
    }
    driver.lookups.shutdown().await;
    while let Some(joined) = driver.fetchers.join_next().await {
        surface(joined);
    }
    driver.tally.sessions_closed.load(Ordering::Relaxed)
}

struct Driver {
    shared: Arc<Shared>,
    work: watch::Receiver<u64>,
    fetchers: JoinSet<i32>,
    lookups: JoinSet<()>,
    fetching: BTreeSet<i32>,
    tally: Arc<Tally>,
    touched: Option<Instant>,
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
        let (needs, something) = self.shared.with(|state| {
            let needs = survey(state, &snapshot, now);
            (needs, state.has_something())
        });
        if something {
            self.shared.wake_user(); // A recreated topic is an error to return.
        }
        if needs.without_leader {
            self.shared.cluster.refresh(RefreshReason::NoLeader);
        }
        for node in needs.leaders {
            if self.fetching.insert(node) {
                let (shared, tally) = (Arc::clone(&self.shared), Arc::clone(&self.tally));
                self.fetchers.spawn(fetcher::run(shared, node, tally));
            }
        }
        for (node, questions) in needs.questions {
            let shared = Arc::clone(&self.shared);
            self.lookups
                .spawn(async move { lookup::look_up(&shared, node, questions).await });
        }
        let glance = now + GLANCE;
        needs.retry_at.map_or(glance, |at| at.min(glance))
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
            // The sender lives as long as `shared`.
            _ = self.work.changed() => {}
            Some(joined) = self.fetchers.join_next() => {
                if let Some(node) = surface(joined) {
                    self.fetching.remove(&node);
                }
            }
            Some(joined) = self.lookups.join_next() => {
                surface(joined);
            }
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
