//! What the brokers do with a request, and the faults that befall them.

use super::*;

impl World {
    pub(super) fn faults(&mut self) {
        if self.dice.one_in(self.plan.cut) {
            let busy = !self.dice.one_in(3);
            let worth = |wire: &Wire| {
                wire.connection.open && !(busy && wire.connection.received.is_empty())
            };
            if let Some(wire) = self.some_wire(worth) {
                self.cut(wire);
            }
        }
        if self.dice.one_in(self.plan.coordinator_move) {
            let which = self.dice.index(2);
            self.nodes[which] = (self.nodes[which] + 1) % 3;
            let loads = Duration::from_millis(self.dice.below(60));
            self.loads[which] = Some(self.clock.now() + loads);
            self.report.moves += 1;
            self.trace.note("move", &[number(which)]);
        }
        if self.dice.one_in(self.plan.level_change) {
            self.level = match self.level {
                Level::V1 => Level::V2,
                Level::V2 => Level::V1,
            };
            self.report.levels += 1;
            self.trace.note("level", &[]);
        }
        if self.dice.one_in(self.plan.expire_id) && self.coordinator.expire() {
            self.expiries += 1;
            self.trace.note("forget", &[]);
        }
        let alive = self.processes.iter().filter(|process| process.alive);
        if alive.count() < MOST_ALIVE && self.dice.one_in(self.plan.takeover) {
            if self.dice.one_in(3) {
                let index = self.dice.index(self.processes.len());
                self.kill(index);
            }
            self.report.takeovers += 1;
            self.start(None);
        }
    }

    /// One request is executed, of an open connection or of one that was cut. // I3
    pub(super) fn execute_one(&mut self) {
        let late = self.dice.one_in(self.plan.late);
        let ready =
            |wire: &Wire| !wire.connection.received.is_empty() && (late || wire.connection.open);
        let Some(index) = self.some_wire(ready) else {
            return;
        };
        let wire = &mut self.wires[index];
        let Some(request) = wire.connection.received.pop_front() else {
            return;
        };
        let (node, purpose, open) = (wire.connection.node, wire.purpose, wire.connection.open);
        if !open {
            self.report.late += 1;
        }
        let answer = self.execute(purpose, node, &request);
        self.trace_answer(&answer, open);
        if open {
            self.wires[index].connection.answers.push_back(answer);
        }
        self.wires
            .retain(|wire| !wire.connection.is_spent() || !wire.unanswered.is_empty());
    }

    pub(super) fn write_marker(&mut self) {
        let pending = self.coordinator.pending();
        if pending.is_empty() || self.loads[0].is_some() {
            return;
        }
        let index = self.dice.index(pending.len());
        let marker = pending[index];
        self.logs[marker.part].mark(&marker);
        self.coordinator.written(index);
        let committed = i64::from(marker.result == Complete::Commit);
        self.trace.note("marker", &[number(marker.part), committed]);
    }

    pub(super) fn some_wire(&mut self, wanted: impl Fn(&Wire) -> bool) -> Option<usize> {
        let some: Vec<usize> = (0..self.wires.len())
            .filter(|index| wanted(&self.wires[*index]))
            .collect();
        (!some.is_empty()).then(|| self.dice.pick(&some))
    }

    fn execute(&mut self, purpose: Use, node: i32, request: &Request) -> Answer {
        match request {
            Request::Batch {
                part,
                item,
                identity,
                level,
            } => {
                let result = self.produce(*part, *item, *identity, *level);
                Answer::Batch(*item, self.old_code(code(result)))
            }
            Request::Call(id, call) => {
                let which = usize::from(purpose == Use::Group);
                let reply = match self.unavailable(which, node) {
                    Some(error) => refusal(call, error),
                    None => self.serve(call),
                };
                Answer::Call(*id, reply)
            }
        }
    }

    fn unavailable(&mut self, which: usize, node: i32) -> Option<ErrorCode> {
        if self.nodes[which] != node {
            return Some(ErrorCode::NotCoordinator);
        }
        if self.loads[which].is_some() {
            return Some(ErrorCode::CoordinatorLoadInProgress);
        }
        let refusals = [
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::ConcurrentTransactions,
            ErrorCode::CoordinatorNotAvailable,
        ];
        let refuse = self.dice.one_in(self.plan.refuse);
        refuse.then(|| self.dice.pick(&refusals))
    }

    fn serve(&mut self, call: &Call) -> Reply {
        if self.dice.one_in(self.plan.reject)
            && let Some(reply) = self.rejection(call)
        {
            return reply;
        }
        let reply = self.serve_for_good(call);
        if self.dice.one_in(self.plan.fail_after) {
            let failures = [
                ErrorCode::NotCoordinator,
                ErrorCode::CoordinatorNotAvailable,
            ];
            return refusal(call, self.dice.pick(&failures));
        }
        reply
    }

