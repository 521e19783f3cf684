//! FindCoordinator: the node that answers for a group or a transactional id.

use milena_codec::messages::find_coordinator_response::Coordinator;
use milena_codec::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use milena_codec::{ErrorCode, Str};

use super::{Call, endpoint};
use crate::model::ClusterModel;

/// Several keys in a request from this version on (KIP-699).
const BATCHED_FROM: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(super) fn handle(
    model: &ClusterModel,
    call: &Call,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let kind = if call.version == 0 {
        GROUP
    } else {
        request.key_type
    };
    if call.version >= BATCHED_FROM {
        let keys = request.coordinator_keys.into_iter();
        return batched(keys.map(|key| coordinator(model, kind, key)).collect());
    }
    single(call, coordinator(model, kind, request.key))
}

pub(super) fn refuse(
    call: &Call,
    request: FindCoordinatorRequest,
    code: ErrorCode,
) -> FindCoordinatorResponse {
    if call.version >= BATCHED_FROM {
        let keys = request.coordinator_keys.into_iter();
        return batched(keys.map(|key| failed(key, code)).collect());
    }
    single(call, failed(request.key, code))
}

fn coordinator(model: &ClusterModel, kind: i8, key: Str) -> Coordinator {
    if kind != GROUP && kind != TRANSACTION {
        return failed(key, ErrorCode::InvalidRequest);
    }
    let chosen = if kind == TRANSACTION {
        model.transaction_coordinator(&key)
    } else {
        node(model, &key)
    };
    let reached = chosen.and_then(|node_id| Some((node_id, endpoint(model, node_id)?)));
    let Some((node_id, (host, port, _))) = reached else {
        return failed(key, ErrorCode::CoordinatorNotAvailable);
    };
    let error_message = Some(Str::new());
    Coordinator {
        key,
        node_id,
        host,
        port,
        error_message,
        ..Coordinator::default()
    }
}

/// The node that coordinates a group, if one is up.
pub(super) fn node(model: &ClusterModel, group: &str) -> Option<i32> {
    let up: Vec<i32> = model
        .nodes
        .keys()
        .copied()
        .filter(|node| model.is_up(*node))
        .collect();
    let hash = group.bytes().fold(0_usize, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(usize::from(byte))
    });
    (!up.is_empty()).then(|| up[hash % up.len()])
}

fn failed(key: Str, code: ErrorCode) -> Coordinator {
    Coordinator {
        key,
        node_id: -1,
        port: -1,
        error_code: code.code(),
        error_message: Some(Str::new()),
        ..Coordinator::default()
    }
}

fn batched(coordinators: Vec<Coordinator>) -> FindCoordinatorResponse {
    FindCoordinatorResponse {
        coordinators,
        ..FindCoordinatorResponse::default()
    }
}

fn single(call: &Call, found: Coordinator) -> FindCoordinatorResponse {
    let code = ErrorCode::from(found.error_code);
    // Kafka sends its success code's name as if it were a message.
    let message = if code.is_ok() {
        code.name()
    } else {
        code.meaning()
    };
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: Some(if call.version >= 1 {
            message.into()
        } else {
            Str::new()
        }),
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..FindCoordinatorResponse::default()
    }
}

#[cfg(test)]
mod tests;
