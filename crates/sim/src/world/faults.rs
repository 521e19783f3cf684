//! What goes wrong.

use super::*;
use crate::plan::Rules;

const LONG: Duration = Duration::from_secs(2 * 60 * 60);

impl World {
    pub(super) fn faults(&mut self) {
        if self.dice.one_in(self.plan.cut) {
            self.cut();
        }
        if self.dice.one_in(self.plan.leader_move) {
            let part = self.part();
            self.move_leader(part);
        }
        if self.dice.one_in(self.plan.expire) {
            self.expire();
        }
        if self.dice.one_in(self.plan.abandon) {
            self.abandon();
        }
        if self.dice.one_in(self.plan.replace) {
            let part = self.part();
            self.parts[part].log.replace();
            self.trace.note("replace", &[number(part)]);
        }
        if self.dice.one_in(self.plan.forget) {
            self.pass_hours();
        }
    }

    pub(super) fn move_leader(&mut self, part: usize) {
        let log = &mut self.parts[part].log;
        let to = (log.leader() + 1 + i32::from(self.dice.one_in(2))) % self.plan.nodes;
        let more = self.dice.index(log.uncommitted() + 1);
        log.move_leader(to, more);
        self.report.leader_moves += 1;
        self.trace
            .note("leader", &[number(part), i64::from(to), number(more)]);
    }

    /// The client loses a connection, and all that is unanswered there.
    fn cut(&mut self) {
        let open = |one: &&mut Connection<Request, Reply>| one.open;
        let count = self.connections.iter().filter(|one| one.open).count();
        if count == 0 {
            return;
        }
        let nth = self.dice.index(count);
        let Some(connection) = self.connections.iter_mut().filter(open).nth(nth) else {
            return;
        };
        let answered = connection.answers.iter().map(|one| (one.part, one.attempt));
        let waiting = connection
            .received
            .iter()
            .map(|one| (one.part, one.attempt));
        let lost: Vec<_> = answered.chain(waiting).collect();
        let received = self.dice.index(connection.received.len() + 1);
        connection.cut(received);
        self.report.cuts += 1;
        self.trace
            .note("cut", &[i64::from(connection.node), number(received)]);
        self.connections.retain(|one| !one.is_spent());
        for (part, attempt) in lost {
            self.tell(part, attempt, Attempt::Lost);
        }
    }

    /// A call's deadline passes; the connection lives on, and an answer that comes is not awaited.
    fn abandon(&mut self) {
        if self.connections.is_empty() {
            return;
        }
        let index = self.dice.index(self.connections.len());
        let connection = &self.connections[index];
        let answered = connection
            .answers
            .front()
            .map(|one| (one.part, one.attempt));
        let waiting = connection
            .received
            .front()
            .map(|one| (one.part, one.attempt));
        if let Some((part, attempt)) = answered.or(waiting).filter(|_| connection.open) {
            self.trace
                .note("abandon", &[number(part), number(attempt.0)]);
            self.tell(part, attempt, Attempt::Lost);
        }
    }

    fn expire(&mut self) {
        let index = self.part();
        let any = self.dice.one_in(4);
        let open: Vec<u64> = self.parts[index].open().collect();
        let id = match open.as_slice() {
            [] => return,
            ids if any => self.dice.pick(ids),
            [oldest, ..] => *oldest,
        };
        self.report.expiries += 1;
        self.trace.note("expire", &[number(index), number(id)]);
        self.parts[index].sequencer.handle_expired(BatchId(id));
        self.take_events(index);
    }

    /// Two hours pass, and brokers that may forget do; or state is lost without time passing, where
    /// the rules make that harmless.
    fn pass_hours(&mut self) {
        let index = self.part();
        let quiet = self.is_quiet(index);
        let refused = self.refuses_unknown(index);
        let part = &mut self.parts[index];
        if self.plan.rules == Rules::Lenient {
            self.clock.advance(LONG);
        }
        // I3
        if quiet || refused {
            if self.dice.one_in(2) {
                part.log.commit();
                part.log.retain_nothing();
            }
            part.log.forget();
            self.trace.note("forget", &[number(index)]);
        }
    }

    /// Whether no copy of any unresolved batch may be in the log or on its way there.
    fn is_quiet(&self, index: usize) -> bool {
        let part = &self.parts[index];
        let clean = |id| part.sequencer.fate(BatchId(id)) == Fate::NotWritten;
        part.open().all(clean) && !self.on_the_way(index).any(|_| true)
    }

    /// Whether a broker without state refuses every copy that there may be. It takes one with
    /// sequence 0 even if that comes in the middle, after 2³¹ − 1.
    fn refuses_unknown(&self, index: usize) -> bool {
        let part = &self.parts[index];
        let refused = |stamp: Stamp| stamp.base_sequence > 0;
        let sent = |id: u64| part.batches[&id].stamp;
        self.plan.rules != Rules::Lenient
            && self.plan.idempotent
            && self.plan.first_records == 1
            && part.open().filter_map(sent).all(refused)
            && self.on_the_way(index).all(|one| refused(one.batch.stamp))
    }

    fn on_the_way(&self, index: usize) -> impl Iterator<Item = &Request> {
        let received = self.connections.iter().flat_map(|one| &one.received);
        received.filter(move |one| one.part == index)
    }
}

impl Part {
    /// The batches that are not resolved.
    fn open(&self) -> impl Iterator<Item = u64> {
        let oldest = self.sequencer.oldest().map_or(u64::MAX, |id| id.0);
        let sealed = self.batches.range(oldest..).map(|(id, _)| *id);
        sealed.filter(|id| !self.history.has_ended(*id))
    }
}
