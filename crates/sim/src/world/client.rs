//! What the producer does.

use super::*;

/// How many batches of a partition may wait.
const MOST_UNRESOLVED: usize = 12;

impl World {
    pub(super) fn seal(&mut self) {
        let index = self.part();
        let part = &mut self.parts[index];
        if part.sequencer.unresolved() >= MOST_UNRESOLVED {
            return;
        }
        let units = 1 + u32::try_from(self.dice.below(4)).expect("below 4");
        let records = 1 + u32::try_from(self.dice.below(8)).expect("below 8");
        let id = part.history.accept();
        let (units, records) = match id {
            0 => (1, self.plan.first_records),
            _ => (units, records),
        };
        for _ in 1..units {
            part.history.accept();
        }
        let sealed = Sealed {
            units,
            records,
            stamp: None,
        };
        part.batches.insert(id, sealed);
        part.sequencer.handle_sealed(BatchId(id), units * records);
        let numbers = [number(index), number(id), number(units), number(records)];
        self.trace.note("seal", &numbers);
    }

    /// Divides a batch that was too large; one of a single unit is given up.
    pub(super) fn split(&mut self, index: usize) {
        let part = &mut self.parts[index];
        let Some(id) = part.splitting.pop() else {
            return;
        };
        let whole = part.batches[&id];
        if whole.units == 1 {
            part.sequencer.handle_expired(BatchId(id));
            return self.take_events(index);
        }
        let first = 1 + u32::try_from(self.dice.below(u64::from(whole.units - 1))).expect("few");
        let halves = [(id, first), (id + u64::from(first), whole.units - first)];
        let pieces = halves.map(|(id, units)| (BatchId(id), units * whole.records));
        // It may have been given up meanwhile.
        if part.sequencer.handle_split(BatchId(id), &pieces) {
            for (id, units) in halves {
                let stamp = None;
                part.batches.insert(
                    id,
                    Sealed {
                        units,
                        stamp,
                        ..whole
                    },
                );
            }
            self.report.splits += 1;
        }
        self.trace
            .note("split", &[number(index), number(id), number(first)]);
    }

    /// Sends at most one batch: whether it did.
    pub(super) fn send(&mut self, index: usize) -> bool {
        let part = &mut self.parts[index];
        let (to, now) = (part.leader, self.clock.now());
        match part.sequencer.poll_send(self.identity, to, now) {
            Next::Send(sending) => {
                self.transmit(index, &sending);
                return true;
            }
            Next::Wait if part.sequencer.in_flight() + part.splitting.len() == 0 => {
                self.broken("it waits for nothing");
            }
            Next::Empty if part.sequencer.unresolved() > part.sequencer.in_flight() + 5 => {
                self.broken("it sends nothing and has batches");
            }
            Next::Empty | Next::Wait => {}
            Next::NeedsIdentity { exhausted } => self.identify(exhausted),
        }
        false
    }

    /// The outcome of an attempt reaches the producer.
    pub(super) fn tell(&mut self, part: usize, attempt: AttemptId, outcome: Attempt) {
        let (code, offset) = match outcome {
            Attempt::NotSent => (-2, -1),
            Attempt::Lost => (-3, -1),
            Attempt::Unacknowledged => (-4, -1),
            Attempt::Answered(answer) => (i64::from(answer.error.code()), answer.base_offset),
        };
        self.trace
            .note("told", &[number(part), number(attempt.0), code, offset]);
        self.parts[part].under_way.retain(|one| one.0 != attempt);
        self.parts[part].sequencer.handle_attempt(attempt, outcome);
        self.take_events(part);
    }

