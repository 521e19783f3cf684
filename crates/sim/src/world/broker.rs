//! What the brokers do with requests.

use milena_codec::ErrorCode;
use milena_proto::sequencer::Answer;

use super::*;

const REJECTIONS: [ErrorCode; 3] = [
    ErrorCode::PolicyViolation,
    ErrorCode::TopicAuthorizationFailed,
    ErrorCode::InvalidRecord,
];

const AFTER_APPEND: [ErrorCode; 6] = [
    ErrorCode::RequestTimedOut,
    ErrorCode::NotEnoughReplicasAfterAppend,
    ErrorCode::NotLeaderOrFollower,
    ErrorCode::NotLeaderOrFollower,
    ErrorCode::KafkaStorageError,
    ErrorCode::UnknownServerError,
];

impl World {
    /// A broker executes the oldest request of one connection.
    pub(super) fn execute_one(&mut self) {
        let busy = |one: &Connection<Request, Reply>| !one.received.is_empty();
        let count = self.connections.iter().filter(|one| busy(one)).count();
        if count == 0 {
            return;
        }
        let nth = self.dice.index(count);
        let mut busy = (0..).zip(&self.connections).filter(|(_, one)| busy(one));
        let index = busy.nth(nth).map_or(0, |(index, _)| index);
        // What was received before a cut runs late.
        if self.connections[index].open || self.dice.one_in(3) {
            self.execute(index);
        }
    }

    pub(super) fn execute(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let (node, open) = (connection.node, connection.open);
        let Some(request) = connection.received.pop_front() else {
            return;
        };
        let (error, base_offset) = self.produce(node, &request);
        let numbers = [
            number(request.part),
            number(request.attempt.0),
            number(request.batch.id),
            i64::from(error.code()),
            base_offset,
            i64::from(open),
        ];
        self.trace.note("execute", &numbers);
        if open {
            let log_start_offset = self.parts[request.part].log.start();
            self.connections[index].answers.push_back(Reply {
                part: request.part,
                attempt: request.attempt,
                outcome: Attempt::Answered(Answer {
                    error,
                    base_offset,
                    log_start_offset,
                }),
            });
        } else {
            self.report.late += 1;
            self.connections.retain(|one| !one.is_spent());
        }
    }

    /// The client reads the oldest answer of one connection.
    pub(super) fn read_one(&mut self) {
        let ready = |one: &Connection<Request, Reply>| !one.answers.is_empty();
        let count = self.connections.iter().filter(|one| ready(one)).count();
        if count == 0 {
            return;
        }
        let nth = self.dice.index(count);
        let mut ready = self.connections.iter_mut().filter(|one| ready(one));
        let reply = ready.nth(nth).and_then(|one| one.answers.pop_front());
        if let Some(reply) = reply {
            self.tell(reply.part, reply.attempt, reply.outcome);
        }
    }

    fn produce(&mut self, node: i32, request: &Request) -> (ErrorCode, i64) {
        let log = &mut self.parts[request.part].log;
        if request.generation != log.generation() {
            return (ErrorCode::UnknownTopicId, -1);
        }
        if node != log.leader() {
            return (ErrorCode::NotLeaderOrFollower, -1);
        }
        if self.dice.one_in(self.plan.refuse) {
            return (ErrorCode::NotEnoughReplicas, -1);
        }
        if self.dice.one_in(self.plan.reject) {
            return (self.dice.pick(&REJECTIONS), -1);
        }
        if self.dice.one_in(self.plan.too_large) {
            return (ErrorCode::MessageTooLarge, -1);
        }
        let offset = match log.append(&request.batch) {
            Ok(offset) => offset,
            Err(error) => return (error, -1),
        };
        if self.dice.one_in(self.plan.fail_after_append) {
            let error = self.dice.pick(&AFTER_APPEND);
            let said = if self.dice.one_in(2) { offset } else { -1 };
            if error == ErrorCode::NotLeaderOrFollower {
                self.move_leader(request.part);
            }
            return (error, said);
        }
        log.commit();
        (ErrorCode::None, offset)
    }
}
