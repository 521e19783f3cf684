//! How a transaction ends, and what has to happen before the next.

use std::mem;
use std::time::Instant;

use milena_codec::ErrorCode;

use super::judge::{self, Verdict};
use super::lane::Work;
use super::{
    Bump, Cause, Complete, Contents, Event, Identity, Intent, Level, Operation, Outcome, Phase,
    Token, Transactions,
};

/// A commit or an abort under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) identity: Identity,
    pub(super) level: Level,
    pub(super) complete: Complete,
    /// The transaction is another process's.
    pub(super) foreign: bool,
}

impl Transactions {
    pub(super) fn end(&mut self, complete: Complete) {
        let Some(identity) = self.identity else {
            return;
        };
        if complete == Complete::Abort {
            self.drop_unconfirmed();
        }
        let contents = &self.current;
        let must_raise = self.level == Level::V2 && contents.bump.is_some();
        if contents.bump == Some(Bump::Expired) {
            self.finish(outcome(complete), None);
        } else if !contents.touched && self.is_confirmed() && !must_raise {
            self.finish(outcome(complete), Some(identity)); // I5
        } else {
            self.phase = Phase::Ending(Ending {
                identity,
                level: self.level,
                complete,
                foreign: false,
            });
        }
    }

    /// What EndTxn was answered.
    pub(super) fn handle_end(
        &mut self,
        ending: Ending,
        error: ErrorCode,
        next: Option<Identity>,
        now: Instant,
        random: u64,
    ) {
        if judge::may_have_run(error) {
            self.note_in_doubt(ending.complete);
        }
        match (judge::answer(Operation::EndTxn, error), ending.complete) {
            (Verdict::Done, complete) => self.conclude(ending, outcome(complete), next),
            (Verdict::Again(again), _) => {
                self.again(Work::End(ending.complete), again, now, random);
            }
            (Verdict::Abort(Cause::Expired { .. }, _), _) => self.handle_expired(ending, error),
            (Verdict::Abort(cause, bump), Complete::Commit) if !ending.foreign => {
                if self.current.commit_in_doubt {
                    self.leave_in_doubt(ending); // I1
                } else {
                    self.must_abort(cause, bump);
                }
            }
            (Verdict::Fatal(cause @ Cause::Fenced { .. }), _) => {
                self.handle_refused_state(ending, error, cause);
            }
            (Verdict::Abort(cause, _) | Verdict::Fatal(cause), _) => {
                self.fail_ending(ending, cause);
            }
        }
    }

    /// An EndTxn was lost and may be executed at any time.
    pub(super) fn doubt_end(&mut self, complete: Complete) {
        self.note_in_doubt(complete);
        if self.level == Level::V1 {
            self.current.needs(Some(Bump::InDoubt)); // I3
        }
    }

    const fn note_in_doubt(&mut self, complete: Complete) {
        match complete {
            Complete::Commit => self.current.commit_in_doubt = true, // I1
            Complete::Abort => self.current.abort_in_doubt = true,
        }
    }

    /// The caller's deadline is over.
    pub(super) fn give_up(&mut self, ending: Ending) {
        let flying = matches!(self.coordinator.flying(), Some(Work::End(_)));
        let own = !ending.foreign && !self.current.prepared;
        let unsent = !flying && !self.current.commit_in_doubt;
        if ending.complete == Complete::Commit && own && unsent {
            self.must_abort(Cause::Deadline, None);
            return;
        }
        if flying {
            self.doubt_end(ending.complete);
        }
        self.leave_in_doubt(ending);
    }

    /// It can only be aborted. An answer to a commit that was under way.
    pub(super) fn must_abort(&mut self, cause: Cause, bump: Option<Bump>) {
        self.current.needs(bump);
        match self.phase {
            Phase::MustAbort => {}
            Phase::Ending(ending) if ending.complete == Complete::Abort => {}
            _ => {
                self.phase = Phase::MustAbort;
                self.events.push_back(Event::MustAbort(cause));
            }
        }
    }

    pub(super) fn fatal(&mut self, cause: Cause) {
        self.identity = None; // I4
        self.current = Contents::default();
        self.enter(Phase::Fatal);
        self.events.push_back(Event::Fatal(cause));
    }

    /// Between transactions: raises the epoch if there is a reason to, else the next may begin.
    pub(super) fn settle_between(&mut self, bump: Option<Bump>) {
        match self.reason_to_raise(bump) {
            Some(bump) => {
                self.events.push_back(Event::Bumping(bump));
                self.enter(Phase::Initialising(Some(bump)));
            }
            None => {
                self.level = self.offered; // I7
                self.enter(Phase::Ready);
            }
        }
    }

    pub(super) const fn token(&self, identity: Identity, level: Level) -> Token {
        let intent = if self.current.commit_in_doubt && self.current.may_reopen {
            Intent::CommitOnly // I9
        } else if self.current.commit_in_doubt {
            Intent::Commit
        } else if self.current.prepared {
            Intent::Prepared
        } else {
            Intent::Abort
        };
        Token {
            identity,
            intent,
            level,
        }
    }

    fn reason_to_raise(&self, bump: Option<Bump>) -> Option<Bump> {
        let upgrade = self.level == Level::V1 && self.offered == Level::V2;
        bump.max(upgrade.then_some(Bump::Level))
    }

    /// Calls that are under way are given up; they may yet be executed.
    fn drop_unconfirmed(&mut self) {
        let flying = [self.coordinator.flying(), self.group.flying()];
        for work in flying.into_iter().flatten() {
            self.doubt(work);
        }
        self.coordinator.reset();
        self.group.reset();
        self.current.partitions.clear();
        self.current.offsets.clear();
    }

