//! How a run ends: everything heals, and must complete.

use super::*;
use crate::history::Promise;

/// A healed world that is not done after so many rounds never will be.
const MOST_ROUNDS: u32 = 400;

impl World {
    pub(super) fn heal(&mut self) -> Result<(), Violation> {
        self.plan = self.plan.clone().healed();
        self.trace.note("heal", &[]);
        for _ in 0..MOST_ROUNDS {
            self.clock.advance(Duration::from_millis(10));
            self.round();
            if let Some(violation) = self.broken.take() {
                return Err(violation);
            }
            if self.is_done() {
                self.run_late();
                return Ok(());
            }
        }
        let stuck = self.parts.iter().find_map(|part| part.sequencer.oldest());
        Err(Violation::Stuck(stuck.map_or(0, |id| id.0))) // I4
    }

    pub(super) fn check(&mut self) -> Result<Report, Violation> {
        for part in &self.parts {
            let promise = match (self.plan.idempotent, part.changed_id) {
                (false, _) => Promise::AtLeastOnce,
                (true, true) => Promise::OrderOfAcknowledged,
                (true, false) => Promise::OrderOfAll,
            };
            let ends = part.history.check(&part.log.logged(), promise)?;
            self.report.ends.add(&ends);
        }
        self.report.trace = self.trace.hash();
        Ok(self.report)
    }

    fn round(&mut self) {
        for index in 0..self.parts.len() {
            self.refresh(index);
            self.split(index);
            while self.send(index) {}
        }
        for index in (0..self.connections.len()).rev() {
            let open = self.connections[index].open;
            if open || self.dice.one_in(4) {
                self.execute(index);
            }
        }
        self.read_one();
        self.read_one();
        self.read_one();
    }

    fn is_done(&self) -> bool {
        let done = |part: &Part| part.sequencer.unresolved() + part.sequencer.in_flight() == 0;
        self.parts.iter().all(done)
    }

    /// What is still at the brokers runs after the end.
    fn run_late(&mut self) {
        while let Some(index) = self
            .connections
            .iter()
            .position(|one| !one.received.is_empty())
        {
            self.execute(index);
        }
    }
}
