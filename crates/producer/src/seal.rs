//! Sealing batches, and dividing those that were too large: at once where that is quick, else by a few jobs on spare threads.
//!
//! - I1. Every batch that comes here is put back into its queue or fails.
//! - I2. Batches of a partition may be sealed out of order: each keeps its place in the queue.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;

use milena_accumulator::Unsealed;
use milena_proto::sequencer::BatchId;
use milena_records::{Compression, Compressor, SealedBatch};

use crate::failed::DeliveryCause;
use crate::metrics::Timed;
use crate::partition::{Partition, Turn};
use crate::shared::{ClosedBatch, Phase, Shared, lock};
use crate::split::Oversize;

/// Up to this many bytes are compressed where they are; about a tenth of a millisecond.
const QUICK: usize = 16 * 1024;

/// The batches that wait for a spare thread, and the compressors.
#[derive(Default)]
pub(crate) struct Sealers {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    running: usize,
    compressors: Vec<Compressor>,
}

impl Shared {
    /// Seals a batch and puts its partition in line, at once or a little later.
    pub(crate) fn seal(self: &Arc<Self>, closed: Box<ClosedBatch>) {
        if let Some(partition) = self.seal_if_quick(closed) {
            self.schedule(&partition, Turn::Now);
        }
    }

    /// Seals a batch at once if that is quick, and returns its partition, which has something to
    /// send then. Otherwise the partition gets in line a little later.
    pub(crate) fn seal_if_quick(
        self: &Arc<Self>,
        closed: Box<ClosedBatch>,
    ) -> Option<Arc<Partition>> {
        let size = closed.size();
        let quick = self.config.compression == Compression::None || size <= QUICK;
        self.work(Work::Seal(closed), quick)
    }

    /// Divides a batch that was too large, and puts its partition in line, at once or a little
    /// later.
    pub(crate) fn divide(
        self: &Arc<Self>,
        partition: &Arc<Partition>,
        id: BatchId,
        sealed: SealedBatch,
    ) {
        let quick = sealed.len() <= QUICK;
        let oversize = Oversize {
            partition: Arc::clone(partition),
            id,
            sealed,
        };
        if let Some(partition) = self.work(Work::Divide(oversize), quick) {
            self.schedule(&partition, Turn::Now);
        }
    }

    fn work(self: &Arc<Self>, work: Work, quick: bool) -> Option<Arc<Partition>> {
        let job = Job {
            shared: Arc::clone(self),
            work: Some(work),
        };
        if quick {
            return job.run();
        }
        let mut state = lock(&self.sealers.state);
        state.waiting.push_back(job);
        let most = available_parallelism().map_or(1, usize::from);
        if state.running < most {
            state.running += 1;
            drop(state);
            let mut worker = Worker {
                shared: Arc::clone(self),
                ended: false,
            };
            let offload = &self.cluster.env().offload;
            offload.run(Box::new(move || worker.run()));
        }
        None
    }
}

/// Seals what waits until nothing does.
struct Worker {
    shared: Arc<Shared>,
    ended: bool,
}

impl Worker {
    fn run(&mut self) {
        while let Some(job) = self.next() {
            if let Some(partition) = job.run() {
                self.shared.schedule(&partition, Turn::Now);
            }
        }
    }

    /// The next job. Without one the worker has ended, under the same lock: whoever brings a job
    /// afterwards starts another worker.
    fn next(&mut self) -> Option<Job> {
        let mut state = lock(&self.shared.sealers.state);
        let job = state.waiting.pop_front();
        if job.is_none() {
            state.running -= 1;
            self.ended = true;
        }
        job
    }
}

impl Drop for Worker {
    /// If a job panicked, or nobody ran this at all, what waits fails. // I1
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut state = lock(&self.shared.sealers.state);
        state.running -= 1;
        let orphans = std::mem::take(&mut state.waiting);
        drop(state);
        drop(orphans);
    }
}

/// A batch on its way through the compressor. If it is dropped there, it fails: nobody else knows
/// of it. // I1
struct Job {
    shared: Arc<Shared>,
    work: Option<Work>,
}

enum Work {
    Seal(Box<ClosedBatch>),
    Divide(Oversize),
}

impl Job {
    /// Returns the batch's partition if its queue has changed.
    fn run(mut self) -> Option<Arc<Partition>> {
        match self.work.take()? {
            Work::Seal(closed) => self.shared.seal_now(*closed),
            Work::Divide(oversize) => oversize.divide(&self.shared),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let cause = DeliveryCause::Closed { last: None };
        match self.work.take() {
            Some(Work::Seal(closed)) => {
                let partition: &Arc<Partition> = closed.cell().owner();
                partition.queue.forget_sealing(closed.cell().id());
                self.shared.fail_unsealed_batch(*closed, cause);
            }
            Some(Work::Divide(oversize)) => oversize.fail(&self.shared, &cause),
            None => {}
        }
    }
}

impl Shared {
    /// Seals the batch and puts it into its place.
    fn seal_now(&self, closed: ClosedBatch) -> Option<Arc<Partition>> {
        let records = closed.records();
        let partition = Arc::clone(closed.cell().owner());
        let mut compressor = self.compressor();
        let (closed_at, size) = (self.now(), closed.size());
        self.metrics.closed(&closed);
        let compressing = self.config.compression != Compression::None;
        let compressing = compressing.then(|| Timed::compressing(self));
        let sealed = closed.seal(&mut compressor);
        drop(compressing);
        match sealed {
            Ok(mut batch) => {
                batch.set_closed_at(closed_at);
                self.metrics.sealed(&batch, size);
                self.keep(compressor);
                if let Err(batch) = partition.queue.put_sealed(batch) {
                    self.fail_unsent(&batch, given_up(self));
                    return None;
                }
            }
            Err(Unsealed { error, cell }) => {
                partition.queue.forget_sealing(cell.id());
                self.fail_cell(&cell, records, DeliveryCause::Compression(error));
            }
        }
        Some(partition)
    }
}

/// Why a batch's place in its queue was gone.
fn given_up(shared: &Shared) -> DeliveryCause {
    match shared.phase() {
        Phase::Open => DeliveryCause::Aborted,
        _ => DeliveryCause::Closed { last: None },
    }
}

impl Shared {
    pub(crate) fn keep(&self, compressor: Compressor) {
        lock(&self.sealers.state).compressors.push(compressor);
    }

    pub(crate) fn compressor(&self) -> Compressor {
        let kept = lock(&self.sealers.state).compressors.pop();
        kept.unwrap_or_else(|| {
            let made = self.config.compressor();
            made.expect("the settings were validated")
        })
    }
}
