//! What tests see of transactions, and do to them.

use std::collections::BTreeMap;
use std::time::Duration;

use milena_codec::{Bytes, Str};
use milena_records::{BatchHeader, Batches, Decompressor};

use super::ClusterModel;
use super::cluster::AdminError;
use super::topics::{Partition, marker};
use super::transactions::TransactionState;

/// A transactional id as its coordinator knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionInfo {
    /// The producer id that the client has, or gets next.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Where the transaction stands.
    pub state: TransactionState,
    /// How long a transaction may be open, in ms.
    pub timeout_ms: i32,
    /// The partitions in the transaction whose markers are not written, those of committed offsets
    /// as `__consumer_offsets`.
    pub partitions: Vec<(Str, i32)>,
    /// The node that coordinates the id, if one is up.
    pub coordinator: Option<i32>,
    /// How often the coordinator has changed.
    pub coordinator_epoch: i32,
}

/// A record as a reader gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecord {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in ms since the epoch.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// The producer's id, or −1.
    pub producer_id: i64,
    /// The producer's epoch, or −1.
    pub producer_epoch: i16,
}

impl ClusterModel {
    /// What the coordinator knows of a transactional id; `None` if nothing.
    pub fn transaction(&self, id: &str) -> Option<TransactionInfo> {
        let found = self.transactions.find(id)?;
        let (coordinator, coordinator_epoch) = self.transactions.coordinators.of(id);
        Some(TransactionInfo {
            producer_id: found.producer.id,
            producer_epoch: found.producer.epoch,
            state: found.state,
            timeout_ms: found.timeout_ms,
            partitions: found.partitions.iter().cloned().collect(),
            coordinator,
            coordinator_epoch,
        })
    }

    /// The node that coordinates a transactional id, if one is up.
    pub fn transaction_coordinator(&self, id: &str) -> Option<i32> {
        self.transactions.coordinators.of(id).0
    }

    /// Moves the coordinator of a transactional id to another node; with it all ids that hash to
    /// the same of the 50 partitions. The new one knows all that the old one knew.
    ///
    /// # Errors
    /// [`AdminError::NoNode`], [`AdminError::CannotCoordinate`].
    pub fn move_transaction_coordinator(&mut self, id: &str, to: i32) -> Result<(), AdminError> {
        let node = self.nodes.get(&to).ok_or(AdminError::NoNode(to))?;
        if !node.up {
            return Err(AdminError::CannotCoordinate(to));
        }
        self.transactions.coordinators.move_to(id, to);
        Ok(())
    }

    /// Makes the coordinator forget a transactional id, as after `transactional.id.expiration.ms`,
    /// whatever its state: `INVALID_PRODUCER_ID_MAPPING` from then on. Whether it was known.
    pub fn forget_transactional_id(&mut self, id: &str) -> bool {
        self.transactions.forget(id)
    }

    /// Sets the finalized level of `transaction.version` (0 to 2); clients see it in ApiVersions
    /// on new connections.
    pub fn set_transaction_version(&mut self, level: i16) {
        self.settings.transaction_version = level.clamp(0, 2);
        self.features_epoch += 1;
    }

    /// Sets [`ClusterSettings::marker_delay`](super::settings::ClusterSettings::marker_delay) for
    /// later decisions.
    pub fn set_marker_delay(&mut self, delay: Duration) {
        self.settings.marker_delay = delay;
    }

    /// The records of a partition in order, below the last stable offset and without those of
    /// aborted transactions if `read_committed`, otherwise below the high watermark. It is read
    /// from the log alone, by its markers: what Fetch says of aborted transactions plays no part.
    ///
    /// # Errors
    /// [`AdminError::NoPartition`].
    pub fn records(
        &self,
        topic: &str,
        index: i32,
        read_committed: bool,
    ) -> Result<Vec<LogRecord>, AdminError> {
        let found = self.topics.by_name(topic);
        let found = found.and_then(|topic| topic.partition(index));
        let partition = found.ok_or_else(|| AdminError::NoPartition(topic.into(), index))?;
        let max = self.settings.max_decompressed;
        Ok(visible(partition, read_committed, max))
    }

    /// The last stable offset of a partition: where read-committed readers end.
    ///
    /// # Errors
    /// [`AdminError::NoPartition`].
    pub fn last_stable_offset(&self, topic: &str, index: i32) -> Result<i64, AdminError> {
        let found = self.topics.by_name(topic);
        let found = found.and_then(|topic| topic.partition(index));
        let partition = found.ok_or_else(|| AdminError::NoPartition(topic.into(), index))?;
        Ok(partition.last_stable_offset())
    }
}

fn visible(partition: &Partition, read_committed: bool, max: usize) -> Vec<LogRecord> {
    let limit = if read_committed {
        partition.last_stable_offset()
    } else {
        partition.high_watermark()
    };
    let mut records: Vec<Option<LogRecord>> = Vec::new();
    // Where the undecided records of each producer are.
    let mut open: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for batch in partition.log.batches() {
        let bytes = batch.bytes();
        let Some(header) = BatchHeader::read(&bytes) else {
            continue;
        };
        if header.attributes.is_control() {
            let decided = open.remove(&header.producer_id).unwrap_or_default();
            if read_committed && marker(&header, bytes).is_some_and(|marker| !marker.committed) {
                decided.into_iter().for_each(|at| records[at] = None);
            }
            continue;
        }
        let from = records.len();
        records.extend(decode(&header, bytes, max).into_iter().map(Some));
        if header.attributes.is_transactional() {
            let undecided = open.entry(header.producer_id).or_default();
            undecided.extend(from..records.len());
        }
    }
    let readable = partition.log.start()..limit;
    let records = records.into_iter().flatten();
    records
        .filter(|record| readable.contains(&record.offset))
        .collect()
}

fn decode(header: &BatchHeader, bytes: Bytes, max: usize) -> Vec<LogRecord> {
    let Some(Ok(batch)) = Batches::new(bytes).next() else {
        return Vec::new();
    };
    let checked = Decompressor::with_local(|decompressor| batch.check(decompressor, max));
    let Ok(checked) = checked else {
        return Vec::new();
    };
    let owned = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    let record = |record: milena_records::RecordRef<'_>| LogRecord {
        offset: record.offset,
        timestamp: record.timestamp,
        key: owned(record.key),
        value: owned(record.value),
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
    };
    checked.iter().map(record).collect()
}
