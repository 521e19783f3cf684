//! AddPartitionsToTxn: partitions join a transaction. Up to version 3 for clients; later versions,
//! several transactions at once and only asking, are how brokers talk among themselves (KIP-890).

use milena_codec::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use milena_codec::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use milena_codec::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use milena_codec::{ErrorCode, Str};

use super::{Call, fenced_since};
use crate::model::ClusterModel;
use crate::model::transactions::Producer;

/// `PRODUCER_FENCED` is known from this version on (KIP-588).
const FENCED_FROM: i16 = 2;
/// Several transactions from this version on.
const BATCHED_FROM: i16 = 4;

pub(super) fn handle(
    model: &mut ClusterModel,
    call: &Call,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    let results = transactions(call, request).into_iter().map(|asked| {
        let outcome = add(model, call, &asked);
        let code = |place: &(Str, i32)| result(model, call, &asked, outcome, place);
        AddPartitionsToTxnResult {
            topic_results: topics(&asked.topics, code),
            transactional_id: asked.transactional_id.clone(),
            ..AddPartitionsToTxnResult::default()
        }
    });
    let results = results.collect();
    respond(call, results)
}

pub(super) fn refuse(
    call: &Call,
    request: AddPartitionsToTxnRequest,
    code: ErrorCode,
) -> AddPartitionsToTxnResponse {
    let results = transactions(call, request)
        .into_iter()
        .map(|asked| AddPartitionsToTxnResult {
            topic_results: topics(&asked.topics, |_| code),
            transactional_id: asked.transactional_id,
            ..AddPartitionsToTxnResult::default()
        });
    respond(call, results.collect())
}

fn transactions(
    call: &Call,
    request: AddPartitionsToTxnRequest,
) -> Vec<AddPartitionsToTxnTransaction> {
    if call.version >= BATCHED_FROM {
        return request.transactions;
    }
    vec![AddPartitionsToTxnTransaction {
        transactional_id: request.v3_and_below_transactional_id,
        producer_id: request.v3_and_below_producer_id,
        producer_epoch: request.v3_and_below_producer_epoch,
        topics: request.v3_and_below_topics,
        ..AddPartitionsToTxnTransaction::default()
    }]
}

fn respond(call: &Call, mut results: Vec<AddPartitionsToTxnResult>) -> AddPartitionsToTxnResponse {
    let mut response = AddPartitionsToTxnResponse {
        ..AddPartitionsToTxnResponse::default()
    };
    if call.version >= BATCHED_FROM {
        response.results_by_transaction = results;
    } else if let Some(only) = results.pop() {
        response.results_by_topic_v3_and_below = only.topic_results;
    }
    response
}

/// Adds all partitions, unless they are only asked about.
fn add(
    model: &mut ClusterModel,
    call: &Call,
    asked: &AddPartitionsToTxnTransaction,
) -> Result<(), ErrorCode> {
    let of_topic = |topic: &AddPartitionsToTxnTopic| {
        let name = topic.name.clone();
        let partitions = topic.partitions.clone().into_iter();
        partitions.map(move |index| (name.clone(), index))
    };
    let places = || asked.topics.iter().flat_map(of_topic);
    if !places().all(|place| exists(model, &place)) {
        return Err(ErrorCode::OperationNotAttempted);
    }
    let id = &asked.transactional_id;
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    model.ask_coordinator(id, call.node)?;
    if asked.verify_only {
        return Ok(());
    }
    model.add_to_transaction(call.now, id, producer(asked), places())
}

fn result(
    model: &mut ClusterModel,
    call: &Call,
    asked: &AddPartitionsToTxnTransaction,
    outcome: Result<(), ErrorCode>,
    place: &(Str, i32),
) -> ErrorCode {
    if !exists(model, place) {
        return ErrorCode::UnknownTopicOrPartition;
    }
    let outcome = outcome.and_then(|()| {
        if asked.verify_only {
            model.verify_in_transaction(&asked.transactional_id, producer(asked), place)
        } else {
            Ok(())
        }
    });
    outcome.map_or_else(
        |code| fenced_since(call, FENCED_FROM, code),
        |()| ErrorCode::None,
    )
}

fn producer(asked: &AddPartitionsToTxnTransaction) -> Producer {
    Producer {
        id: asked.producer_id,
        epoch: asked.producer_epoch,
    }
}

fn exists(model: &ClusterModel, (topic, index): &(Str, i32)) -> bool {
    let found = model.topics.by_name(topic);
    found.is_some_and(|topic| topic.partition(*index).is_some())
}

fn topics(
    asked: &[AddPartitionsToTxnTopic],
    mut code: impl FnMut(&(Str, i32)) -> ErrorCode,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let of_topic = |topic: &AddPartitionsToTxnTopic| {
        let partition = |index: &i32| AddPartitionsToTxnPartitionResult {
            partition_index: *index,
            partition_error_code: code(&(topic.name.clone(), *index)).code(),
            ..AddPartitionsToTxnPartitionResult::default()
        };
        AddPartitionsToTxnTopicResult {
            name: topic.name.clone(),
            results_by_partition: topic.partitions.iter().map(partition).collect(),
            ..AddPartitionsToTxnTopicResult::default()
        }
    };
    asked.iter().map(of_topic).collect()
}