    fn serve_for_good(&mut self, call: &Call) -> Reply {
        let now = self.clock.now();
        let offsets = self.logs.len() - 1;
        match call {
            Call::InitProducerId { current, .. } => {
                let result = self.coordinator.init(*current);
                Reply::InitProducerId {
                    error: self.old_code(code(result)),
                    identity: result.ok(),
                    ongoing: None,
                }
            }
            Call::AddPartitions {
                identity,
                partitions,
            } => {
                let parts: Vec<usize> = partitions
                    .iter()
                    .map(|one| usize::try_from(one.partition).expect("an index"))
                    .collect();
                let result = self.coordinator.add(*identity, &parts, Level::V1, now);
                refusal(call, self.old_code(code(result)))
            }
            Call::AddOffsets { identity, .. } => {
                let result = self.coordinator.add(*identity, &[offsets], Level::V1, now);
                Reply::AddOffsets(self.old_code(code(result)))
            }
            Call::TxnOffsetCommit {
                identity,
                offsets: id,
                level,
            } => {
                let item = Item {
                    txn: usize::try_from(id.0 / 10).expect("an index"),
                    number: id.0 % 10,
                };
                let result = self.append(offsets, item, *identity, *level);
                Reply::TxnOffsetCommit(vec![self.old_code(code(result))])
            }
            Call::EndTxn {
                identity,
                complete,
                level,
            } => {
                let result = self.coordinator.end(*identity, *complete, *level);
                Reply::EndTxn {
                    error: self.old_code(code(result)),
                    next: result.ok().flatten(),
                }
            }
        }
    }

    fn rejection(&mut self, call: &Call) -> Option<Reply> {
        let error = match call {
            Call::InitProducerId { .. } => return None,
            Call::AddPartitions { .. } => ErrorCode::TopicAuthorizationFailed,
            Call::AddOffsets { .. } => ErrorCode::GroupAuthorizationFailed,
            Call::TxnOffsetCommit { .. } => ErrorCode::IllegalGeneration,
            Call::EndTxn { complete, .. } if *complete == Complete::Commit => {
                ErrorCode::TransactionAbortable
            }
            Call::EndTxn { .. } => return None,
        };
        Some(refusal(call, error))
    }

    fn produce(
        &mut self,
        part: usize,
        item: Item,
        identity: Identity,
        level: Level,
    ) -> Result<(), ErrorCode> {
        if self.dice.one_in(self.plan.refuse) {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        if self.dice.one_in(self.plan.reject) {
            return Err(ErrorCode::MessageTooLarge);
        }
        self.logs[part].check_epoch(identity)?;
        if !self.logs[part].has(item) {
            self.append(part, item, identity, level)?;
        }
        if self.dice.one_in(self.plan.fail_after) {
            return Err(ErrorCode::RequestTimedOut);
        }
        Ok(())
    }

    /// Appends to an open transaction, or to one that the coordinator confirms or, at V2, opens. // I4
    fn append(
        &mut self,
        part: usize,
        item: Item,
        identity: Identity,
        level: Level,
    ) -> Result<(), ErrorCode> {
        self.logs[part].check_epoch(identity)?;
        if !self.logs[part].is_open(identity) {
            match level {
                Level::V1 if self.coordinator.verifies(identity, part) => {}
                Level::V1 => return Err(ErrorCode::InvalidTxnState),
                Level::V2 => {
                    let now = self.clock.now();
                    let added = self.coordinator.add(identity, &[part], level, now);
                    added.map_err(as_produce)?;
                }
            }
        }
        self.logs[part].append(identity, item);
        Ok(())
    }

    /// Brokers below 2.7 have no PRODUCER_FENCED.
    fn old_code(&self, error: ErrorCode) -> ErrorCode {
        match error {
            ErrorCode::ProducerFenced if self.plan.old => ErrorCode::InvalidProducerEpoch,
            other => other,
        }
    }

    fn trace_answer(&mut self, answer: &Answer, open: bool) {
        let numbers = match answer {
            Answer::Batch(item, error) => [
                number(item.txn) * 10 + number(item.number),
                i64::from(error.code()),
            ],
            Answer::Call(id, reply) => [number(id.0), i64::from(first_error(reply).code())],
        };
        let what = match answer {
            Answer::Batch(..) => "produced",
            Answer::Call(_, Reply::InitProducerId { .. }) => "inited",
            Answer::Call(_, Reply::EndTxn { .. }) => "ended",
            Answer::Call(..) => "added",
        };
        self.trace
            .note(what, &[numbers[0], numbers[1], i64::from(open)]);
    }
}

fn code<T>(result: Result<T, ErrorCode>) -> ErrorCode {
    result.err().unwrap_or(ErrorCode::None)
}

const fn as_produce(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        other => other,
    }
}

/// The call answered with this code alone.
fn refusal(call: &Call, error: ErrorCode) -> Reply {
    match call {
        Call::InitProducerId { .. } => Reply::InitProducerId {
            error,
            identity: None,
            ongoing: None,
        },
        Call::AddPartitions { partitions, .. } => {
            let all = partitions.iter().map(|one| (one.clone(), error));
            Reply::AddPartitions(all.collect())
        }
        Call::AddOffsets { .. } => Reply::AddOffsets(error),
        Call::TxnOffsetCommit { .. } => Reply::TxnOffsetCommit(vec![error]),
        Call::EndTxn { .. } => Reply::EndTxn { error, next: None },
    }
}

fn first_error(reply: &Reply) -> ErrorCode {
    match reply {
        Reply::InitProducerId { error, .. }
        | Reply::EndTxn { error, .. }
        | Reply::AddOffsets(error) => *error,
        Reply::AddPartitions(all) => all.first().map_or(ErrorCode::None, |(_, error)| *error),
        Reply::TxnOffsetCommit(all) => all.first().copied().unwrap_or(ErrorCode::None),
        Reply::Lost { .. } | Reply::Unsupported => ErrorCode::None,
    }
}
