//! The APIs: each takes a decoded request and gives the answer that Kafka 4.3.1 gives.
//!
//! I1. Arrays that Kafka never sends as null are empty.
//! I2. A body that does not decode, or a version that is not offered, closes the connection.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_configs;
mod api_versions;
mod cluster;
mod create_topics;
mod delete_records;
mod delete_topics;
mod describe_configs;
mod describe_producers;
mod describe_topic_partitions;
mod describe_transactions;
mod end_txn;
pub(crate) mod fetch;
mod fetch_read;
mod find_coordinator;
mod init_producer_id;
mod list_offsets;
mod list_transactions;
mod metadata;
mod offset_for_leader_epoch;
mod offsets;
pub(crate) mod produce;
mod throttle;
mod txn_offset_commit;
mod validate;

use std::time::Duration;

use milena_codec::frame::{self, Frame};
use milena_codec::messages::{
    AddOffsetsToTxnRequest, EndTxnRequest, InitProducerIdRequest, ListTransactionsRequest,
};
use milena_codec::{ApiKey, Bytes, ErrorCode, Message, Request, Str, Uuid};

use crate::model::topics::Topic;
use crate::model::{ClusterModel, ConnectionId, Waiting};

/// The value of "authorized operations" when they were not asked for.
const NOT_ASKED: i32 = i32::MIN;

/// A request's circumstances.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) now: Duration,
    pub(crate) node: i32,
    pub(crate) connection: ConnectionId,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    /// A fault: the error to answer whatever comes of the request.
    pub(crate) answer_with: Option<ErrorCode>,
    /// A fault: the throttle time to answer, in ms.
    pub(crate) throttle_time_ms: i32,
}

/// What an API comes to.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer(Frame),
    Silent,
    Close,
    Park(Box<Waiting>),
}

impl Call {
    /// The answer as a frame.
    pub(crate) fn answer<M: Message>(&self, message: &M) -> Reply {
        if self.throttle_time_ms == 0 {
            return self.answer_in(message, self.version);
        }
        let mut message = message.clone();
        throttle::ask(&mut message, self.throttle_time_ms);
        self.answer_in(&message, self.version)
    }

    fn answer_in<M: Message>(&self, message: &M, version: i16) -> Reply {
        match frame::response(message, self.api, version, self.correlation_id) {
            Ok(frame) => Reply::Answer(frame),
            Err(error) => {
                tracing::error!(api = self.api.name(), version, %error, "closing: no answer can be written");
                Reply::Close
            }
        }
    }
}

/// Carries out a request.
pub(crate) fn execute(model: &mut ClusterModel, call: &Call, body: Bytes) -> Reply {
    match call.api {
        ApiKey::ApiVersions => api_versions::handle(model, call, body),
        ApiKey::Produce => with(call, body, |request| produce::handle(model, call, request)),
        ApiKey::Fetch => with(call, body, |request| fetch::handle(model, call, &request)),
        ApiKey::ListOffsets => simple(call, body, |r| list_offsets::handle(model, call, r)),
        ApiKey::Metadata => simple(call, body, |r| metadata::handle(model, call, r)),
        ApiKey::OffsetCommit => simple(call, body, |r| offsets::commit(model, call, r)),
        ApiKey::OffsetFetch => simple(call, body, |r| offsets::fetch(model, call, r)),
        ApiKey::FindCoordinator => simple(call, body, |r| find_coordinator::handle(model, call, r)),
        ApiKey::CreateTopics => simple(call, body, |r| create_topics::handle(model, call, r)),
        ApiKey::DeleteTopics => simple(call, body, |r| delete_topics::handle(model, call, r)),
        ApiKey::DeleteRecords => simple(call, body, |r| delete_records::handle(model, call, r)),
        ApiKey::InitProducerId => simple(call, body, |r| init_producer_id::handle(model, call, &r)),
        ApiKey::OffsetForLeaderEpoch => simple(call, body, |r| {
            offset_for_leader_epoch::handle(model, call, r)
        }),
        ApiKey::DescribeConfigs => simple(call, body, |r| describe_configs::handle(model, call, r)),
        ApiKey::AlterConfigs => simple(call, body, |r| alter_configs::replace(model, call, r)),
        ApiKey::IncrementalAlterConfigs => {
            simple(call, body, |r| alter_configs::incremental(model, call, r))
        }
        ApiKey::CreatePartitions => simple(call, body, |r| {
            create_topics::create_partitions(model, call, r)
        }),
        ApiKey::DescribeCluster => simple(call, body, |r| cluster::handle(model, call, &r)),
        ApiKey::DescribeTopicPartitions => simple(call, body, |r| {
            describe_topic_partitions::handle(model, call, &r)
        }),
        _ => transactional(model, call, body),
    }
}

