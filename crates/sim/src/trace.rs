//! What happened in a run: a hash to compare runs by, and the last lines to read when one fails.

use std::collections::VecDeque;
use std::fmt::Write as _;

/// The trace of a run.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    events: u64,
    keep: usize,
    lines: VecDeque<String>,
}

impl Trace {
    /// A trace that keeps only the hash.
    #[must_use]
    pub const fn new() -> Self {
        Self::keeping(0)
    }

    /// A trace that keeps the last `lines` events as text too; the hash is the same.
    #[must_use]
    pub const fn keeping(lines: usize) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            events: 0,
            keep: lines,
            lines: VecDeque::new(),
        }
    }

    /// Something happened.
    pub fn note(&mut self, what: &'static str, numbers: &[i64]) {
        self.events += 1;
        for byte in what.bytes() {
            self.add(u64::from(byte));
        }
        for number in numbers {
            self.add(number.cast_unsigned());
        }
        if self.keep > 0 {
            self.keep_line(what, numbers);
        }
    }

    /// The same for the same events, whatever the machine and the process.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events there were.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The lines kept, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// FNV-1a, a word at a time.
    const fn add(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.hash ^= self.hash >> 32;
    }

    fn keep_line(&mut self, what: &str, numbers: &[i64]) {
        if self.lines.len() >= self.keep {
            self.lines.pop_front();
        }
        let mut line = format!("{:>6} {what}", self.events);
        for number in numbers {
            let _ = write!(line, " {number}");
        }
        self.lines.push_back(line);
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}
