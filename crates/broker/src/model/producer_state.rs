//! What a partition remembers of idempotent producers, and the rules by which it takes their
//! batches.
//!
//! I1. At most five batches are remembered a producer; a duplicate of an older one is out of order.
//! I2. A partition that knows nothing of a producer takes any first sequence (before Kafka 2.5 only
//!     0).
//! I3. A new epoch starts at sequence 0.
//!
//! Not for: transactions, and the expiry of idle producers.

use std::collections::{BTreeMap, VecDeque};

use milena_codec::ErrorCode;
use milena_records::BatchHeader;

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

#[derive(Debug, Clone, Copy)]
struct Seen {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    timestamp: i64,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    window: VecDeque<Seen>,
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct ProducerStates {
    producers: BTreeMap<i64, Producer>,
}

impl ProducerStates {
    /// Judges a batch before it is appended. `strict` is the rule before Kafka 2.5.
    pub(crate) fn check(&self, batch: &BatchHeader, strict: bool) -> Result<Verdict, ErrorCode> {
        if batch.producer_id < 0 {
            return Ok(Verdict::Append);
        }
        let Some(known) = self.producers.get(&batch.producer_id) else {
            let refused = strict && batch.base_sequence != 0;
            // I2
            return if refused {
                Err(ErrorCode::UnknownProducerId)
            } else {
                Ok(Verdict::Append)
            };
        };
        if batch.producer_epoch < known.epoch {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        let out_of_order = Err(ErrorCode::OutOfOrderSequenceNumber);
        if batch.producer_epoch > known.epoch {
            // I3
            return if batch.base_sequence == 0 {
                Ok(Verdict::Append)
            } else {
                out_of_order
            };
        }
        let (first, last) = (batch.base_sequence, batch.last_sequence());
        let same = |seen: &&Seen| seen.first_sequence == first && seen.last_sequence == last;
        if let Some(seen) = known.window.iter().find(same) {
            let Seen {
                base_offset,
                timestamp,
                ..
            } = *seen;
            return Ok(Verdict::Duplicate {
                base_offset,
                timestamp,
            });
        }
        match known.window.back() {
            Some(seen) if first != next_sequence(seen.last_sequence) => out_of_order,
            _ => Ok(Verdict::Append),
        }
    }

    /// Notes a batch that was appended.
    pub(crate) fn appended(&mut self, batch: &BatchHeader) {
        if batch.producer_id < 0 {
            return;
        }
        let fresh = || Producer {
            epoch: batch.producer_epoch,
            window: VecDeque::new(),
        };
        let producer = self
            .producers
            .entry(batch.producer_id)
            .or_insert_with(fresh);
        if producer.epoch != batch.producer_epoch {
            *producer = fresh();
        }
        if producer.window.len() == WINDOW {
            producer.window.pop_front(); // I1
        }
        producer.window.push_back(Seen {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
            timestamp: batch.max_timestamp,
        });
    }

    /// Forgets all producers, as after their expiry.
    pub(crate) fn forget_all(&mut self) {
        self.producers.clear();
    }

    /// Starts anew: what batches of a truncated log say is noted with [`Self::appended`] again.
    pub(crate) fn rebuild<'a>(&mut self, batches: impl Iterator<Item = &'a BatchHeader>) {
        self.forget_all();
        for batch in batches {
            self.appended(batch);
        }
    }
}

/// Sequences wrap from 2³¹ − 1 to 0.
fn next_sequence(last: i32) -> i32 {
    last.wrapping_add(1) & i32::MAX
}

#[cfg(test)]
mod tests;
