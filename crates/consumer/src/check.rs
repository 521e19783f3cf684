//! Checks a batch: at once if it is small, by [`Offload`](milena_net::Offload) if it would hold up
//! the user's task.

use milena_net::Environment;
use milena_records::{Batch, BatchError, CheckedBatch, Compression, Decompressor};
use tokio::sync::oneshot;

/// About a tenth of a millisecond of checksumming and walking records.
const LARGE: usize = 512 << 10;
/// About a tenth of a millisecond of decompressing.
const LARGE_COMPRESSED: usize = 32 << 10;

pub(crate) type Checked = Result<CheckedBatch, BatchError>;

/// A check that has begun, or is done.
#[derive(Debug)]
pub(crate) enum Check {
    Done(Box<Checked>),
    Running(oneshot::Receiver<Checked>),
}

impl Check {
    pub(crate) fn begin(env: &Environment, batch: Batch, max_decompressed: usize) -> Self {
        if is_small(&batch) {
            return Self::Done(Box::new(check(&batch, max_decompressed)));
        }
        let (done, result) = oneshot::channel();
        env.offload.run(Box::new(move || {
            // Nobody waits for it if the consumer was dropped.
            let _ = done.send(check(&batch, max_decompressed));
        }));
        Self::Running(result)
    }

    /// The result; `None` if the work was lost.
    ///
    /// Cancel safe: the work goes on, and another call gets its result.
    pub(crate) async fn result(&mut self) -> Option<Checked> {
        match self {
            Self::Done(result) => Some((**result).clone()),
            Self::Running(result) => result.await.ok(),
        }
    }
}

fn is_small(batch: &Batch) -> bool {
    let compression = batch.header().attributes.compression();
    let limit = match compression {
        Ok(Compression::None) | Err(_) => LARGE,
        Ok(_) => LARGE_COMPRESSED,
    };
    batch.bytes().len() <= limit
}

fn check(batch: &Batch, max_decompressed: usize) -> Checked {
    Decompressor::with_local(|decompressor| batch.check(decompressor, max_decompressed))
}

#[cfg(test)]
mod tests;
