//! TxnOffsetCommit: offsets that count when the transaction commits.

use milena_codec::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition;
use milena_codec::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use milena_codec::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use milena_codec::{ErrorCode, Uuid};

use super::offsets::MAX_METADATA;
use super::{Call, find_coordinator};
use crate::model::profile::KafkaVersion;
use crate::model::transactions::{OFFSETS_TOPIC, Producer, partition_of};
use crate::model::{ClusterModel, Committed};

/// `COORDINATOR_LOAD_IN_PROGRESS` is answered from this version on.
const LOADING_FROM: i16 = 2;
/// `TRANSACTION_ABORTABLE` is answered from this version on (KIP-890).
const ABORTABLE_FROM: i16 = 4;
/// The group joins the transaction by itself from this version on (KIP-890).
const ADDS_FROM: i16 = 5;

pub(super) fn handle(
    model: &mut ClusterModel,
    call: &Call,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let mut outcome = None;
    respond(request, |request, name, partition| {
        let topic = model.topics.by_name(name);
        let known = topic.filter(|topic| topic.partition(partition.partition_index).is_some());
        let Some(topic) = known.map(|topic| topic.id) else {
            return ErrorCode::UnknownTopicOrPartition;
        };
        let checked = *outcome.get_or_insert_with(|| check(model, call, request));
        match checked {
            Ok(()) => store(model, request, topic, partition),
            Err(code) => code,
        }
    })
}

pub(super) fn refuse(request: TxnOffsetCommitRequest, code: ErrorCode) -> TxnOffsetCommitResponse {
    respond(request, |_, _, _| code)
}

fn respond(
    mut request: TxnOffsetCommitRequest,
    mut code: impl FnMut(&TxnOffsetCommitRequest, &str, &TxnOffsetCommitRequestPartition) -> ErrorCode,
) -> TxnOffsetCommitResponse {
    let mut topics = Vec::new();
    for topic in std::mem::take(&mut request.topics) {
        let partition = |partition: &TxnOffsetCommitRequestPartition| {
            let error_code = code(&request, &topic.name, partition).code();
            TxnOffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code,
                ..TxnOffsetCommitResponsePartition::default()
            }
        };
        let mut partitions: Vec<_> = topic.partitions.iter().map(partition).collect();
        // What does not exist comes first.
        partitions.sort_by_key(|p| p.error_code != ErrorCode::UnknownTopicOrPartition.code());
        topics.push(TxnOffsetCommitResponseTopic {
            partitions,
            name: topic.name,
            ..TxnOffsetCommitResponseTopic::default()
        });
    }
    TxnOffsetCommitResponse {
        topics,
        ..TxnOffsetCommitResponse::default()
    }
}

/// The group's and the transaction's part, in the real broker's order.
fn check(
    model: &mut ClusterModel,
    call: &Call,
    request: &TxnOffsetCommitRequest,
) -> Result<(), ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    if find_coordinator::node(model, &request.group_id) != Some(call.node) {
        return Err(ErrorCode::NotCoordinator);
    }
    verify(model, call, request)?;
    let anonymous = request.generation_id < 0
        && request.member_id.is_empty()
        && request.group_instance_id.is_none();
    match model.offsets.knows(&request.group_id) {
        true if !anonymous && request.generation_id >= 0 => Err(ErrorCode::UnknownMemberId),
        false if request.generation_id >= 0 => Err(ErrorCode::IllegalGeneration),
        _ => Ok(()),
    }
}

/// Whether the group is in the transaction.
fn verify(
    model: &mut ClusterModel,
    call: &Call,
    request: &TxnOffsetCommitRequest,
) -> Result<(), ErrorCode> {
    let id = &request.transactional_id;
    let who = Producer {
        id: request.producer_id,
        epoch: request.producer_epoch,
    };
    let partition = partition_of(&request.group_id);
    let unverified = model.settings.version < KafkaVersion::V4_3;
    if unverified || model.offsets.is_open(partition, (who.id, who.epoch)) {
        return Ok(());
    }
    let place = (OFFSETS_TOPIC, partition);
    let outcome = model.reach_coordinator(id).and_then(|()| {
        if call.version >= ADDS_FROM {
            model.add_to_transaction(call.now, id, who, [place])
        } else {
            model.verify_in_transaction(id, who, &place)
        }
    });
    outcome.map_err(|code| match code {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if call.version < ABORTABLE_FROM => {
            ErrorCode::InvalidTxnState
        }
        ErrorCode::CoordinatorLoadInProgress if call.version < LOADING_FROM => {
            ErrorCode::CoordinatorNotAvailable
        }
        code => code,
    })
}

fn store(
    model: &mut ClusterModel,
    request: &TxnOffsetCommitRequest,
    topic: Uuid,
    partition: &TxnOffsetCommitRequestPartition,
) -> ErrorCode {
    let metadata = partition.committed_metadata.clone().unwrap_or_default();
    if metadata.len() > MAX_METADATA {
        return ErrorCode::OffsetMetadataTooLarge;
    }
    let committed = Committed {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata,
    };
    let producer = (request.producer_id, request.producer_epoch);
    let (group, index) = (&request.group_id, partition.partition_index);
    model
        .offsets
        .commit_pending(producer, group, topic, index, committed);
    ErrorCode::None
}

#[cfg(test)]
mod tests;
