//! `Sequencer`s that share a producer id, each with its partition, behind connections that fail; run
//! step by step from a seed, then healed.
//!
//! - I1. A run depends on its seed and plan only.
//! - I2. Each attempt is told its outcome once.
//! - I3. Brokers forget a producer only when no client could tell a first copy from a second anyway.
//! - I4. Once healed, everything ends within a bounded number of rounds.
//!
//! Not for bytes, nor for deadlines: a step gives batches up at any time.

use std::collections::BTreeMap;
use std::time::Duration;

use milena_proto::sequencer::{
    Acks, Attempt, AttemptId, BatchId, Config, Event, Fate, Identity, Next, Sending, Sequencer,
};
use milena_records::Stamp;

use crate::history::{Summary, Violation};
use crate::partition_log::{Batch, PartitionLog};
use crate::wire::Connection;
use crate::{Clock, Dice, History, Plan, Trace};

mod broker;
mod client;
mod end;
mod faults;

/// What a run amounted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Connections cut.
    pub cuts: u64,
    /// Leaders moved.
    pub leader_moves: u64,
    /// Requests executed after their connection was cut.
    pub late: u64,
    /// Batches given up.
    pub expiries: u64,
    /// Epochs raised.
    pub bumps: u64,
    /// Producer ids whose epochs were used up.
    pub exhausted: u64,
    /// Batches divided.
    pub splits: u64,
    /// How the batches ended.
    pub ends: Summary,
    /// The most attempts that were under way at once on a partition.
    pub most_in_flight: usize,
    /// What happened, as a hash.
    pub trace: u64,
}

/// The run.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    dice: Dice,
    clock: Clock,
    trace: Trace,
    identity: Option<Identity>,
    parts: Vec<Part>,
    connections: Vec<Connection<Request, Reply>>,
    report: Report,
    broken: Option<Violation>,
}

#[derive(Debug)]
struct Part {
    log: PartitionLog,
    sequencer: Sequencer,
    history: History,
    /// What the client takes for the leader.
    leader: i32,
    /// What the client takes for the topic.
    generation: u32,
    /// By first unit: the batches, as divided as they are.
    batches: BTreeMap<u64, Sealed>,
    /// Too large, and still to be divided.
    splitting: Vec<u64>,
    changed_id: bool,
    /// The attempts whose outcome was not told, and the nodes they went to.
    under_way: Vec<(AttemptId, i32)>,
}

#[derive(Clone, Copy, Debug)]
struct Sealed {
    units: u32,
    /// In each unit.
    records: u32,
    /// What it was sent with last.
    stamp: Option<Stamp>,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    part: usize,
    attempt: AttemptId,
    generation: u32,
    batch: Batch,
}

#[derive(Clone, Copy, Debug)]
struct Reply {
    part: usize,
    attempt: AttemptId,
    outcome: Attempt,
}

impl World {
    /// The run of a seed, before its first step.
    #[must_use]
    pub fn new(seed: u64, plan: &Plan, trace: Trace) -> Self {
        let part = || Part {
            log: PartitionLog::new(plan.rules),
            sequencer: Sequencer::new(Config {
                acks: Acks::All,
                idempotent: plan.idempotent,
                transactional: false,
                max_in_flight: plan.max_in_flight,
            }),
            history: History::default(),
            leader: 0,
            generation: 0,
            batches: BTreeMap::new(),
            splitting: Vec::new(),
            changed_id: false,
            under_way: Vec::new(),
        };
        Self {
            dice: Dice::new(seed).fork(2),
            clock: Clock::new(),
            trace,
            identity: None,
            parts: (0..plan.partitions).map(|_| part()).collect(),
            connections: Vec::new(),
            report: Report::default(),
            broken: None,
            plan: plan.clone(),
        }
    }

    /// Takes all steps of the plan, heals, and checks every partition's history.
    ///
    /// # Errors
    /// The first violation found.
    pub fn run(&mut self) -> Result<Report, Violation> {
        for _ in 0..self.plan.steps {
            self.step();
            if let Some(violation) = self.broken.take() {
                return Err(violation);
            }
        }
        self.heal()?;
        self.check()
    }

    /// What happened so far.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    fn step(&mut self) {
        self.clock
            .advance(Duration::from_millis(self.dice.below(20)));
        self.faults();
        match self.dice.below(10) {
            0 | 1 => self.seal(),
            2..=4 => {
                let part = self.part();
                self.send(part);
            }
            5..=7 => self.execute_one(),
            _ => self.read_one(),
        }
        if self.dice.one_in(5) {
            let part = self.part();
            self.refresh(part);
        }
        if self.dice.one_in(4) {
            let part = self.part();
            self.split(part);
        }
    }

    fn part(&mut self) -> usize {
        self.dice.index(self.parts.len())
    }

    fn broken(&mut self, what: &'static str) {
        self.broken.get_or_insert(Violation::Broken(what));
    }
}

/// Numbers as the trace takes them.
fn number(of: impl TryInto<i64>) -> i64 {
    of.try_into().unwrap_or(i64::MAX)
}
