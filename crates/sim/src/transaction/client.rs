//! The processes: what carries their calls and batches, and tells the core what came of them.

use milena_proto::sequencer::{Because, Fate};
use milena_proto::transaction::{Cause, Config, Coordinator as Which, Event, State};

use super::*;

impl World {
    /// Another process begins, with a transaction of an earlier one to resolve, if any.
    pub(super) fn start(&mut self, resolves: Option<(Token, usize)>) {
        self.trace.note("start", &[number(self.processes.len())]);
        self.processes.push(Process {
            core: Transactions::new(Config::default(), self.level),
            alive: true,
            knows: self.nodes,
            txn: None,
            resolves,
            batches: Vec::new(),
            batches_left: 0,
            offsets_left: 0,
            commits: false,
        });
    }

    /// The process is gone; what it sent may still be executed.
    pub(super) fn kill(&mut self, index: usize) {
        self.trace.note("kill", &[number(index)]);
        for wire in 0..self.wires.len() {
            if self.wires[wire].owner == index && self.wires[wire].connection.open {
                self.close(wire);
            }
        }
        let process = &mut self.processes[index];
        process.alive = false;
        if let (State::Committing, Some(txn)) = (process.core.state(), process.txn) {
            self.txns[txn].crashed = true;
        }
    }

    /// Handles all that the core and the batches want to be done.
    pub(super) fn pump(&mut self, index: usize) {
        while self.processes[index].alive {
            while let Some(event) = self.processes[index].core.poll_event() {
                self.handle_event(index, &event);
            }
            let Some((id, call)) = self.processes[index].core.poll_call() else {
                break;
            };
            self.send_call(index, id, call);
        }
        self.send_batches(index);
        self.check_balance(index); // I2
    }

    pub(super) fn read_one(&mut self) {
        let ready = |wire: &Wire| !wire.connection.answers.is_empty();
        let Some(wire) = self.some_wire(ready) else {
            return;
        };
        let Some(answer) = self.wires[wire].connection.answers.pop_front() else {
            return;
        };
        let owner = self.wires[wire].owner;
        let pending = match answer {
            Answer::Call(id, _) => Pending::Call(id),
            Answer::Batch(item, _) => Pending::Batch(item),
        };
        self.wires[wire].unanswered.retain(|one| *one != pending);
        match answer {
            Answer::Call(id, reply) => self.reply(owner, id, reply),
            Answer::Batch(item, error) => self.batch_answered(owner, item, error),
        }
        self.pump(owner);
    }

    pub(super) fn cut(&mut self, wire: usize) {
        if self.wires[wire].connection.open {
            self.report.cuts += 1;
            let owner = self.wires[wire].owner;
            let lost = self.close(wire);
            for pending in lost {
                match pending {
                    Pending::Call(id) => self.reply(owner, id, Reply::Lost { sent: true }),
                    Pending::Batch(item) => self.batch_lost(owner, item),
                }
            }
            self.pump(owner);
        }
    }

    /// Fails what is not acknowledged: the transaction is to be aborted.
    pub(super) fn fail_batches(&mut self, index: usize) {
        let process = &mut self.processes[index];
        for flight in std::mem::take(&mut process.batches) {
            if !flight.acked {
                let fate = flight.fate();
                process.core.handle_batch_failed(Because::Expired, fate);
            }
        }
    }

    fn close(&mut self, wire: usize) -> Vec<Pending> {
        let waiting = self.wires[wire].connection.received.len();
        let received = self.dice.index(waiting + 1);
        self.trace.note("cut", &[number(received)]);
        let wire = &mut self.wires[wire];
        wire.connection.cut(received);
        std::mem::take(&mut wire.unanswered)
    }

    fn reply(&mut self, index: usize, id: CallId, reply: Reply) {
        let random = self.dice.roll();
        let now = self.clock.now();
        let core = &mut self.processes[index].core;
        core.handle_reply(id, reply, now, random);
    }

    fn handle_event(&mut self, index: usize, event: &Event) {
        match event {
            Event::Moved(which) => {
                let which = usize::from(matches!(which, Which::Group(_)));
                self.processes[index].knows[which] = self.nodes[which];
            }
            Event::Ended { outcome, .. } => self.told(index, *outcome),
            Event::Bumping(_) => self.report.bumps += 1,
            Event::MustAbort(_) => self.trace.note("must abort", &[number(index)]),
            Event::Fatal(cause) => self.handle_fatal(index, *cause),
            _ => {}
        }
    }

    fn handle_fatal(&mut self, index: usize, cause: Cause) {
        self.report.fatal += 1;
        self.report.fenced += u64::from(matches!(cause, Cause::Fenced { .. }));
        self.trace.note("fatal", &[number(index)]);
        let outside = self.coordinator.fences + self.coordinator.timeouts + self.expiries;
        let abortable = ErrorCode::TransactionAbortable;
        let rejected = matches!(cause, Cause::Refused { error, .. } if error == abortable);
        if outside == 0 && !self.plan.old && !rejected {
            self.broken(Violation::NeedlesslyFatal(cause));
        }
        self.kill(index);
    }

