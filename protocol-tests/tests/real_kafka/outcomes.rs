//! What a producer was told of its records, and whether the log agrees.
//!
//! - I1. What was acknowledged is in the log once, in its partition, where it was said to be.
//! - I2. What failed as `NotWritten` is not in the log.
//! - I3. What failed as `MaybeWritten` is there at most once.
//! - I4. The log has each partition's records in the order in which they were sent.
//! - I5. It has those of a key in one partition, and so in order too.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use milena::{Ack, DeliveryError, Fate};

/// A record that the log holds.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) key: String,
    /// Of all records of its producer, from 0.
    pub(crate) number: usize,
}

/// How many records ended how.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    sent: usize,
    /// Records in the log.
    logged: usize,
    acked: usize,
    /// Acknowledged by a broker that knew only that it was written before.
    without_offset: usize,
    not_written: usize,
    /// Failed as `MaybeWritten` and in the log.
    maybe_present: usize,
    /// Failed as `MaybeWritten` and not in the log.
    maybe_absent: usize,
}

impl Tally {
    /// Compares the outcomes of the records, by their numbers, with what each partition holds.
    ///
    /// # Panics
    /// When they disagree; it names the record.
    pub(crate) fn check(
        outcomes: &[Result<Ack, DeliveryError>],
        key: impl Fn(usize) -> String,
        log: &[Vec<Logged>],
    ) -> Self {
        check_keys(log, key);
        let places = places(log, outcomes.len());
        let mut tally = Self {
            sent: outcomes.len(),
            logged: log.iter().map(Vec::len).sum(),
            ..Self::default()
        };
        for (number, (outcome, place)) in outcomes.iter().zip(places).enumerate() {
            match (outcome, place) {
                (Ok(ack), Some((partition, offset))) => {
                    assert_eq!(ack.partition, partition, "record {number}"); // I1
                    let told = ack.offset.unwrap_or(offset);
                    assert_eq!(told, offset, "record {number}: {ack:?}"); // I1
                    tally.acked += 1;
                    tally.without_offset += usize::from(ack.offset.is_none());
                }
                (Ok(ack), None) => panic!("record {number} is not in the log: {ack:?}"), // I1
                (Err(error), place) => tally.failed(number, error, place.is_some()),
            }
        }
        assert_eq!(tally.acked + tally.failures(), tally.sent);
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

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.logged += other.logged;
        self.acked += other.acked;
        self.without_offset += other.without_offset;
        self.not_written += other.not_written;
        self.maybe_present += other.maybe_present;
        self.maybe_absent += other.maybe_absent;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sent,
            acked,
            without_offset,
            not_written,
            maybe_present,
            ..
        } = self;
        let maybe = maybe_present + self.maybe_absent;
        let duplicates = self.logged - acked - maybe_present;
        write!(f, "{sent} sent, {acked} acked ")?;
        write!(f, "({without_offset} without offset), ")?;
        write!(f, "{not_written} not written, ")?;
        write!(f, "{maybe} maybe ({maybe_present} of them in the log), ")?;
        write!(f, "{duplicates} duplicates")
    }
}

/// Each record has its key, each key its partition (I5), and partitions have several.
fn check_keys(log: &[Vec<Logged>], key: impl Fn(usize) -> String) {
    let mut homes = BTreeMap::new();
    for (partition, logged) in log.iter().enumerate() {
        for Logged { key: found, number } in logged {
            assert_eq!(*found, key(*number), "record {number}");
            let home = *homes.entry(found.as_str()).or_insert(partition);
            assert_eq!(home, partition, "record {number} is not with its key");
        }
    }
    for (partition, _) in log.iter().enumerate() {
        let keys = homes.values().filter(|home| **home == partition);
        assert!(keys.count() > 1, "partition {partition} has few keys");
    }
}

/// The partition and offset of each record that is in the log. That its numbers rise means that it
/// holds none twice (I1, I3) and all in order (I4): each record has its partition.
fn places(log: &[Vec<Logged>], count: usize) -> Vec<Option<(i32, i64)>> {
    let mut places = vec![None; count];
    for (partition, logged) in (0..).zip(log) {
        let mut last = None;
        for (offset, &Logged { number, .. }) in (0..).zip(logged) {
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
