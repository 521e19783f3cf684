//! Checks batches: where they are handed out, or ahead of need by
//! [`Offload`].
//!
//! Checking an uncompressed batch (CRC, structure) takes some 100 µs a megabyte and leaves it in the
//! processor's cache for its reader; handing it to another thread costs half as much again. So only
//! compressed batches go elsewhere: several of them in one job, while there are processors to spare
//! ([`Offload::spare`]; without those it costs a quarter more time and brings little), and one
//! alone only if it is large.
//!
//! - I1: whatever has begun stays with its [`Check`]: dropping a wait loses nothing.
//! - I2: what is decompressed lies in pooled blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use milena_net::{BlockPool, Offload};
use milena_records::{Batch, BatchError, CheckedBatch, Compression, Decompressor};
use tokio::sync::oneshot;

/// A compressed batch from this size on would hold up the user's task: it is about a millisecond of
/// decompressing.
const LARGE: usize = 256 << 10;
/// What a codec may want beyond the end of what it decompresses.
const SLACK: usize = 64 << 10;

pub(crate) type Checked = Result<CheckedBatch, BatchError>;

/// How to check. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Checker {
    blocks: BlockPool,
    max_decompressed: usize,
    /// The size of the last block that was decompressed into.
    last_size: Arc<AtomicUsize>,
}

/// A check that is to be done, or has begun elsewhere.
#[derive(Debug)]
pub(crate) enum Check {
    Here(Batch),
    Elsewhere(oneshot::Receiver<Checked>),
}

impl Checker {
    pub(crate) fn new(blocks: BlockPool, max_decompressed: usize) -> Self {
        Self {
            blocks,
            max_decompressed,
            last_size: Arc::default(),
        }
    }

    /// The check of a batch that is needed now.
    pub(crate) fn now(&self, offload: &dyn Offload, batch: Batch) -> Check {
        if is_compressed(&batch) && batch.bytes().len() >= LARGE {
            let mut begun = self.ahead(offload, vec![batch]);
            return begun.pop().expect("one check for each batch");
        }
        Check::Here(batch)
    }

    /// The checks of batches that will be needed, in their order, done elsewhere as one job.
    pub(crate) fn ahead(&self, offload: &dyn Offload, batches: Vec<Batch>) -> Vec<Check> {
        let mut jobs = Vec::with_capacity(batches.len());
        let mut checks = Vec::with_capacity(batches.len());
        for batch in batches {
            let (done, result) = oneshot::channel();
            jobs.push((batch, done));
            checks.push(Check::Elsewhere(result));
        }
        let checker = self.clone();
        offload.run(Box::new(move || {
            for (batch, done) in jobs {
                // Nobody waits for it if the consumer was dropped or the partition moved.
                if !done.is_closed() {
                    let _ = done.send(checker.check(&batch));
                }
            }
        }));
        checks
    }

    fn check(&self, batch: &Batch) -> Checked {
        let block = if is_compressed(batch) {
            let guess = self.last_size.load(Ordering::Relaxed);
            self.blocks.take(guess.max(batch.bytes().len()))
        } else {
            Vec::new()
        };
        let freeze = |block: Vec<u8>| {
            let size = block.len().saturating_add(SLACK);
            self.last_size.store(size, Ordering::Relaxed);
            self.blocks.freeze(block) // I2
        };
        Decompressor::with_local(|decompressor| {
            batch.check_into(decompressor, self.max_decompressed, block, freeze)
        })
    }
}

impl Check {
    /// The result, which is given once; `None` if the work was lost.
    ///
    /// Cancel safe: what has begun goes on, and another call gets its result. // I1
    pub(crate) async fn result(&mut self, checker: &Checker) -> Option<Checked> {
        match self {
            Self::Here(batch) => Some(checker.check(batch)),
            Self::Elsewhere(result) => result.await.ok(),
        }
    }
}

pub(crate) fn is_compressed(batch: &Batch) -> bool {
    let compression = batch.header().attributes.compression();
    compression.is_ok_and(|codec| codec != Compression::None)
}

#[cfg(test)]
mod tests;