    fn send_call(&mut self, index: usize, id: CallId, call: Call) {
        let raises = matches!(
            call,
            Call::InitProducerId {
                current: Some(_),
                ..
            }
        );
        if raises && self.plan.old {
            self.reply(index, id, Reply::Unsupported);
        } else if self.dice.one_in(self.plan.not_sent) {
            self.reply(index, id, Reply::Lost { sent: false });
        } else {
            let (purpose, which) = match call {
                Call::TxnOffsetCommit { .. } => (Use::Group, 1),
                _ => (Use::Transaction, 0),
            };
            let node = self.processes[index].knows[which];
            self.trace_call(index, id, &call);
            let wire = self.wire(index, purpose, node);
            let wire = &mut self.wires[wire];
            wire.unanswered.push(Pending::Call(id));
            wire.connection.received.push_back(Request::Call(id, call));
        }
    }

    fn send_batches(&mut self, index: usize) {
        let process = &mut self.processes[index];
        if !process.alive || process.core.state() != State::Open {
            return;
        }
        let (level, mut sending) = (process.core.level(), Vec::new());
        for flight in &mut process.batches {
            let partition = user::partition(flight.part);
            if flight.acked || flight.flying || !process.core.may_send(&partition) {
                continue;
            }
            flight.identity = flight.identity.or(process.core.identity());
            flight.flying = true;
            sending.push(*flight);
        }
        for flight in sending {
            let wire = self.wire(index, Use::Produce, number(flight.part) as i32);
            let wire = &mut self.wires[wire];
            wire.unanswered.push(Pending::Batch(flight.item));
            wire.connection.received.push_back(Request::Batch {
                part: flight.part,
                item: flight.item,
                identity: flight.identity.expect("an open transaction has one"),
                level,
            });
        }
    }

    fn wire(&mut self, owner: usize, purpose: Use, node: i32) -> usize {
        let same = |wire: &Wire| {
            wire.owner == owner
                && wire.purpose == purpose
                && wire.connection.node == node
                && wire.connection.open
        };
        if let Some(index) = self.wires.iter().position(same) {
            return index;
        }
        self.wires.push(Wire {
            owner,
            purpose,
            connection: Connection::new(node),
            unanswered: Vec::new(),
        });
        self.wires.len() - 1
    }

    fn batch_lost(&mut self, index: usize, item: Item) {
        if let Some(flight) = self.flight(index, item) {
            flight.flying = false;
            flight.doubt = true;
        }
    }

    fn batch_answered(&mut self, index: usize, item: Item, error: ErrorCode) {
        let Some(flight) = self.flight(index, item) else {
            return;
        };
        flight.flying = false;
        match error {
            ErrorCode::None => flight.acked = true,
            ErrorCode::ConcurrentTransactions | ErrorCode::NotEnoughReplicas => {}
            ErrorCode::RequestTimedOut => flight.doubt = true,
            error => {
                let fate = flight.fate();
                let process = &mut self.processes[index];
                process.batches.retain(|one| one.item != item);
                let because = Because::Refused(error);
                process.core.handle_batch_failed(because, fate);
            }
        }
    }

    fn flight(&mut self, index: usize, item: Item) -> Option<&mut Flight> {
        let mut batches = self.processes[index].batches.iter_mut();
        batches.find(|flight| flight.item == item)
    }

    fn check_balance(&mut self, index: usize) {
        let of = |wire: &&Wire| wire.owner == index;
        let calls = |wire: &Wire| {
            let call = |one: &&Pending| matches!(one, Pending::Call(_));
            wire.unanswered.iter().filter(call).count()
        };
        let process = &self.processes[index];
        let unanswered: usize = self.wires.iter().filter(of).map(calls).sum();
        if process.alive && unanswered != process.core.unanswered() {
            self.broken(Violation::Unbalanced);
        }
    }

    fn trace_call(&mut self, index: usize, id: CallId, call: &Call) {
        let (what, identity) = match call {
            Call::InitProducerId { current, .. } => ("init", *current),
            Call::AddPartitions { identity, .. } => ("add partitions", Some(*identity)),
            Call::AddOffsets { identity, .. } => ("add offsets", Some(*identity)),
            Call::TxnOffsetCommit { identity, .. } => ("commit offsets", Some(*identity)),
            Call::EndTxn {
                identity,
                complete: Complete::Commit,
                ..
            } => ("commit", Some(*identity)),
            Call::EndTxn { identity, .. } => ("abort", Some(*identity)),
        };
        let epoch = identity.map_or(-1, |identity| identity.epoch);
        self.trace
            .note(what, &[number(index), number(id.0), i64::from(epoch)]);
    }
}

impl Flight {
    const fn fate(&self) -> Fate {
        if self.doubt || self.flying {
            Fate::MaybeWritten
        } else {
            Fate::NotWritten
        }
    }
}
