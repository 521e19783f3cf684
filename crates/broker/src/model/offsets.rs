//! Committed offsets of groups without members: plain storage.

use std::collections::BTreeMap;

use milena_codec::{Str, Uuid};

/// What was committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Str,
}

/// The offsets of all groups, by topic id: a recreated topic starts without any.
#[derive(Debug, Default)]
pub(crate) struct GroupOffsets {
    groups: BTreeMap<Str, BTreeMap<(Uuid, i32), Committed>>,
}

impl GroupOffsets {
    pub(crate) fn commit(&mut self, group: &Str, topic: Uuid, partition: i32, what: Committed) {
        self.groups
            .entry(group.clone())
            .or_default()
            .insert((topic, partition), what);
    }

    pub(crate) fn committed(&self, group: &str, topic: Uuid, partition: i32) -> Option<&Committed> {
        self.groups.get(group)?.get(&(topic, partition))
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
    }
}
