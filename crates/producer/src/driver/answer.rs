//! What an answer, or its absence, means for each batch of the request.

use std::sync::Arc;
use std::time::Instant;

use milena_codec::messages::ProduceResponse;
use milena_codec::messages::produce_response::PartitionProduceResponse;
use milena_codec::{ErrorCode, Refresh};
use milena_proto::sequence::{Answer, Attempt, Decision};
use milena_rpc::{BrokerInfo, CallError, RefreshReason};

use super::Driver;
use super::request::Sending;
use crate::failed::{DeliveryCause, LastError, RecordError};
use crate::shared::Outcome;

/// A request that is over.
pub(super) struct Answered {
    pub(super) leader: i32,
    pub(super) batches: Vec<Sending>,
    pub(super) result: Result<Written, CallError>,
}

/// How a request succeeded.
pub(super) enum Written {
    Answered(ProduceResponse),
    /// With acks 0.
    Unacknowledged,
}

impl Driver {
    pub(super) fn handle_answered(&mut self, answered: Answered) {
        let Answered {
            leader,
            batches,
            result,
        } = answered;
        if let Some(count) = self.in_flight.get_mut(&leader) {
            *count = count.saturating_sub(1);
        }
        let now = self.shared.cluster.env().now();
        match result {
            Ok(Written::Answered(response)) => {
                for sending in &batches {
                    match find(&response, sending) {
                        Some(part) => self.handle_part(sending, part, &response, now),
                        // The broker says nothing of it: it may have been written.
                        None => self.handle_missing(sending, now),
                    }
                }
            }
            Ok(Written::Unacknowledged) => {
                for sending in &batches {
                    self.handle_unacknowledged(sending, now);
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for sending in &batches {
                    self.handle_call_error(sending, &error, now);
                }
            }
        }
    }

    /// The lane, if the attempt is still its current one.
    fn lane_of(&mut self, sending: &Sending, now: Instant) -> Option<&mut super::Lane> {
        let lane = self.lanes.get_mut(&sending.slot)?;
        if lane.attempt != sending.attempt {
            return None;
        }
        lane.end(now);
        Some(lane)
    }

    fn handle_part(
        &mut self,
        sending: &Sending,
        part: &PartitionProduceResponse,
        response: &ProduceResponse,
        now: Instant,
    ) {
        let shared = Arc::clone(&self.shared);
        let error = ErrorCode::from(part.error_code);
        let redirected = error.refresh() == Refresh::Metadata
            && self.heed_leader_hint(sending, part, response, error);
        let Some(lane) = self.lane_of(sending, now) else {
            return;
        };
        let decision = lane.sequence.handle_attempt(Attempt::Answered(Answer {
            error,
            base_offset: part.base_offset,
            log_start_offset: part.log_start_offset,
        }));
        match decision {
            Decision::Acknowledged { offset } => {
                let time = part.log_append_time_ms;
                lane.acknowledge_head(
                    &shared,
                    Outcome::Acknowledged {
                        base_offset: offset,
                        log_append_time: (time >= 0).then_some(time),
                    },
                );
            }
            Decision::Retry => {
                lane.retry(&shared, now, LastError::Answer(error), !redirected);
            }
            Decision::Failed(fate) => {
                let cause = refused(error, part, sending);
                lane.fail_head(&shared, fate, cause);
            }
            Decision::Stale => {}
        }
    }

    fn handle_missing(&mut self, sending: &Sending, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let Some(lane) = self.lane_of(sending, now) else {
            return;
        };
        if lane.sequence.handle_attempt(Attempt::Lost) == Decision::Retry {
            let cause = LastError::Answer(ErrorCode::UnknownServerError);
            lane.retry(&shared, now, cause, true);
        }
    }

    fn handle_unacknowledged(&mut self, sending: &Sending, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let Some(lane) = self.lane_of(sending, now) else {
            return;
        };
        let decision = lane.sequence.handle_attempt(Attempt::Unacknowledged);
        if let Decision::Acknowledged { offset } = decision {
            let outcome = Outcome::Acknowledged {
                base_offset: offset,
                log_append_time: None,
            };
            lane.acknowledge_head(&shared, outcome);
        }
    }

    fn handle_call_error(&mut self, sending: &Sending, error: &Arc<CallError>, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let Some(lane) = self.lane_of(sending, now) else {
            return;
        };
        let attempt = if error.was_sent() {
            Attempt::Lost
        } else {
            Attempt::NotSent
        };
        let attempts = lane.sequence.attempts();
        tracing::debug!(%error, attempts, "produce attempt failed");
        match lane.sequence.handle_attempt(attempt) {
            Decision::Retry if error.is_retriable() => {
                lane.retry(&shared, now, LastError::Call(Arc::clone(error)), true);
            }
            Decision::Retry => {
                let fate = lane.sequence.handle_expired();
                lane.fail_head(&shared, fate, DeliveryCause::Call(Arc::clone(error)));
            }
            Decision::Acknowledged { .. } | Decision::Failed(_) | Decision::Stale => {}
        }
    }

    /// Takes over the new leader if the answer names one (KIP-951), and asks for fresh metadata
    /// otherwise. Returns whether the batch can be sent there at once.
    fn heed_leader_hint(
        &self,
        sending: &Sending,
        part: &PartitionProduceResponse,
        response: &ProduceResponse,
        error: ErrorCode,
    ) -> bool {
        let hint = &part.current_leader;
        let cluster = &self.shared.cluster;
        if hint.leader_id < 0 || hint.leader_epoch < 0 {
            cluster.refresh(RefreshReason::Error(error));
            return false;
        }
        let endpoints = &response.node_endpoints;
        let endpoint = endpoints
            .iter()
            .find(|endpoint| endpoint.node_id == hint.leader_id)
            .and_then(|endpoint| {
                Some(BrokerInfo {
                    id: endpoint.node_id,
                    host: endpoint.host.clone(),
                    port: u16::try_from(endpoint.port).ok()?,
                    rack: endpoint.rack.clone(),
                })
            });
        let leader = (hint.leader_id, hint.leader_epoch);
        let partition = &sending.partition;
        cluster.leader_changed(&partition.topic, partition.index, leader, endpoint)
    }
}

fn find<'a>(
    response: &'a ProduceResponse,
    sending: &Sending,
) -> Option<&'a PartitionProduceResponse> {
    let partition = &sending.partition;
    let mut topics = response.responses.iter().filter(|topic| {
        // From version 13 on topics have ids only, below names only.
        if topic.topic_id.is_zero() {
            topic.name == partition.topic
        } else {
            topic.topic_id == sending.topic_id
        }
    });
    topics.find_map(|topic| {
        let mut parts = topic.partition_responses.iter();
        parts.find(|part| part.index == partition.index)
    })
}

fn refused(code: ErrorCode, part: &PartitionProduceResponse, sending: &Sending) -> DeliveryCause {
    let sealed = sending.batch.sealed();
    if matches!(
        code,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge
    ) {
        return DeliveryCause::TooLarge {
            size: sealed.len(),
            records: sealed.count(),
            code,
        };
    }
    let errors = part.record_errors.iter().filter_map(|error| {
        Some(RecordError {
            index: u32::try_from(error.batch_index).ok()?,
            message: error.batch_index_error_message.clone(),
        })
    });
    DeliveryCause::Refused {
        code,
        message: part.error_message.clone(),
        record_errors: errors.collect(),
    }
}
