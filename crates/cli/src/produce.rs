//! `milena produce`: a record a line.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use milena::{CloseReport, Producer, Record, SendError};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::args::{Connection, Produce};
use crate::connection::{connect, soon};
use crate::failure::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::progress::Progress;

/// How much of a file is read at a time.
const READ_BUFFER: usize = 256 * 1024;
/// How long what was accepted may take to be acknowledged after an interrupt.
const GRACE: Duration = Duration::from_secs(10);
/// Otherwise `delivery.timeout.ms` ends each batch.
const NO_END: Duration = Duration::from_secs(24 * 3_600);

pub(crate) async fn run(connection: &Connection, args: &Produce) -> Result<(), Failure> {
    let inputs = open(&args.files).await?;
    let client = connect(connection, &settings(args)).await?;
    let first_failure = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&first_failure);
    let producer = client
        .producer()
        .on_failed_batch(move |batch| {
            let mut first = keep.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            first.get_or_insert_with(|| format!("{}: {}", place(batch), batch.cause()));
        })
        .build()
        .await
        .map_err(Failure::usage)?;
    let run = Run {
        producer: &producer,
        args,
        interrupt: Interrupt::listen(),
        progress: Progress::new("produced", connection.quiet),
        sent: AtomicU64::new(0),
    };
    let ended = run.all(inputs).await;
    let sent = run.sent.load(Ordering::Relaxed);
    drop(run);
    let interrupted = matches!(&ended, Err(failure) if failure.exit == Exit::Interrupted);
    let grace = if interrupted { GRACE } else { NO_END };
    let report = producer.close(Instant::now() + grace).await;
    client.close(soon()).await;
    if !connection.quiet {
        eprintln!(
            "milena: {}",
            summary(sent, &report, args.acks.as_deref() == Some("0"))
        );
    }
    let first = first_failure
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .take();
    match (ended, first) {
        (Err(failure), _) if failure.exit != Exit::Interrupted => Err(failure),
        (_, Some(failure)) => Err(Failure::failed(failure)),
        (ended, None) => ended,
    }
}

fn settings(args: &Produce) -> Vec<(&'static str, String, &'static str)> {
    let mut settings = Vec::new();
    if let Some(compression) = &args.compression {
        settings.push(("compression.type", compression.clone(), "--compression"));
    }
    if let Some(acks) = &args.acks {
        settings.push(("acks", acks.clone(), "--acks"));
    }
    if let Some(linger) = args.linger_ms {
        settings.push(("linger.ms", linger.to_string(), "--linger-ms"));
    }
    settings
}

type Input = (PathBuf, Box<dyn AsyncRead + Send + Unpin>);

/// Opens all files before anything is sent, so that a missing one costs nothing.
async fn open(files: &[PathBuf]) -> Result<Vec<Input>, Failure> {
    let stdin = || -> Input { ("-".into(), Box::new(tokio::io::stdin())) };
    if files.is_empty() {
        return Ok(vec![stdin()]);
    }
    let mut inputs = Vec::new();
    for path in files {
        if path == Path::new("-") {
            inputs.push(stdin());
            continue;
        }
        let cannot = |error| Failure::usage(format!("cannot read {}: {error}", path.display()));
        let file = File::open(path).await.map_err(cannot)?;
        if file.metadata().await.map_err(cannot)?.is_dir() {
            return Err(Failure::usage(format!(
                "cannot read {}: it is a directory",
                path.display()
            )));
        }
        inputs.push((path.clone(), Box::new(file)));
    }
    Ok(inputs)
}

struct Run<'a> {
    producer: &'a Producer,
    args: &'a Produce,
    interrupt: Interrupt,
    progress: Progress,
    sent: AtomicU64,
}

impl Run<'_> {
    async fn all(&self, inputs: Vec<Input>) -> Result<(), Failure> {
        for (path, input) in inputs {
            self.lines(&path, input).await?;
        }
        Ok(())
    }

    async fn lines(
        &self,
        path: &Path,
        input: Box<dyn AsyncRead + Send + Unpin>,
    ) -> Result<(), Failure> {
        let mut reader = BufReader::with_capacity(READ_BUFFER, input);
        let mut interrupt = self.interrupt.clone();
        let mut line = Vec::new();
        let mut number = 0_u64;
        loop {
            line.clear();
            let read = tokio::select! {
                biased;
                () = interrupt.wait() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
                read = reader.read_until(b'\n', &mut line) => read,
            };
            let cannot =
                |error| Failure::failed(format!("cannot read {}: {error}", path.display()));
            if read.map_err(cannot)? == 0 {
                return Ok(());
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            number += 1;
            let at = || format!("{}:{number}", path.display());
            let record = self
                .record(&line)
                .map_err(|why| Failure::failed(format!("{}: {why}", at())))?;
            tokio::select! {
                biased;
                sent = self.producer.send(record) => drop(sent.map_err(|error| refused(&at(), &error))?),
                () = interrupt.wait() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
            }
            let sent = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
            if sent.is_multiple_of(1024) {
                self.progress.set(sent);
            }
        }
    }

    fn record<'a>(&'a self, line: &'a [u8]) -> Result<Record<'a>, String> {
        let mut record = Record::to(&self.args.topic);
        match &self.args.key_separator {
            None => record = record.value(line),
            Some(separator) => {
                let at = find(line, separator.as_bytes()).ok_or_else(|| {
                    format!("there is no key separator {separator:?} in this line")
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

/// Where `needle` begins in `line`.
fn find(line: &[u8], needle: &[u8]) -> Option<usize> {
    line.windows(needle.len().max(1))
        .position(|window| window == needle)
}

fn refused(at: &str, error: &SendError) -> Failure {
    let exit = match error {
        SendError::Topic(milena::TopicError::NotAuthorized { .. }) => Exit::Refused,
        SendError::Topic(milena::TopicError::TimedOut(_)) | SendError::BufferFull { .. } => {
            Exit::Unreachable
        }
        _ => Exit::Failed,
    };
    Failure::new(exit, format!("{at}: {error}"))
}

fn place(batch: &milena::FailedBatch) -> String {
    format!(
        "{} records for partition {} of topic {} are {}",
        batch.len(),
        batch.partition(),
        batch.topic(),
        match batch.fate() {
            milena::Fate::NotWritten => "not written",
            milena::Fate::MaybeWritten => "perhaps written",
        }
    )
}

fn summary(sent: u64, report: &CloseReport, unacknowledged: bool) -> String {
    let word = if unacknowledged {
        "written to the socket (acks=0)"
    } else {
        "acknowledged"
    };
    let mut text = format!("{sent} records sent, {} {word}", report.delivered);
    if report.not_written > 0 {
        text += &format!(", {} not written", report.not_written);
    }
    if report.maybe_written > 0 {
        text += &format!(", {} perhaps written", report.maybe_written);
    }
    text
}
