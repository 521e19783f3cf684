//! Transactional producers that share a transactional id, behind connections that fail: a coordinator,
//! partitions with markers, a group's offsets; run step by step from a seed, then healed.
//!
//! - I1. A run depends on its seed and plan only.
//! - I2. Each call is answered once.
//! - I3. What a broker received may be executed after its connection was cut, once.
//! - I4. Partitions and groups ask the coordinator before they open a transaction (KIP-890, Kafka 3.6):
//!   without that, no client could keep a late batch out of a later transaction.
//! - I5. Once healed, everything ends within a bounded number of rounds.
//!
//! Batches have no sequence numbers here: one is in flight a partition, and a copy of one that is in
//! the log is recognised. What was given up may come late, as if its number were the next.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use milena_codec::ErrorCode;
use milena_proto::transaction::{
    Call, CallId, Complete, Identity, Level, OffsetsId, Outcome, Reply, Token, Transactions,
};

use crate::wire::Connection;
use crate::{Clock, Dice, Trace};

mod check;
mod client;
mod cluster;
mod coordinator;
mod log;
mod plan;
mod user;

pub use check::Violation;
use coordinator::Coordinator;
use log::{Item, Log};
pub use plan::Plan;

/// A healed world that is not done after so many rounds never will be.
const MOST_ROUNDS: u32 = 3_000;
/// How many processes live at once.
const MOST_ALIVE: usize = 3;

/// What a run amounted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Connections cut.
    pub cuts: u64,
    /// Requests executed after their connection was cut.
    pub late: u64,
    /// Coordinators moved.
    pub moves: u64,
    /// Processes that took over from another.
    pub takeovers: u64,
    /// Transactions that the coordinator timed out.
    pub timeouts: u64,
    /// Deadlines that passed during a commit or an abort.
    pub deadlines: u64,
    /// Epochs raised by InitProducerId between transactions.
    pub bumps: u64,
    /// Changes of the level.
    pub levels: u64,
    /// Transactions begun.
    pub begun: u64,
    /// Told to be committed.
    pub committed: u64,
    /// Told to be aborted.
    pub aborted: u64,
    /// Told to be unknown.
    pub unknown: u64,
    /// Unknown ones that were resolved.
    pub resolved: u64,
    /// Unknown for good, and it turned out that they were committed.
    pub unknown_committed: u64,
    /// Unknown for good, and it turned out that they were not.
    pub unknown_aborted: u64,
    /// Producers that ended by an error.
    pub fatal: u64,
    /// Of those, by being fenced.
    pub fenced: u64,
    /// Groups of offsets that were committed.
    pub offsets: u64,
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
    level: Level,
    coordinator: Coordinator,
    /// Where the transaction's and the group's coordinators run.
    nodes: [i32; 2],
    loads: [Option<Instant>; 2],
    /// The last one is the offsets'.
    logs: Vec<Log>,
    processes: Vec<Process>,
    wires: Vec<Wire>,
    txns: Vec<Txn>,
    expiries: u64,
    healing: bool,
    report: Report,
    broken: Option<Violation>,
}

/// A producer's process.
#[derive(Debug)]
struct Process {
    core: Transactions,
    alive: bool,
    /// Where it takes the coordinators to be.
    knows: [i32; 2],
    txn: Option<usize>,
    /// What it has to resolve before anything else.
    resolves: Option<(Token, usize)>,
    batches: Vec<Flight>,
    batches_left: u64,
    offsets_left: u64,
    commits: bool,
}

/// A batch of the open transaction.
#[derive(Clone, Copy, Debug)]
struct Flight {
    part: usize,
    item: Item,
    identity: Option<Identity>,
    flying: bool,
    doubt: bool,
    acked: bool,
}

/// What a transaction was meant to be and what was said of it.
#[derive(Clone, Debug, Default)]
struct Txn {
    batches: BTreeSet<(usize, u64)>,
    offsets: Vec<u64>,
    told: Option<Outcome>,
    /// Its process ended during a commit.
    crashed: bool,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Transaction,
    Group,
    Produce,
}

