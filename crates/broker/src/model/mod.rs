//! A Kafka cluster as a value: no I/O, no clock, no threads, and no randomness but a seed.
//!
//! A driver tells the model of connections and requests, and asks it for answers; time is an
//! argument, counted from the start of the cluster. [`ClusterModel::handle`] answers at once, or
//! parks the request; what was parked comes out of [`ClusterModel::poll_release`] after any later
//! call. [`ClusterModel::poll_timeout`] says when [`ClusterModel::handle_timeout`] is due.
//!
//! I1. The same calls with the same arguments give the same bytes.
//! I2. A connection has one request at a time. A close by the client does not take back a request
//!     that was received, and only its answer is lost.
//! I3. What clients send cannot panic, and allocates at most in proportion to its size; logs
//!     together stay within [`ClusterSettings::max_log_bytes`].
//! I4. A parked request is looked at again whenever a partition it waits for changed.
//!
//! Not for: replication byte by byte (replicas share a log), groups with members, and access
//! control.

pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod fault;
mod inspect;
pub(crate) mod log;
mod offsets;
mod parked;
pub(crate) mod producer_state;
pub(crate) mod profile;
pub(crate) mod random;
mod requests;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod topics;
pub(crate) mod transactions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use milena_codec::frame::Frame;
use milena_codec::{ApiKey, Bytes, Str, Uuid};

pub use self::cluster::AdminError;
use self::fault::{FaultPlan, Faults, Verdict};
pub use self::inspect::{LogRecord, TransactionInfo};
pub(crate) use self::offsets::{Committed, GroupOffsets};
pub(crate) use self::parked::{Parked, Waiting};
use self::random::SplitMix;
pub use self::requests::{Fate, RequestRecord};
use self::sessions::Sessions;
use self::settings::{ClusterSettings, NodeAddress};
use self::topics::Topics;
pub use self::transactions::TransactionState;
use self::transactions::Transactions;

/// A connection, as long as the cluster lives; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What a request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// To be written to the connection.
    Answer(Frame),
    /// Carried out; there is no answer (Produce with acks=0).
    Silent,
    /// Not finished: its outcome comes from [`ClusterModel::poll_release`].
    Parked,
    /// The broker closes the connection; the model has forgotten it.
    Close,
    /// The connection's previous request is still parked: hand in this frame again after it.
    Busy(Bytes),
}

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: NodeAddress,
    pub(crate) rack: Option<Str>,
    pub(crate) up: bool,
    pub(crate) sessions: Sessions,
    /// Whether its coordinator has answered a first time.
    pub(crate) warm: bool,
}

#[derive(Debug)]
struct Connection {
    node: i32,
    waiting: Option<Waiting>,
    /// The client closed it; a request of its own may still be under way.
    gone: bool,
    /// Until then, what the client sends is not read: it was throttled.
    muted_until: Duration,
}

/// The cluster.
#[derive(Debug)]
pub struct ClusterModel {
    pub(crate) settings: ClusterSettings,
    pub(crate) cluster_id: Str,
    pub(crate) nodes: BTreeMap<i32, Node>,
    pub(crate) topics: Topics,
    pub(crate) offsets: GroupOffsets,
    pub(crate) random: SplitMix,
    pub(crate) next_producer_id: i64,
    pub(crate) transactions: Transactions,
    /// The epoch of the finalized features: it rises when one changes.
    pub(crate) features_epoch: i64,
    /// The latest time that was told.
    pub(crate) now: Duration,
    pub(crate) log_bytes: usize,
    /// Partitions that changed since parked requests were last looked at.
    pub(crate) touched: BTreeSet<(Uuid, i32)>,
    connections: BTreeMap<ConnectionId, Connection>,
    next_connection: u64,
    released: VecDeque<(ConnectionId, Outcome)>,
    faults: Faults,
    requests: VecDeque<RequestRecord>,
}

impl ClusterModel {
    /// A cluster whose nodes are all up, without topics.
    pub fn new(settings: ClusterSettings) -> Self {
        let mut random = SplitMix::new(settings.seed);
        let cluster_id = random.uuid().to_string().into();
        let node = |address: &NodeAddress| Node {
            address: address.clone(),
            rack: None,
            up: true,
            sessions: Sessions::default(),
            warm: false,
        };
        Self {
            nodes: (1..).zip(settings.nodes.iter().map(node)).collect(),
            transactions: Transactions::new(&settings),
            features_epoch: 1,
            now: Duration::ZERO,
            settings,
            cluster_id,
            topics: Topics::default(),
            offsets: GroupOffsets::default(),
            random,
            next_producer_id: 0,
            log_bytes: 0,
            touched: BTreeSet::new(),
            connections: BTreeMap::new(),
            next_connection: 0,
            released: VecDeque::new(),
            faults: Faults::default(),
            requests: VecDeque::new(),
        }
    }

    /// A client opened a connection to `node`: `None` if the node is down or does not exist, which
    /// refuses the connection.
    pub fn connect(&mut self, node: i32) -> Option<ConnectionId> {
        self.nodes.get(&node).filter(|node| node.up)?;
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.connections.insert(
            id,
            Connection {
                node,
                waiting: None,
                gone: false,
                muted_until: Duration::ZERO,
            },
        );
        Some(id)
    }

