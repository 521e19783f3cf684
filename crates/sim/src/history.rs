//! What a producer was told of its batches on one partition, and whether the log agrees.
//!
//! What counts as a batch here is the smallest piece that one may be divided into.
//!
//! - I1. What was acknowledged is in the log exactly once, where it was said to be.
//! - I2. What failed as `NotWritten` is not in the log.
//! - I3. What failed as `MaybeWritten` is there at most once.
//! - I4. What was acknowledged is in the log in the order in which it was accepted, and was
//!   acknowledged in that order; and so is everything else, if the promise covers it.
//! - I5. Each batch is told exactly one end.

use std::fmt;

use milena_proto::sequencer::Fate;

/// What a producer promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Idempotent, under one producer id: also what failed may be in the log only in its order.
    OrderOfAll,
    /// Idempotent, under several producer ids, of which a newer cannot fence an older.
    OrderOfAcknowledged,
    /// Not idempotent: a batch may be in the log more than once.
    AtLeastOnce,
    /// Without acknowledgements (acks=0): only I2, and that everything ends.
    NoLie,
}

/// A batch in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The batch.
    pub id: u64,
    /// The offset of its first record.
    pub offset: i64,
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Acknowledged(Option<i64>),
    Failed(Fate),
}

/// What the log and the history disagree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An acknowledged batch is not in the log.
    Lost(u64),
    /// A batch is in the log more than once.
    Duplicated(u64),
    /// A batch is in the log, or was acknowledged, before one accepted earlier.
    Reordered(u64),
    /// A batch that failed as `NotWritten` is in the log.
    Lie(u64),
    /// An acknowledged batch is in the log at another offset than was said.
    Misplaced(u64),
    /// A batch was told two ends, or one before it was accepted.
    ToldTwice(u64),
    /// Batches were told no end.
    Stuck(u64),
    /// Anything else that must not happen.
    Broken(&'static str),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(id) => write!(f, "batch {id} was acknowledged and is not in the log"),
            Self::Duplicated(id) => write!(f, "batch {id} is in the log more than once"),
            Self::Reordered(id) => write!(f, "batch {id} overtook one accepted before it"),
            Self::Lie(id) => write!(f, "batch {id} failed as NotWritten and is in the log"),
            Self::Misplaced(id) => write!(f, "batch {id} is not where it was said to be"),
            Self::ToldTwice(id) => write!(f, "batch {id} was told two ends"),
            Self::Stuck(id) => write!(f, "batch {id} was never told its end"),
            Self::Broken(what) => f.write_str(what),
        }
    }
}

/// The batches of one partition and how they ended. Ids count from 0 in the order of acceptance.
#[derive(Clone, Debug, Default)]
pub struct History {
    ends: Vec<Option<End>>,
    last_acknowledged: Option<u64>,
    violation: Option<Violation>,
}

/// How many batches ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Acknowledged.
    pub acknowledged: u64,
    /// Failed as `NotWritten`.
    pub not_written: u64,
    /// Failed as `MaybeWritten`, and not in the log.
    pub maybe_absent: u64,
    /// Failed as `MaybeWritten`, and in the log.
    pub maybe_present: u64,
}

impl Summary {
    /// The sum of both.
    pub const fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.not_written += other.not_written;
        self.maybe_absent += other.maybe_absent;
        self.maybe_present += other.maybe_present;
    }
}

impl History {
    /// The next batch is accepted: its id.
    pub fn accept(&mut self) -> u64 {
        self.ends.push(None);
        self.ends.len() as u64 - 1
    }

    /// A batch was acknowledged, at this offset if it was said.
    pub fn acknowledged(&mut self, id: u64, offset: Option<i64>) {
        if self.last_acknowledged.is_some_and(|last| last >= id) {
            self.violation.get_or_insert(Violation::Reordered(id)); // I4
        }
        self.last_acknowledged = Some(id);
        self.end(id, End::Acknowledged(offset));
    }

    /// A batch failed.
    pub fn failed(&mut self, id: u64, fate: Fate) {
        self.end(id, End::Failed(fate));
    }

    /// Whether the batch was told its end.
    #[must_use]
    pub fn has_ended(&self, id: u64) -> bool {
        let id = usize::try_from(id).ok();
        id.and_then(|id| self.ends.get(id))
            .is_some_and(Option::is_some)
    }

    /// Compares what was told with the log, which must have no more to come.
    ///
    /// # Errors
    /// The first disagreement found.
    pub fn check(&self, log: &[Logged], promise: Promise) -> Result<Summary, Violation> {
        if let Some(violation) = &self.violation {
            return Err(violation.clone());
        }
        let mut places: Vec<Vec<i64>> = vec![Vec::new(); self.ends.len()];
        for logged in log {
            let id = usize::try_from(logged.id).expect("an id counts batches");
            places[id].push(logged.offset);
        }
        let mut summary = Summary::default();
        for ((id, end), places) in (0..).zip(&self.ends).zip(&places) {
            check_end(id, *end, places, promise, &mut summary)?;
        }
        if promise != Promise::NoLie {
            self.check_order(log, promise)?;
        }
        Ok(summary)
    }

    // I4
    fn check_order(&self, log: &[Logged], promise: Promise) -> Result<(), Violation> {
        let mut seen = vec![false; self.ends.len()];
        let mut last = None;
        for logged in log {
            let id = usize::try_from(logged.id).expect("an id counts batches");
            let counts = promise == Promise::OrderOfAll
                || matches!(self.ends[id], Some(End::Acknowledged(_)));
            if !counts || std::mem::replace(&mut seen[id], true) {
                continue;
            }
            if last.is_some_and(|last| last > id) {
                return Err(Violation::Reordered(logged.id));
            }
            last = Some(id);
        }
        Ok(())
    }

    fn end(&mut self, id: u64, end: End) {
        let slot = usize::try_from(id)
            .ok()
            .and_then(|id| self.ends.get_mut(id));
        match slot {
            Some(slot @ None) => *slot = Some(end),
            _ => {
                self.violation.get_or_insert(Violation::ToldTwice(id)); // I5
            }
        }
    }
}

fn check_end(
    id: u64,
    end: Option<End>,
    places: &[i64],
    promise: Promise,
    summary: &mut Summary,
) -> Result<(), Violation> {
    let once = matches!(promise, Promise::OrderOfAll | Promise::OrderOfAcknowledged);
    match (end, places) {
        (None, _) => return Err(Violation::Stuck(id)), // I5
        (Some(End::Acknowledged(_)), []) if promise != Promise::NoLie => {
            return Err(Violation::Lost(id)); // I1
        }
        (Some(End::Failed(Fate::NotWritten)), [_, ..]) => return Err(Violation::Lie(id)), // I2
        (_, [_, _, ..]) if once => return Err(Violation::Duplicated(id)),                 // I1, I3
        (Some(End::Acknowledged(Some(said))), _) if !places.contains(&said) => {
            return Err(Violation::Misplaced(id)); // I1
        }
        (Some(End::Acknowledged(_)), _) => summary.acknowledged += 1,
        (Some(End::Failed(Fate::NotWritten)), []) => summary.not_written += 1,
        (Some(End::Failed(Fate::MaybeWritten)), []) => summary.maybe_absent += 1,
        (Some(End::Failed(Fate::MaybeWritten)), _) => summary.maybe_present += 1,
    }
    Ok(())
}

#[cfg(test)]
mod tests;
