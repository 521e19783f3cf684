//! What the processes' users do.

use milena_proto::sequencer::{Because, Fate};
use milena_proto::transaction::{Misuse, State, TopicPartition};

use super::*;

impl World {
    /// The user of a process does something, if there is something to do.
    pub(super) fn act(&mut self, index: usize) {
        if !self.processes[index].alive {
            return;
        }
        let level = self.level;
        if self.healing || self.dice.one_in(8) {
            self.processes[index].core.handle_level(level);
        }
        match self.processes[index].core.state() {
            State::Uninitialised => self.set_up(index),
            State::Ready if self.healing => {}
            State::Ready => self.begin(index),
            State::Open => self.work(index),
            State::MustAbort => self.abort(index),
            State::Committing | State::Aborting if self.dice.one_in(self.plan.deadline) => {
                self.report.deadlines += 1;
                self.trace.note("deadline", &[number(index)]);
                self.processes[index].core.handle_deadline();
            }
            State::InDoubt => self.resolve(index),
            _ => {}
        }
        self.pump(index);
    }

    /// The outcome of the process's transaction was told.
    pub(super) fn told(&mut self, index: usize, outcome: Outcome) {
        let what = match outcome {
            Outcome::Committed => "committed",
            Outcome::Aborted => "aborted",
            Outcome::Unknown(_) => "unknown",
        };
        let process = &self.processes[index];
        let txn = process.txn;
        self.trace
            .note(what, &[number(index), txn.map_or(-1, number)]);
        let Some(txn) = txn else {
            self.broken(Violation::Unasked);
            return;
        };
        let told = &mut self.txns[txn].told;
        match *told {
            None => *told = Some(outcome),
            Some(Outcome::Unknown(_)) => {
                self.report.resolved += u64::from(!matches!(outcome, Outcome::Unknown(_)));
                *told = Some(outcome);
            }
            Some(_) => self.broken(Violation::ToldTwice(txn)),
        }
    }

    fn set_up(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let result = match process.resolves.take() {
            Some((token, txn)) => {
                process.txn = Some(txn);
                let complete = completion(&mut self.dice, token);
                process.core.resume(token, complete)
            }
            None => process.core.init(),
        };
        self.allowed(result);
    }

    fn begin(&mut self, index: usize) {
        let txn = self.txns.len();
        self.txns.push(Txn::default());
        self.report.begun += 1;
        let process = &mut self.processes[index];
        process.txn = Some(txn);
        process.batches.clear();
        process.batches_left = self.dice.below(5);
        process.offsets_left = self.dice.pick(&[0, 0, 1, 1, 2]);
        process.commits = !self.dice.one_in(5);
        let result = process.core.begin();
        self.trace.note("begin", &[number(index), number(txn)]);
        self.allowed(result);
    }

    fn work(&mut self, index: usize) {
        let give_up = self.dice.one_in(self.plan.give_up);
        let process = &mut self.processes[index];
        let unacked = |flight: &Flight| !flight.acked;
        if give_up && let Some(at) = process.batches.iter().position(unacked) {
            let flight = process.batches.remove(at);
            let doubt = flight.doubt || flight.flying;
            let fate = if doubt {
                Fate::MaybeWritten
            } else {
                Fate::NotWritten
            };
            process.core.handle_batch_failed(Because::Expired, fate);
            return;
        }
        if !process.commits && self.dice.one_in(4) {
            self.abort(index);
        } else if process.batches_left > 0 {
            self.accept(index);
        } else if process.batches.iter().all(|flight| flight.acked) {
            self.finish(index);
        }
    }

    fn accept(&mut self, index: usize) {
        let part = self.dice.index(self.plan.partitions);
        let process = &mut self.processes[index];
        let busy = |flight: &Flight| flight.part == part && !flight.acked;
        if process.batches.iter().any(busy) {
            return;
        }
        let txn = process.txn.expect("a transaction is open");
        let item = Item {
            txn,
            number: process.batches_left,
        };
        process.batches_left -= 1;
        process.batches.push(Flight {
            part,
            item,
            identity: None,
            flying: false,
            doubt: false,
            acked: false,
        });
        let result = process.core.add_partition(partition(part));
        self.txns[txn].batches.insert((part, item.number));
        self.allowed(result);
    }

    /// All batches are acknowledged.
    fn finish(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let txn = process.txn.expect("a transaction is open");
        let result = if process.offsets_left > 0 {
            process.offsets_left -= 1;
            let next = self.txns[txn].offsets.len() as u64 + 1;
            self.txns[txn].offsets.push(next);
            process.core.send_offsets(OffsetsId(txn as u64 * 10 + next))
        } else if process.commits {
            process.core.commit()
        } else {
            self.abort(index);
            return;
        };
        self.allowed(result);
    }

    fn abort(&mut self, index: usize) {
        self.fail_batches(index);
        if self.processes[index].core.state() != State::Fatal {
            let result = self.processes[index].core.abort();
            self.allowed(result);
        }
    }

    /// The last transaction's outcome is unknown: ask again, let another process ask, or leave it.
    fn resolve(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let txn = process.txn.expect("it had a transaction");
        let Some(Outcome::Unknown(token)) = self.txns[txn].told else {
            self.broken(Violation::Unasked);
            return;
        };
        match self.dice.below(8) {
            0 => {
                let result = process.core.init();
                self.allowed(result);
            }
            1 | 2 => {
                self.kill(index);
                self.start(Some((token, txn)));
            }
            _ => {
                let complete = completion(&mut self.dice, token);
                let result = process.core.resume(token, complete);
                self.allowed(result);
            }
        }
    }

    fn allowed(&mut self, result: Result<(), Misuse>) {
        if let Err(misuse) = result {
            self.broken(Violation::Misuse(misuse));
        }
    }
}

pub(super) fn partition(part: usize) -> TopicPartition {
    TopicPartition {
        topic: "t".into(),
        partition: i32::try_from(part).expect("a small index"),
    }
}

fn completion(dice: &mut Dice, token: Token) -> Complete {
    let complete = dice.pick(&[Complete::Commit, Complete::Abort]);
    match complete {
        _ if token.allows(complete) => complete,
        Complete::Commit => Complete::Abort,
        Complete::Abort => Complete::Commit,
    }
}
