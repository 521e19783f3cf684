//! What the chaos test's producers were told of their transactions, and whether the logs agree.

use std::collections::BTreeMap;

use crate::world::World;

pub(crate) const PARTITIONS: usize = 3;

/// What is certain of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Committed,
    NotCommitted,
    Unknown,
}

/// One transaction.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Whose, by its transactional id.
    pub(crate) id: &'static str,
    /// The values accepted, for each partition.
    pub(crate) values: [Vec<String>; PARTITIONS],
    /// Whether its number is committed as an offset of the id's group.
    pub(crate) offsets: bool,
    pub(crate) told: Told,
}

/// All transactions by number, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct History(BTreeMap<u64, Sent>);

impl History {
    /// A transaction has begun: its number.
    pub(crate) fn begin(&mut self, id: &'static str) -> u64 {
        let number = self.0.len() as u64 + 1;
        let sent = Sent {
            id,
            values: std::array::from_fn(|_| Vec::new()),
            offsets: false,
            told: Told::Unknown,
        };
        self.0.insert(number, sent);
        number
    }

    pub(crate) fn of(&mut self, number: u64) -> &mut Sent {
        self.0.get_mut(&number).expect("it was begun")
    }

    /// A later word on a transaction must not contradict an earlier one.
    pub(crate) fn tell(&mut self, number: u64, told: Told) {
        let sent = self.of(number);
        if told == Told::Unknown {
            return;
        }
        let before = std::mem::replace(&mut sent.told, told);
        let agrees = before == Told::Unknown || before == told;
        assert!(agrees, "transaction {number} was {before:?}, now {told:?}");
    }

    pub(crate) fn count(&self, told: Told) -> u64 {
        let same = self.0.values().filter(|sent| sent.told == told);
        same.count() as u64
    }

    /// Whether the logs agree with what was told. Returns how many of the unknown are committed.
    pub(crate) async fn check(&self, world: &World) -> u64 {
        let logs: Vec<_> = (0..PARTITIONS)
            .map(|index| world.committed(index as i32))
            .collect();
        let mut offsets = BTreeMap::new();
        let mut unknown = 0;
        for (number, sent) in &self.0 {
            let committed = self.is_committed(*number, sent, &logs);
            unknown += u64::from(committed && sent.told == Told::Unknown);
            if committed && sent.offsets {
                offsets.insert(sent.id, *number);
            }
        }
        for (partition, log) in logs.iter().enumerate() {
            self.check_order(partition, log);
        }
        for (id, number) in offsets {
            let offset = world.committed_offset(id).await;
            assert_eq!(offset, number as i64, "the offsets of {id}");
        }
        unknown
    }

    /// It is whole or nothing, and what was told is true.
    fn is_committed(&self, number: u64, sent: &Sent, logs: &[Vec<String>]) -> bool {
        let all: usize = sent.values.iter().map(Vec::len).sum();
        let mut seen = 0;
        for (values, log) in sent.values.iter().zip(logs) {
            let visible: Vec<_> = log.iter().filter(|value| of(value) == number).collect();
            seen += visible.len();
            let whole = visible.iter().copied().eq(values);
            assert!(
                whole || visible.is_empty(),
                "transaction {number} is torn in a partition: {visible:?} of {sent:?}"
            );
        }
        assert!(seen == 0 || seen == all, "{number} is torn: {sent:?}");
        match sent.told {
            Told::Committed => assert_eq!(seen, all, "{number} was lost: {sent:?}"),
            Told::NotCommitted => assert_eq!(seen, 0, "{number} is visible: {sent:?}"),
            Told::Unknown => {}
        }
        seen > 0 || sent.told == Told::Committed
    }

    /// Each id's transactions are in the order in which they began, and nothing else is there.
    fn check_order(&self, partition: usize, log: &[String]) {
        let mut last = BTreeMap::new();
        for value in log {
            let number = of(value);
            let sent = self.0.get(&number);
            let sent = sent.unwrap_or_else(|| panic!("nobody committed {value}"));
            assert!(sent.values[partition].contains(value), "{value} is foreign");
            let before = last.insert(sent.id, number).unwrap_or(0);
            assert!(before <= number, "{number} follows {before} in {partition}");
        }
    }
}

/// The number of the transaction that a value belongs to.
fn of(value: &str) -> u64 {
    let number = value.split(' ').next().expect("split yields one");
    number.parse().expect("a number")
}
