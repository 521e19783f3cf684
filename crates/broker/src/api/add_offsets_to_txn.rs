//! AddOffsetsToTxn: a group's partition of the offsets topic joins a transaction.

use milena_codec::ErrorCode;
use milena_codec::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::{Call, fenced_since};
use crate::model::ClusterModel;
use crate::model::transactions::{OFFSETS_TOPIC, Producer, partition_of};

/// `PRODUCER_FENCED` is known from this version on (KIP-588).
const FENCED_FROM: i16 = 2;

pub(super) fn handle(
    model: &mut ClusterModel,
    call: &Call,
    request: &AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let code = match add(model, call, request) {
        Ok(()) => ErrorCode::None,
        Err(code) => fenced_since(call, FENCED_FROM, code),
    };
    refuse(code)
}

pub(super) fn refuse(code: ErrorCode) -> AddOffsetsToTxnResponse {
    AddOffsetsToTxnResponse {
        error_code: code.code(),
        ..AddOffsetsToTxnResponse::default()
    }
}

fn add(
    model: &mut ClusterModel,
    call: &Call,
    request: &AddOffsetsToTxnRequest,
) -> Result<(), ErrorCode> {
    let id = &request.transactional_id;
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    model.ask_coordinator(id, call.node)?;
    let who = Producer {
        id: request.producer_id,
        epoch: request.producer_epoch,
    };
    let place = (OFFSETS_TOPIC, partition_of(&request.group_id));
    model.add_to_transaction(call.now, id, who, [place])
}
