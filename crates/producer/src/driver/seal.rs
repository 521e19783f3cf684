//! Compressing a batch: at once if that is quick, elsewhere if it is not.

use std::sync::Arc;

use milena_accumulator::{Batch, ClosedBatch};
use milena_proto::sequence::Fate;
use milena_records::Compression;
use tokio::sync::oneshot;

use super::{Driver, Event, Stage};
use crate::failed::DeliveryCause;
use crate::shared::{Outcome, Shared};
use crate::topic::Partition;

/// Batches from this size on are compressed elsewhere.
const LARGE: usize = 32 * 1024;

/// A batch that was compressed elsewhere; `None` if it failed there.
pub(super) struct Sealed {
    slot: usize,
    batch: Option<Batch<Outcome>>,
}

impl Driver {
    /// Seals a batch of the idle lane `slot`, which holds it afterwards, now or a little later.
    pub(super) fn seal(&mut self, slot: usize, closed: ClosedBatch<Outcome>) {
        let Some(lane) = self.lanes.get_mut(&slot) else {
            return;
        };
        let quick = self.shared.config.compression == Compression::None || closed.size() < LARGE;
        let job = Job {
            shared: Arc::clone(&self.shared),
            partition: Arc::clone(&lane.partition),
            closed: Some(closed),
        };
        if quick {
            lane.stage = match job.seal() {
                Some(batch) => Stage::Held(Arc::new(batch)),
                None => Stage::Idle,
            };
            return;
        }
        lane.stage = Stage::Sealing;
        let (reply, sealed) = oneshot::channel();
        let offload = &self.shared.cluster.env().offload;
        offload.run(Box::new(move || job.run(reply)));
        self.work.push(Box::pin(async move {
            let batch = sealed.await.ok().flatten();
            Event::Sealed(Sealed { slot, batch })
        }));
    }

    pub(super) fn handle_sealed(&mut self, sealed: Sealed) {
        if let Some(lane) = self.lanes.get_mut(&sealed.slot) {
            lane.stage = match sealed.batch {
                Some(batch) => Stage::Held(Arc::new(batch)),
                None => Stage::Idle,
            };
        }
    }
}

/// A batch on its way through the compressor. If it is dropped there, it fails: nobody else knows
/// of it.
struct Job {
    shared: Arc<Shared>,
    partition: Arc<Partition>,
    closed: Option<ClosedBatch<Outcome>>,
}

impl Job {
    fn run(self, reply: oneshot::Sender<Option<Batch<Outcome>>>) {
        let shared = Arc::clone(&self.shared);
        let partition = Arc::clone(&self.partition);
        if let Err(Some(batch)) = reply.send(self.seal()) {
            let cause = DeliveryCause::Closed { last: None };
            shared.fail(&partition, &batch, (Fate::NotWritten, cause, 0));
        }
    }

    /// The sealed batch, unless the codec failed, and the batch with it.
    fn seal(mut self) -> Option<Batch<Outcome>> {
        let closed = self.closed.take()?;
        let records = closed.records();
        let mut compressor = self.shared.compressor();
        match closed.seal(&mut compressor) {
            Ok(batch) => {
                self.shared.keep(compressor);
                Some(batch)
            }
            Err((error, cell)) => {
                self.shared
                    .fail_unsealed(&self.partition, records, error, &cell);
                None
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(closed) = self.closed.take() {
            let cause = DeliveryCause::Closed { last: None };
            self.shared.fail_unsent(&self.partition, closed, cause);
        }
    }
}
