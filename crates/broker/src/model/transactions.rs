//! Transactions: the coordinators' side of them, on the model's clock.
//!
//! I1. Only the coordinator of a transactional id answers for it; the partition leaders' own
//!     questions (KIP-890) always find it, if there is one.
//! I2. A decision shows as `Prepare…` for [`ClusterSettings::marker_delay`]; then the markers are
//!     written to every partition that has a leader and whose replication is not held, and the
//!     transaction is complete when none is left.
//! I3. What is due happens at the time it is due, in that order, whenever the model is next called.
//!
//! Not for: what a partition makes of batches and markers; see
//! [`producer_state`](super::producer_state).

mod coordinators;
mod markers;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use milena_codec::{ErrorCode, Str};

use self::coordinators::Absent;
pub(crate) use self::coordinators::{Coordinators, partition_of};
pub use self::state::TransactionState;
pub(crate) use self::state::{End, Init, Producer, Transaction};
use super::ClusterModel;
use super::settings::ClusterSettings;

/// Where offsets that a transaction commits are kept.
pub(crate) const OFFSETS_TOPIC: Str = Str::from_static("__consumer_offsets");

/// All transactional ids.
#[derive(Debug)]
pub(crate) struct Transactions {
    pub(crate) coordinators: Coordinators,
    ids: BTreeMap<Str, Transaction>,
    /// When something is to be done about an id; one entry an id at most.
    timers: BTreeSet<(Duration, Str)>,
}

impl Transactions {
    pub(crate) fn new(settings: &ClusterSettings) -> Self {
        let count = i32::try_from(settings.nodes.len()).unwrap_or(i32::MAX);
        let nodes: Vec<i32> = (1..=count).collect();
        Self {
            coordinators: Coordinators::new(&nodes, settings.cold_start),
            ids: BTreeMap::new(),
            timers: BTreeSet::new(),
        }
    }

    /// All ids that are known.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Str, &Transaction)> {
        self.ids.iter()
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Transaction> {
        self.ids.get(id)
    }

    /// When something is due next.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.timers.first().map(|(due, _)| *due)
    }

    pub(crate) fn forget(&mut self, id: &str) -> bool {
        self.timers.retain(|(_, other)| &**other != id);
        self.ids.remove(id).is_some()
    }

    fn schedule(&mut self, id: &Str, due: Option<Duration>) {
        self.timers.retain(|(_, other)| other != id);
        self.timers.extend(due.map(|due| (due, id.clone())));
    }

    fn first_due(&mut self, now: Duration) -> Option<(Duration, Str)> {
        let (due, _) = self.timers.first()?;
        if *due <= now {
            self.timers.pop_first()
        } else {
            None
        }
    }
}

impl ClusterModel {
    /// InitProducerId of a transactional id.
    pub(crate) fn init_transactions(
        &mut self,
        now: Duration,
        id: &Str,
        who: Option<Producer>,
        timeout_ms: i32,
    ) -> Result<Producer, ErrorCode> {
        self.expire_transactional_id(id);
        if !self.transactions.ids.contains_key(id) {
            let producer_id = self.fresh_producer_id();
            let created = Transaction::new(producer_id, timeout_ms, now);
            self.transactions.ids.insert(id.clone(), created);
        }
        let next = &mut self.next_producer_id;
        let found = self.transactions.ids.get_mut(id);
        let transaction = found.ok_or(ErrorCode::UnknownServerError)?;
        match transaction.init(who, timeout_ms, now, || take(next))? {
            Init::Ready(producer) => Ok(producer),
            Init::Fence => {
                self.fence(now, id);
                Err(ErrorCode::ConcurrentTransactions)
            }
        }
    }

    /// Adds partitions to the transaction of an id, and begins it where none is open.
    pub(crate) fn add_to_transaction(
        &mut self,
        now: Duration,
        id: &str,
        who: Producer,
        partitions: impl IntoIterator<Item = (Str, i32)>,
    ) -> Result<(), ErrorCode> {
        let interval = self.settings.transaction_cleanup_interval();
        let (id, transaction) = self.known(id)?;
        let open = transaction.state == TransactionState::Ongoing;
        transaction.add(who, partitions, now)?;
        if !open {
            let due = abort_due(now, transaction.timeout_ms, interval);
            self.transactions.schedule(&id, due);
        }
        Ok(())
    }

    /// Whether a partition is in the open transaction of an id.
    pub(crate) fn verify_in_transaction(
        &mut self,
        id: &str,
        who: Producer,
        partition: &(Str, i32),
    ) -> Result<(), ErrorCode> {
        let (_, transaction) = self.known(id)?;
        transaction.verify(who, partition)
    }

