//! What an answer, or its absence, means for each batch of a request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_codec::messages::ProduceResponse;
use milena_codec::messages::produce_response::PartitionProduceResponse;
use milena_codec::{ApiKey, ErrorCode, Refresh, Str, Uuid, decode};
use milena_net::{Ledger, Outcome};
use milena_proto::sequencer::{Answer, Attempt};
use milena_rpc::{BrokerInfo, CallError, RefreshReason};

use crate::failed::{DeliveryCause, LastError, RecordError};
use crate::flight::{Told, Travelling};
use crate::outbox::{Flying, LeaderOutbox, Sending};
use crate::shared::{Shared, lock};
use crate::wire::Produce;

/// Takes what became of a request.
pub(crate) fn handle(shared: &Arc<Shared>, from: &LeaderOutbox, flying: Flying, outcome: Outcome) {
    let Flying {
        batches,
        version,
        begun,
    } = flying;
    let address = from.address.clone();
    let error = match outcome {
        Outcome::Answer(body) => match decode::<ProduceResponse>(body, version) {
            Ok(response) => return handle_answer(shared, from, batches, version, &response),
            Err(cause) => milena_net::CallError::Malformed { address, cause },
        },
        Outcome::Written => {
            let now = shared.now();
            for sending in batches {
                let told = Told::default();
                finish(shared, &sending, Attempt::Unacknowledged, told, now, true);
            }
            return;
        }
        Outcome::TimedOut { sent } => milena_net::CallError::TimedOut {
            address,
            api: ApiKey::Produce,
            sent,
            ledger: in_flight(shared.now().saturating_duration_since(begun)),
        },
        Outcome::Lost { sent, cause } => milena_net::CallError::Lost {
            address,
            api: ApiKey::Produce,
            sent,
            cause,
        },
        other => {
            tracing::error!(?other, "an outcome that this version does not know");
            milena_net::CallError::Closed
        }
    };
    shared.cluster.refresh(RefreshReason::Disconnected);
    refuse(shared, from, batches, error.into());
}

fn in_flight(time: Duration) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.in_flight = time;
    ledger
}

/// A request that failed as a whole, or could not be made.
pub(crate) fn refuse(
    shared: &Arc<Shared>,
    from: &LeaderOutbox,
    batches: Vec<Sending>,
    error: CallError,
) {
    let now = shared.now();
    tracing::debug!(%error, batches = batches.len(), broker = %from.address, "produce failed");
    let attempt = if error.was_sent() {
        Attempt::Lost
    } else {
        Attempt::NotSent
    };
    let retriable = error.is_retriable();
    let error = Arc::new(error);
    for sending in batches {
        let told = Told {
            error: Some(LastError::Call(Arc::clone(&error))),
            cause: Some(DeliveryCause::Call(Arc::clone(&error))),
            ..Told::default()
        };
        finish(shared, &sending, attempt, told, now, false);
        if !retriable {
            let cause = |_: Option<&LastError>| DeliveryCause::Call(Arc::clone(&error));
            let partition = &sending.partition;
            partition.fail(shared, Travelling::is_idle, cause);
        }
    }
}

fn handle_answer(
    shared: &Arc<Shared>,
    from: &LeaderOutbox,
    batches: Vec<Sending>,
    version: i16,
    response: &ProduceResponse,
) {
    let now = shared.now();
    let lane = from.lane.lane();
    let throttle = shared
        .cluster
        .heed_throttle::<Produce>(&from.address, lane, response, version);
    if let Some(time) = throttle {
        shared.metrics.throttled(from.node, time, now);
    }
    let mut expected = Expected::new(batches);
    for topic in &response.responses {
        for part in &topic.partition_responses {
            if let Some(sending) = expected.take(&topic.name, topic.topic_id, part.index) {
                handle_part(shared, from, &sending, part, response, now);
            }
        }
    }
    for sending in expected.batches.into_values() {
        // The broker says nothing of it: it may have been written.
        let told = Told {
            error: Some(LastError::Answer(ErrorCode::UnknownServerError)),
            ..Told::default()
        };
        finish(shared, &sending, Attempt::Lost, told, now, false);
    }
}

/// The batches of a request by what answers name them by.
struct Expected {
    topics: Vec<(Str, Uuid)>,
    batches: BTreeMap<(usize, i32), Sending>,
}