#[derive(Debug)]
struct Wire {
    owner: usize,
    purpose: Use,
    connection: Connection<Request, Answer>,
    /// What the client waits for.
    unanswered: Vec<Pending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Call(CallId),
    Batch(Item),
}

#[derive(Clone, Debug)]
enum Request {
    Call(CallId, Call),
    Batch {
        part: usize,
        item: Item,
        identity: Identity,
        level: Level,
    },
}

#[derive(Clone, Debug)]
enum Answer {
    Call(CallId, Reply),
    Batch(Item, ErrorCode),
}

impl World {
    /// The run of a seed, before its first step.
    #[must_use]
    pub fn new(seed: u64, plan: &Plan, trace: Trace) -> Self {
        let mut world = Self {
            dice: Dice::new(seed).fork(4),
            clock: Clock::new(),
            trace,
            level: plan.level,
            coordinator: Coordinator::new(plan),
            nodes: [0, 1],
            loads: [None, None],
            logs: vec![Log::default(); plan.partitions + 1],
            processes: Vec::new(),
            wires: Vec::new(),
            txns: Vec::new(),
            expiries: 0,
            healing: false,
            report: Report::default(),
            broken: None,
            plan: plan.clone(),
        };
        world.start(None);
        world
    }

    /// Takes all steps of the plan, heals, and checks what was told against the logs.
    ///
    /// # Errors
    /// The first violation found.
    pub fn run(&mut self) -> Result<Report, Violation> {
        for _ in 0..self.plan.steps {
            self.clock
                .advance(Duration::from_millis(self.dice.below(12)));
            self.faults();
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
        self.tick();
        match self.dice.below(10) {
            0..=2 => {
                let index = self.dice.index(self.processes.len());
                self.act(index);
            }
            3..=5 => self.execute_one(),
            6 | 7 => self.read_one(),
            _ => self.write_marker(),
        }
        if self.processes.iter().all(|process| !process.alive) {
            self.start(None);
        }
    }

    /// Time passes everywhere.
    fn tick(&mut self) {
        let now = self.clock.now();
        if self.coordinator.check_timeout(now) {
            self.trace.note("timeout", &[]);
        }
        for load in &mut self.loads {
            *load = load.filter(|until| *until > now);
        }
        for index in 0..self.processes.len() {
            let Process { core, alive, .. } = &mut self.processes[index];
            if *alive && core.poll_timeout().is_some_and(|at| at <= now) {
                core.handle_timeout(now);
                self.pump(index);
            }
        }
    }

    fn heal(&mut self) -> Result<(), Violation> {
        self.plan = self.plan.clone().healed();
        self.healing = true;
        self.trace.note("heal", &[]);
        for _ in 0..MOST_ROUNDS {
            self.clock.advance(Duration::from_millis(10));
            self.tick();
            for index in 0..self.processes.len() {
                self.act(index);
            }
            for _ in 0..self.wires.len() + 2 {
                self.execute_one();
                self.read_one();
                self.write_marker();
            }
            if let Some(violation) = self.broken.take() {
                return Err(violation);
            }
            if self.is_done() {
                return Ok(());
            }
        }
        Err(Violation::Stuck) // I5
    }

    fn is_done(&self) -> bool {
        let idle = |process: &Process| {
            !process.alive || process.core.state() == milena_proto::transaction::State::Ready
        };
        let quiet = self
            .wires
            .iter()
            .all(|wire| wire.connection.received.is_empty() && wire.connection.answers.is_empty());
        quiet
            && self.processes.iter().all(idle)
            && !self.coordinator.is_open()
            && !self.logs.iter().any(Log::has_open)
    }

    fn broken(&mut self, what: Violation) {
        self.broken.get_or_insert(what);
    }
}

/// Numbers as the trace takes them.
fn number(of: impl TryInto<i64>) -> i64 {
    of.try_into().unwrap_or(i64::MAX)
}
