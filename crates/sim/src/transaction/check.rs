//! Whether what readers of committed data see is what was told.
//!
//! - I1. Committed: everything, each batch once, and the offsets last sent.
//! - I2. Aborted, in doubt about an abort, or never told: nothing.
//! - I3. In doubt about a commit, or ended during one: everything or nothing.
//! - I4. Nothing is visible that was not sent.

use std::fmt;

use milena_proto::transaction::{Cause, Misuse};

use super::*;

/// What the logs and the outcomes disagree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Part of a transaction is visible.
    Torn(usize),
    /// It was told to be committed, and nothing is visible.
    Lost(usize),
    /// It was told not to be committed, and is visible.
    Leaked(usize),
    /// A batch is visible twice.
    Duplicated(usize),
    /// Other offsets than the ones last sent are committed.
    WrongOffsets(usize),
    /// It was told two ends.
    ToldTwice(usize),
    /// An end was told of no transaction.
    Unasked,
    /// Calls and answers do not match.
    Unbalanced,
    /// A command was refused that should be allowed.
    Misuse(Misuse),
    /// The producer failed although nothing outside of it gave a reason.
    NeedlesslyFatal(Cause),
    /// Something never ends.
    Stuck,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn(txn) => write!(f, "transaction {txn} is torn"),
            Self::Lost(txn) => write!(f, "transaction {txn} was committed and is not visible"),
            Self::Leaked(txn) => write!(f, "transaction {txn} was not committed and is visible"),
            Self::Duplicated(txn) => write!(f, "a batch of transaction {txn} is visible twice"),
            Self::WrongOffsets(txn) => write!(f, "transaction {txn} committed earlier offsets"),
            Self::ToldTwice(txn) => write!(f, "transaction {txn} was told two ends"),
            Self::Unasked => f.write_str("an end was told of no transaction"),
            Self::Unbalanced => f.write_str("calls and answers do not match"),
            Self::Misuse(misuse) => write!(f, "refused: {misuse}"),
            Self::NeedlesslyFatal(cause) => write!(f, "failed without a reason: {cause}"),
            Self::Stuck => f.write_str("something never ends"),
        }
    }
}

/// What is visible of a transaction.
#[derive(Clone, Debug, Default)]
struct Seen {
    batches: Vec<(usize, u64)>,
    offsets: Vec<u64>,
}

impl World {
    pub(super) fn check(&mut self) -> Result<Report, Violation> {
        let mut seen = vec![Seen::default(); self.txns.len()];
        let offsets = self.logs.len() - 1;
        for (part, log) in self.logs.iter().enumerate() {
            for item in log.visible() {
                let seen = &mut seen[item.txn];
                if part == offsets {
                    seen.offsets.push(item.number);
                } else {
                    seen.batches.push((part, item.number));
                }
            }
        }
        for (index, seen) in seen.iter().enumerate() {
            self.check_one(index, seen)?;
        }
        self.report.timeouts = self.coordinator.timeouts;
        self.report.trace = self.trace.hash();
        Ok(self.report)
    }

    fn check_one(&mut self, index: usize, seen: &Seen) -> Result<(), Violation> {
        let txn = &self.txns[index];
        let distinct: BTreeSet<_> = seen.batches.iter().copied().collect();
        if distinct.len() != seen.batches.len() {
            return Err(Violation::Duplicated(index));
        }
        let nothing = seen.batches.is_empty() && seen.offsets.is_empty();
        let everything =
            distinct == txn.batches && seen.offsets.is_empty() == txn.offsets.is_empty();
        let report = &mut self.report;
        match txn.told {
            Some(Outcome::Committed) => {
                report.committed += 1;
                report.offsets += u64::from(!txn.offsets.is_empty());
                if !everything {
                    let lost = if nothing {
                        Violation::Lost(index)
                    } else {
                        Violation::Torn(index)
                    };
                    return Err(lost); // I1
                }
            }
            Some(Outcome::Unknown(token)) if token.may_be_committed() => {
                report.unknown += 1;
                report.unknown_committed += u64::from(everything && !nothing);
                report.unknown_aborted += u64::from(nothing);
                if !(everything || nothing) {
                    return Err(Violation::Torn(index)); // I3
                }
            }
            None if txn.crashed => {
                if !(everything || nothing) {
                    return Err(Violation::Torn(index)); // I3
                }
            }
            told => {
                report.aborted += u64::from(told == Some(Outcome::Aborted));
                if !nothing {
                    return Err(Violation::Leaked(index)); // I2
                }
            }
        }
        let last_wrong = !nothing && seen.offsets.last() != txn.offsets.last();
        if last_wrong {
            return Err(Violation::WrongOffsets(index)); // I1
        }
        Ok(())
    }
}
