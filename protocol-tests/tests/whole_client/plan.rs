//! What is sent in a run, and which faults come how often.

use std::time::Duration;

use milena_producer::{Acks, Compression, Linger, ProducerConfig};
use milena_sim::Dice;
use milena_sim::history::Promise;

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Some of everything (R2).
    Mixed,
    /// Large batches, of which most fail (R5).
    Failing,
}

impl Load {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Failing => "failing",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        match name {
            "failing" => Self::Failing,
            _ => Self::Mixed,
        }
    }
}

/// A run. Odds mean one time in so many; 0 means never.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) load: Load,
    pub(crate) acks: Acks,
    pub(crate) idempotent: bool,
    pub(crate) producers: u64,
    /// Whether the producers share connections.
    pub(crate) shared: bool,
    pub(crate) partitions: i32,
    /// Of each producer, in each phase.
    pub(crate) records: u64,
    /// Phases of faults, with hours of peace between them.
    pub(crate) phases: u64,
    /// The longest pause between two records; one in three is followed by one.
    pub(crate) pause: u64,
    /// The longest value.
    pub(crate) value: u64,
    pub(crate) compression: Compression,
    pub(crate) linger: Linger,
    pub(crate) batch_size: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) delivery_timeout: Duration,
    pub(crate) cold_start: bool,
    /// The longest pause between two things done to the cluster, in ms.
    pub(crate) tempo: u64,
    /// A connection is cut at one of its bytes.
    pub(crate) cut: u64,
    /// A connection falls silent at one of its bytes.
    pub(crate) stall: u64,
    /// A connection is refused.
    pub(crate) refuse: u64,
    /// A Produce request meets a fault.
    pub(crate) produce: u64,
    /// Another request does.
    pub(crate) other: u64,
    /// Of what is done to the cluster: a node goes.
    pub(crate) restart: u64,
    /// A topic is replaced.
    pub(crate) replace: u64,
    /// The limit of a batch's size changes.
    pub(crate) limit: u64,
}

impl Plan {
    /// The plan of a seed: each kind of fault is absent in some, and frequent in others.
    pub(crate) fn from_seed(seed: u64, load: Load) -> Self {
        let mut dice = Dice::new(seed).fork(1);
        let (acks, idempotent) = dice.pick(&[
            (Acks::All, true),
            (Acks::All, true),
            (Acks::All, true),
            (Acks::All, true),
            (Acks::All, true),
            (Acks::All, true),
            (Acks::All, true),
            (Acks::All, false),
            (Acks::Leader, false),
            (Acks::None, false),
        ]);
        let plan = Self {
            load,
            acks,
            idempotent,
            producers: 1 + dice.below(3),
            shared: dice.one_in(2),
            partitions: dice.pick(&[1, 2, 3, 5]),
            records: 20 + dice.below(130),
            phases: dice.pick(&[1, 1, 2, 3]),
            pause: dice.pick(&[5, 100, 400]),
            value: dice.pick(&[1, 40, 300]),
            compression: dice.pick(&Compression::ALL),
            linger: dice.pick(&[
                Linger::Adaptive,
                Linger::Adaptive,
                Linger::Fixed(Duration::ZERO),
                Linger::Fixed(Duration::from_millis(30)),
            ]),
            batch_size: dice.pick(&[1, 90, 300, 2_000, 6_000]),
            max_in_flight: dice.pick(&[5, 5, 5, 4, 2, 1]),
            delivery_timeout: Duration::from_millis(dice.pick(&[3_000, 5_000, 20_000])),
            cold_start: dice.one_in(3),
            tempo: dice.pick(&[200, 800, 3_000]),
            cut: dice.pick(&[0, 1, 2, 2, 5]),
            stall: dice.pick(&[0, 0, 10, 40]),
            refuse: dice.pick(&[0, 3, 20]),
            produce: dice.pick(&[0, 2, 4, 8, 30]),
            other: dice.pick(&[0, 4, 20]),
            restart: dice.pick(&[0, 4, 10]),
            replace: dice.pick(&[0, 0, 0, 15]),
            limit: dice.pick(&[0, 3, 8]),
        };
        match load {
            Load::Mixed => plan,
            Load::Failing => plan.failing(&mut dice),
        }
    }

    fn failing(self, dice: &mut Dice) -> Self {
        Self {
            records: 1_500,
            phases: 1,
            pause: dice.pick(&[1, 5, 20]),
            value: 1,
            linger: Linger::Fixed(Duration::from_millis(dice.pick(&[1, 10, 50]))),
            batch_size: dice.pick(&[300, 1_000, 4_000]),
            delivery_timeout: Duration::from_millis(2_100),
            produce: dice.pick(&[1, 1, 2]),
            cut: dice.pick(&[0, 2, 5]),
            replace: dice.pick(&[0, 0, 0, 0, 15]),
            ..self
        }
    }

    pub(crate) fn promise(&self) -> Promise {
        match (self.acks, self.idempotent) {
            (Acks::None, _) => Promise::NoLie,
            (_, false) => Promise::AtLeastOnce,
            (_, true) => Promise::OrderOfAll,
        }
    }

    pub(crate) fn config(&self) -> ProducerConfig {
        let mut config = ProducerConfig::default();
        config.acks = self.acks;
        config.enable_idempotence = Some(self.idempotent);
        config.linger = self.linger;
        config.batch_size = self.batch_size;
        config.compression = self.compression;
        config.max_in_flight = self.max_in_flight;
        config.request_timeout = Duration::from_secs(2);
        config.delivery_timeout = self.delivery_timeout;
        config.max_block = Duration::from_secs(4);
        config.buffer_memory = 256 * 1024;
        config
    }
}
