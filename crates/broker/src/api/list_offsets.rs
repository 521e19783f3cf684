//! ListOffsets: ends and timestamps to offsets.

use milena_codec::ErrorCode;
use milena_codec::messages::list_offsets_request::ListOffsetsPartition;
use milena_codec::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use milena_codec::messages::{ListOffsetsRequest, ListOffsetsResponse};
use milena_records::{Batches, Decompressor};

use super::{Call, check_leader};
use crate::model::ClusterModel;
use crate::model::log::Stored;
use crate::model::topics::{Partition, Topic};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Offset, timestamp (−1: none) and leader epoch (−1: none).
type Found = (i64, i64, i32);
const NOTHING: Found = (-1, -1, -1);

pub(super) fn handle(
    model: &ClusterModel,
    call: &Call,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let read_committed = request.isolation_level == 1;
    let mut topics = Vec::new();
    for asked in request.topics {
        let topic = model.topics.by_name(&asked.name);
        let duplicate = |index: i32| {
            asked
                .partitions
                .iter()
                .filter(|other| other.partition_index == index)
                .count()
                > 1
        };
        let answer = |wanted: &ListOffsetsPartition| {
            let found = if duplicate(wanted.partition_index) {
                Err(ErrorCode::InvalidRequest)
            } else {
                find(model, call, topic, wanted, read_committed)
            };
            answer(call, wanted.partition_index, found)
        };
        topics.push(ListOffsetsTopicResponse {
            partitions: asked.partitions.iter().map(answer).collect(),
            name: asked.name,
            ..ListOffsetsTopicResponse::default()
        });
    }
    ListOffsetsResponse {
        topics,
        ..ListOffsetsResponse::default()
    }
}

pub(super) fn refuse(request: ListOffsetsRequest, code: ErrorCode) -> ListOffsetsResponse {
    let partition = |asked: ListOffsetsPartition| failed(asked.partition_index, code);
    let topics = request
        .topics
        .into_iter()
        .map(|asked| ListOffsetsTopicResponse {
            name: asked.name,
            partitions: asked.partitions.into_iter().map(partition).collect(),
            ..ListOffsetsTopicResponse::default()
        });
    ListOffsetsResponse {
        topics: topics.collect(),
        ..ListOffsetsResponse::default()
    }
}

fn failed(partition_index: i32, code: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index,
        error_code: code.code(),
        ..ListOffsetsPartitionResponse::default()
    }
}

fn answer(
    call: &Call,
    partition_index: i32,
    found: Result<Found, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let (offset, timestamp, epoch) = match found {
        Ok(found) => found,
        Err(code) => return failed(partition_index, code),
    };
    ListOffsetsPartitionResponse {
        partition_index,
        timestamp,
        offset,
        leader_epoch: if call.version >= 4 { epoch } else { -1 },
        ..ListOffsetsPartitionResponse::default()
    }
}

fn find(
    model: &ClusterModel,
    call: &Call,
    topic: Option<&Topic>,
    wanted: &ListOffsetsPartition,
    read_committed: bool,
) -> Result<Found, ErrorCode> {
    let since = match wanted.timestamp {
        LATEST | EARLIEST => 0,
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        timestamp if timestamp >= 0 => 0,
        _ => i16::MAX,
    };
    if call.version < since {
        return Err(ErrorCode::UnsupportedVersion);
    }
    check_leader(
        call,
        topic,
        wanted.partition_index,
        wanted.current_leader_epoch,
    )?;
    let partition = topic.and_then(|topic| topic.partition(wanted.partition_index));
    let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let start = partition.log.start();
    let limit = if read_committed {
        partition.last_stable_offset()
    } else {
        partition.high_watermark()
    };
    let max = model.settings.max_decompressed;
    Ok(match wanted.timestamp {
        LATEST => (limit, -1, partition.leader_epoch),
        EARLIEST | EARLIEST_LOCAL => (
            start,
            -1,
            partition
                .log
                .epoch_at(start)
                .unwrap_or(partition.leader_epoch),
        ),
        MAX_TIMESTAMP => newest(partition, limit, max),
        // Without tiered storage nothing is in it or on its way there.
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => NOTHING,
        timestamp => at_or_after(partition, timestamp, limit, max),
    })
}

/// The first record not older than `timestamp` that a consumer may read.
fn at_or_after(partition: &Partition, timestamp: i64, limit: i64, max: usize) -> Found {
    let start = partition.log.start();
    let able = |batch: &&Stored| batch.max_timestamp >= timestamp && batch.last_offset >= start;
    let mut candidates = partition.log.batches().filter(able);
    let found = candidates.find_map(|batch| first_record(batch, timestamp, start, max));
    found
        .filter(|(offset, _, _)| *offset < limit)
        .unwrap_or(NOTHING)
}

/// The first record with the largest timestamp (KIP-734).
fn newest(partition: &Partition, limit: i64, max: usize) -> Found {
    let readable = || {
        partition
            .log
            .batches()
            .filter(|batch| batch.last_offset < limit)
    };
    let Some(timestamp) = readable().map(|batch| batch.max_timestamp).max() else {
        return NOTHING;
    };
    let start = partition.log.start();
    let mut holders = readable().filter(|batch| batch.max_timestamp == timestamp);
    holders
        .find_map(|batch| first_record(batch, timestamp, start, max))
        .unwrap_or(NOTHING)
}

fn first_record(batch: &Stored, timestamp: i64, start: i64, max: usize) -> Option<Found> {
    let read = Batches::new(batch.bytes()).next()?.ok()?;
    let checked = Decompressor::with_local(|decompressor| read.check(decompressor, max)).ok()?;
    let record = checked
        .iter()
        .find(|record| record.timestamp >= timestamp && record.offset >= start)?;
    Some((record.offset, record.timestamp, batch.leader_epoch))
}

#[cfg(test)]
mod tests;
