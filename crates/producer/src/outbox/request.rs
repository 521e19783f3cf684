//! The Produce request of a leader's batches.

use std::sync::Arc;
use std::time::Duration;

use milena_codec::{ApiKey, frame};
use milena_net::{Outgoing, Turn as Slot};
use milena_proto::sequencer::Acks;
use milena_rpc::caps::{self, CapContext, TransactionLevel};

use super::{Flying, LeaderOutbox, Sending};
use crate::answer;
use crate::shared::{Shared, lock};
use crate::transaction;
use crate::wire::{PartitionBatch, Produce, TopicBatches};

/// The first version that adds partitions to the transaction by itself (KIP-890).
const IMPLICIT: i16 = 12;

impl LeaderOutbox {
    /// Makes the request. If that fails, so do its batches, unsent.
    pub(super) fn send(
        &self,
        shared: &Arc<Shared>,
        mut batches: Vec<Sending>,
        token: u64,
        slot: &Slot<'_>,
    ) -> Option<Outgoing> {
        let acks = shared.config.acks;
        let context = CapContext {
            topic_id_unknown: batches.iter().any(|sending| sending.topic_id.is_zero()),
            ..context(shared)
        };
        let ours = caps::cap(ApiKey::Produce, context);
        let ours = match context.transaction {
            Some(TransactionLevel::Two) => transaction::at_least(IMPLICIT, ours),
            _ => ours,
        };
        let version = slot.versions.newest(ApiKey::Produce, ours);
        let made = version
            .ok_or_else(|| milena_net::CallError::Unsupported {
                address: self.address.clone(),
                api: ApiKey::Produce,
                ours,
                theirs: slot.versions.range(ApiKey::Produce),
            })
            .and_then(|version| {
                let request = request(shared, &mut batches);
                let client_id = slot.client_id.cloned();
                let frame = frame::request(&request, version, slot.correlation_id, client_id)?;
                Ok((version, frame))
            });
        let (version, frame) = match made {
            Ok(made) => made,
            Err(error) => {
                answer::refuse(shared, self, batches, error.into());
                return None;
            }
        };
        let flying = Flying {
            batches,
            version,
            begun: slot.now,
        };
        let most = shared.config.max_in_flight;
        shared.metrics.sent(self.node, &flying, most);
        lock(&self.state).in_flight.insert(token, flying);
        Some(Outgoing {
            segments: frame.segments,
            key: ApiKey::Produce,
            version,
            deadline: slot.now + shared.config.request_timeout,
            expects_answer: acks != Acks::None,
            token,
        })
    }
}

fn context(shared: &Shared) -> CapContext {
    let transactions = shared.transactions.as_ref();
    transactions.map_or_else(CapContext::default, |transactions| {
        transaction::context(transactions.level())
    })
}

fn request(shared: &Shared, batches: &mut [Sending]) -> Produce {
    let mut topics = Vec::<TopicBatches>::new();
    for sending in batches {
        let name = &sending.partition.topic;
        let id = sending.topic_id;
        let known = topics
            .iter_mut()
            .position(|topic| topic.name == *name && topic.id == id);
        let at = known.unwrap_or_else(|| {
            topics.push(TopicBatches {
                name: name.clone(),
                id,
                partitions: Vec::new(),
            });
            topics.len() - 1
        });
        topics[at].partitions.push(PartitionBatch {
            index: sending.partition.index,
            pieces: std::mem::take(&mut sending.pieces),
        });
    }
    let transactions = shared.transactions.as_ref();
    Produce {
        transactional_id: transactions.map(|one| one.transactional_id.clone()),
        acks: shared.config.acks.code(),
        timeout_ms: broker_timeout_ms(shared.config.request_timeout),
        topics,
    }
}

/// The broker gives up a little before the client does, so that its answer still arrives.
fn broker_timeout_ms(request_timeout: Duration) -> i32 {
    let millis = i32::try_from(request_timeout.as_millis()).unwrap_or(i32::MAX);
    (millis - millis / 10).max(1)
}
