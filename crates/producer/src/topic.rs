//! A topic as its producer sees it: partitions, and the choice between them.
//!
//! - I1. A partition is the same object for as long as the producer lives, whatever the metadata
//!   says meanwhile: its order depends on it.
//! - I2. Whoever sends through a handle of its own shares no lock with other threads but those of
//!   the partitions.

mod balance;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use milena_codec::Str;
use milena_partitioner::{Chooser, Chosen, Keyed, Partitions};
use milena_rpc::Topic;

use self::balance::Balance;
use crate::partition::Partition;
use crate::shared::lock;
use crate::{ProducerConfig, Record};

/// A topic, its name resolved once: the fastest way to send to it. Give it to
/// [`Record::to`](crate::Record::to) instead of the name.
///
/// Each handle keeps to a partition of its own choice for records without a key (KIP-480,
/// KIP-794), so give each thread its own; a clone is a handle of its own. A handle of another
/// producer works too, by its name.
pub struct TopicHandle {
    pub(crate) topic: Arc<TopicState>,
    /// The producer it belongs to.
    pub(crate) producer: u64,
    /// The view when the handle was made, with its version: used without a lock for as long as it
    /// is the newest one.
    view: Option<Arc<View>>,
    version: u64,
    pub(crate) chooser: Chooser,
}

impl TopicHandle {
    pub(crate) fn new(topic: Arc<TopicState>, producer: u64) -> Self {
        let (version, view) = topic.versioned();
        Self {
            view,
            version,
            chooser: topic.chooser.fresh(),
            topic,
            producer,
        }
    }

    /// The newest view, if it is the handle's own. // I2
    #[inline]
    pub(crate) fn own_view(&self) -> Option<&Arc<View>> {
        let version = self.topic.version.load(Ordering::Acquire);
        self.view.as_ref().filter(|_| version == self.version)
    }

    /// The topic's name.
    pub fn name(&self) -> &Str {
        &self.topic.name
    }

    /// How many partitions the topic has, as far as is known: `None` while it is not looked up.
    pub fn partitions(&self) -> Option<usize> {
        let view = self.topic.view();
        view.map(|view| view.len())
    }
}

impl Clone for TopicHandle {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.topic), self.producer)
    }
}

impl fmt::Debug for TopicHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TopicHandle").field(self.name()).finish()
    }
}

/// A topic that this producer has used.
pub(crate) struct TopicState {
    pub(crate) name: Str,
    /// All partitions ever used. // I1
    partitions: Mutex<BTreeMap<i32, Arc<Partition>>>,
    view: Mutex<Option<Arc<View>>>,
    /// Counts changes of `view`.
    version: AtomicU64,
    /// Whether it was sent to since somebody looked.
    pub(crate) used: AtomicBool,
    /// The choice of those who send by name.
    pub(crate) chooser: Chooser,
    balance: Mutex<Balance>,
}

/// What the metadata says of the topic, and its partitions as far as they are used.
///
/// It is replaced when what it says has changed: a partition was added, got a leader or lost it.
/// Which broker leads a partition is not its business.
pub(crate) struct View {
    topic: Arc<Topic>,
    /// In the order of the topic's own.
    used: Vec<OnceLock<Arc<Partition>>>,
    /// The partitions that have a leader.
    available: Vec<i32>,
}

impl TopicState {
    pub(crate) fn new(name: Str, config: &ProducerConfig) -> Self {
        let batch_size = u32::try_from(config.batch_size).unwrap_or(u32::MAX);
        let ignore_keys = config.partitioner_ignore_keys;
        Self {
            name,
            partitions: Mutex::default(),
            view: Mutex::default(),
            version: AtomicU64::new(0),
            used: AtomicBool::new(false),
            chooser: Chooser::new(&config.partitioner, ignore_keys, batch_size),
            balance: Mutex::default(),
        }
    }

    pub(crate) fn view(&self) -> Option<Arc<View>> {
        lock(&self.view).clone()
    }

    fn versioned(&self) -> (u64, Option<Arc<View>>) {
        let view = lock(&self.view);
        (self.version.load(Ordering::Acquire), view.clone())
    }