    fn conclude(&mut self, ending: Ending, outcome: Outcome, next: Option<Identity>) {
        if ending.foreign {
            self.leave(outcome);
        } else {
            self.finish(outcome, next);
        }
    }

    /// The transaction has ended. At V1 the identity stays; at V2 EndTxn gave the next one, or it has
    /// to be asked for.
    fn finish(&mut self, outcome: Outcome, next: Option<Identity>) {
        let contents = mem::take(&mut self.current);
        let bump = match (self.level, next) {
            (Level::V1, _) => contents.bump,
            (Level::V2, Some(next)) => {
                self.identity = Some(next);
                None
            }
            (Level::V2, None) => contents.bump.max(Some(Bump::InDoubt)),
        };
        let stays = self.reason_to_raise(bump).is_none();
        let next = self.identity.filter(|_| stays);
        self.events.push_back(Event::Ended { outcome, next });
        self.settle_between(bump);
    }

    /// Another process's transaction is done with.
    fn leave(&mut self, outcome: Outcome) {
        self.current = Contents::default();
        self.enter(Phase::Uninitialised);
        let next = None;
        self.events.push_back(Event::Ended { outcome, next });
    }

    fn leave_in_doubt(&mut self, ending: Ending) {
        let token = self.token(ending.identity, ending.level);
        let outcome = Outcome::Unknown(token);
        if ending.foreign {
            self.leave(outcome);
            return;
        }
        self.enter(Phase::InDoubt(token)); // I2
        let next = None;
        self.events.push_back(Event::Ended { outcome, next });
    }

    /// The state at the coordinator is another than the request wants, or the epoch is. What that
    /// proves depends on what was sent.
    fn handle_refused_state(&mut self, ending: Ending, error: ErrorCode, cause: Cause) {
        let open = self.current.commit_in_doubt || self.current.prepared;
        let state = error == ErrorCode::InvalidTxnState;
        let outcome = match ending.complete {
            Complete::Commit if state && self.current.abort_in_doubt => {
                return self.decide(ending, Complete::Abort);
            }
            Complete::Abort if state && open => return self.decide(ending, Complete::Commit),
            // None of the lost additions got there.
            Complete::Abort if state && ending.level == Level::V1 && !self.current.confirmed => {
                return self.conclude(ending, Outcome::Aborted, None);
            }
            // An executed commit would have been recognised.
            Complete::Commit if state => Outcome::Aborted,
            _ if open => Outcome::Unknown(self.token(ending.identity, ending.level)),
            _ => Outcome::Aborted,
        };
        self.fail_with(ending, outcome, cause);
    }

    /// The transaction is known to have ended like this. At V2 the same EndTxn again is answered with
    /// the next identity.
    fn decide(&mut self, ending: Ending, complete: Complete) {
        if ending.foreign || ending.level == Level::V1 {
            self.conclude(ending, outcome(complete), None);
            return;
        }
        self.enter(Phase::Learning(complete));
        let (outcome, next) = (outcome(complete), None);
        self.events.push_back(Event::Ended { outcome, next });
    }

    /// What the EndTxn was answered that only asks for the next identity.
    pub(super) fn handle_learned(
        &mut self,
        complete: Complete,
        error: ErrorCode,
        next: Option<Identity>,
        now: Instant,
        random: u64,
    ) {
        match (judge::answer(Operation::EndTxn, error), next) {
            (Verdict::Done, Some(_)) => {
                self.identity = next;
                self.settle_between(None);
                self.tell_ready();
            }
            (Verdict::Again(again), _) => self.again(Work::End(complete), again, now, random),
            (Verdict::Abort(_, bump), _) => self.settle_between(bump.max(Some(Bump::InDoubt))),
            _ => self.settle_between(Some(Bump::InDoubt)),
        }
    }

    /// The coordinator does not know the producer id any more.
    fn handle_expired(&mut self, ending: Ending, error: ErrorCode) {
        let operation = Operation::EndTxn;
        let cause = Cause::Expired { operation, error };
        if self.current.commit_in_doubt || self.current.prepared {
            self.leave_in_doubt(ending);
        } else if ending.complete == Complete::Commit {
            self.must_abort(cause, Some(Bump::Expired));
        } else {
            self.current.needs(Some(Bump::Expired));
            self.conclude(ending, Outcome::Aborted, None);
        }
    }

    /// EndTxn failed for good, for a reason that says nothing of the transaction.
    pub(super) fn fail_ending(&mut self, ending: Ending, cause: Cause) {
        if let Some(Work::End(complete)) = self.coordinator.flying() {
            self.doubt_end(complete);
        }
        let open = self.current.commit_in_doubt || self.current.prepared || ending.foreign;
        if open {
            let outcome = Outcome::Unknown(self.token(ending.identity, ending.level));
            let next = None;
            self.events.push_back(Event::Ended { outcome, next });
        }
        self.fatal(cause);
    }

    /// The outcome is said, and this producer is finished; another process's transaction has nothing
    /// to do with that.
    fn fail_with(&mut self, ending: Ending, outcome: Outcome, cause: Cause) {
        if ending.foreign {
            self.leave(outcome);
            return;
        }
        let next = None;
        self.events.push_back(Event::Ended { outcome, next });
        self.fatal(cause);
    }
}

const fn outcome(complete: Complete) -> Outcome {
    match complete {
        Complete::Commit => Outcome::Committed,
        Complete::Abort => Outcome::Aborted,
    }
}
