//! DeleteTopics, by name and by id.

use milena_codec::messages::delete_topics_request::DeleteTopicState;
use milena_codec::messages::delete_topics_response::DeletableTopicResult;
use milena_codec::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use milena_codec::{ErrorCode, Str};

use super::Call;
use crate::model::ClusterModel;

/// Topics by id as well as by name from this version on.
const IDS_FROM: i16 = 6;

pub(super) fn handle(
    model: &mut ClusterModel,
    call: &Call,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = |name: Str| DeleteTopicState {
        name: Some(name),
        ..DeleteTopicState::default()
    };
    let asked: Vec<DeleteTopicState> = if call.version >= IDS_FROM {
        request.topics
    } else {
        request.topic_names.into_iter().map(by_name).collect()
    };
    let responses = asked
        .into_iter()
        .map(|topic| delete(model, &topic))
        .collect();
    DeleteTopicsResponse {
        responses,
        ..DeleteTopicsResponse::default()
    }
}

fn delete(model: &mut ClusterModel, asked: &DeleteTopicState) -> DeletableTopicResult {
    let failed = |code: ErrorCode, message: &str| DeletableTopicResult {
        name: asked.name.clone(),
        topic_id: asked.topic_id,
        error_code: code.code(),
        error_message: Some(message.into()),
        ..DeletableTopicResult::default()
    };
    let name = match (&asked.name, asked.topic_id.is_zero()) {
        (Some(_), false) => {
            return failed(
                ErrorCode::InvalidRequest,
                "You may not specify both topic name and topic id.",
            );
        }
        (None, true) => {
            return failed(
                ErrorCode::InvalidRequest,
                "Neither topic name nor id were specified.",
            );
        }
        (Some(name), true) => name.clone(),
        (None, false) => match model.topics.by_id(asked.topic_id) {
            Some(topic) => topic.name.clone(),
            None => {
                let message = "This server does not host this topic ID.";
                return failed(ErrorCode::UnknownTopicId, message);
            }
        },
    };
    match model.delete_topic(&name) {
        Some(topic_id) => DeletableTopicResult {
            name: Some(name),
            topic_id,
            ..DeletableTopicResult::default()
        },
        None => {
            let message = "This server does not host this topic-partition.";
            failed(ErrorCode::UnknownTopicOrPartition, message)
        }
    }
}
