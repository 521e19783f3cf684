//! Committed offsets of groups without members: plain storage, and what transactions have not
//! committed yet.
//!
//! I1. Offsets of an open transaction are not committed; when it commits, each counts unless
//!     something was committed for its partition after it.

use std::collections::BTreeMap;

use milena_codec::{Str, Uuid};

use super::transactions::partition_of;

/// What was committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Str,
}

/// Group, topic, partition.
type Place = (Str, Uuid, i32);
/// What was committed, and when: the number of its commit.
type Dated = (u64, Committed);

/// What a producer has pending in a partition of the offsets topic.
#[derive(Debug, Default)]
struct Pending {
    epoch: i16,
    offsets: BTreeMap<Place, Dated>,
}

/// The offsets of all groups, by topic id: a recreated topic starts without any.
#[derive(Debug, Default)]
pub(crate) struct GroupOffsets {
    groups: BTreeMap<Str, BTreeMap<(Uuid, i32), Dated>>,
    /// By partition of the offsets topic, and producer id.
    pending: BTreeMap<(i32, i64), Pending>,
    /// Counts commits, to order them.
    commits: u64,
}

impl GroupOffsets {
    pub(crate) fn commit(&mut self, group: &Str, topic: Uuid, partition: i32, what: Committed) {
        self.commits += 1;
        self.groups
            .entry(group.clone())
            .or_default()
            .insert((topic, partition), (self.commits, what));
    }

    /// Commits within a transaction.
    pub(crate) fn commit_pending(
        &mut self,
        producer: (i64, i16),
        group: &Str,
        topic: Uuid,
        partition: i32,
        what: Committed,
    ) {
        self.commits += 1;
        let (id, epoch) = producer;
        let pending = self.pending.entry((partition_of(group), id)).or_default();
        pending.epoch = epoch;
        let place = (group.clone(), topic, partition);
        pending.offsets.insert(place, (self.commits, what));
    }

    /// Whether this producer's transaction has offsets of groups in this partition of the offsets
    /// topic.
    pub(crate) fn is_open(&self, offsets_partition: i32, producer: (i64, i16)) -> bool {
        let (id, epoch) = producer;
        let pending = self.pending.get(&(offsets_partition, id));
        pending.is_some_and(|pending| pending.epoch == epoch)
    }

    /// The marker of a transaction in a partition of the offsets topic. // I1
    pub(crate) fn end(&mut self, offsets_partition: i32, producer_id: i64, committed: bool) {
        let pending = self.pending.remove(&(offsets_partition, producer_id));
        let Some(pending) = pending.filter(|_| committed) else {
            return;
        };
        for ((group, topic, partition), (at, what)) in pending.offsets {
            let offsets = self.groups.entry(group).or_default();
            let known = offsets.get(&(topic, partition));
            if known.is_none_or(|(before, _)| *before < at) {
                offsets.insert((topic, partition), (at, what));
            }
        }
    }

    /// Whether an open transaction has an offset for the partition (KIP-447).
    pub(crate) fn is_unstable(&self, group: &Str, topic: Uuid, partition: i32) -> bool {
        let place = (group.clone(), topic, partition);
        self.pending
            .values()
            .any(|pending| pending.offsets.contains_key(&place))
    }

    /// Whether anything was ever committed for the group.
    pub(crate) fn knows(&self, group: &str) -> bool {
        let mut places = self.pending.values().flat_map(|p| p.offsets.keys());
        self.groups.contains_key(group) || places.any(|(known, _, _)| &**known == group)
    }

    pub(crate) fn committed(&self, group: &str, topic: Uuid, partition: i32) -> Option<&Committed> {
        let (_, committed) = self.groups.get(group)?.get(&(topic, partition))?;
        Some(committed)
    }

    /// All partitions that a group has offsets for.
    pub(crate) fn partitions(&self, group: &str) -> impl Iterator<Item = (Uuid, i32)> {
        self.groups
            .get(group)
            .into_iter()
            .flat_map(|offsets| offsets.keys().copied())
    }

    /// Forgets the offsets of a deleted topic.
    pub(crate) fn forget(&mut self, topic: Uuid) {
        for offsets in self.groups.values_mut() {
            offsets.retain(|(id, _), _| *id != topic);
        }
        for pending in self.pending.values_mut() {
            pending.offsets.retain(|(_, id, _), _| *id != topic);
        }
    }
}
