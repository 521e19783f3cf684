//! `milena produce`: a record a line.

mod lines;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use milena::{DeliveryCause, DeliveryReport, ErrorCode, FailedBatch, Fate, SendError};
use tokio::fs::File;
use tokio::io::AsyncRead;
use tokio::sync::Notify;

use self::lines::Lines;
use crate::args::{Connection, Produce};
use crate::connection::{connect, soon};
use crate::failure::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::{note, records};
use crate::progress::Progress;

/// How long what was accepted may take to be acknowledged after an interrupt or a failure.
const GRACE: Duration = Duration::from_secs(10);

pub(crate) async fn run(connection: &Connection, args: &Produce) -> Result<(), Failure> {
    let inputs = inputs(&args.files)?;
    let client = connect(connection, &settings(args)).await?;
    let failures = Failures::default();
    let keep = failures.clone();
    let producer = client
        .producer()
        .on_failed_batch(move |batch| keep.add(batch))
        .build()
        .await
        .map_err(Failure::usage)?;
    let mut interrupt = Interrupt::listen();
    let mut lines = Lines::new(&producer, args, progress(connection, &inputs));
    let mut ended = tokio::select! {
        biased;
        () = interrupt.wait() => Err(Failure::new(Exit::Interrupted, "interrupted")),
        () = failures.wait() => Ok(()),
        ended = all(&mut lines, &inputs) => ended,
    };
    let sent = lines.sent();
    drop(lines);
    let mut report = DeliveryReport::default();
    if ended.is_ok() && failures.is_empty() {
        tokio::select! {
            biased;
            () = interrupt.wait() => ended = Err(Failure::new(Exit::Interrupted, "interrupted")),
            flushed = producer.flush() => report = flushed.unwrap_or_else(|error| error.report),
        }
    }
    let closed = producer.close(Instant::now() + GRACE).await;
    client.close(soon()).await;
    report.delivered += closed.delivered;
    report.not_written += closed.not_written;
    report.maybe_written += closed.maybe_written;
    let summary = summary(sent, &report, args.acks.as_deref() == Some("0"));
    match (ended, failures.take()) {
        (Ok(()), None) => {
            note(connection.quiet, &summary);
            Ok(())
        }
        (Err(failure), Some(batch)) if failure.exit != Exit::Interrupted => {
            Err(failure.and(batch.message).and(summary))
        }
        (Err(failure), None) | (_, Some(failure)) => Err(failure.and(summary)),
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

/// Where lines come from.
enum Input {
    Stdin,
    File(PathBuf),
}

impl Input {
    fn name(&self) -> String {
        match self {
            Self::Stdin => "stdin".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    async fn open(&self) -> Result<Box<dyn AsyncRead + Unpin>, Failure> {
        Ok(match self {
            Self::Stdin => Box::new(tokio::io::stdin()),
            Self::File(path) => Box::new(
                File::open(path)
                    .await
                    .map_err(|error| cannot_read(path, &error))?,
            ),
        })
    }
}

/// Looks at all files before anything is sent, so that a missing one costs nothing.
fn inputs(files: &[PathBuf]) -> Result<Vec<Input>, Failure> {
    if files.is_empty() {
        return Ok(vec![Input::Stdin]);
    }
    let mut inputs = Vec::new();
    for path in files {
        if path == Path::new("-") {
            inputs.push(Input::Stdin);
            continue;
        }
        let usage = |error| Failure {
            exit: Exit::Usage,
            ..cannot_read(path, &error)
        };
        let metadata = std::fs::metadata(path).map_err(usage)?;
        if metadata.is_dir() {
            let reason = "it is a directory; name the files in it";
            let text = format!("cannot read {}: {reason}", path.display());
            return Err(Failure::usage(text));
        }
        // Opening a pipe twice would disturb its writer.
        if metadata.is_file() {
            std::fs::File::open(path).map_err(usage)?;
        }
        inputs.push(Input::File(path.clone()));
    }
    Ok(inputs)
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot read {}: {error}", path.display()))
}

/// Nothing is drawn over what a user types.
fn progress(connection: &Connection, inputs: &[Input]) -> Progress {
    use std::io::IsTerminal;
    let typed =
        inputs.iter().any(|input| matches!(input, Input::Stdin)) && std::io::stdin().is_terminal();
    Progress::new("produced", connection.quiet || typed)
}

async fn all(lines: &mut Lines<'_>, inputs: &[Input]) -> Result<(), Failure> {
    for input in inputs {
        let reader = input.open().await?;
        lines.read(&input.name(), reader).await?;
    }
    Ok(())
}

/// The first failed batch. One is enough: what follows would most likely fail for the same reason.
#[derive(Clone, Default)]
struct Failures(Arc<(Mutex<Option<Failure>>, Notify)>);

impl Failures {
    fn add(&self, batch: &FailedBatch) {
        self.first().get_or_insert_with(|| failed(batch));
        self.0.1.notify_one();
    }

    fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    fn take(&self) -> Option<Failure> {
        self.first().take()
    }

    async fn wait(&self) {
        self.0.1.notified().await;
    }

    fn first(&self) -> std::sync::MutexGuard<'_, Option<Failure>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(batch: &FailedBatch) -> Failure {
    let exit = match batch.cause() {
        DeliveryCause::TimedOut { .. } => Exit::Unreachable,
        DeliveryCause::Refused {
            code: ErrorCode::TopicAuthorizationFailed | ErrorCode::ClusterAuthorizationFailed,
            ..
        }
        | DeliveryCause::NoProducerId(_) => Exit::Refused,
        _ => Exit::Failed,
    };
    let fate = match batch.fate() {
        Fate::NotWritten => "not written",
        Fate::MaybeWritten => "perhaps written",
    };
    let text = format!(
        "{} for partition {} of topic {} {fate}: {}",
        records(batch.len().into()),
        batch.partition(),
        batch.topic(),
        batch.cause()
    );
    Failure::new(exit, text)
}

/// The failure for a record that was not accepted, the line `at`.
fn refused(at: &str, error: &SendError) -> Failure {
    let exit = match error {
        SendError::Topic(error) => error.into(),
        SendError::BufferFull { .. } => Exit::Unreachable,
        _ => Exit::Failed,
    };
    match error {
        SendError::RecordTooLarge { size, .. } => Failure::new(
            exit,
            format!("{at}: {error} (for this line, -X max.request.size={size})"),
        ),
        // The line has no part in it.
        _ => Failure::new(exit, error),
    }
}

fn summary(sent: u64, report: &DeliveryReport, unacknowledged: bool) -> String {
    let word = if unacknowledged {
        "written to the socket (acks=0)"
    } else {
        "acknowledged"
    };
    let mut text = format!("{} sent, {} {word}", records(sent), report.delivered);
    if report.not_written > 0 {
        text += &format!(", {} not written", report.not_written);
    }
    if report.maybe_written > 0 {
        text += &format!(", {} perhaps written", report.maybe_written);
    }
    text
}
