//! When to look at which partition again: what lingers, and what waits before it is tried again.
//!
//! An alarm that comes although nothing is to be done any more does no harm.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::partition::Partition;
use crate::shared::lock;

/// The alarms of one producer, rung by its driver. At most one for each partition and time.
#[derive(Default)]
pub(crate) struct Alarms(Mutex<BTreeMap<(Instant, usize), Arc<Partition>>>);

impl Alarms {
    /// Sets an alarm; returns whether it is the next one to come, so that the driver has to know.
    pub(crate) fn set(&self, at: Instant, partition: &Arc<Partition>) -> bool {
        let mut alarms = lock(&self.0);
        let key = (at, partition.slot);
        alarms.insert(key, Arc::clone(partition));
        alarms.keys().next() == Some(&key)
    }

    /// When the next one comes.
    pub(crate) fn next(&self) -> Option<Instant> {
        lock(&self.0).keys().next().map(|(at, _)| *at)
    }

    /// Those whose time has come.
    pub(crate) fn take_due(&self, now: Instant) -> Vec<Arc<Partition>> {
        let mut alarms = lock(&self.0);
        let later = alarms.split_off(&(now, usize::MAX));
        let due = std::mem::replace(&mut *alarms, later);
        due.into_values().collect()
    }
}
