//! DeleteRecords: moves the start of a log.

use milena_codec::ErrorCode;
use milena_codec::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use milena_codec::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::{Call, check_leader, produce};
use crate::model::ClusterModel;

/// Stands for the high watermark.
const UP_TO_HIGH_WATERMARK: i64 = -1;

pub(super) fn handle(
    model: &mut ClusterModel,
    call: &Call,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|asked| {
        let partitions = asked.partitions.iter().map(|wanted| {
            let index = wanted.partition_index;
            let (low_watermark, code) = match delete(model, call, &asked.name, index, wanted.offset)
            {
                Ok(low_watermark) => (low_watermark, ErrorCode::None),
                Err(code) => (-1, code),
            };
            DeleteRecordsPartitionResult {
                partition_index: index,
                low_watermark,
                error_code: code.code(),
                ..DeleteRecordsPartitionResult::default()
            }
        });
        DeleteRecordsTopicResult {
            partitions: partitions.collect(),
            name: asked.name.clone(),
            ..DeleteRecordsTopicResult::default()
        }
    });
    DeleteRecordsResponse {
        topics: topics.collect(),
        ..DeleteRecordsResponse::default()
    }
}

fn delete(
    model: &mut ClusterModel,
    call: &Call,
    name: &str,
    index: i32,
    offset: i64,
) -> Result<i64, ErrorCode> {
    let rules = produce::rules(model, None);
    let topic = model.topics.by_name_mut(name);
    check_leader(call, topic.as_deref(), index, -1)?;
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if topic.config.is_compacted_only() {
        return Err(ErrorCode::PolicyViolation);
    }
    let at = usize::try_from(index).map_err(|_| ErrorCode::UnknownTopicOrPartition)?;
    let id = topic.id;
    let partition = topic
        .partitions
        .get_mut(at)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let high_watermark = partition.high_watermark();
    let offset = if offset == UP_TO_HIGH_WATERMARK {
        high_watermark
    } else {
        offset
    };
    if offset < 0 || offset > high_watermark {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let before = partition.log.size();
    partition.log.delete_before(offset);
    partition
        .producers
        .start_moved(partition.log.start(), rules);
    model.log_bytes -= before - partition.log.size();
    let start = partition.log.start();
    model.touched.insert((id, index));
    Ok(start)
}

#[cfg(test)]
mod tests;
