//! InitProducerId for idempotent producers. Transactional ids are refused: this broker carries out
//! no transactions.

use milena_codec::ErrorCode;
use milena_codec::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::Call;
use crate::model::ClusterModel;

pub(super) fn handle(
    model: &mut ClusterModel,
    call: &Call,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    match request.transactional_id {
        Some(id) if id.is_empty() => return refuse(ErrorCode::InvalidRequest),
        Some(_) => return refuse(ErrorCode::UnsupportedVersion),
        None => {}
    }
    if let Some(node) = model.nodes.get_mut(&call.node) {
        let cold = model.settings.cold_start && !node.warm;
        node.warm = true;
        if cold {
            return refuse(ErrorCode::CoordinatorLoadInProgress);
        }
    }
    let producer_id = model.next_producer_id;
    model.next_producer_id += 1;
    InitProducerIdResponse {
        producer_id,
        producer_epoch: 0,
        ..InitProducerIdResponse::default()
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