    /// The client closed a connection. A request of it that is parked runs its course.
    pub fn disconnect(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let pending = connection
                .waiting
                .as_ref()
                .is_some_and(Waiting::has_effects); // I2
            connection.gone = true;
            if !pending {
                self.connections.remove(&id);
            }
        }
    }

    /// A request arrived: a frame without its size.
    pub fn handle(&mut self, now: Duration, id: ConnectionId, frame: Bytes) -> Outcome {
        self.advance(now);
        let Some(connection) = self
            .connections
            .get(&id)
            .filter(|connection| !connection.gone)
        else {
            return Outcome::Close;
        };
        if connection.waiting.is_some() {
            return Outcome::Busy(frame);
        }
        let outcome = self.receive(now, id, connection.node, frame);
        if outcome == Outcome::Close {
            self.connections.remove(&id);
        }
        self.settle();
        outcome
    }

    /// When [`Self::handle_timeout`] is due next, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let waiting = self
            .connections
            .values()
            .filter_map(|connection| connection.waiting.as_ref());
        let deadlines = waiting.filter_map(|waiting| waiting.deadline);
        deadlines.chain(self.next_event()).min()
    }

    /// When something is due that no request waits for by itself.
    pub(crate) fn next_event(&self) -> Option<Duration> {
        self.transactions.poll_timeout()
    }

    /// When to call [`Self::handle_timeout`] on behalf of a connection's parked request at the
    /// latest: `None` if it has none, or only an event ends it and none is due.
    pub fn deadline(&self, id: ConnectionId) -> Option<Duration> {
        let waiting = self.connections.get(&id)?.waiting.as_ref()?;
        let event = self.next_event();
        waiting.deadline.into_iter().chain(event).min()
    }

    /// Whether a parked request of this connection will ever have an outcome.
    pub fn will_answer(&self, id: ConnectionId) -> bool {
        let waiting = self
            .connections
            .get(&id)
            .and_then(|found| found.waiting.as_ref());
        waiting.is_some_and(|waiting| !matches!(waiting.parked, Parked::Never))
    }

    /// Ends what has waited long enough.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.advance(now);
        while let Some(id) = self.first_due(now) {
            let connection = self.connections.get_mut(&id);
            let Some(waiting) = connection.and_then(|connection| connection.waiting.take()) else {
                break;
            };
            let outcome = self.expire(now, id, waiting.parked);
            self.release(id, outcome);
        }
        self.settle();
    }

    /// What became of a parked request, in order. Connections that the cluster closes of its own
    /// come here too.
    pub fn poll_release(&mut self) -> Option<(ConnectionId, Outcome)> {
        self.released.pop_front()
    }

    /// Sets or removes the fault plan.
    pub fn set_faults(&mut self, plan: Option<FaultPlan>) {
        self.faults.plan = plan;
    }

    /// Gives the next `times` requests of an API this verdict, before the fault plan is asked.
    pub fn fault_next(&mut self, api: ApiKey, times: usize, verdict: Verdict) {
        self.faults
            .next
            .extend(std::iter::repeat_n((api, verdict), times));
    }

    /// The last requests, oldest first.
    pub fn requests(&self) -> impl Iterator<Item = &RequestRecord> {
        self.requests.iter()
    }

    /// The wall-clock time in ms since the epoch.
    pub(crate) fn wall_millis(&self, now: Duration) -> i64 {
        let passed = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        self.settings.start_millis.saturating_add(passed)
    }

    pub(crate) fn is_up(&self, node: i32) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.up)
    }

    fn first_due(&self, now: Duration) -> Option<ConnectionId> {
        let deadline = |connection: &Connection| connection.waiting.as_ref()?.deadline;
        let due = self
            .connections
            .iter()
            .filter_map(|(id, c)| Some((deadline(c)?, *id)));
        due.filter(|(deadline, _)| *deadline <= now)
            .min()
            .map(|(_, id)| id)
    }

    /// Completes parked requests that a change made ready. // I4
    fn settle(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return;
        }
        let waits = |connection: &Connection| {
            connection
                .waiting
                .as_ref()
                .is_some_and(|waiting| waiting.concerns(&touched))
        };
        let concerned: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, c)| waits(c))
            .map(|(id, _)| *id)
            .collect();
        for id in concerned {
            let connection = self.connections.get_mut(&id);
            let Some(waiting) = connection.and_then(|connection| connection.waiting.take()) else {
                continue;
            };
            match self.retry(waiting) {
                Ok(outcome) => self.release(id, outcome),
                Err(waiting) => self.put_back(id, waiting),
            }
        }
    }

    fn muted_until(&self, id: ConnectionId) -> Duration {
        let connection = self.connections.get(&id);
        connection.map_or(Duration::ZERO, |connection| connection.muted_until)
    }

    fn mute(&mut self, id: ConnectionId, until: Duration) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.muted_until = until;
        }
    }

    fn put_back(&mut self, id: ConnectionId, waiting: Waiting) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.waiting = Some(waiting);
        }
    }

    /// Hands an outcome to the driver, unless the client has gone or it is parked again.
    fn release(&mut self, id: ConnectionId, outcome: Outcome) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if outcome == Outcome::Parked {
            return;
        }
        let gone = connection.gone;
        if gone || outcome == Outcome::Close {
            self.connections.remove(&id);
        }
        if !gone {
            self.released.push_back((id, outcome));
        }
    }

    /// Closes all connections of a node, without answers.
    fn sever(&mut self, node: i32) {
        let of_node = |connection: &&ConnectionId| self.connections[connection].node == node;
        let ids: Vec<ConnectionId> = self.connections.keys().filter(of_node).copied().collect();
        for id in ids {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.waiting = None;
            }
            self.release(id, Outcome::Close);
        }
    }
}

#[cfg(test)]
mod tests;
