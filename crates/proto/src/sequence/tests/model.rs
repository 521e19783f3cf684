//! A partition of a broker that loses answers, runs requests late, refuses, and forgets; and a
//! [`Sequence`] that must not lose, duplicate or reorder, nor lie about a fate, whatever it does.

use std::collections::{BTreeMap, VecDeque};

use super::*;

const SEEDS: u64 = 20_000;
const STEPS: usize = 120;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }
}

#[derive(Clone, Copy)]
struct Batch {
    id: usize,
    records: u32,
    stamp: Stamp,
}

struct ProducerState {
    epoch: i16,
    /// First and last sequence and offset of the last five batches.
    window: VecDeque<(i32, i32, i64)>,
}

/// The broker's rules for idempotent batches.
#[derive(Default)]
struct Partition {
    producers: BTreeMap<i64, ProducerState>,
    /// As Kafka 2.1: without state, only sequence 0 may come.
    old: bool,
    /// As Redpanda: the same, but as OUT_OF_ORDER.
    strict: bool,
    log: Vec<usize>,
    end: i64,
}

impl Partition {
    fn append(&mut self, batch: &Batch) -> Result<i64, ErrorCode> {
        let stamp = batch.stamp;
        let last = advance(stamp.base_sequence, batch.records - 1);
        match self.producers.get(&stamp.producer_id) {
            None if stamp.base_sequence == 0 => {}
            None if self.old => return Err(ErrorCode::UnknownProducerId),
            None if self.strict => return Err(ErrorCode::OutOfOrderSequenceNumber),
            None => {}
            Some(state) if stamp.producer_epoch < state.epoch => {
                return Err(ErrorCode::InvalidProducerEpoch);
            }
            Some(state) if stamp.producer_epoch > state.epoch => {
                if stamp.base_sequence != 0 {
                    return Err(ErrorCode::OutOfOrderSequenceNumber);
                }
                self.producers.remove(&stamp.producer_id);
            }
            Some(state) => {
                let mut window = state.window.iter();
                if let Some(known) =
                    window.find(|known| (known.0, known.1) == (stamp.base_sequence, last))
                {
                    return Ok(known.2);
                }
                let expected = state.window.back().map(|known| advance(known.1, 1));
                if expected != Some(stamp.base_sequence) {
                    return Err(ErrorCode::OutOfOrderSequenceNumber);
                }
            }
        }
        let state = self
            .producers
            .entry(stamp.producer_id)
            .or_insert(ProducerState {
                epoch: stamp.producer_epoch,
                window: VecDeque::new(),
            });
        state
            .window
            .push_back((stamp.base_sequence, last, self.end));
        if state.window.len() > 5 {
            state.window.pop_front();
        }
        let offset = self.end;
        self.end += i64::from(batch.records);
        self.log.push(batch.id);
        Ok(offset)
    }
}