    /// Takes note of the topic's metadata: `None` if there is none any more.
    pub(crate) fn see(&self, topic: Option<&Arc<Topic>>) {
        let usable = topic.filter(|topic| topic.error.is_none() && !topic.partitions.is_empty());
        let mut view = lock(&self.view);
        let same = match (&*view, usable) {
            (Some(known), Some(topic)) => known.says_the_same_as(topic),
            (None, None) => true,
            _ => false,
        };
        if !same {
            *view = usable.map(|topic| Arc::new(View::new(topic)));
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    pub(crate) fn partitions(&self) -> Vec<Arc<Partition>> {
        lock(&self.partitions).values().cloned().collect()
    }

    /// The partition, which `make` makes when it is first used.
    pub(crate) fn partition(
        &self,
        index: i32,
        make: impl FnOnce() -> Arc<Partition>,
    ) -> Arc<Partition> {
        let mut partitions = lock(&self.partitions);
        Arc::clone(partitions.entry(index).or_insert_with(make))
    }
}

impl View {
    fn new(topic: &Arc<Topic>) -> Self {
        let led = topic.partitions.iter().filter(|p| p.leader.is_some());
        Self {
            used: topic.partitions.iter().map(|_| OnceLock::new()).collect(),
            available: led.map(|partition| partition.index).collect(),
            topic: Arc::clone(topic),
        }
    }

    /// What a record's partition is chosen from.
    #[inline]
    pub(crate) fn choices(&self) -> Partitions<'_> {
        let count = u32::try_from(self.len()).unwrap_or(u32::MAX);
        let count = NonZeroU32::new(count).expect("a view has partitions");
        Partitions::new(count, &self.available)
    }

    /// The partition with this index, if it was used in this view.
    fn used(&self, index: i32) -> Option<&Arc<Partition>> {
        let guess = usize::try_from(index).ok()?;
        let known = self.topic.partitions.get(guess)?;
        let used = self.used.get(guess).filter(|_| known.index == index);
        used?.get()
    }

    /// How many partitions the topic has.
    pub(crate) fn len(&self) -> usize {
        self.used.len()
    }

    fn says_the_same_as(&self, topic: &Arc<Topic>) -> bool {
        if Arc::ptr_eq(&self.topic, topic) {
            return true;
        }
        let known = self.topic.partitions.iter();
        let facts =
            |partition: &milena_rpc::Partition| (partition.index, partition.leader.is_some());
        known.map(facts).eq(topic.partitions.iter().map(facts))
    }

    /// The partition with this index, which `make` finds when it is first asked for; `None` if the
    /// topic has no such partition.
    #[inline]
    pub(crate) fn partition(
        &self,
        index: i32,
        make: impl FnOnce() -> Arc<Partition>,
    ) -> Option<&Arc<Partition>> {
        let guess = usize::try_from(index).ok()?;
        let known = self.topic.partitions.get(guess);
        if known.is_some_and(|known| known.index == index) {
            return Some(self.used.get(guess)?.get_or_init(make));
        }
        let mut all = self.topic.partitions.iter();
        let at = all.position(|partition| partition.index == index)?;
        Some(self.used.get(at)?.get_or_init(make))
    }
}

/// The partition that `record` goes to. The one that it names, or that the user's partitioner
/// chooses, may not exist. `weighted` chooses a sticky partition when another one is due.
#[inline]
pub(crate) fn choose(
    record: &Record<'_>,
    (topic, view, chooser): (&TopicState, &View, &Chooser),
    random: impl Fn() -> u64,
    weighted: impl FnOnce() -> Option<i32>,
) -> Chosen {
    if let Some(partition) = record.partition {
        return Chosen {
            partition,
            is_sticky: false,
        };
    }
    let keyed = Keyed {
        topic: &topic.name,
        key: record.key_bytes(),
        value: record.value_bytes(),
    };
    chooser.choose(keyed, view.choices(), random, weighted)
}

#[cfg(test)]
mod tests;
