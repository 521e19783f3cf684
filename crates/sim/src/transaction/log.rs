//! A partition that transactions write to: batches, offsets and markers, in order.
//!
//! - I1. An epoch below the last one seen of the producer is refused.
//! - I2. A batch that is in the log is not appended again.
//! - I3. Readers of committed data see what a commit marker of its producer id follows.

use std::collections::{BTreeMap, BTreeSet};

use milena_codec::ErrorCode;
use milena_proto::transaction::{Complete, Identity};

use super::coordinator::Marker;

/// Something a transaction wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Which transaction wrote it.
    pub(super) txn: usize,
    /// Which batch, or which offsets, in it.
    pub(super) number: u64,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Data(i64, Item),
    Marker(i64, Complete),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    entries: Vec<Entry>,
    epochs: BTreeMap<i64, i16>,
    /// The producers with an open transaction here, and its epoch.
    open: BTreeMap<i64, i16>,
    present: BTreeSet<(usize, u64)>,
}

impl Log {
    /// Whether this identity's transaction is open here, so that nobody has to be asked.
    pub(super) fn is_open(&self, identity: Identity) -> bool {
        self.open.get(&identity.producer_id) == Some(&identity.epoch)
    }

    /// # Errors
    /// INVALID_PRODUCER_EPOCH. // I1
    pub(super) fn check_epoch(&self, identity: Identity) -> Result<(), ErrorCode> {
        let known = self.epochs.get(&identity.producer_id);
        if known.is_some_and(|epoch| identity.epoch < *epoch) {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        Ok(())
    }

    /// Whether the batch is there already. // I2
    pub(super) fn has(&self, item: Item) -> bool {
        self.present.contains(&(item.txn, item.number))
    }

    pub(super) fn append(&mut self, identity: Identity, item: Item) {
        self.epochs.insert(identity.producer_id, identity.epoch);
        self.open.insert(identity.producer_id, identity.epoch);
        self.present.insert((item.txn, item.number));
        self.entries.push(Entry::Data(identity.producer_id, item));
    }

    pub(super) fn mark(&mut self, marker: &Marker) {
        let Identity { producer_id, epoch } = marker.identity;
        self.epochs.insert(producer_id, epoch);
        self.open.remove(&producer_id);
        self.entries.push(Entry::Marker(producer_id, marker.result));
    }

    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// What readers of committed data see. // I3
    pub(super) fn visible(&self) -> Vec<Item> {
        let mut pending: BTreeMap<i64, Vec<Item>> = BTreeMap::new();
        let mut visible = Vec::new();
        for entry in &self.entries {
            match entry {
                Entry::Data(id, item) => pending.entry(*id).or_default().push(*item),
                Entry::Marker(id, Complete::Commit) => {
                    visible.extend(pending.remove(id).unwrap_or_default());
                }
                Entry::Marker(id, Complete::Abort) => {
                    pending.remove(id);
                }
            }
        }
        visible
    }
}
