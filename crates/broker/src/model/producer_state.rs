//! What a partition remembers of idempotent and transactional producers, and the rules by which it
//! takes their batches.
//!
//! I1. At most five batches are remembered a producer; a duplicate of an older one is out of order.
//! I2. A partition that knows nothing of a producer takes any first sequence, except before Kafka
//!     2.5 and from the first batch of a transaction of version 2: these must start at 0.
//! I3. A new epoch starts at sequence 0, whether a batch or a marker brought it.
//! I4. While a producer's transaction is open in the partition, it takes nothing else from it.
//!
//! Not for: whether a partition belongs to a transaction (the coordinator knows), and the expiry
//! of idle producers.

use std::collections::{BTreeMap, VecDeque};

use milena_codec::ErrorCode;
use milena_records::{BatchHeader, EndTxnMarker};

/// How many batches of a producer can be recognised as duplicates.
const WINDOW: usize = 5;

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is in the log already: answer as for the first time, but with its largest timestamp as
    /// the log append time, as Kafka does.
    Duplicate {
        base_offset: i64,
        timestamp: i64,
    },
}

/// Which release's or transaction version's rules apply to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Before Kafka 2.5.
    Old,
    Current,
    /// Produce from version 12 on, which adds partitions to the transaction by itself (KIP-890).
    Version2,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    timestamp: i64,
}

#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    pub(crate) coordinator_epoch: i32,
    pub(crate) timestamp: i64,
    /// The first offset of the transaction that is open here.
    pub(crate) open_from: Option<i64>,
    last_offset: i64,
    window: VecDeque<Seen>,
}

impl Producer {
    fn new(epoch: i16) -> Self {
        Self {
            epoch,
            coordinator_epoch: -1,
            timestamp: -1,
            open_from: None,
            last_offset: -1,
            window: VecDeque::new(),
        }
    }

    /// The last sequence of this epoch, or −1.
    pub(crate) fn last_sequence(&self) -> i32 {
        self.window.back().map_or(-1, |seen| seen.last_sequence)
    }

    fn enter(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.window.clear(); // I3
        }
    }
}

/// A transaction that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// The marker's.
    pub(crate) last_offset: i64,
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct ProducerStates {
    producers: BTreeMap<i64, Producer>,
    /// In the order of their markers.
    aborted: VecDeque<Aborted>,
    /// First offset and marker of ended transactions whose marker may not be replicated yet.
    ended: Vec<(i64, i64)>,
}

impl ProducerStates {
    /// Judges a batch before it is appended.
    pub(crate) fn check(&self, batch: &BatchHeader, rules: Rules) -> Result<Verdict, ErrorCode> {
        if batch.producer_id < 0 {
            return Ok(Verdict::Append);
        }
        let known = self.producers.get(&batch.producer_id);
        if let Some(duplicate) = known.and_then(|known| known.duplicate(batch)) {
            return Ok(duplicate);
        }
        if let Some(known) = known
            && batch.producer_epoch < known.epoch
        {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        check_sequence(known, batch, rules)?;
        let open = known.is_some_and(|known| known.open_from.is_some());
        if open && !batch.attributes.is_transactional() {
            return Err(ErrorCode::InvalidTxnState); // I4
        }
        Ok(Verdict::Append)
    }

    /// Notes a batch that was appended.
    pub(crate) fn appended(&mut self, batch: &BatchHeader) {
        if batch.producer_id < 0 {
            return;
        }
        let producer = self.entry(batch);
        if producer.window.len() == WINDOW {
            producer.window.pop_front(); // I1
        }
        producer.window.push_back(Seen {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
            timestamp: batch.max_timestamp,
        });
        if batch.attributes.is_transactional() && producer.open_from.is_none() {
            producer.open_from = Some(batch.base_offset);
        }
    }

    /// Notes a marker that was appended.
    pub(crate) fn ended(&mut self, batch: &BatchHeader, marker: EndTxnMarker, replicated: i64) {
        let last_offset = batch.last_offset();
        let producer = self.entry(batch);
        producer.coordinator_epoch = marker.coordinator_epoch;
        let Some(first_offset) = producer.open_from.take() else {
            return;
        };
        self.ended.retain(|(_, marker)| *marker >= replicated);
        self.ended.push((first_offset, last_offset));
        if !marker.committed {
            self.aborted.push_back(Aborted {
                producer_id: batch.producer_id,
                first_offset,
                last_offset,
            });
        }
    }

    /// Whether this producer's transaction is open here in this epoch.
    pub(crate) fn is_open(&self, producer_id: i64, epoch: i16) -> bool {
        let known = self.producers.get(&producer_id);
        known.is_some_and(|known| known.open_from.is_some() && known.epoch == epoch)
    }

    /// The first offset whose transaction is undecided, or decided by a marker that is not below
    /// the high watermark.
    pub(crate) fn first_unstable(&self, high_watermark: i64) -> Option<i64> {
        let open = self.producers.values().filter_map(|known| known.open_from);
        let ended = self.ended.iter();
        let ended = ended.filter(|(_, marker)| *marker >= high_watermark);
        open.chain(ended.map(|(first, _)| *first)).min()
    }

    /// The aborted transactions that reach into `from..to`, in the order of their markers.
    pub(crate) fn aborted(&self, from: i64, to: i64) -> impl Iterator<Item = &Aborted> {
        let within =
            move |aborted: &&Aborted| aborted.last_offset >= from && aborted.first_offset < to;
        self.aborted.iter().filter(within)
    }

    /// The producers that are remembered, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.producers.iter().map(|(id, producer)| (*id, producer))
    }