impl Expected {
    fn new(sent: Vec<Sending>) -> Self {
        let mut topics = Vec::<(Str, Uuid)>::new();
        let mut batches = BTreeMap::new();
        for sending in sent {
            let (name, id) = (&sending.partition.topic, sending.topic_id);
            let known = topics
                .iter()
                .position(|known| known.0 == *name && known.1 == id);
            let topic = known.unwrap_or_else(|| {
                topics.push((name.clone(), id));
                topics.len() - 1
            });
            batches.insert((topic, sending.partition.index), sending);
        }
        Self { topics, batches }
    }

    /// From version 13 on answers have topic ids only, below names only.
    fn take(&mut self, name: &Str, id: Uuid, partition: i32) -> Option<Sending> {
        let mut topics = self.topics.iter();
        let topic = if id.is_zero() {
            topics.position(|known| known.0 == *name)
        } else {
            topics.position(|known| known.1 == id)
        };
        self.batches.remove(&(topic?, partition))
    }
}

fn handle_part(
    shared: &Arc<Shared>,
    from: &LeaderOutbox,
    sending: &Sending,
    part: &PartitionProduceResponse,
    response: &ProduceResponse,
    now: Instant,
) {
    let code = ErrorCode::from(part.error_code);
    let redirected = code.refresh() == Refresh::Metadata
        && heed_leader_hint(shared, from, sending, part, response);
    if code.refresh() == Refresh::Metadata && !redirected {
        shared.cluster.refresh(RefreshReason::Error(code));
    }
    let attempt = Attempt::Answered(Answer {
        error: code,
        base_offset: part.base_offset,
        log_start_offset: part.log_start_offset,
    });
    let told = match code {
        ErrorCode::None => Told {
            log_append_time: Some(part.log_append_time_ms).filter(|time| *time >= 0),
            ..Told::default()
        },
        code => Told {
            error: Some(LastError::Answer(code)),
            cause: Some(refused(code, part, sending)),
            ..Told::default()
        },
    };
    finish(shared, sending, attempt, told, now, redirected);
}

/// Takes the outcome of one batch's attempt, and puts its partition in line for what is next.
/// Unless it can go on `at_once`, a failure is followed by a pause.
fn finish(
    shared: &Arc<Shared>,
    sending: &Sending,
    attempt: Attempt,
    told: Told,
    now: Instant,
    at_once: bool,
) {
    let partition = &sending.partition;
    let failed = told.error.is_some();
    let mut settled = Vec::new();
    let alarm = {
        let mut flight = lock(&partition.flight);
        let batch = (sending.id, sending.attempt);
        flight.finish(batch, attempt, told, now, &mut settled);
        let pause = failed && !at_once && flight.has_retry(now);
        pause.then(|| flight.pause(now, shared.random()))
    };
    shared.settle(partition, settled);
    shared.fail_stopped(partition);
    if let Some(at) = alarm
        && shared.alarms.set(at, partition)
    {
        shared.notify.notify_one();
    }
    if let Some(turn) = partition.wants(shared, now) {
        shared.schedule(partition, turn);
    }
}

/// Takes over the new leader if the answer names one (KIP-951). Returns whether the batch can be
/// sent there at once.
fn heed_leader_hint(
    shared: &Shared,
    from: &LeaderOutbox,
    sending: &Sending,
    part: &PartitionProduceResponse,
    response: &ProduceResponse,
) -> bool {
    let hint = &part.current_leader;
    if hint.leader_id < 0 || hint.leader_epoch < 0 {
        return false;
    }
    let mut endpoints = response.node_endpoints.iter();
    let endpoint = endpoints
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
    let cluster = &shared.cluster;
    let snapshot = cluster.snapshot();
    let known = snapshot.leader(&partition.topic, partition.index);
    let known = known.map(|known| (known.broker.id, known.epoch));
    if known == Some((leader.0, Some(leader.1))) && from.node() != leader.0 {
        return true; // the answer to a batch before it has said so
    }
    cluster.leader_changed(&partition.topic, partition.index, leader, endpoint)
}

fn refused(code: ErrorCode, part: &PartitionProduceResponse, sending: &Sending) -> DeliveryCause {
    if matches!(
        code,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge
    ) {
        return DeliveryCause::TooLarge {
            size: sending.size,
            records: sending.records,
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
