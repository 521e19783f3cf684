//! Fetch: sessions, long polls, and the answer.
//!
//! A fetch is answered at once if it has enough bytes, an error, nothing to wait for or no time;
//! otherwise it is parked as a [`FetchPlan`].

use std::collections::BTreeSet;
use std::time::Duration;

use milena_codec::messages::fetch_request::FetchPartition;
use milena_codec::messages::fetch_response::{
    FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use milena_codec::messages::{FetchRequest, FetchResponse};
use milena_codec::{ErrorCode, Uuid};

use super::fetch_read::{self, Budget};
use super::{Call, Reply, endpoint};
use crate::model::sessions::{Asked, Context};
use crate::model::{ClusterModel, Parked, Waiting};

/// Kafka's `fetch.max.bytes`, the broker's own limit to an answer.
const MAX_BYTES: i32 = 57_671_680;
/// Leader hints are answered from this version on (KIP-951).
const HINTS_FROM: i16 = 16;

/// A fetch that may wait.
#[derive(Debug)]
pub(crate) struct FetchPlan {
    context: Context,
    /// What is read, and the id of its topic as long as that is known.
    entries: Vec<(Asked, FetchPartition, Option<Uuid>)>,
    min_bytes: usize,
    max_bytes: usize,
    read_committed: bool,
}

pub(super) fn handle(model: &mut ClusterModel, call: &Call, request: &FetchRequest) -> Reply {
    let fresh_id = model.random.positive_i32();
    let Some(node) = model.nodes.get_mut(&call.node) else {
        return Reply::Close;
    };
    let (context, partitions) = match node
        .sessions
        .open(call.now, call.version, request, fresh_id)
    {
        Ok(opened) => opened,
        Err(code) => return call.answer(&top_level(code)),
    };
    let resolve = |(asked, partition): (Asked, FetchPartition)| {
        let id = fetch_read::topic(model, call, &asked)
            .ok()
            .map(|topic| topic.id);
        (asked, partition, id)
    };
    let plan = FetchPlan {
        context,
        entries: partitions.into_iter().map(resolve).collect(),
        min_bytes: usize::try_from(request.min_bytes.min(MAX_BYTES)).unwrap_or(0),
        max_bytes: usize::try_from(request.max_bytes.min(MAX_BYTES)).unwrap_or(0),
        read_committed: request.isolation_level == 1,
    };
    if request.max_wait_ms <= 0 || plan.entries.is_empty() || plan.is_ready(model, call) {
        return plan.answer(model, call);
    }
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Some(call.now.saturating_add(wait));
    Reply::Park(Box::new(Waiting {
        parked: Parked::Fetch(call.clone(), plan),
        deadline,
    }))
}

pub(super) fn refuse(call: &Call, request: FetchRequest, code: ErrorCode) -> Reply {
    // Errors of the session, and all errors of a session whose partitions are not repeated, have
    // their place at the top.
    let of_session = matches!(
        code,
        ErrorCode::FetchSessionIdNotFound
            | ErrorCode::InvalidFetchSessionEpoch
            | ErrorCode::FetchSessionTopicIdError
    );
    if call.version >= 7 && (of_session || request.topics.is_empty()) {
        return call.answer(&top_level(code));
    }
    let mut responses = Vec::new();
    for topic in request.topics {
        for partition in topic.partitions {
            let place = Asked {
                topic: topic.topic.clone(),
                topic_id: topic.topic_id,
                partition: partition.partition,
            };
            group(
                &mut responses,
                &place,
                fetch_read::failed(partition.partition, code, None),
            );
        }
    }
    call.answer(&FetchResponse {
        responses,
        ..FetchResponse::default()
    })
}

fn top_level(code: ErrorCode) -> FetchResponse {
    FetchResponse {
        error_code: code.code(),
        ..FetchResponse::default()
    }
}

impl FetchPlan {
    /// Whether it waits for one of these partitions.
    pub(crate) fn concerns(&self, touched: &BTreeSet<(Uuid, i32)>) -> bool {
        let touched = |(asked, _, id): &(Asked, FetchPartition, Option<Uuid>)| {
            id.is_some_and(|id| touched.contains(&(id, asked.partition)))
        };
        self.entries.iter().any(touched)
    }

    /// Whether there are enough bytes, or an error to be told.
    pub(crate) fn is_ready(&self, model: &ClusterModel, call: &Call) -> bool {
        let mut bytes = 0;
        for (asked, partition, _) in &self.entries {
            match fetch_read::available(
                model,
                call,
                asked,
                partition,
                self.read_committed,
                self.min_bytes,
            ) {
                Err(_) => return true,
                Ok(available) => bytes += available,
            }
        }
        bytes >= self.min_bytes
    }

    /// The answer as things stand.
    pub(crate) fn answer(self, model: &mut ClusterModel, call: &Call) -> Reply {
        let mut budget = Budget {
            left: self.max_bytes,
            nothing_yet: true,
        };
        let mut responses = Vec::new();
        let mut hints = BTreeSet::new();
        for (asked, partition, _) in self.entries {
            let committed = self.read_committed;
            let mut data =
                fetch_read::read(model, call, &asked, &partition, committed, &mut budget);
            if let Context::Incremental(id) | Context::Full(id) = self.context {
                let node = model.nodes.get_mut(&call.node);
                let changed = node.is_none_or(|node| node.sessions.changed(id, &asked, &data));
                if !changed && matches!(self.context, Context::Incremental(_)) {
                    continue;
                }
            }
            if call.version >= HINTS_FROM
                && let Some(hint) = hint(model, call, &asked, data.error_code)
            {
                hints.insert(hint.leader_id);
                data.current_leader = hint;
            }
            group(&mut responses, &asked, data);
        }
        let session_id = match self.context {
            Context::Sessionless => 0,
            Context::Full(id) | Context::Incremental(id) => id,
        };
        let node_endpoints = hints
            .into_iter()
            .filter_map(|id| node_endpoint(model, id))
            .collect();
        call.answer(&FetchResponse {
            session_id,
            responses,
            node_endpoints,
            ..FetchResponse::default()
        })
    }
}

fn group(responses: &mut Vec<FetchableTopicResponse>, asked: &Asked, data: PartitionData) {
    match responses.last_mut() {
        Some(last) if last.topic == asked.topic && last.topic_id == asked.topic_id => {
            last.partitions.push(data);
        }
        _ => responses.push(FetchableTopicResponse {
            topic: asked.topic.clone(),
            topic_id: asked.topic_id,
            partitions: vec![data],
            ..FetchableTopicResponse::default()
        }),
    }
}

fn hint(model: &ClusterModel, call: &Call, asked: &Asked, code: i16) -> Option<LeaderIdAndEpoch> {
    let moved = [ErrorCode::NotLeaderOrFollower, ErrorCode::FencedLeaderEpoch];
    if !moved.contains(&ErrorCode::from(code)) {
        return None;
    }
    let partition = fetch_read::topic(model, call, asked)
        .ok()?
        .partition(asked.partition)?;
    Some(LeaderIdAndEpoch {
        leader_id: partition.leader?,
        leader_epoch: partition.leader_epoch,
        ..LeaderIdAndEpoch::default()
    })
}

fn node_endpoint(model: &ClusterModel, node_id: i32) -> Option<NodeEndpoint> {
    let (host, port, rack) = endpoint(model, node_id)?;
    Some(NodeEndpoint {
        node_id,
        host,
        port,
        rack,
        ..NodeEndpoint::default()
    })
}

#[cfg(test)]
mod tests;
