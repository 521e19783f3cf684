//! The memory of batches: segments of a few sizes, kept for the next batch when one is done.
//!
//! - I1. What lies idle and what is reserved together stay within the budget's limit and a
//!   sixteenth of it.
//! - I2. The segment given back last is taken first: it is the one still in the processor's cache.
//!
//! Not for reserving: that is the [`Budget`]'s.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use milena_records::Memory;

use crate::{Budget, lock};

/// The smallest segment: many partitions with a few records each must fit into the budget.
pub(crate) const SMALLEST: usize = 1024;
/// The largest segment that is kept.
pub(crate) const LARGEST: usize = 64 * 1024;
/// The part of the budget that may lie idle however much is reserved.
const SLACK: usize = 16;
/// The sizes are the powers of two from the smallest to the largest.
const SIZES: usize = (LARGEST / SMALLEST).ilog2() as usize + 1;

/// Segments that no batch uses now.
#[derive(Debug)]
pub(crate) struct Segments {
    budget: Arc<Budget>,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    by_size: [Vec<Vec<u8>>; SIZES],
    bytes: usize,
}

impl Segments {
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            idle: Mutex::default(),
        }
    }

    /// An empty segment of exactly this capacity, which the caller has reserved.
    pub(crate) fn take(&self, capacity: usize) -> Vec<u8> {
        let mut idle = lock(&self.idle);
        if let Some(at) = place(capacity)
            && let Some(segment) = idle.by_size[at].pop()
        {
            idle.bytes -= capacity;
            return segment;
        }
        idle.shrink_to(self.allowance()); // I1
        drop(idle);
        Vec::with_capacity(capacity)
    }

    /// Takes a segment back.
    pub(crate) fn give(&self, mut segment: Vec<u8>) {
        let Some(at) = place(segment.capacity()) else {
            return;
        };
        let allowance = self.allowance();
        let mut idle = lock(&self.idle);
        if idle.bytes + segment.capacity() <= allowance {
            segment.clear();
            idle.bytes += segment.capacity();
            idle.by_size[at].push(segment); // I2
        }
    }

    /// Shares a segment; it comes back when the last share is dropped.
    pub(crate) fn freeze(self: &Arc<Self>, segment: Vec<u8>) -> Bytes {
        if segment.is_empty() {
            self.give(segment);
            return Bytes::new();
        }
        if place(segment.capacity()).is_none() {
            return Bytes::from(segment);
        }
        Bytes::from_owner(Frozen {
            segment,
            home: Arc::clone(self),
        })
    }

    /// What the budget has left, or a little more: segments come back before their reservation
    /// does, and what is freed in other threads than it was allocated in is slow to be used again.
    fn allowance(&self) -> usize {
        let limit = self.budget.limit();
        let left = limit.saturating_sub(self.budget.used());
        left.max(limit / SLACK)
    }
}

/// The segments as batches are sealed with them.
pub(crate) struct Pooled<'a>(pub(crate) &'a Arc<Segments>);

impl Memory for Pooled<'_> {
    fn take(&mut self, bytes: usize) -> Vec<u8> {
        self.0.take(capacity_for(bytes))
    }

    fn freeze(&mut self, buffer: Vec<u8>) -> Bytes {
        self.0.freeze(buffer)
    }
}

/// The capacity of a segment for this many bytes: one that is kept, if there is one so large.
pub(crate) fn capacity_for(bytes: usize) -> usize {
    if bytes <= LARGEST {
        bytes.next_power_of_two().max(SMALLEST)
    } else {
        bytes
    }
}

impl Idle {
    fn shrink_to(&mut self, allowance: usize) {
        for segments in &mut self.by_size {
            while self.bytes > allowance
                && let Some(segment) = segments.pop()
            {
                self.bytes -= segment.capacity();
            }
        }
    }
}

/// Where segments of this capacity are kept, if they are.
fn place(capacity: usize) -> Option<usize> {
    let kept = capacity.is_power_of_two() && (SMALLEST..=LARGEST).contains(&capacity);
    kept.then(|| (capacity / SMALLEST).ilog2() as usize)
}

struct Frozen {
    segment: Vec<u8>,
    home: Arc<Segments>,
}

impl AsRef<[u8]> for Frozen {
    fn as_ref(&self) -> &[u8] {
        &self.segment
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.segment));
    }
}

#[cfg(test)]
mod tests;
