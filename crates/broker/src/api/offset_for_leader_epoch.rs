//! OffsetForLeaderEpoch: where an epoch's records end (KIP-320).

use milena_codec::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use milena_codec::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use milena_codec::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::{Call, check_leader};
use crate::model::ClusterModel;
use crate::model::topics::Topic;

pub(super) fn handle(
    model: &ClusterModel,
    call: &Call,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|asked| {
        let topic = model.topics.by_name(&asked.topic);
        OffsetForLeaderTopicResult {
            partitions: asked
                .partitions
                .iter()
                .map(|wanted| answer(call, topic, wanted))
                .collect(),
            topic: asked.topic,
            ..OffsetForLeaderTopicResult::default()
        }
    });
    OffsetForLeaderEpochResponse {
        topics: topics.collect(),
        ..OffsetForLeaderEpochResponse::default()
    }
}

fn answer(call: &Call, topic: Option<&Topic>, wanted: &OffsetForLeaderPartition) -> EpochEndOffset {
    let mut answer = EpochEndOffset {
        partition: wanted.partition,
        leader_epoch: -1,
        end_offset: -1,
        ..EpochEndOffset::default()
    };
    if let Err(code) = check_leader(call, topic, wanted.partition, wanted.current_leader_epoch) {
        answer.error_code = code.code();
        return answer;
    }
    let Some(partition) = topic.and_then(|topic| topic.partition(wanted.partition)) else {
        return answer;
    };
    // The current epoch ends where the log ends, also if nothing was written in it.
    if wanted.leader_epoch == partition.leader_epoch {
        answer.leader_epoch = wanted.leader_epoch;
        answer.end_offset = partition.log.end();
    } else if wanted.leader_epoch < partition.leader_epoch
        && let Some((epoch, end)) = partition.log.epoch_end(wanted.leader_epoch)
    {
        answer.leader_epoch = epoch;
        answer.end_offset = end;
    }
    answer
}

#[cfg(test)]
mod tests;