    /// Forgets all producers without an open transaction, as after their expiry.
    pub(crate) fn forget_all(&mut self) {
        self.producers.retain(|_, known| known.open_from.is_some());
    }

    /// The log begins at `start` now: before Kafka 2.5 that also forgets the producers without a
    /// record after it.
    pub(crate) fn start_moved(&mut self, start: i64, rules: Rules) {
        while self
            .aborted
            .front()
            .is_some_and(|aborted| aborted.last_offset < start)
        {
            self.aborted.pop_front();
        }
        self.ended.retain(|(_, marker)| *marker >= start);
        if rules == Rules::Old {
            self.producers.retain(|_, known| known.last_offset >= start);
        }
    }

    /// Starts anew: what the batches of a truncated log say is noted again.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn entry(&mut self, batch: &BatchHeader) -> &mut Producer {
        let fresh = || Producer::new(batch.producer_epoch);
        let producer = self
            .producers
            .entry(batch.producer_id)
            .or_insert_with(fresh);
        producer.enter(batch.producer_epoch);
        producer.timestamp = batch.max_timestamp;
        producer.last_offset = batch.last_offset();
        producer
    }
}

impl Producer {
    fn duplicate(&self, batch: &BatchHeader) -> Option<Verdict> {
        let (first, last) = (batch.base_sequence, batch.last_sequence());
        let same = |seen: &&Seen| seen.first_sequence == first && seen.last_sequence == last;
        let seen = self.window.iter().find(same);
        seen.filter(|_| self.epoch == batch.producer_epoch)
            .map(|seen| Verdict::Duplicate {
                base_offset: seen.base_offset,
                timestamp: seen.timestamp,
            })
    }
}

fn check_sequence(
    known: Option<&Producer>,
    batch: &BatchHeader,
    rules: Rules,
) -> Result<(), ErrorCode> {
    let first = batch.base_sequence;
    let out_of_order = |wrong: bool| {
        if wrong {
            Err(ErrorCode::OutOfOrderSequenceNumber)
        } else {
            Ok(())
        }
    };
    let Some(known) = known else {
        // I2
        return match rules {
            Rules::Old if first != 0 => Err(ErrorCode::UnknownProducerId),
            Rules::Version2 => out_of_order(batch.attributes.is_transactional() && first != 0),
            _ => Ok(()),
        };
    };
    if batch.producer_epoch > known.epoch {
        return out_of_order(first != 0); // I3
    }
    match known.window.back() {
        Some(seen) => out_of_order(first != next_sequence(seen.last_sequence)),
        None if rules == Rules::Old && first != 0 => Err(ErrorCode::UnknownProducerId),
        None => out_of_order(first != 0), // I3
    }
}

/// Sequences wrap from 2³¹ − 1 to 0.
fn next_sequence(last: i32) -> i32 {
    last.wrapping_add(1) & i32::MAX
}

#[cfg(test)]
mod tests;
