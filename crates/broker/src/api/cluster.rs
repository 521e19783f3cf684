//! DescribeCluster (KIP-700, KIP-919).

use milena_codec::ErrorCode;
use milena_codec::messages::describe_cluster_response::DescribeClusterBroker;
use milena_codec::messages::{DescribeClusterRequest, DescribeClusterResponse};

use super::metadata::{CLUSTER_OPERATIONS, controller};
use super::{Call, NOT_ASKED};
use crate::model::ClusterModel;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) fn handle(
    model: &ClusterModel,
    call: &Call,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            let message = "The request was sent to an endpoint of type BROKER, but we wanted an \
                           endpoint of type CONTROLLER";
            return failed(ErrorCode::MismatchedEndpointType, message);
        }
        other => {
            let message = format!("Unsupported endpoint type {other}");
            return failed(ErrorCode::UnsupportedEndpointType, &message);
        }
    }
    // A node that is down is a fenced broker, told only to those who ask for them.
    let fenced = call.version >= 2 && request.include_fenced_brokers;
    let told = model.nodes.iter().filter(|(_, node)| node.up || fenced);
    let brokers = told.map(|(id, node)| DescribeClusterBroker {
        broker_id: *id,
        host: node.address.host.clone(),
        port: i32::from(node.address.port),
        rack: node.rack.clone(),
        is_fenced: !node.up,
        ..DescribeClusterBroker::default()
    });
    let asked = request.include_cluster_authorized_operations;
    DescribeClusterResponse {
        cluster_id: model.cluster_id.clone(),
        controller_id: controller(model),
        brokers: brokers.collect(),
        cluster_authorized_operations: if asked { CLUSTER_OPERATIONS } else { NOT_ASKED },
        ..DescribeClusterResponse::default()
    }
}

fn failed(code: ErrorCode, message: &str) -> DescribeClusterResponse {
    DescribeClusterResponse {
        error_code: code.code(),
        error_message: Some(message.into()),
        controller_id: -1,
        ..DescribeClusterResponse::default()
    }
}

#[cfg(test)]
mod tests;
