//! Batches that were too large for their broker: their records go on in smaller ones.

use std::sync::Arc;

use milena_proto::sequencer::BatchId;
use milena_records::{Decompressor, SealedBatch, SplitError};

use crate::ProducerEvent;
use crate::failed::DeliveryCause;
use crate::partition::Partition;
use crate::shared::{Shared, lock};

/// A batch that waits to be divided. Its place is kept by the partition's flight.
pub(crate) struct Oversize {
    pub(crate) partition: Arc<Partition>,
    pub(crate) id: BatchId,
    pub(crate) sealed: SealedBatch,
}

impl Oversize {
    /// Divides the batch in its place. Returns its partition if there is something to send now.
    pub(crate) fn divide(self, shared: &Arc<Shared>) -> Option<Arc<Partition>> {
        let mut compressor = shared.compressor();
        let parts = Decompressor::with_local(|decompressor| {
            self.sealed.split(&mut compressor, decompressor)
        });
        let (parts, limit) = match parts {
            Ok(divided) => divided,
            Err(error) => {
                let cause = self.why_not(error);
                self.fail(shared, &cause);
                return Some(self.partition);
            }
        };
        shared.keep(compressor);
        let count = lock(&self.partition.flight).divide(self.id, parts)?;
        self.partition.queue.lower_limit(limit);
        shared.emit(&ProducerEvent::BatchSplit {
            topic: self.partition.topic.clone(),
            partition: self.partition.index,
            size: self.sealed.len(),
            records: self.sealed.count(),
            parts: count,
        });
        Some(self.partition)
    }

    /// Gives the batch up, if that did not happen meanwhile.
    pub(crate) fn fail(&self, shared: &Arc<Shared>, cause: &DeliveryCause) {
        let mut settled = Vec::new();
        lock(&self.partition.flight).give_up(
            |travelling, _| (travelling.id() == self.id).then(|| cause.clone()),
            &mut settled,
        );
        shared.settle(&self.partition, settled);
    }

    fn why_not(&self, error: SplitError) -> DeliveryCause {
        match error {
            SplitError::Compression(error) => DeliveryCause::Compression(error),
            error => {
                tracing::error!(%error, "a batch that was too large cannot be divided");
                DeliveryCause::TooLarge {
                    size: self.sealed.len(),
                    records: self.sealed.count(),
                    code: milena_codec::ErrorCode::MessageTooLarge,
                }
            }
        }
    }
}
