//! Which faults come how often in a run.

use std::time::Duration;

use milena_proto::transaction::Level;

use crate::Dice;

/// The faults of a run. Odds mean one time in so many; 0 means never.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many steps there are before everything heals.
    pub steps: u64,
    /// How many partitions there are.
    pub partitions: usize,
    /// The level to start with.
    pub level: Level,
    /// Brokers below 2.5: only V1, and no InitProducerId that raises an epoch.
    pub old: bool,
    /// While markers are written, everything is answered with CONCURRENT_TRANSACTIONS.
    pub modern: bool,
    /// Fencing at V2 raises the epoch twice (Kafka 4.0.0).
    pub fences_twice: bool,
    /// The epoch that producer ids come with.
    pub first_epoch: i16,
    /// After how long the coordinator aborts a transaction.
    pub timeout: Duration,
    /// A step cuts a connection.
    pub cut: u64,
    /// A request may be one of a connection that was cut: the rarer, the later those run.
    pub late: u64,
    /// A step moves a coordinator.
    pub coordinator_move: u64,
    /// A step starts another process with the same id.
    pub takeover: u64,
    /// A step changes the level.
    pub level_change: u64,
    /// The coordinator forgets the id.
    pub expire_id: u64,
    /// A step of a process that ends a transaction meets its deadline.
    pub deadline: u64,
    /// A step of a process gives a batch up.
    pub give_up: u64,
    /// A request is refused before it is executed, and may be sent again.
    pub refuse: u64,
    /// A request is refused for good.
    pub reject: u64,
    /// A request is answered with an error after it was executed.
    pub fail_after: u64,
    /// A request never reaches the socket.
    pub not_sent: u64,
}

impl Plan {
    /// The plan of a seed: each kind of fault is absent in some, and frequent in others.
    #[must_use]
    pub fn from_seed(seed: u64, steps: u64) -> Self {
        let mut dice = Dice::new(seed).fork(3);
        let old = dice.one_in(8);
        let mut odds = |of: &[u64]| dice.pick(of);
        let cut = odds(&[15, 25, 40, 80]);
        let late = odds(&[2, 4, 12, 40]);
        let coordinator_move = odds(&[0, 60, 150]);
        let takeover = odds(&[0, 0, 150, 400]);
        let level_change = odds(&[0, 0, 60, 200]);
        let expire_id = odds(&[0, 0, 0, 0, 300]);
        let deadline = odds(&[0, 3, 8, 20]);
        let give_up = odds(&[0, 15, 40]);
        let refuse = odds(&[0, 6, 15]);
        let reject = odds(&[0, 0, 20, 60]);
        let fail_after = odds(&[0, 6, 15]);
        let not_sent = odds(&[0, 15, 40]);
        let level = dice.pick(&[Level::V1, Level::V2]);
        let lossy = dice.one_in(3);
        let plan = Self {
            steps,
            partitions: 1 + dice.index(3),
            level: if old { Level::V1 } else { level },
            old,
            modern: !old && (level_change != 0 || level == Level::V2 || dice.one_in(2)),
            fences_twice: dice.one_in(4),
            first_epoch: dice.pick(&[0, 0, 0, i16::MAX - 6, i16::MAX - 2]),
            timeout: Duration::from_millis(dice.pick(&[600, 3_000, 10_000])),
            cut,
            late,
            coordinator_move,
            takeover,
            level_change: if old { 0 } else { level_change },
            expire_id,
            deadline,
            give_up,
            refuse,
            reject,
            fail_after,
            not_sent,
        };
        if lossy { plan.only_lossy() } else { plan }
    }

    /// The same with connections as the only trouble, and one epoch for as long as possible: what is
    /// late finds the next transaction open.
    fn only_lossy(self) -> Self {
        Self {
            partitions: 1,
            level: Level::V1,
            first_epoch: 0,
            timeout: Duration::from_secs(20),
            cut: 20,
            late: self.late.max(4),
            deadline: self.deadline,
            give_up: self.give_up,
            ..self.healed()
        }
    }

    /// The same without any fault.
    #[must_use]
    pub const fn healed(mut self) -> Self {
        self.cut = 0;
        self.late = 1;
        self.coordinator_move = 0;
        self.takeover = 0;
        self.level_change = 0;
        self.expire_id = 0;
        self.deadline = 0;
        self.give_up = 0;
        self.refuse = 0;
        self.reject = 0;
        self.fail_after = 0;
        self.not_sent = 0;
        self
    }
}
