//! Blocks of memory that are used again: fresh large allocations cost more in page faults than
//! receiving the bytes does.
//!
//! - I1: a block comes back when the last [`Bytes`] that shares it is dropped, wherever that is.
//! - I2: idle blocks hold at most the bytes given to [`BlockPool::new`], and what was not needed
//!   between two calls of [`BlockPool::trim`] is given back to the system.
//!
//! Not for deciding how much memory may be used: a pool always lends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Smaller blocks come from the allocator, which is as quick.
const SMALLEST: usize = 4 * 1024;

/// A pool of blocks by size. Clones share it.
#[derive(Clone, Debug)]
pub struct BlockPool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    idle: Mutex<Idle>,
    max_idle: usize,
    lent: AtomicUsize,
}

#[derive(Default)]
struct Idle {
    /// By capacity; the last one in was used last, and is likely still in the processor's cache.
    blocks: BTreeMap<usize, Vec<Vec<u8>>>,
    bytes: usize,
    /// The least that was idle since the last trim.
    unneeded: usize,
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Idle({} bytes)", self.bytes)
    }
}

/// A block as the owner of shared bytes.
struct Lent {
    block: Vec<u8>,
    pool: BlockPool,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.block
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.0.lent.fetch_sub(1, Ordering::Relaxed);
        self.pool.give_back(std::mem::take(&mut self.block)); // I1
    }
}

impl BlockPool {
    /// An empty pool that keeps at most `max_idle` bytes in blocks that nobody uses.
    #[must_use]
    pub fn new(max_idle: usize) -> Self {
        Self(Arc::new(Inner {
            idle: Mutex::default(),
            max_idle,
            lent: AtomicUsize::new(0),
        }))
    }

    /// An empty block with room for `size` bytes at least.
    #[must_use]
    pub fn take(&self, size: usize) -> Vec<u8> {
        if size < SMALLEST {
            return Vec::with_capacity(size);
        }
        let class = class(size);
        let found = self.idle().take(class);
        found.unwrap_or_else(|| Vec::with_capacity(class))
    }

    /// The filled block as shared bytes, the last of which gives it back.
    #[must_use]
    pub fn freeze(&self, block: Vec<u8>) -> Bytes {
        if block.capacity() < SMALLEST {
            return Bytes::from(block);
        }
        self.0.lent.fetch_add(1, Ordering::Relaxed);
        let pool = self.clone();
        Bytes::from_owner(Lent { block, pool })
    }

    /// Gives back a block that was not frozen.
    pub fn give_back(&self, mut block: Vec<u8>) {
        let capacity = block.capacity();
        if capacity < SMALLEST || class(capacity) != capacity {
            return; // one that grew; its place is not reusable
        }
        block.clear();
        let dropped = self.idle().put(block, self.0.max_idle);
        drop(dropped); // outside the lock
    }

    /// Frees what was idle ever since the last call.
    pub fn trim(&self) {
        let dropped = self.idle().trim();
        drop(dropped);
    }

    /// How many frozen blocks are in use.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.0.lent.load(Ordering::Relaxed)
    }

    /// The bytes of the blocks that wait to be used.
    #[must_use]
    pub fn idle_bytes(&self) -> usize {
        self.idle().bytes
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    /// A block of `class`, or one that is not much larger.
    fn take(&mut self, class: usize) -> Option<Vec<u8>> {
        let near = class..=class.saturating_mul(2);
        let (_, blocks) = self.blocks.range_mut(near).find(|(_, b)| !b.is_empty())?;
        let block = blocks.pop()?;
        self.bytes = self.bytes.saturating_sub(block.capacity());
        self.unneeded = self.unneeded.min(self.bytes);
        Some(block)
    }

    /// Keeps a block, and makes room for it at the cost of other sizes; returns what has to go.
    /// I2
    fn put(&mut self, block: Vec<u8>, max: usize) -> Vec<Vec<u8>> {
        let class = block.capacity();
        let mut gone = Vec::new();
        while self.bytes.saturating_add(class) > max {
            let mut others = self.blocks.iter_mut().rev();
            let other = others.find(|(other, b)| **other != class && !b.is_empty());
            let Some(old) = other.and_then(|(_, blocks)| blocks.pop()) else {
                gone.push(block);
                return gone;
            };
            self.bytes = self.bytes.saturating_sub(old.capacity());
            gone.push(old);
        }
        self.bytes = self.bytes.saturating_add(class);
        self.blocks.entry(class).or_default().push(block);
        gone
    }

    fn trim(&mut self) -> Vec<Vec<u8>> {
        let mut gone = Vec::new();
        let mut surplus = self.unneeded;
        for (class, blocks) in self.blocks.iter_mut().rev() {
            while surplus >= *class && !blocks.is_empty() {
                surplus = surplus.saturating_sub(*class);
                self.bytes = self.bytes.saturating_sub(*class);
                gone.extend(blocks.pop());
            }
        }
        self.blocks.retain(|_, blocks| !blocks.is_empty());
        self.unneeded = self.bytes;
        gone
    }
}

/// Four sizes for each power of two.
fn class(size: usize) -> usize {
    let size = size.max(SMALLEST);
    let step = size.checked_next_power_of_two().map_or(1, |next| next >> 3);
    size.checked_next_multiple_of(step).unwrap_or(size)
}

#[cfg(test)]
mod tests;
