//! A topic as its producer sees it: partitions with their queues, and the choice between them.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use milena_accumulator::{Accumulator, Queue};
use milena_codec::Str;
use milena_partitioner::{Sticky, for_key};
use milena_rpc::Topic;

use crate::shared::{Outcome, lock};
use crate::{Record, SendError};

/// A partition that this producer has used.
pub(crate) struct Partition {
    pub(crate) topic: Str,
    pub(crate) index: i32,
    /// Its number among all partitions of the producer.
    pub(crate) slot: usize,
    pub(crate) queue: Queue<Outcome>,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

/// A topic that this producer has used.
pub(crate) struct TopicHandle {
    pub(crate) name: Str,
    partitions: RwLock<BTreeMap<i32, Arc<Partition>>>,
    keyless: Mutex<Keyless>,
}

/// Where records without a key go.
struct Keyless {
    sticky: Sticky,
    /// What `available` was read from.
    seen: Option<Arc<Topic>>,
    /// The partitions that have a leader.
    available: Vec<i32>,
}

impl TopicHandle {
    pub(crate) fn new(name: Str, batch_size: usize) -> Self {
        Self {
            name,
            partitions: RwLock::default(),
            keyless: Mutex::new(Keyless {
                sticky: Sticky::new(u32::try_from(batch_size).unwrap_or(u32::MAX)),
                seen: None,
                available: Vec::new(),
            }),
        }
    }

    /// The partition that `record` goes to.
    pub(crate) fn choose(
        &self,
        record: &Record<'_>,
        topic: &Arc<Topic>,
        random: impl FnOnce() -> u64,
    ) -> Result<i32, SendError> {
        let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        if let Some(partition) = record.partition {
            return self.known(partition, topic);
        }
        let count = NonZeroU32::new(count).expect("a topic without partitions is not looked up");
        if let Some(key) = record.key_bytes() {
            return Ok(for_key(key, count));
        }
        let mut keyless = lock(&self.keyless);
        keyless.see(topic);
        let Keyless {
            sticky, available, ..
        } = &mut *keyless;
        Ok(sticky.partition(count, available, || random() as u32))
    }

    fn known(&self, partition: i32, topic: &Topic) -> Result<i32, SendError> {
        if topic.partition(partition).is_some() {
            return Ok(partition);
        }
        Err(SendError::UnknownPartition {
            topic: self.name.clone(),
            partition,
            count: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        })
    }

    /// Counts what a record without key or given partition added.
    pub(crate) fn count_keyless(&self, bytes: usize, batch_ended: bool) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        lock(&self.keyless)
            .sticky
            .handle_produced(bytes, batch_ended);
    }

    /// The partition's queue, which is made when first used.
    pub(crate) fn partition(
        &self,
        index: i32,
        accumulator: &Arc<Accumulator<Outcome>>,
        slot: impl FnOnce() -> usize,
    ) -> Arc<Partition> {
        let known = self.partitions.read();
        if let Some(known) = known.unwrap_or_else(PoisonError::into_inner).get(&index) {
            return Arc::clone(known);
        }
        let partitions = self.partitions.write();
        let mut partitions = partitions.unwrap_or_else(PoisonError::into_inner);
        let partition = partitions.entry(index).or_insert_with(|| {
            Arc::new(Partition {
                topic: self.name.clone(),
                index,
                slot: slot(),
                queue: Queue::new(Arc::clone(accumulator)),
            })
        });
        Arc::clone(partition)
    }

    pub(crate) fn partitions(&self) -> Vec<Arc<Partition>> {
        let partitions = self.partitions.read();
        let partitions = partitions.unwrap_or_else(PoisonError::into_inner);
        partitions.values().cloned().collect()
    }
}

impl Keyless {
    /// Reads which partitions have a leader, if the metadata changed.
    fn see(&mut self, topic: &Arc<Topic>) {
        let same = self.seen.as_ref();
        if same.is_some_and(|seen| Arc::ptr_eq(seen, topic)) {
            return;
        }
        let led = topic.partitions.iter().filter(|p| p.leader.is_some());
        let available = led.map(|p| p.index).collect();
        if self.available != available {
            self.available = available;
            self.sticky.switch();
        }
        self.seen = Some(Arc::clone(topic));
    }
}

#[cfg(test)]
mod tests;
