//! DescribeProducers: what a partition remembers of its producers (KIP-664).

use milena_codec::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use milena_codec::messages::{DescribeProducersRequest, DescribeProducersResponse};
use milena_codec::{ErrorCode, Str};

use super::{Call, check_leader};
use crate::model::ClusterModel;

pub(super) fn handle(
    model: &ClusterModel,
    call: &Call,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|asked| {
        let partition = |index: &i32| match producers(model, call, &asked.name, *index) {
            Ok(active_producers) => PartitionResponse {
                partition_index: *index,
                active_producers,
                ..PartitionResponse::default()
            },
            Err(code) => PartitionResponse {
                partition_index: *index,
                error_code: code.code(),
                error_message: Some(Str::from_static(code.meaning())),
                ..PartitionResponse::default()
            },
        };
        TopicResponse {
            partitions: asked.partition_indexes.iter().map(partition).collect(),
            name: asked.name.clone(),
            ..TopicResponse::default()
        }
    });
    DescribeProducersResponse {
        topics: topics.collect(),
        ..DescribeProducersResponse::default()
    }
}

fn producers(
    model: &ClusterModel,
    call: &Call,
    name: &str,
    index: i32,
) -> Result<Vec<ProducerState>, ErrorCode> {
    let topic = model.topics.by_name(name);
    check_leader(call, topic, index, -1)?;
    let partition = topic.and_then(|topic| topic.partition(index));
    let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let states = partition.producers.iter().map(|(id, known)| ProducerState {
        producer_id: id,
        producer_epoch: i32::from(known.epoch),
        last_sequence: known.last_sequence(),
        last_timestamp: known.timestamp,
        coordinator_epoch: known.coordinator_epoch,
        current_txn_start_offset: known.open_from.unwrap_or(-1),
        ..ProducerState::default()
    });
    Ok(states.collect())
}
