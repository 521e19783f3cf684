//! InitProducerId: producer ids and epochs, for idempotent and for transactional producers.

use milena_codec::messages::{InitProducerIdRequest, InitProducerIdResponse};
use milena_codec::{ErrorCode, Str};

use super::{Call, fenced_since};
use crate::model::ClusterModel;
use crate::model::transactions::Producer;

/// `PRODUCER_FENCED` is known from this version on (KIP-588).
const FENCED_FROM: i16 = 4;

pub(super) fn handle(
    model: &mut ClusterModel,
    call: &Call,
    request: &InitProducerIdRequest,
) -> InitProducerIdResponse {
    match init(model, call, request) {
        Ok(producer) => InitProducerIdResponse {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            ..InitProducerIdResponse::default()
        },
        Err(code) => refuse(fenced_since(call, FENCED_FROM, code)),
    }
}

pub(super) fn refuse(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: code.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    }
}

fn init(
    model: &mut ClusterModel,
    call: &Call,
    request: &InitProducerIdRequest,
) -> Result<Producer, ErrorCode> {
    let who = Producer {
        id: request.producer_id,
        epoch: request.producer_epoch,
    };
    let who = match (who.id, who.epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(ErrorCode::InvalidRequest),
        _ => Some(who),
    };
    let Some(id) = &request.transactional_id else {
        return idempotent(model, call);
    };
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    let timeout_ms = timeout(model, request)?;
    transactional(model, call, id, who, timeout_ms)
}

fn idempotent(model: &mut ClusterModel, call: &Call) -> Result<Producer, ErrorCode> {
    if let Some(node) = model.nodes.get_mut(&call.node) {
        let cold = model.settings.cold_start && !node.warm;
        node.warm = true;
        if cold {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
    }
    let id = model.fresh_producer_id();
    Ok(Producer { id, epoch: 0 })
}

/// The transaction timeout; a transaction of two-phase commit has none (KIP-939).
fn timeout(model: &ClusterModel, request: &InitProducerIdRequest) -> Result<i32, ErrorCode> {
    if request.keep_prepared_txn {
        return Err(ErrorCode::UnsupportedVersion);
    }
    if request.enable2_pc {
        return Ok(i32::MAX);
    }
    let timeout_ms = request.transaction_timeout_ms;
    if timeout_ms <= 0 || timeout_ms > model.settings.transaction_max_timeout_ms {
        return Err(ErrorCode::InvalidTransactionTimeout);
    }
    Ok(timeout_ms)
}

fn transactional(
    model: &mut ClusterModel,
    call: &Call,
    id: &Str,
    who: Option<Producer>,
    timeout_ms: i32,
) -> Result<Producer, ErrorCode> {
    model.ask_coordinator(id, call.node)?;
    model.init_transactions(call.now, id, who, timeout_ms)
}
