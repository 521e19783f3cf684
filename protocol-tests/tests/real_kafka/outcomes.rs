//! What a producer was told of its records, and whether the log agrees.
//!
//! - I1. What was acknowledged is in the log once, in its partition, where it was said to be.
//! - I2. What failed as `NotWritten` is not in the log.
//! - I3. What failed as `MaybeWritten` is there at most once.
//! - I4. The log has each partition's records in the order in which they were sent.

use std::fmt;

use milena::{Ack, DeliveryError, Fate};

/// How many records ended how.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Records in the log.
    logged: usize,
    pub(crate) acked: usize,
    pub(crate) not_written: usize,
    /// Failed as `MaybeWritten` and in the log.
    pub(crate) maybe_present: usize,
    /// Failed as `MaybeWritten` and not in the log.
    pub(crate) maybe_absent: usize,
}

impl Tally {
    /// Compares the outcomes of the records, whose values are their numbers from 0, with the values
    /// that each partition holds.
    ///
    /// # Panics
    /// When they disagree; it names the record.
    pub(crate) fn check(outcomes: &[Result<Ack, DeliveryError>], log: &[Vec<String>]) -> Self {
        let places = places(log, outcomes.len());
        let mut tally = Self {
            logged: log.iter().map(Vec::len).sum(),
            ..Self::default()
        };
        for (number, (outcome, place)) in outcomes.iter().zip(places).enumerate() {
            match (outcome, place) {
                (Ok(ack), Some((partition, offset))) => {
                    assert_eq!(ack.partition, partition, "record {number}"); // I1
                    assert!(
                        ack.offset.is_none_or(|told| told == offset),
                        "{number}: {ack:?}"
                    );
                    tally.acked += 1;
                }
                (Ok(ack), None) => panic!("record {number} is not in the log: {ack:?}"), // I1
                (Err(error), place) => tally.failed(number, error, place.is_some()),
            }
        }
        tally
    }

    fn failed(&mut self, number: usize, error: &DeliveryError, present: bool) {
        match (error.fate(), present) {
            (Fate::NotWritten, true) => panic!("record {number} is in the log: {error}"), // I2
            (Fate::NotWritten, false) => self.not_written += 1,
            (Fate::MaybeWritten, true) => self.maybe_present += 1,
            (Fate::MaybeWritten, false) => self.maybe_absent += 1,
        }
    }

    pub(crate) fn failures(&self) -> usize {
        self.not_written + self.maybe_present + self.maybe_absent
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let maybe = self.maybe_present + self.maybe_absent;
        let duplicates = self.logged - self.acked - self.maybe_present;
        write!(
            f,
            "{} acked, {} not written, ",
            self.acked, self.not_written
        )?;
        write!(
            f,
            "{maybe} maybe ({} of them in the log), ",
            self.maybe_present
        )?;
        write!(f, "{duplicates} duplicates")
    }
}

/// The partition and offset of each record that is in the log. That its numbers rise means that it
/// holds none twice (I1, I3) and all in order (I4): each record has its partition.
fn places(log: &[Vec<String>], count: usize) -> Vec<Option<(i32, i64)>> {
    let mut places = vec![None; count];
    for (partition, values) in (0..).zip(log) {
        let mut last = None;
        for (offset, value) in (0..).zip(values) {
            let number: usize = value.trim_start().parse().unwrap();
            assert!(
                last < Some(number),
                "partition {partition} has record {number} at offset {offset}, after {last:?}"
            );
            last = Some(number);
            let before = places[number].replace((partition, offset));
            assert_eq!(before, None, "record {number} is in two partitions");
        }
    }
    places
}
