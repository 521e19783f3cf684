//! `milena consume`: records of a topic, printed.

use std::io::{self, BufWriter, Write};
use std::time::Instant;

use futures_util::FutureExt;
use jiff::Timestamp;
use milena::{
    AssignError, AutoCreate, Batch, BuildConsumerError, ConsumeError, Consumer, ConsumerEvent,
    ErrorCode, Start, Stop, TopicPartition,
};

use crate::args::{Connection, Consume};
use crate::connection::{connect, soon};
use crate::failure::{Exit, Failure};
use crate::format::Line;
use crate::interrupt::Interrupt;
use crate::output::{Written, note, outcome, records, say};
use crate::position::Position;
use crate::progress::Progress;

const WRITE_BUFFER: usize = 256 * 1024;

pub(crate) async fn run(connection: &Connection, args: &Consume) -> Result<(), Failure> {
    let client = connect(connection, &[]).await?;
    let topic = client
        .cluster()
        .topic(
            &args.topic,
            AutoCreate::Never,
            Instant::now() + connection.timeout,
        )
        .await?;
    let mut consumer = client.consumer().on_event(warn_of).build().await?;
    let mut partitions = args.partitions.clone();
    partitions.sort_unstable();
    partitions.dedup();
    if partitions.is_empty() {
        partitions = topic
            .partitions
            .iter()
            .map(|partition| partition.index)
            .collect();
    }
    assign(&mut consumer, args, &partitions).await?;
    let mut run = Run {
        args,
        left: args.count.unwrap_or(u64::MAX),
        out: BufWriter::with_capacity(WRITE_BUFFER, io::stdout()),
        progress: progress(connection.quiet),
        count: 0,
        interrupt: Interrupt::listen(),
    };
    let result = run.all(&mut consumer).await;
    let flushed = outcome(run.out.flush()).map(drop);
    let count = run.count;
    drop(run);
    consumer.close(soon()).await;
    client.close(soon()).await;
    let read = format!("{} read", records(count));
    match result.and(flushed) {
        Ok(()) => note(connection.quiet, read),
        Err(failure) => return Err(failure.and(read)),
    }
    Ok(())
}

/// Drawn only while the records go to a file: not among them, nor over what a pager shows.
fn progress(quiet: bool) -> Progress {
    #[cfg(unix)]
    let to_file = std::os::fd::AsFd::as_fd(&io::stdout())
        .try_clone_to_owned()
        .and_then(|stdout| std::fs::File::from(stdout).metadata())
        .is_ok_and(|stdout| stdout.is_file());
    #[cfg(not(unix))]
    let to_file = false;
    Progress::new("consumed", quiet || !to_file)
}

/// What skips or repeats records does not go by in silence.
fn warn_of(event: &ConsumerEvent) {
    if let ConsumerEvent::Reset {
        partition,
        from,
        to,
        ..
    } = event
    {
        say(format_args!(
            "{partition}: offset {from} is outside the log; going on at {to} (auto.offset.reset)"
        ));
    }
}

/// Assigns each partition from where it starts to where it stops.
async fn assign(
    consumer: &mut Consumer,
    args: &Consume,
    partitions: &[i32],
) -> Result<(), Failure> {
    let now = Timestamp::now();
    let start = match args.from {
        Position::Beginning => Start::Beginning,
        Position::End => Start::End,
        Position::Offset(offset) => Start::Offset(offset),
        time => Start::Timestamp(time.millis(now).unwrap_or_default()),
    };
    let until = args.until.or(args.exit_at_end.then_some(Position::End));
    for &partition in partitions {
        let stop = match until {
            None => Stop::Never,
            Some(Position::End) => Stop::AtEnd,
            Some(Position::Beginning) => Stop::At(0),
            Some(Position::Offset(offset)) => Stop::At(offset),
            Some(time) => {
                let millis = time.millis(now).unwrap_or_default();
                stop_at_time(consumer, &args.topic, partition, millis).await?
            }
        };
        consumer
            .assign_until(&args.topic, partition, start, stop)
            .await?;
    }
    Ok(())
}

/// The first record at or after a time, or the end if there is none yet.
async fn stop_at_time(
    consumer: &Consumer,
    topic: &str,
    partition: i32,
    millis: i64,
) -> Result<Stop, Failure> {
    let name = TopicPartition::new(topic, partition);
    let found = consumer
        .offsets_for_times(&[(name, millis)])
        .await
        .map_err(Failure::failed)?;
    Ok(found
        .into_values()
        .next()
        .flatten()
        .map_or(Stop::AtEnd, Stop::At))
}

struct Run<'a> {
    args: &'a Consume,
    left: u64,
    out: BufWriter<io::Stdout>,
    progress: Progress,
    count: u64,
    interrupt: Interrupt,
}

impl Run<'_> {
    async fn all(&mut self, consumer: &mut Consumer) -> Result<(), Failure> {
        while self.left > 0 {
            let Some(batch) = self.next(consumer).await? else {
                return Ok(());
            };
            match outcome(self.write(&batch))? {
                Written::Ok => {}
                Written::Closed => return Ok(()),
            }
            self.progress.set(self.count);
        }
        Ok(())
    }

    /// The next batch. What was printed is flushed before waiting for one.
    async fn next(&mut self, consumer: &mut Consumer) -> Result<Option<Batch>, Failure> {
        if self.interrupt.happened() {
            return Err(Failure::new(Exit::Interrupted, "interrupted"));
        }
        if let Some(ready) = consumer.next_batch().now_or_never() {
            return Ok(ready?);
        }
        if let Written::Closed = outcome(self.out.flush())? {
            return Ok(None);
        }
        tokio::select! {
            biased;
            () = self.interrupt.wait() => Err(Failure::new(Exit::Interrupted, "interrupted")),
            batch = consumer.next_batch() => Ok(batch?),
        }
    }

    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        for record in batch {
            if self.left == 0 {
                break;
            }
            let line = Line {
                topic: batch.topic(),
                partition: batch.partition(),
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key,
                value: record.value,
                headers: record.headers,
            };
            self.args.format.write(&mut self.out, &line)?;
            self.left -= 1;
            self.count += 1;
        }
        Ok(())
    }
}

impl From<BuildConsumerError> for Failure {
    fn from(error: BuildConsumerError) -> Self {
        match error {
            BuildConsumerError::Assign(error) => error.into(),
            other => Self::usage(other),
        }
    }
}

impl From<AssignError> for Failure {
    fn from(error: AssignError) -> Self {
        match error {
            AssignError::Topic(error) => error.into(),
            other => Self::failed(other),
        }
    }
}

impl From<ConsumeError> for Failure {
    fn from(error: ConsumeError) -> Self {
        match &error {
            ConsumeError::OutOfRange { partition, fault } => Self::failed(format!(
                "{partition}: {fault}; give another --from, or say where to go on with \
                 -X auto.offset.reset=earliest or latest"
            )),
            ConsumeError::Refused {
                code: ErrorCode::TopicAuthorizationFailed,
                ..
            } => Self::new(Exit::Refused, error),
            _ => Self::failed(error),
        }
    }
}
