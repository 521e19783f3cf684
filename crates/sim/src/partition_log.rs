//! A partition of a broker as an idempotent producer meets it: leaders, what is committed, and what
//! it remembers of producers.
//!
//! - I1. The last five batches of a producer are remembered; a duplicate of an older one is out of
//!   order.
//! - I2. Without state any first sequence is taken, or only 0, as the rules say.
//! - I3. An epoch below the known one is refused; one above it starts at 0.
//! - I4. A leader change may cut off what was not committed, and then the memory with it.
//! - I5. Success is told only of what is committed, with all before it.

use std::collections::{BTreeMap, VecDeque};

use milena_codec::ErrorCode;
use milena_records::Stamp;

use crate::history::Logged;
use crate::plan::Rules;

const WINDOW: usize = 5;

/// A batch on its way or in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its first unit.
    pub id: u64,
    /// How many units it has: what it may be divided into. Ids count units.
    pub units: u32,
    /// How many records it has, as many in each unit.
    pub records: u32,
    /// Its stamp.
    pub stamp: Stamp,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    batch: Batch,
    offset: i64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    first: i32,
    last: i32,
    offset: i64,
}

#[derive(Clone, Debug)]
struct Producer {
    epoch: i16,
    window: VecDeque<Seen>,
}

/// The partition.
#[derive(Clone, Debug)]
pub struct PartitionLog {
    rules: Rules,
    leader: i32,
    /// Counts the topics of this name.
    generation: u32,
    kept: Vec<Kept>,
    /// How many of them are committed.
    committed: usize,
    /// What of the log the brokers still know the producers from.
    remembered_from: usize,
    producers: BTreeMap<i64, Producer>,
    start: i64,
    end: i64,
    /// The batches of former topics of this name.
    former: Vec<Logged>,
}

impl PartitionLog {
    /// An empty partition, led by node 0.
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        Self {
            rules,
            leader: 0,
            generation: 0,
            kept: Vec::new(),
            committed: 0,
            remembered_from: 0,
            producers: BTreeMap::new(),
            start: 0,
            end: 0,
            former: Vec::new(),
        }
    }

    /// The node that leads it.
    #[must_use]
    pub const fn leader(&self) -> i32 {
        self.leader
    }

    /// How often the topic was replaced.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The offset of the first record that retention has left.
    #[must_use]
    pub const fn start(&self) -> i64 {
        self.start
    }

    /// Judges and appends a batch, on its leader: its offset. It is not committed yet.
    ///
    /// # Errors
    /// What the broker answers instead; nothing was appended then.
    pub fn append(&mut self, batch: &Batch) -> Result<i64, ErrorCode> {
        if let Some(duplicate) = self.judge(batch)? {
            return Ok(duplicate);
        }
        let offset = self.end;
        self.end += i64::from(batch.records);
        self.kept.push(Kept {
            batch: *batch,
            offset,
        });
        self.remember(batch, offset);
        Ok(offset)
    }

    /// All replicas have what was appended. // I5
    pub const fn commit(&mut self) {
        self.committed = self.kept.len();
    }

    /// How many batches are not committed.
    #[must_use]
    pub const fn uncommitted(&self) -> usize {
        self.kept.len() - self.committed
    }

    /// Another node leads, and has all that was committed and so many batches more.
    pub fn move_leader(&mut self, to: i32, more: usize) {
        self.leader = to;
        let keep = (self.committed + more).min(self.kept.len());
        if keep < self.kept.len() {
            self.kept.truncate(keep); // I4
            self.end = self.kept.last().map_or(0, Kept::end).max(self.start);
            self.rebuild();
        }
        self.committed = keep;
    }

    /// No broker knows any producer any more.
    pub fn forget(&mut self) {
        self.producers.clear();
        self.remembered_from = self.kept.len();
    }

    /// Retention takes all records.
    pub const fn retain_nothing(&mut self) {
        self.start = self.end;
    }

    /// The topic is deleted and created again.
    pub fn replace(&mut self) {
        let mut former = self.logged();
        let next = Self {
            leader: self.leader,
            generation: self.generation + 1,
            ..Self::new(self.rules)
        };
        *self = next;
        self.former.append(&mut former);
    }

    /// All units ever appended and not cut off, in order.
    #[must_use]
    pub fn logged(&self) -> Vec<Logged> {
        let kept = self.kept.iter().flat_map(Kept::units);
        self.former.iter().copied().chain(kept).collect()
    }

    /// Where it is in the log, if the producer's memory says that it is there already.
    fn judge(&self, batch: &Batch) -> Result<Option<i64>, ErrorCode> {
        let stamp = batch.stamp;
        if stamp.producer_id < 0 {
            return Ok(None);
        }
        let zero = stamp.base_sequence == 0;
        let Some(known) = self.producers.get(&stamp.producer_id) else {
            // I2
            return match self.rules {
                Rules::Kafka21 if !zero => Err(ErrorCode::UnknownProducerId),
                Rules::Strict if !zero => Err(ErrorCode::OutOfOrderSequenceNumber),
                _ => Ok(None),
            };
        };
        if stamp.producer_epoch < known.epoch {
            return Err(ErrorCode::InvalidProducerEpoch); // I3
        }
        let out_of_order = Err(ErrorCode::OutOfOrderSequenceNumber);
        if stamp.producer_epoch > known.epoch {
            return if zero { Ok(None) } else { out_of_order };
        }
        let (first, last) = (stamp.base_sequence, last_sequence(batch));
        let mut window = known.window.iter();
        if let Some(seen) = window.find(|seen| seen.first == first && seen.last == last) {
            return Ok(Some(seen.offset));
        }
        match known.window.back() {
            Some(seen) if advance(seen.last, 1) != first => out_of_order,
            _ => Ok(None),
        }
    }

    fn remember(&mut self, batch: &Batch, offset: i64) {
        let stamp = batch.stamp;
        if stamp.producer_id < 0 {
            return;
        }
        let fresh = || Producer {
            epoch: stamp.producer_epoch,
            window: VecDeque::new(),
        };
        let producer = self
            .producers
            .entry(stamp.producer_id)
            .or_insert_with(fresh);
        if producer.epoch != stamp.producer_epoch {
            *producer = fresh();
        }
        if producer.window.len() == WINDOW {
            producer.window.pop_front(); // I1
        }
        producer.window.push_back(Seen {
            first: stamp.base_sequence,
            last: last_sequence(batch),
            offset,
        });
    }

    fn rebuild(&mut self) {
        self.producers.clear();
        self.remembered_from = self.remembered_from.min(self.kept.len());
        let kept: Vec<Kept> = self.kept[self.remembered_from..].to_vec();
        for one in kept {
            self.remember(&one.batch, one.offset);
        }
    }
}

impl Kept {
    fn units(&self) -> impl Iterator<Item = Logged> {
        let (first, offset) = (self.batch.id, self.offset);
        let records = i64::from(self.batch.records / self.batch.units);
        (0..self.batch.units).map(move |unit| Logged {
            id: first + u64::from(unit),
            offset: offset + i64::from(unit) * records,
        })
    }

    fn end(&self) -> i64 {
        self.offset + i64::from(self.batch.records)
    }
}

fn last_sequence(batch: &Batch) -> i32 {
    advance(batch.stamp.base_sequence, batch.records - 1)
}

/// Sequences wrap from 2³¹ − 1 to 0.
fn advance(sequence: i32, by: u32) -> i32 {
    sequence.cast_unsigned().wrapping_add(by).cast_signed() & i32::MAX
}

#[cfg(test)]
mod tests;
