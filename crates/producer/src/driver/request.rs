//! One Produce request: to one leader, one batch of each partition.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_accumulator::Batch;
use milena_codec::{ApiKey, Uuid};
use milena_net::Lane;
use milena_proto::sequence::Acks;
use milena_records::Stamp;
use milena_rpc::caps::{self, CapContext};
use milena_rpc::{CallError, Target};

use super::answer::{Answered, Written};
use super::{Driver, Event};
use crate::shared::{Outcome, Shared};
use crate::topic::Partition;
use crate::wire::{PartitionBatch, Produce, TopicBatches};

/// A stamped batch on its way.
pub(super) struct Sending {
    pub(super) slot: usize,
    pub(super) attempt: u64,
    pub(super) partition: Arc<Partition>,
    pub(super) topic_id: Uuid,
    pub(super) batch: Arc<Batch<Outcome>>,
    pub(super) stamp: Stamp,
}

impl Driver {
    pub(super) fn send(&mut self, leader: i32, batches: Vec<Sending>, now: Instant) {
        *self.in_flight.entry(leader).or_default() += 1;
        let shared = Arc::clone(&self.shared);
        let deadline = now + shared.config.request_timeout;
        self.work.push(Box::pin(async move {
            let result = exchange(&shared, leader, &batches, deadline).await;
            Event::Answered(Box::new(Answered {
                leader,
                batches,
                result,
            }))
        }));
    }
}

async fn exchange(
    shared: &Shared,
    leader: i32,
    batches: &[Sending],
    deadline: Instant,
) -> Result<Written, CallError> {
    let cluster = &shared.cluster;
    let request = request(shared, batches);
    for topic in &request.topics {
        cluster.touch(&topic.name);
    }
    let context = CapContext {
        topic_id_unknown: batches.iter().any(|sending| sending.topic_id.is_zero()),
        ..CapContext::default()
    };
    let versions = caps::cap(ApiKey::Produce, context);
    let to = Target::Node(leader);
    if shared.config.acks == Acks::None {
        let lane = Lane::Unacknowledged(shared.id);
        let address = cluster.route(&to, lane, deadline).await?;
        let pool = cluster.pool();
        let sent = pool.send_only(&address, lane, versions, |_| request, deadline);
        return match sent.await {
            Ok(()) => Ok(Written::Unacknowledged),
            Err(error) => {
                cluster.refresh(milena_rpc::RefreshReason::Disconnected);
                Err(error.into())
            }
        };
    }
    let lane = Lane::Produce(shared.id);
    let reply = cluster.call_once_within(to, lane, versions, |_| request, deadline);
    Ok(Written::Answered(reply.await?.message))
}

fn request(shared: &Shared, batches: &[Sending]) -> Produce {
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
        let sealed = sending.batch.sealed();
        let header = Bytes::copy_from_slice(&sealed.header(sending.stamp));
        let pieces = std::iter::once(header).chain(sealed.segments().cloned());
        topics[at].partitions.push(PartitionBatch {
            index: sending.partition.index,
            pieces: pieces.collect(),
        });
    }
    Produce {
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
