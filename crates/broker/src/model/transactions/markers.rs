//! The end of a transaction in its partitions: control batches, and offsets that become visible.

use std::time::Duration;

use milena_codec::Str;
use milena_records::{BatchHeader, EndTxnMarker, edit};

use super::{OFFSETS_TOPIC, Producer, TransactionState};
use crate::model::ClusterModel;

/// How soon a marker that found no leader is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

impl ClusterModel {
    /// Writes the markers that were due `at`, as far as they can be, and completes the transaction
    /// if none is left.
    pub(super) fn write_markers(&mut self, at: Duration, now: Duration, id: &Str) {
        let (coordinator, coordinator_epoch) = self.transactions.coordinators.of(id);
        let Some(transaction) = self.transactions.ids.get_mut(id) else {
            return;
        };
        let mut left = std::mem::take(&mut transaction.partitions);
        let producer = transaction.producer;
        let marker = EndTxnMarker {
            committed: transaction.state == TransactionState::PrepareCommit,
            coordinator_epoch,
        };
        if coordinator.is_some() {
            left.retain(|(topic, index)| !self.write_marker(at, topic, *index, producer, marker));
        }
        let done = coordinator.is_some() && left.is_empty();
        if let Some(transaction) = self.transactions.ids.get_mut(id) {
            if done {
                transaction.complete(at);
            } else {
                transaction.partitions = left;
            }
        }
        if !done {
            let due = Some(now.saturating_add(AGAIN_AFTER));
            self.transactions.schedule(id, due);
        }
    }

    /// Whether the marker is written, or never will have to be.
    fn write_marker(
        &mut self,
        at: Duration,
        topic: &Str,
        index: i32,
        producer: Producer,
        marker: EndTxnMarker,
    ) -> bool {
        if *topic == OFFSETS_TOPIC {
            self.offsets.end(index, producer.id, marker.committed);
            return true;
        }
        let timestamp = self.wall_millis(at);
        let found = self.topics.by_name_mut(topic);
        let place = usize::try_from(index).ok();
        let Some((topic_id, partition)) = found
            .zip(place)
            .and_then(|(topic, place)| Some((topic.id, topic.partitions.get_mut(place)?)))
        else {
            return true;
        };
        if partition.leader.is_none() || partition.held_at.is_some() {
            return false;
        }
        let batch = marker.to_batch(producer.id, producer.epoch, timestamp);
        let mut stored = batch.to_vec();
        let placed = edit::append_at(&mut stored, partition.log.end(), partition.leader_epoch);
        let header = placed.ok().and_then(|()| BatchHeader::read(&stored));
        let Some(header) = header else {
            tracing::error!(%topic, index, "a marker is too short to be appended");
            return true;
        };
        self.log_bytes += stored.len();
        partition.log.append(&header, stored.into());
        let high_watermark = partition.high_watermark();
        partition.producers.ended(&header, marker, high_watermark);
        self.touched.insert((topic_id, index));
        true
    }
}
