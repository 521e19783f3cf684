//! EndTxn: commits or aborts; from version 5 on the answer has the producer to go on as (KIP-890).

use milena_codec::ErrorCode;
use milena_codec::messages::{EndTxnRequest, EndTxnResponse};

use super::{Call, fenced_since};
use crate::model::ClusterModel;
use crate::model::transactions::Producer;

/// `PRODUCER_FENCED` is known from this version on (KIP-588).
const FENCED_FROM: i16 = 2;
/// Transaction version 2 from this version on.
const BUMPS_FROM: i16 = 5;

pub(super) fn handle(
    model: &mut ClusterModel,
    call: &Call,
    request: &EndTxnRequest,
) -> EndTxnResponse {
    match end(model, call, request) {
        Ok(producer) if call.version >= BUMPS_FROM => EndTxnResponse {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            ..EndTxnResponse::default()
        },
        Ok(_) => refuse(ErrorCode::None),
        Err(code) => refuse(fenced_since(call, FENCED_FROM, code)),
    }
}

pub(super) fn refuse(code: ErrorCode) -> EndTxnResponse {
    EndTxnResponse {
        error_code: code.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..EndTxnResponse::default()
    }
}

fn end(
    model: &mut ClusterModel,
    call: &Call,
    request: &EndTxnRequest,
) -> Result<Producer, ErrorCode> {
    let id = &request.transactional_id;
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    model.ask_coordinator(id, call.node)?;
    let who = Producer {
        id: request.producer_id,
        epoch: request.producer_epoch,
    };
    let v2 = call.version >= BUMPS_FROM;
    model.end_transaction(call.now, id, who, request.committed, v2)
}
