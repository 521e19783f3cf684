//! A topic as its producer sees it: partitions, and the choice between them.
//!
//! - I1. A partition is the same object for as long as the producer lives, whatever the metadata
//!   says meanwhile: its order depends on it.
//! - I2. Whoever sends through a handle of its own shares no lock with other threads but those of
//!   the partitions.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use milena_codec::Str;
use milena_partitioner::{Sticky, for_key};
use milena_rpc::Topic;

use crate::partition::Partition;
use crate::shared::lock;
use crate::Record;

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
    pub(crate) local: Mutex<Local>,
}

impl TopicHandle {
    pub(crate) fn new(topic: Arc<TopicState>, producer: u64) -> Self {
        Self {
            local: Mutex::new(Local::new(topic.batch_size)),
            topic,
            producer,
        }
    }

    /// The topic's name.
    pub fn name(&self) -> &Str {
        &self.topic.name
    }

    /// How many partitions the topic has, as far as is known: `None` while it is not looked up.
    pub fn partitions(&self) -> Option<usize> {
        let view = self.topic.view();
        view.map(|view| view.topic.partitions.len())
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
    batch_size: u32,
    /// All partitions ever used. // I1
    partitions: Mutex<BTreeMap<i32, Arc<Partition>>>,
    view: Mutex<Option<Arc<View>>>,
    /// Counts changes of `view`.
    version: AtomicU64,
    /// Whether it was sent to since somebody looked.
    pub(crate) used: AtomicBool,
    /// For those who send by name.
    pub(crate) local: Mutex<Local>,
}

/// What the metadata says of the topic, and its partitions as far as they are used.
pub(crate) struct View {
    pub(crate) topic: Arc<Topic>,
    /// In the order of the topic's own.
    used: Vec<OnceLock<Arc<Partition>>>,
    /// The partitions that have a leader.
    available: Vec<i32>,
}

/// What one sender remembers.
pub(crate) struct Local {
    view: Option<Arc<View>>,
    version: u64,
    sticky: Sticky,
}

impl TopicState {
    pub(crate) fn new(name: Str, batch_size: usize) -> Self {
        let batch_size = u32::try_from(batch_size).unwrap_or(u32::MAX);
        Self {
            name,
            batch_size,
            partitions: Mutex::default(),
            view: Mutex::default(),
            version: AtomicU64::new(0),
            used: AtomicBool::new(false),
            local: Mutex::new(Local::new(batch_size)),
        }
    }

    pub(crate) fn view(&self) -> Option<Arc<View>> {
        lock(&self.view).clone()
    }

    /// Takes note of the topic's metadata: `None` if there is none any more.
    pub(crate) fn see(&self, topic: Option<&Arc<Topic>>) {
        let usable = topic.filter(|topic| topic.error.is_none() && !topic.partitions.is_empty());
        let mut view = lock(&self.view);
        let same = match (&*view, usable) {
            (Some(known), Some(topic)) => Arc::ptr_eq(&known.topic, topic),
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

impl Local {
    fn new(batch_size: u32) -> Self {
        Self {
            view: None,
            version: 0,
            sticky: Sticky::new(batch_size),
        }
    }

    /// The newest view, and the sticky choice.
    #[inline]
    pub(crate) fn look(&mut self, topic: &TopicState) -> (Option<&Arc<View>>, &mut Sticky) {
        let version = topic.version.load(Ordering::Acquire);
        if version != self.version {
            self.renew(topic, version);
        }
        (self.view.as_ref(), &mut self.sticky)
    }

    #[cold]
    fn renew(&mut self, topic: &TopicState, version: u64) {
        let fresh = topic.view();
        let available = |view: &Option<Arc<View>>| view.as_ref().map(|v| v.available.clone());
        if available(&fresh) != available(&self.view) {
            self.sticky.switch();
        }
        self.view = fresh;
        self.version = version;
    }
}

/// The partition that `record` goes to; the one it names may not exist.
#[inline]
pub(crate) fn choose(
    record: &Record<'_>,
    view: &View,
    sticky: &mut Sticky,
    random: impl FnOnce() -> u64,
) -> i32 {
    if let Some(partition) = record.partition {
        return partition;
    }
    let count = u32::try_from(view.topic.partitions.len()).unwrap_or(u32::MAX);
    let count = NonZeroU32::new(count).expect("a view has partitions");
    if let Some(key) = record.key_bytes() {
        return for_key(key, count);
    }
    sticky.partition(count, &view.available, || random() as u32)
}

#[cfg(test)]
mod tests;
