//! From bytes to lines to records.

use memchr::{memchr, memmem};
use milena::{Producer, Record, TrySendError};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::refused;
use crate::args::Produce;
use crate::failure::Failure;
use crate::progress::Progress;

/// How much is read at a time.
const READ_BUFFER: usize = 256 * 1024;
/// The longest line that is kept until its end is read, unless a record may be even larger.
const LONGEST_LINE: usize = 64 * 1024 * 1024;

/// Sends the lines of inputs.
pub(super) struct Lines<'a> {
    producer: &'a Producer,
    args: &'a Produce,
    progress: Progress,
    sent: u64,
    /// The input's name and the current line's number, for errors.
    name: String,
    number: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(producer: &'a Producer, args: &'a Produce, progress: Progress) -> Self {
        Self {
            producer,
            args,
            progress,
            sent: 0,
            name: String::new(),
            number: 0,
        }
    }

    /// How many records were accepted.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends each line of an input. A last line without a newline counts; an end after one does not.
    ///
    /// Cancel safe as far as [`Lines::sent`] goes: it counts what was accepted, no more and no less.
    pub(super) async fn read(
        &mut self,
        name: &str,
        input: impl AsyncRead + Unpin,
    ) -> Result<(), Failure> {
        name.clone_into(&mut self.name);
        self.number = 0;
        let longest = LONGEST_LINE.max(self.producer.config().max_request_size);
        let mut reader = BufReader::with_capacity(READ_BUFFER, input);
        // The beginning of a line whose end is not read yet.
        let mut begun = Vec::new();
        loop {
            let chunk = reader
                .fill_buf()
                .await
                .map_err(|error| Failure::failed(format!("cannot read {name}: {error}")))?;
            if chunk.is_empty() {
                break;
            }
            let mut rest = chunk;
            while let Some(end) = memchr(b'\n', rest) {
                if begun.is_empty() {
                    self.line(&rest[..end]).await?;
                } else {
                    begun.extend_from_slice(&rest[..end]);
                    self.line(&begun).await?;
                    begun.clear();
                }
                rest = &rest[end + 1..];
            }
            begun.extend_from_slice(rest);
            if begun.len() > longest {
                let at = self.number + 1;
                return Err(Failure::failed(format!(
                    "{name}:{at}: the line is longer than {longest} bytes; a record is one line"
                )));
            }
            let read = chunk.len();
            reader.consume(read);
            self.progress.set(self.sent);
        }
        if !begun.is_empty() {
            self.line(&begun).await?;
        }
        Ok(())
    }

    async fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        self.number += 1;
        match self.producer.try_send(self.record(line)?) {
            Ok(receipt) => drop(receipt),
            Err(TrySendError::Refused(error)) => return Err(refused(&self.at(), &error)),
            Err(_) => {
                let sent = self.producer.send(self.record(line)?).await;
                drop(sent.map_err(|error| refused(&self.at(), &error))?);
            }
        }
        self.sent += 1;
        Ok(())
    }

    fn at(&self) -> String {
        format!("{}:{}", self.name, self.number)
    }

    fn record<'l>(&'l self, line: &'l [u8]) -> Result<Record<'l>, Failure> {
        let mut record = Record::to(&self.args.topic);
        match &self.args.key_separator {
            None => record = record.value(line),
            Some(separator) => {
                let at = memmem::find(line, separator.as_bytes()).ok_or_else(|| {
                    Failure::failed(format!(
                        "{}: there is no key separator {separator:?} in this line",
                        self.at()
                    ))
                })?;
                record = record.key(&line[..at]).value(&line[at + separator.len()..]);
            }
        }
        if let Some(partition) = self.args.partition {
            record = record.partition(partition);
        }
        for (name, value) in &self.args.headers {
            record = record.header(name, value);
        }
        Ok(record)
    }
}