    pub(super) fn take_events(&mut self, index: usize) {
        let part = &mut self.parts[index];
        while let Some(event) = part.sequencer.poll_event() {
            match event {
                Event::Acknowledged { id, offset } => {
                    let batch = part.batches[&id.0];
                    for unit in 0..batch.units {
                        let before = i64::from(unit * batch.records);
                        let at = offset.map(|offset| offset + before);
                        part.history.acknowledged(id.0 + u64::from(unit), at);
                    }
                    let at = offset.unwrap_or(-1);
                    self.trace
                        .note("acknowledged", &[number(index), number(id.0), at]);
                }
                Event::Failed { id, fate, .. } => {
                    for unit in 0..part.batches[&id.0].units {
                        part.history.failed(id.0 + u64::from(unit), fate);
                    }
                    let maybe = i64::from(fate == Fate::MaybeWritten);
                    self.trace
                        .note("failed", &[number(index), number(id.0), maybe]);
                }
                Event::TooLarge { id } => {
                    part.splitting.push(id.0);
                    self.trace.note("too large", &[number(index), number(id.0)]);
                }
                Event::Bumped(bump) => {
                    self.report.bumps += 1;
                    part.changed_id |= bump.to.is_none();
                    let to = bump.to.map_or(-1, |to| i64::from(to.epoch));
                    self.trace.note("bumped", &[number(index), to]);
                }
                Event::Retry { .. } => {}
            }
        }
    }

    /// The client's metadata become the cluster's.
    pub(super) fn refresh(&mut self, index: usize) {
        let part = &mut self.parts[index];
        part.leader = part.log.leader();
        if part.generation != part.log.generation() {
            part.generation = part.log.generation();
            part.sequencer.handle_topic_replaced();
            self.trace.note("replaced", &[number(index)]);
            self.take_events(index);
        }
    }

    fn transmit(&mut self, index: usize, sending: &Sending) {
        let (id, stamp) = (sending.id.0, sending.stamp);
        let part = &mut self.parts[index];
        let batch = part.batches.get_mut(&id).expect("it was sealed");
        batch.stamp = Some(stamp);
        let units = batch.units;
        let wrong = batch.records * units != sending.records;
        let in_flight = part.sequencer.in_flight();
        self.report.most_in_flight = self.report.most_in_flight.max(in_flight);
        let numbers = [
            number(index),
            number(id),
            number(sending.attempt.0),
            i64::from(part.leader),
            i64::from(stamp.producer_epoch),
            i64::from(stamp.base_sequence),
        ];
        self.trace.note("send", &numbers);
        if wrong || in_flight > self.plan.max_in_flight {
            self.broken("it sends too much, or not what was sealed");
        }
        let part = &mut self.parts[index];
        let to = part.leader;
        let elsewhere = part.under_way.iter().any(|one| one.1 != to);
        part.under_way.push((sending.attempt, to));
        if elsewhere {
            self.broken("it sends to a new leader before the old one is done");
        }
        if self.dice.one_in(self.plan.not_sent) {
            self.tell(index, sending.attempt, Attempt::NotSent);
            return;
        }
        let part = &self.parts[index];
        let (node, generation) = (part.leader, part.generation);
        let batch = Batch {
            id,
            units,
            records: sending.records,
            stamp,
        };
        self.connection(node).received.push_back(Request {
            part: index,
            attempt: sending.attempt,
            generation,
            batch,
        });
    }

    fn connection(&mut self, node: i32) -> &mut Connection<Request, Reply> {
        let open = |one: &Connection<_, _>| one.open && one.node == node;
        let index = self.connections.iter().position(open);
        let index = index.unwrap_or_else(|| {
            self.connections.push(Connection::new(node));
            self.connections.len() - 1
        });
        &mut self.connections[index]
    }

    fn identify(&mut self, exhausted: Option<Identity>) {
        let used = exhausted.map(|left| left.producer_id);
        let id = match (self.identity, used) {
            (None, _) => 1000,
            (Some(known), Some(used)) if known.producer_id == used => {
                self.report.exhausted += 1;
                used + 1
            }
            (Some(_), Some(_)) => return self.broken("it does not take a new producer id"),
            (Some(_), None) => return self.broken("it does not take its producer id"),
        };
        self.identity = Some(Identity {
            producer_id: id,
            epoch: self.plan.first_epoch,
        });
        self.trace.note("identity", &[id]);
    }
}
