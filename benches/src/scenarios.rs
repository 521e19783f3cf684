//! Situations in which a client easily does worse than it should, each with a figure and its ratio
//! to the figure without the difficulty.
//!
//! - I1. The broker runs in a thread of its own and is reached over TCP; the client and all that
//!   uses it run in the thread that measures. So that thread's CPU time is the client's alone.
//! - I2. What is compared is measured in turns, and medians are compared.

mod cluster;
mod idle;
mod late;
mod partitions;
mod trips;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use milena::{Producer, Record};

pub(crate) use self::cluster::Cluster;

/// Bytes in a value.
const SIZE: usize = 100;
/// How often each of two things that are compared is measured.
const ROUNDS: usize = 5;

/// A situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// One of two brokers acknowledges 500 ms late: what the other one's partitions take
    LateProduce,
    /// One of two brokers answers fetches 500 ms late: what the other one's partitions give
    LateConsume,
    /// Round trips of a producer beside a consumer that waits, on one client
    Beside,
    /// 50 partitions full of records, against 6
    Backlog,
    /// 10,000 partitions to choose from without a key, against 6
    Keyless,
    /// 10,000 partitions to choose from by key, against 6
    Keyed,
    /// What a client that does nothing costs, before and after a leader election
    Idle,
}

impl Scenario {
    /// Runs it; the lines to print.
    ///
    /// # Errors
    /// The load could not be carried out.
    pub async fn run(self, options: Options) -> Result<Vec<Line>> {
        Ok(match self {
            Self::LateProduce => vec![late::produce(options).await?],
            Self::LateConsume => vec![late::consume(options).await?],
            Self::Beside => vec![trips::beside_a_consumer(options).await?],
            Self::Backlog => vec![partitions::backlog(options).await?],
            Self::Keyless => vec![partitions::many(options, false).await?],
            Self::Keyed => vec![partitions::many(options, true).await?],
            Self::Idle => idle::idle(options).await?,
        })
    }
}

/// How much there is to do.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Records in a measurement at full speed. A hundredth of them is round trips.
    pub records: u64,
    /// How long nothing is done.
    pub idle: Duration,
}

/// A result.
#[derive(Debug)]
pub struct Line {
    name: &'static str,
    figure: String,
    ratio: Option<f64>,
    target: &'static str,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.figure)?;
        if let Some(ratio) = self.ratio {
            write!(f, "; ratio {ratio:.2}")?;
        }
        write!(f, " ({})", self.target)
    }
}

/// The medians of two things, measured in turns. // I2
async fn in_turns(
    one: impl AsyncFn() -> Result<f64>,
    other: impl AsyncFn() -> Result<f64>,
) -> Result<(f64, f64)> {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ones.push(one().await?);
        others.push(other().await?);
    }
    Ok((median(ones), median(others)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Sends records and awaits every receipt, of which at most `window` are outstanding.
async fn send<'a>(
    producer: &Producer,
    count: u64,
    window: usize,
    record: impl Fn(u64) -> Record<'a>,
) -> Result<()> {
    let mut receipts = VecDeque::new();
    for number in 0..count {
        receipts.push_back(producer.send(record(number)).await?);
        if receipts.len() >= window {
            for receipt in receipts.drain(..window.div_ceil(4)) {
                receipt.await?;
            }
        }
    }
    for receipt in receipts {
        receipt.await?;
    }
    Ok(())
}

/// What was taken since a point in time, in wall and in CPU time of this thread.
struct Watch {
    began: Instant,
    cpu: Duration,
}

impl Watch {
    fn start() -> Self {
        Self {
            began: now(),
            cpu: thread_cpu(),
        }
    }

    fn seconds(&self) -> f64 {
        now().duration_since(self.began).as_secs_f64()
    }

    fn cpu_seconds(&self) -> f64 {
        (thread_cpu() - self.cpu).as_secs_f64()
    }
}

#[allow(clippy::disallowed_methods, reason = "a program has the real clock")]
fn now() -> Instant {
    Instant::now()
}

fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}
