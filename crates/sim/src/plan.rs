//! Which faults come how often in a run.

use crate::Dice;

/// How a broker treats the first batch of a producer that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// It takes any sequence number (Apache Kafka since 2.5).
    Lenient,
    /// UNKNOWN_PRODUCER_ID unless the sequence number is 0 (2.1 to 2.4).
    Kafka21,
    /// OUT_OF_ORDER_SEQUENCE_NUMBER unless it is 0.
    Strict,
}

/// The faults of a run. Odds mean one time in so many; 0 means never.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many steps there are before everything heals.
    pub steps: u64,
    /// How many partitions share the producer id.
    pub partitions: usize,
    /// How many brokers there are.
    pub nodes: i32,
    /// Whether batches are stamped.
    pub idempotent: bool,
    /// How many batches may be in flight on a partition.
    pub max_in_flight: usize,
    /// The epoch that producer ids come with.
    pub first_epoch: i16,
    /// How many records the first batch has, so that sequence numbers come close to their end.
    pub first_records: u32,
    /// What brokers do without state of a producer.
    pub rules: Rules,
    /// A step cuts a connection.
    pub cut: u64,
    /// A step moves a leader.
    pub leader_move: u64,
    /// A step gives a batch up.
    pub expire: u64,
    /// A step abandons the oldest call of a connection, which lives on.
    pub abandon: u64,
    /// A step replaces a topic.
    pub replace: u64,
    /// A step lets hours pass, or the brokers forget.
    pub forget: u64,
    /// A request is refused before the append, and may be sent again.
    pub refuse: u64,
    /// A request is refused for good.
    pub reject: u64,
    /// A batch is refused for its size.
    pub too_large: u64,
    /// A request is answered with an error after the append.
    pub fail_after_append: u64,
    /// A batch never reaches the socket.
    pub not_sent: u64,
}

impl Plan {
    /// The plan of a seed: each kind of fault is absent in some, and frequent in others.
    #[must_use]
    pub fn from_seed(seed: u64, steps: u64) -> Self {
        let mut dice = Dice::new(seed).fork(1);
        let mut odds = |of: &[u64]| dice.pick(of);
        let cut = odds(&[14, 14, 20, 30, 60]);
        let leader_move = odds(&[0, 40, 80, 200]);
        let expire = odds(&[0, 40, 80, 200]);
        let abandon = odds(&[0, 0, 60, 200]);
        let replace = odds(&[0, 0, 0, 150]);
        let forget = odds(&[0, 100, 300]);
        let refuse = odds(&[0, 8, 20, 50]);
        let reject = odds(&[0, 0, 15, 50]);
        let fail_after_append = odds(&[0, 6, 15, 40]);
        let not_sent = odds(&[0, 20, 60]);
        let too_large = odds(&[0, 4, 15, 50]);
        Self {
            steps,
            partitions: 1 + dice.index(3),
            nodes: 3,
            idempotent: !dice.one_in(12),
            max_in_flight: dice.pick(&[5, 5, 5, 5, 4, 3, 2, 1]),
            first_epoch: dice.pick(&[0, 0, 0, 0, 0, i16::MAX - 3, i16::MAX - 1, i16::MAX]),
            first_records: if dice.one_in(3) {
                i32::MAX.cast_unsigned() - 30
            } else {
                1
            },
            rules: dice.pick(&[
                Rules::Lenient,
                Rules::Lenient,
                Rules::Lenient,
                Rules::Kafka21,
                Rules::Strict,
            ]),
            cut,
            leader_move,
            expire,
            abandon,
            replace,
            forget,
            refuse,
            reject,
            too_large,
            fail_after_append,
            not_sent,
        }
    }

    /// The same without any fault.
    #[must_use]
    pub const fn healed(mut self) -> Self {
        self.cut = 0;
        self.leader_move = 0;
        self.expire = 0;
        self.abandon = 0;
        self.replace = 0;
        self.forget = 0;
        self.refuse = 0;
        self.reject = 0;
        self.too_large = 0;
        self.fail_after_append = 0;
        self.not_sent = 0;
        self
    }
}
