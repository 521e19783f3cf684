//! Looks up where partitions start and end: one ListOffsets request to one leader, one attempt.
//! What fails stays to be looked up, after a pause.

use std::time::Instant;

use milena_codec::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use milena_codec::messages::list_offsets_response::ListOffsetsPartitionResponse;
use milena_codec::messages::{ListOffsetsRequest, ListOffsetsResponse};
use milena_codec::{ApiKey, ErrorCode};
use milena_net::Lane;
use milena_proto::position::{Lookup, LookupAnswer, PositionEvent, Token};
use milena_rpc::{CallError, RefreshReason, Target};

use crate::intake::{Meaning, meaning};
use crate::shared::Shared;
use crate::slot::Fault;
use crate::state::State;
use crate::{ConsumerEvent, TopicPartition};

/// One partition's question.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) name: TopicPartition,
    pub(crate) lookup: Lookup,
    pub(crate) leader_epoch: i32,
}

/// How a question was answered.
enum Outcome {
    Answer(LookupAnswer),
    Failed(String),
    Refused(ErrorCode),
}

/// Asks `node` the questions and takes the answers in.
pub(crate) async fn look_up(shared: &Shared, node: i32, questions: Vec<Question>) {
    let cluster = &shared.cluster;
    let deadline = shared.now() + cluster.config().net.request_timeout;
    let timeout = cluster.config().net.request_timeout.as_millis();
    let prepare = |version| request(&questions, version, timeout);
    let answer = cluster
        .call_once(Target::Node(node), Lane::Main, prepare, deadline)
        .await;
    let now = shared.now();
    for question in &questions {
        let outcome = match &answer {
            Ok(reply) => outcome(shared, question, &reply.message),
            Err(error) => call_failed(error),
        };
        let random = shared.random();
        shared.with(|state| settle(state, question, outcome, (now, random)));
    }
    shared.wake_driver();
    shared.wake_user();
}

fn request(questions: &[Question], version: i16, timeout_ms: u128) -> ListOffsetsRequest {
    debug_assert!(ApiKey::ListOffsets.versions().contains(version));
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for question in questions {
        let partition = ListOffsetsPartition {
            partition_index: question.name.partition,
            current_leader_epoch: question.leader_epoch,
            timestamp: question.lookup.query.wire(),
            ..ListOffsetsPartition::default()
        };
        match topics.last_mut() {
            Some(last) if last.name == question.name.topic => last.partitions.push(partition),
            _ => topics.push(ListOffsetsTopic {
                name: question.name.topic.clone(),
                partitions: vec![partition],
                ..ListOffsetsTopic::default()
            }),
        }
    }
    ListOffsetsRequest {
        replica_id: -1,
        topics,
        timeout_ms: i32::try_from(timeout_ms).unwrap_or(i32::MAX),
        ..ListOffsetsRequest::default()
    }
}

fn outcome(shared: &Shared, question: &Question, answer: &ListOffsetsResponse) -> Outcome {
    let Some(found) = find(answer, &question.name) else {
        return Outcome::Failed("the answer lacks the partition".to_owned());
    };
    let code = ErrorCode::from(found.error_code);
    match meaning(code) {
        // An offset that is there and a log without such a record.
        Meaning::Fine if found.offset >= 0 => Outcome::Answer(LookupAnswer::Found(found.offset)),
        Meaning::Fine => Outcome::Answer(LookupAnswer::NoMatch),
        Meaning::Refused => Outcome::Refused(code),
        Meaning::WaitForLeader => {
            shared.cluster.refresh(RefreshReason::Error(code));
            Outcome::Failed(code.to_string())
        }
        Meaning::Wait | Meaning::OutOfRange => Outcome::Failed(code.to_string()),
    }
}

fn find<'a>(
    answer: &'a ListOffsetsResponse,
    name: &TopicPartition,
) -> Option<&'a ListOffsetsPartitionResponse> {
    let topic = answer
        .topics
        .iter()
        .find(|topic| topic.name == name.topic)?;
    let mut partitions = topic.partitions.iter();
    partitions.find(|partition| partition.partition_index == name.partition)
}

fn call_failed(error: &CallError) -> Outcome {
    Outcome::Failed(error.to_string())
}

fn settle(state: &mut State, question: &Question, outcome: Outcome, (now, random): (Instant, u64)) {
    let name = &question.name;
    let Some(slot) = state.slots.get_mut(name) else {
        return;
    };
    if !slot.core.is_current(question.lookup.token) {
        return;
    }
    let answer = match outcome {
        Outcome::Answer(answer) => answer,
        Outcome::Failed(reason) => {
            let retry_in = slot.hold(now, random);
            hear(
                state,
                name,
                question.lookup.token,
                LookupAnswer::Failed,
                now,
            );
            let partition = name.clone();
            return state.event(ConsumerEvent::LookupFailed {
                partition,
                reason,
                retry_in,
            });
        }
        Outcome::Refused(code) => {
            hear(
                state,
                name,
                question.lookup.token,
                LookupAnswer::Failed,
                now,
            );
            return state.fail(name, Fault::Refused(code), now);
        }
    };
    slot.unhold();
    hear(state, name, question.lookup.token, answer, now);
}

/// Tells the position, and others what came of it.
fn hear(
    state: &mut State,
    name: &TopicPartition,
    token: Token,
    answer: LookupAnswer,
    now: Instant,
) {
    let Some(slot) = state.slots.get_mut(name) else {
        return;
    };
    let result = slot.core.handle_lookup(token, answer);
    slot.note(now);
    match result {
        Ok(event) => {
            if let Some(event) = event {
                state.event(public(name.clone(), event));
            }
        }
        Err(fault) => state.fail(name, Fault::OutOfRange(fault), now),
    }
}

fn public(partition: TopicPartition, event: PositionEvent) -> ConsumerEvent {
    match event {
        PositionEvent::Resolved { offset } => ConsumerEvent::Resolved { partition, offset },
        PositionEvent::EndCaptured { offset } => ConsumerEvent::EndCaptured { partition, offset },
        PositionEvent::Reset { from, to, side } => ConsumerEvent::Reset {
            partition,
            from,
            to,
            side,
        },
        PositionEvent::InRangeAfterAll { offset } => {
            ConsumerEvent::InRangeAfterAll { partition, offset }
        }
    }
}