    /// EndTxn: the producer as it goes on, when the markers are written or under way.
    pub(crate) fn end_transaction(
        &mut self,
        now: Duration,
        id: &str,
        who: Producer,
        commit: bool,
        v2: bool,
    ) -> Result<Producer, ErrorCode> {
        let mut next = self.next_producer_id;
        let (id, transaction) = self.known(id)?;
        let ended = if v2 {
            transaction.end_v2(who, commit, now, || take(&mut next))?
        } else {
            transaction.end_v1(who, commit, now)?
        };
        self.next_producer_id = next;
        match ended {
            End::Repeated(producer) => Ok(producer),
            End::Begun(producer) => {
                self.decided(now, &id);
                Ok(producer)
            }
        }
    }

    /// Whether `node` may answer for an id now. // I1
    pub(crate) fn ask_coordinator(&mut self, id: &str, node: i32) -> Result<(), ErrorCode> {
        let asked = self.transactions.coordinators.ask(id, node);
        asked.map_err(|absent| match absent {
            Absent::Elsewhere => ErrorCode::NotCoordinator,
            Absent::Loading => ErrorCode::CoordinatorLoadInProgress,
        })
    }

    /// Whether a partition's leader reaches the coordinator of an id. // I1
    pub(crate) fn reach_coordinator(&mut self, id: &str) -> Result<(), ErrorCode> {
        let node = self.transactions.coordinators.of(id).0;
        let node = node.ok_or(ErrorCode::CoordinatorNotAvailable)?;
        self.ask_coordinator(id, node)
    }

    pub(crate) fn elect_coordinators(&mut self) {
        let nodes: Vec<i32> = self.nodes.keys().copied().collect();
        let up = |node: i32| self.nodes.get(&node).is_some_and(|node| node.up);
        self.transactions.coordinators.elect(&nodes, up);
    }

    pub(crate) fn fresh_producer_id(&mut self) -> i64 {
        take(&mut self.next_producer_id)
    }

    /// Does what is due by `now`. // I3
    pub(crate) fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        if self.transactions.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        while let Some((due, id)) = self.transactions.first_due(now) {
            match self.transactions.find(&id).map(|found| found.state) {
                Some(TransactionState::Ongoing) => self.fence(due, &id),
                Some(state) if state.is_prepared() => self.write_markers(due, now, &id),
                _ => {}
            }
        }
        self.settle();
    }

    /// Forgets an id whose last transaction is too long ago (`transactional.id.expiration.ms`).
    fn expire_transactional_id(&mut self, id: &str) {
        let age = |updated: Duration| self.now.saturating_sub(updated);
        let expired = self.transactions.find(id).is_some_and(|found| {
            let idle = !found.state.is_prepared() && found.state != TransactionState::Ongoing;
            idle && age(found.updated) >= self.settings.transactional_id_expiration
        });
        if expired {
            self.transactions.forget(id);
        }
    }

    /// Forgets the ids that have expired.
    pub(crate) fn expire_transactional_ids(&mut self) {
        let ids: Vec<Str> = self.transactions.ids.keys().cloned().collect();
        for id in ids {
            self.expire_transactional_id(&id);
        }
    }

    fn known(&mut self, id: &str) -> Result<(Str, &mut Transaction), ErrorCode> {
        self.expire_transactional_id(id);
        let known = self.transactions.ids.get_mut(id);
        let transaction = known.ok_or(ErrorCode::InvalidProducerIdMapping)?;
        Ok((id.into(), transaction))
    }

    /// Aborts the open transaction of an id against its producer.
    fn fence(&mut self, now: Duration, id: &Str) {
        let v2 = self.settings.effective_transaction_version() >= 2;
        let next = &mut self.next_producer_id;
        if let Some(transaction) = self.transactions.ids.get_mut(id) {
            transaction.fence(v2, now, || take(next));
            self.decided(now, id);
        }
    }

    /// A decision was made: its markers follow. // I2
    fn decided(&mut self, now: Duration, id: &Str) {
        let delay = self.settings.marker_delay;
        if delay.is_zero() {
            self.transactions.schedule(id, None);
            self.write_markers(now, now, id);
        } else {
            let due = Some(now.saturating_add(delay));
            self.transactions.schedule(id, due);
        }
    }
}

fn take(next: &mut i64) -> i64 {
    let id = *next;
    *next += 1;
    id
}

/// When a transaction that begins now is aborted: at the coordinator's first look after its time
/// is up. `None` for transactions of two-phase commit, which have no end (KIP-939).
fn abort_due(now: Duration, timeout_ms: i32, interval: Duration) -> Option<Duration> {
    if timeout_ms == i32::MAX {
        return None;
    }
    let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    let end = now.saturating_add(timeout).as_millis();
    let interval = interval.as_millis().max(1);
    let due = (end / interval + 1).saturating_mul(interval);
    Some(Duration::from_millis(
        u64::try_from(due).unwrap_or(u64::MAX),
    ))
}

#[cfg(test)]
mod tests;