struct Run {
    random: Random,
    partition: Partition,
    sequence: Sequence,
    producer_id: i64,
    first_epoch: i16,
    current: (usize, u32),
    late: Vec<Batch>,
    /// What was said of each batch.
    acknowledged: BTreeMap<usize, Option<i64>>,
    fates: BTreeMap<usize, Fate>,
    changed_id: bool,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut sequence = idempotent();
        if random.one_in(2) {
            sequence.next = i32::MAX - i32::try_from(random.below(40)).unwrap();
        }
        let first_epoch = match random.below(8) {
            0 => i16::MAX - 2,
            _ => 0,
        };
        let kind = random.below(3);
        let mut partition = Partition::default();
        if sequence.next == 0 {
            (partition.old, partition.strict) = (kind == 1, kind == 2);
        }
        Self {
            random,
            partition,
            sequence,
            producer_id: 1,
            first_epoch,
            current: (0, 1),
            late: Vec::new(),
            acknowledged: BTreeMap::new(),
            fates: BTreeMap::new(),
            changed_id: false,
        }
    }

    fn next_batch(&mut self) {
        let records = u32::try_from(1 + self.random.below(20)).unwrap();
        self.current = (self.current.0 + 1, records);
    }

    fn begin(&mut self) -> Batch {
        let (id, records) = self.current;
        loop {
            let identity = Identity {
                producer_id: self.producer_id,
                epoch: self.first_epoch,
            };
            match self.sequence.begin(records, Some(identity)) {
                Ok(stamp) => return Batch { id, records, stamp },
                Err(BeginError::NeedsIdentity { .. }) => {
                    self.producer_id += 1;
                    self.changed_id = true;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn step(&mut self) {
        if !self.late.is_empty() && self.random.one_in(3) {
            let index = self.random.below(self.late.len() as u64) as usize;
            let batch = self.late.swap_remove(index);
            let _ = self.partition.append(&batch);
        }
        if self.may_forget() && self.random.one_in(20) {
            self.partition.producers.clear();
        }
        if self.random.one_in(12) {
            let fate = self.sequence.handle_expired();
            self.failed(fate);
            return;
        }
        let batch = self.begin();
        let attempt = self.attempt(&batch);
        let decision = self.sequence.handle_attempt(attempt);
        match decision {
            Decision::Acknowledged { offset } => {
                self.acknowledged.insert(batch.id, offset);
                self.next_batch();
            }
            Decision::Retry => {}
            Decision::Failed(fate) => self.failed(fate),
            Decision::Stale => panic!("there was an attempt"),
        }
    }

    /// Whether a broker without state still deduplicates what is unresolved, or refuses it: no
    /// client can make up for one that accepts a second copy.
    fn may_forget(&self) -> bool {
        let clean = self.late.is_empty() && self.sequence.fate() == Fate::NotWritten;
        let strict = self.partition.old || self.partition.strict;
        let mut late = self.late.iter().map(|batch| batch.stamp);
        let head = self.sequence.head.and_then(|head| head.stamp);
        let refused = |stamp: Stamp| stamp.base_sequence != 0;
        clean || strict && late.all(refused) && head.is_none_or(refused)
    }

    fn failed(&mut self, fate: Fate) {
        self.fates.insert(self.current.0, fate);
        self.next_batch();
    }

    fn attempt(&mut self, batch: &Batch) -> Attempt {
        match self.random.below(12) {
            0 => Attempt::NotSent,
            1 => {
                self.late.push(*batch);
                Attempt::Lost
            }
            2 => Attempt::Lost,
            3 => {
                let _ = self.partition.append(batch);
                Attempt::Lost
            }
            4 => answered(ErrorCode::NotEnoughReplicas),
            5 if self.random.one_in(3) => answered(ErrorCode::MessageTooLarge),
            6 => self.append_then(batch, ErrorCode::RequestTimedOut),
            7 => self.append_then(batch, ErrorCode::NotLeaderOrFollower),
            8 => answered(ErrorCode::NotLeaderOrFollower),
            _ => self.answer(batch),
        }
    }

    fn append_then(&mut self, batch: &Batch, error: ErrorCode) -> Attempt {
        match self.partition.append(batch) {
            Ok(_) => answered(error),
            Err(refused) => answered(refused),
        }
    }

    fn answer(&mut self, batch: &Batch) -> Attempt {
        match self.partition.append(batch) {
            Ok(offset) => written_at(offset),
            Err(refused) => answered(refused),
        }
    }

    /// Runs what is late, then compares what was said with the log.
    fn check(mut self, seed: u64) {
        for batch in std::mem::take(&mut self.late) {
            let _ = self.partition.append(&batch);
        }
        let log = &self.partition.log;
        let times = |id: usize| log.iter().filter(|logged| **logged == id).count();
        for id in self.acknowledged.keys() {
            assert_eq!(times(*id), 1, "seed {seed}: acknowledged batch {id}");
        }
        for (id, fate) in &self.fates {
            let most = usize::from(*fate == Fate::MaybeWritten);
            assert!(times(*id) <= most, "seed {seed}: {fate:?} batch {id}");
        }
        // Another producer id fences nothing: only what was acknowledged is then in order.
        let ordered = log
            .iter()
            .filter(|id| !self.changed_id || self.acknowledged.contains_key(id));
        assert!(ordered.is_sorted(), "seed {seed}: {log:?}");
    }
}

#[test]
fn nothing_is_lost_duplicated_reordered_or_lied_about() {
    let (mut acknowledged, mut in_doubt, mut refused) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        for _ in 0..STEPS {
            run.step();
        }
        acknowledged += run.acknowledged.len();
        in_doubt += run
            .fates
            .values()
            .filter(|fate| **fate == Fate::MaybeWritten)
            .count();
        refused += run
            .fates
            .values()
            .filter(|fate| **fate == Fate::NotWritten)
            .count();
        run.check(seed);
    }
    assert!(acknowledged > 100_000 && in_doubt > 10_000 && refused > 10_000);
}
