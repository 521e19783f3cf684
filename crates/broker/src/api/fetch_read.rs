//! Reading one partition for a fetch.

use milena_codec::ErrorCode;
use milena_codec::messages::fetch_request::FetchPartition;
use milena_codec::messages::fetch_response::{AbortedTransaction, EpochEndOffset, PartitionData};

use super::{Call, unknown_topic};
use crate::model::ClusterModel;
use crate::model::sessions::Asked;
use crate::model::topics::{Partition, Topic};

/// From this version on consumers may read from followers (KIP-392).
const FOLLOWERS_FROM: i16 = 11;
/// Topics go by id from this version on (KIP-516).
const IDS_FROM: i16 = 13;

/// What is left of an answer's size. The first batch found is delivered however large it is.
pub(super) struct Budget {
    pub(super) left: usize,
    pub(super) nothing_yet: bool,
}

/// The topic asked for.
pub(super) fn topic<'a>(
    model: &'a ClusterModel,
    call: &Call,
    asked: &Asked,
) -> Result<&'a Topic, ErrorCode> {
    let by_id = call.version >= IDS_FROM;
    let found = model.topics.find(&asked.topic, asked.topic_id);
    let found = found.filter(|_| !by_id || !asked.topic_id.is_zero());
    found.ok_or_else(|| unknown_topic(asked.topic_id, by_id))
}

/// The checks before a read, in the real broker's order.
fn checked<'a>(
    model: &'a ClusterModel,
    call: &Call,
    asked: &Asked,
    wanted: &FetchPartition,
) -> Result<&'a Partition, ErrorCode> {
    let topic = topic(model, call, asked)?;
    let partition = topic
        .partition(asked.partition)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if !partition.replicas.contains(&call.node) {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    partition.check_epoch(wanted.current_leader_epoch)?;
    let leads = partition.leader == Some(call.node);
    if !leads && (call.version < FOLLOWERS_FROM || partition.leader.is_none()) {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    if wanted.fetch_offset < partition.log.start() || wanted.fetch_offset > partition.log.end() {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    Ok(partition)
}

/// How many bytes a read would find, up to `enough`; an error also if the log has diverged.
pub(super) fn available(
    model: &ClusterModel,
    call: &Call,
    asked: &Asked,
    wanted: &FetchPartition,
    read_committed: bool,
    enough: usize,
) -> Result<usize, ErrorCode> {
    let partition = checked(model, call, asked, wanted)?;
    if diverging(partition, wanted)?.is_some() {
        return Err(ErrorCode::FencedLeaderEpoch);
    }
    let limit = end(partition, read_committed);
    let max = usize::try_from(wanted.partition_max_bytes).unwrap_or(0);
    let (bytes, first) = partition
        .log
        .readable(wanted.fetch_offset, limit, enough.min(max));
    Ok(bytes.min(max.max(first)))
}

/// The end of what may be read.
fn end(partition: &Partition, read_committed: bool) -> i64 {
    if read_committed {
        partition.last_stable_offset()
    } else {
        partition.high_watermark()
    }
}

/// The aborted transactions from an offset on. The real broker looks them up to the next entry of
/// its offset index, which in a short log is the log's end, whatever the answer holds.
fn aborted(partition: &Partition, from: i64, limit: i64) -> Vec<AbortedTransaction> {
    if from >= limit {
        return Vec::new();
    }
    let found = partition.producers.aborted(from, partition.log.end());
    let listed = found.map(|aborted| AbortedTransaction {
        producer_id: aborted.producer_id,
        first_offset: aborted.first_offset,
        ..AbortedTransaction::default()
    });
    listed.collect()
}

/// Reads, within the budget.
pub(super) fn read(
    model: &mut ClusterModel,
    call: &Call,
    asked: &Asked,
    wanted: &FetchPartition,
    read_committed: bool,
    budget: &mut Budget,
) -> PartitionData {
    let found = checked(model, call, asked, wanted);
    let found = found.and_then(|partition| Ok((partition, diverging(partition, wanted)?)));
    let (partition, diverging) = match found {
        Ok(found) => found,
        Err(code) => {
            let missing = [
                ErrorCode::UnknownTopicId,
                ErrorCode::UnknownTopicOrPartition,
            ];
            let listed = read_committed || missing.contains(&code);
            return failed(asked.partition, code, listed.then(Vec::new));
        }
    };
    let limit = end(partition, read_committed);
    let mut data = PartitionData {
        partition_index: asked.partition,
        high_watermark: partition.high_watermark(),
        last_stable_offset: partition.last_stable_offset(),
        log_start_offset: partition.log.start(),
        aborted_transactions: read_committed
            .then(|| aborted(partition, wanted.fetch_offset, limit)),
        ..PartitionData::default()
    };
    if let Some(end) = diverging {
        data.diverging_epoch = end;
        return data;
    }
    let max = usize::try_from(wanted.partition_max_bytes)
        .unwrap_or(0)
        .min(budget.left);
    let first = budget.nothing_yet;
    let records = model
        .topics
        .find_mut(&asked.topic, asked.topic_id)
        .and_then(|topic| {
            topic
                .partitions
                .get_mut(usize::try_from(asked.partition).ok()?)
        })
        .map(|partition| partition.log.read(wanted.fetch_offset, limit, max, first));
    let size = records.as_ref().map_or(0, milena_codec::Bytes::len);
    budget.left = budget.left.saturating_sub(size);
    budget.nothing_yet &= size == 0;
    data.records = Some(records.unwrap_or_default());
    data
}

/// What a partition that cannot be read is answered with.
pub(super) fn failed(
    partition_index: i32,
    code: ErrorCode,
    aborted_transactions: Option<Vec<AbortedTransaction>>,
) -> PartitionData {
    PartitionData {
        partition_index,
        error_code: code.code(),
        high_watermark: -1,
        aborted_transactions,
        ..PartitionData::default()
    }
}

/// Where the reader's log and this one part, if they do (KIP-595).
fn diverging(
    partition: &Partition,
    wanted: &FetchPartition,
) -> Result<Option<EpochEndOffset>, ErrorCode> {
    let last = wanted.last_fetched_epoch;
    if last < 0 {
        return Ok(None);
    }
    // An epoch that this log has not come to.
    if last > partition.leader_epoch {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let (epoch, end_offset) = partition
        .log
        .epoch_end(last)
        .ok_or(ErrorCode::OffsetOutOfRange)?;
    let parted = epoch < last || end_offset < wanted.fetch_offset;
    Ok(parted.then(|| EpochEndOffset {
        epoch,
        end_offset,
        ..EpochEndOffset::default()
    }))
}
