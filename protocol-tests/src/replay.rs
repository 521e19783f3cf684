//! Replays files of the oracle's lines (`oracle/README.md`) through the codec.

use std::fmt::{self, Display};
use std::io::{self, BufRead, Write};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use milena_records::{Batches, text};

use crate::hex;
use crate::messages::Vector;

/// The most failures that are printed, and named in the last line.
const SHOWN: usize = 50;
/// The most characters printed of a line that differs.
const WIDTH: usize = 300;
/// The most that one batch may decompress to.
const MAX_DECOMPRESSED: usize = 256 << 20;

/// How a replay ended. Displays as one line.
#[derive(Debug, Default)]
pub struct Report {
    /// Messages or batches that came out as Kafka has them.
    pub passed: u64,
    /// Those that did not, and lines that could not be read.
    pub failed: u64,
    /// The first of the failures.
    failures: Vec<String>,
}

impl Report {
    /// Whether something was replayed and nothing failed.
    pub fn is_success(&self) -> bool {
        self.passed > 0 && self.failed == 0
    }

    fn record(
        &mut self,
        out: &mut impl Write,
        place: impl Display,
        result: Result<()>,
    ) -> io::Result<()> {
        let Err(error) = result else {
            self.passed += 1;
            return Ok(());
        };
        self.failed += 1;
        if self.failures.len() < SHOWN {
            writeln!(out, "{place}: {error:#}")?;
            self.failures.push(place.to_string());
            if self.failures.len() == SHOWN {
                writeln!(out, "further failures are only counted")?;
            }
        }
        Ok(())
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.passed + self.failed == 0 {
            return f.write_str(": there was nothing to replay");
        }
        if self.failed > 0 {
            write!(f, ": {}", self.failures.join(", "))?;
        }
        match self.failed - self.failures.len() as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Replays messages: each line must decode, use up its bytes and encode back to the same ones.
///
/// Failures are written to `out` as they are found.
///
/// # Errors
/// When `input` cannot be read or `out` not written.
pub fn messages(input: impl BufRead, out: &mut impl Write) -> io::Result<Report> {
    let mut report = Report::default();
    let mut lines = Lines::new(input);
    while lines.advance()? {
        let line = lines.text().and_then(Vector::parse);
        match line {
            Ok(vector) => {
                let place = format!(
                    "line {} ({} v{})",
                    lines.number, vector.entry.name, vector.version
                );
                report.record(out, place, message(&vector))?;
            }
            Err(error) => report.record(out, lines.place(), Err(error))?,
        }
    }
    Ok(report)
}

fn message(vector: &Vector) -> Result<()> {
    let back = vector
        .entry
        .round_trip(vector.body.clone(), vector.version)?;
    if back != vector.body {
        let at = back.iter().zip(&vector.body).take_while(|(a, b)| a == b);
        let (at, back) = (at.count(), cut(&hex::encode(&back)));
        bail!("encodes to other bytes, from byte {at} on: {back}");
    }
    Ok(())
}

/// Replays batches: each vector must print the very text that follows it.
///
/// Failures are written to `out` as they are found.
///
/// # Errors
/// When `input` cannot be read or `out` not written.
pub fn batches(input: impl BufRead, out: &mut impl Write) -> io::Result<Report> {
    let mut report = Report::default();
    let mut open: Option<BatchVector> = None;
    let mut lines = Lines::new(input);
    while lines.advance()? {
        let parsed = lines.text().and_then(|line| {
            match (line.split(' ').next(), &mut open) {
                (Some("vector"), _) => return BatchVector::parse(line, lines.number).map(Some),
                (Some("batch" | "record"), Some(vector)) => vector.push(line),
                (Some("batch" | "record"), None) => bail!("stands before the first vector"),
                _ => bail!("does not begin with vector, batch or record"),
            }
            Ok(None)
        });
        match parsed {
            Ok(None) => {}
            Ok(next) => close(std::mem::replace(&mut open, next), &mut report, out)?,
            Err(error) => report.record(out, lines.place(), Err(error))?,
        }
    }
    close(open, &mut report, out)?;
    Ok(report)
}

fn close(vector: Option<BatchVector>, report: &mut Report, out: &mut impl Write) -> io::Result<()> {
    let Some(vector) = vector else { return Ok(()) };
    let place = format!("line {} ({})", vector.line, vector.name);
    report.record(out, place, vector.check())
}

/// A vector and the text that should come out of it.
struct BatchVector {
    line: u64,
    name: String,
    bytes: Bytes,
    expected: String,
}

impl BatchVector {
    fn parse(text: &str, line: u64) -> Result<Self> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [_, name, bytes] = fields[..] else {
            bail!("not a line of three fields: vector NAME HEX");
        };
        let Some(bytes) = hex::decode(bytes) else {
            bail!("the bytes of {name} are not hex");
        };
        Ok(Self {
            line,
            name: name.to_owned(),
            bytes: bytes.into(),
            expected: String::new(),
        })
    }

    fn push(&mut self, line: &str) {
        self.expected.push_str(line);
        self.expected.push('\n');
    }

    fn check(&self) -> Result<()> {
        let mut batches = Batches::new(self.bytes.clone());
        ensure!(batches.by_ref().count() > 0, "no whole batch");
        let rest = batches.remaining();
        ensure!(rest == 0, "{rest} bytes after the last whole batch");
        let text = text::dump(self.bytes.clone(), MAX_DECOMPRESSED)?;
        if text == self.expected {
            return Ok(());
        }
        let (mut ours, mut theirs) = (text.lines(), self.expected.lines());
        loop {
            let (ours, theirs) = (ours.next(), theirs.next());
            if ours != theirs {
                let show = |line: Option<&str>| line.map_or("nothing".to_owned(), cut);
                bail!("reads {} where Kafka reads {}", show(ours), show(theirs));
            }
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The lines of a file, one in memory at a time.
struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
        }
    }

    /// Reads the next line: whether there is one.
    fn advance(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.number += 1;
        Ok(self.input.read_until(b'\n', &mut self.line)? > 0)
    }

    fn text(&self) -> Result<&str> {
        let text = std::str::from_utf8(&self.line)?;
        Ok(text.trim_end_matches(['\n', '\r']))
    }

    fn place(&self) -> String {
        format!("line {}", self.number)
    }
}

#[cfg(test)]
mod tests;