fn transactional(model: &mut ClusterModel, call: &Call, body: Bytes) -> Reply {
    match call.api {
        ApiKey::AddPartitionsToTxn => simple(call, body, |r| {
            add_partitions_to_txn::handle(model, call, r)
        }),
        ApiKey::AddOffsetsToTxn => {
            simple(call, body, |r| add_offsets_to_txn::handle(model, call, &r))
        }
        ApiKey::EndTxn => simple(call, body, |r| end_txn::handle(model, call, &r)),
        ApiKey::TxnOffsetCommit => {
            simple(call, body, |r| txn_offset_commit::handle(model, call, r))
        }
        ApiKey::DescribeProducers => {
            simple(call, body, |r| describe_producers::handle(model, call, r))
        }
        ApiKey::DescribeTransactions => simple(call, body, |r| {
            describe_transactions::handle(model, call, r)
        }),
        ApiKey::ListTransactions => {
            simple(call, body, |r| list_transactions::handle(model, call, &r))
        }
        _ => Reply::Close,
    }
}

/// The answer that puts `code` wherever the API puts its errors; `None` for APIs without one.
pub(crate) fn refused(call: &Call, body: &Bytes, code: ErrorCode) -> Option<Reply> {
    let body = body.clone();
    Some(match call.api {
        ApiKey::Produce => with(call, body, |request| produce::refuse(call, request, code)),
        ApiKey::Fetch => with(call, body, |request| fetch::refuse(call, request, code)),
        ApiKey::ListOffsets => simple(call, body, |r| list_offsets::refuse(r, code)),
        ApiKey::Metadata => simple(call, body, |r| metadata::refuse(r, code)),
        ApiKey::InitProducerId => simple(call, body, |_: InitProducerIdRequest| {
            init_producer_id::refuse(code)
        }),
        ApiKey::FindCoordinator => simple(call, body, |r| find_coordinator::refuse(call, r, code)),
        ApiKey::OffsetCommit => simple(call, body, |r| offsets::refuse_commit(r, code)),
        ApiKey::OffsetFetch => simple(call, body, |r| offsets::refuse_fetch(call, r, code)),
        ApiKey::AddPartitionsToTxn => {
            simple(call, body, |r| add_partitions_to_txn::refuse(call, r, code))
        }
        ApiKey::AddOffsetsToTxn => simple(call, body, |_: AddOffsetsToTxnRequest| {
            add_offsets_to_txn::refuse(code)
        }),
        ApiKey::EndTxn => simple(call, body, |_: EndTxnRequest| end_txn::refuse(code)),
        ApiKey::TxnOffsetCommit => simple(call, body, |r| txn_offset_commit::refuse(r, code)),
        ApiKey::DescribeTransactions => {
            simple(call, body, |r| describe_transactions::refuse(r, code))
        }
        ApiKey::ListTransactions => simple(call, body, |_: ListTransactionsRequest| {
            list_transactions::refuse(code)
        }),
        _ => return None,
    })
}

fn with<R: Request>(call: &Call, body: Bytes, handle: impl FnOnce(R) -> Reply) -> Reply {
    match milena_codec::decode::<R>(body, call.version) {
        Ok(request) => handle(request),
        Err(error) => {
            tracing::debug!(%error, "closing: malformed request");
            Reply::Close // I2
        }
    }
}

fn simple<R: Request>(call: &Call, body: Bytes, handle: impl FnOnce(R) -> R::Response) -> Reply {
    with(call, body, |request| call.answer(&handle(request)))
}

/// The partition's error when it is not the called node that leads it: the checks of the real
/// broker, in its order.
pub(crate) fn check_leader(
    call: &Call,
    topic: Option<&Topic>,
    partition: i32,
    epoch: i32,
) -> Result<(), ErrorCode> {
    let found = topic.and_then(|topic| topic.partition(partition));
    let found = found.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if !found.replicas.contains(&call.node) {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    found.check_epoch(epoch)?;
    if found.leader == Some(call.node) {
        Ok(())
    } else {
        Err(ErrorCode::NotLeaderOrFollower)
    }
}

/// The error for a topic that is not there: it depends on how it was named.
pub(crate) fn unknown_topic(id: Uuid, by_id: bool) -> ErrorCode {
    if by_id || !id.is_zero() {
        ErrorCode::UnknownTopicId
    } else {
        ErrorCode::UnknownTopicOrPartition
    }
}

/// `PRODUCER_FENCED` as older clients know it, by the first version that knows it itself.
fn fenced_since(call: &Call, first: i16, code: ErrorCode) -> ErrorCode {
    if code == ErrorCode::ProducerFenced && call.version < first {
        ErrorCode::InvalidProducerEpoch
    } else {
        code
    }
}

/// A node as clients reach it: host, port, rack.
pub(crate) fn endpoint(model: &ClusterModel, node: i32) -> Option<(Str, i32, Option<Str>)> {
    let node = model.nodes.get(&node).filter(|node| node.up)?;
    Some((
        node.address.host.clone(),
        i32::from(node.address.port),
        node.rack.clone(),
    ))
}

#[cfg(test)]
mod tests;
