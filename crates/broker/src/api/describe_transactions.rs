//! DescribeTransactions: what a coordinator knows of transactional ids (KIP-664).

use milena_codec::messages::describe_transactions_response::{TopicData, TransactionState};
use milena_codec::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse};
use milena_codec::{ErrorCode, Str};

use super::Call;
use crate::model::ClusterModel;

pub(super) fn handle(
    model: &mut ClusterModel,
    call: &Call,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    model.expire_transactional_ids();
    let ids = request.transactional_ids.into_iter();
    let described = ids.map(|id| describe(model, call, id)).collect();
    respond(described)
}

pub(super) fn refuse(
    request: DescribeTransactionsRequest,
    code: ErrorCode,
) -> DescribeTransactionsResponse {
    let ids = request.transactional_ids.into_iter();
    respond(ids.map(|id| failed(id, code)).collect())
}

fn respond(transaction_states: Vec<TransactionState>) -> DescribeTransactionsResponse {
    DescribeTransactionsResponse {
        transaction_states,
        ..DescribeTransactionsResponse::default()
    }
}

fn failed(transactional_id: Str, code: ErrorCode) -> TransactionState {
    TransactionState {
        error_code: code.code(),
        transactional_id,
        ..TransactionState::default()
    }
}

fn describe(model: &mut ClusterModel, call: &Call, id: Str) -> TransactionState {
    if id.is_empty() {
        return failed(id, ErrorCode::InvalidRequest);
    }
    if let Err(code) = model.ask_coordinator(&id, call.node) {
        return failed(id, code);
    }
    let Some(found) = model.transactions.find(&id) else {
        return failed(id, ErrorCode::TransactionalIdNotFound);
    };
    let mut topics: Vec<TopicData> = Vec::new();
    for (topic, partition) in &found.partitions {
        match topics.last_mut() {
            Some(last) if last.topic == *topic => last.partitions.push(*partition),
            _ => topics.push(TopicData {
                topic: topic.clone(),
                partitions: vec![*partition],
                ..TopicData::default()
            }),
        }
    }
    TransactionState {
        transactional_id: id,
        transaction_state: Str::from_static(found.state.name()),
        transaction_timeout_ms: found.timeout_ms,
        transaction_start_time_ms: found.started.map_or(-1, |at| model.wall_millis(at)),
        producer_id: found.producer.id,
        producer_epoch: found.producer.epoch,
        topics,
        ..TransactionState::default()
    }
}
