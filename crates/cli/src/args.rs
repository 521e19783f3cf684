//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::format::{Format, TEMPLATE_HELP};
use crate::position::{POSITION_HELP, Position};

const EXIT_CODES: &str = "\
Data goes to standard output, everything else to standard error.

Exit codes: 0 done; 1 failed, or done in part; 2 wrong usage; 3 refused (authentication or
authorisation); 4 timed out or unreachable; 130 interrupted, what was accepted is flushed and reported.

Settings, weakest first: --properties FILE; environment (MILENA_BOOTSTRAP, and MILENA_ with a setting's
name in capitals: MILENA_SASL_PASSWORD); -X NAME=VALUE; flags of their own.";

/// Apache Kafka from the command line, without librdkafka or Java
#[derive(Debug, Parser)]
#[command(name = "milena", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub connection: Connection,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// Brokers to start from, HOST:PORT,…; mock://NAME is an embedded broker in this process
    /// [env: MILENA_BOOTSTRAP]
    #[arg(short, long, global = true, value_name = "HOSTS")]
    pub bootstrap: Option<String>,
    /// A properties file with Kafka's (or librdkafka's) names for settings
    /// [env: MILENA_PROPERTIES]
    #[arg(short = 'F', long, global = true, value_name = "FILE")]
    pub properties: Option<PathBuf>,
    /// A setting by Kafka's name; repeatable
    #[arg(short = 'X', long = "set", global = true, value_name = "NAME=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// How long to wait for a connection and for an answer
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
    /// More of what happens, on standard error; twice for all of it
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// No progress and no summary, which are on standard error and only if that is a terminal
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write records: a line is a record, from files or standard input
    Produce(Produce),
    /// Read records and print them
    Consume(Consume),
    /// Create, list, describe and delete topics
    #[command(subcommand)]
    Topic(Topic),
    /// Run the embedded broker; topics are created on first use, nothing is kept on disk
    Broker(Broker),
    /// A first round trip on the embedded broker, then what to try next
    Quickstart,
    /// Measure: loads of fixed shape, and what they cost as a line of JSON
    #[command(subcommand, after_help = BENCH_HELP)]
    Bench(Bench),
}

#[derive(Debug, Args)]
pub(crate) struct Produce {
    /// The topic to write to
    pub topic: String,
    /// Files to read; standard input if there are none, or where one is -
    pub files: Vec<PathBuf>,
    /// What separates key and value in a line; a line without it is an error
    #[arg(short = 'K', long, value_name = "S", value_parser = separator)]
    pub key_separator: Option<String>,
    /// A header for every record; repeatable
    #[arg(short = 'H', long = "header", value_name = "K=V", value_parser = pair)]
    pub headers: Vec<(String, String)>,
    /// The partition; by the key's hash, or any, unless given
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(short = 'z', long, value_name = "C")]
    pub compression: Option<String>,
    /// Who must have a record before it is acknowledged: 0, 1 or all
    #[arg(long, value_name = "A")]
    pub acks: Option<String>,
    /// How many milliseconds to wait for a batch to fill
    #[arg(long, value_name = "N")]
    pub linger_ms: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Consume {
    /// The topic to read
    pub topic: String,
    /// Where to start
    #[arg(short, long, default_value = "beginning", allow_hyphen_values = true, long_help = POSITION_HELP)]
    pub from: Position,
    /// Where to end: up to, not including, this place in each partition; a time after the last
    /// record is the end as it is now
    #[arg(short, long, allow_hyphen_values = true, long_help = POSITION_HELP)]
    pub until: Option<Position>,
    /// The partitions, repeatable or with commas; all unless given
    #[arg(
        short,
        long = "partition",
        value_delimiter = ',',
        value_parser = clap::value_parser!(i32).range(0..)
    )]
    pub partitions: Vec<i32>,
    /// End after this many records
    #[arg(short = 'n', long)]
    pub count: Option<u64>,
    /// End at what is the end now; the same as --until end
    #[arg(short = 'e', long, conflicts_with = "until")]
    pub exit_at_end: bool,
    /// raw, json, or a template
    #[arg(long, default_value = "raw", value_name = "FORMAT", long_help = TEMPLATE_HELP)]
    pub format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Create a topic
    Create {
        /// Its name
        name: String,
        /// How many partitions; the broker's default unless given
        #[arg(long, value_name = "N")]
        partitions: Option<i32>,
        /// How many copies; the broker's default unless given
        #[arg(long, value_name = "N")]
        replication_factor: Option<i16>,
        /// A configuration of the topic, such as retention.ms=60000; repeatable
        #[arg(long = "config", value_name = "K=V", value_parser = pair)]
        configs: Vec<(String, String)>,
    },
    /// List the topics, a name a line
    List {
        /// Internal ones too
        #[arg(long)]
        internal: bool,
    },
    /// Partitions, leaders, replicas and configuration of topics
    Describe {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Delete topics and all their records
    Delete {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Broker {
    /// Where to listen; further nodes take the ports that follow
    #[arg(short, long, default_value = "127.0.0.1:9092", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// How many nodes
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = at_least_one)]
    pub nodes: usize,
    /// How many partitions a topic has that is created on first use
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub partitions: i32,
}

const BENCH_HELP: &str = "\
--set reads settings by Kafka's names, which count more than the flags here, and
  rt=current|multi   the runtime: one thread, or workers (default multi)
  workers=N          the threads of rt=multi (default 2)
  window=N           receipts that may be outstanding (default 20 MB's worth)

CPU time counts from before the client is made to the last acknowledgement or record, wall time from
the first send or poll, after connecting and metadata. Numbers may have underscores.";

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Bench {
    /// Send records, await and check every receipt
    #[command(after_help = BENCH_HELP, args_override_self = true)]
    Produce {
        #[command(flatten)]
        load: Load,
        /// Records a second; as many as can be unless given
        #[arg(long, value_name = "N", value_parser = rate)]
        rate: Option<u64>,
    },
    /// Read partitions from their beginning, sum up and check the sizes
    #[command(after_help = BENCH_HELP, args_override_self = true)]
    Consume {
        #[command(flatten)]
        load: Load,
    },
    /// Round trips one after the other, with no linger and after 200 that do not count
    #[command(after_help = BENCH_HELP, args_override_self = true)]
    Latency {
        #[command(flatten)]
        load: Load,
    },
    /// The checksum of the payloads, to compare with that of another program
    Ring {
        /// Bytes in a payload
        #[arg(long, default_value = "100", value_name = "BYTES", value_parser = number::<usize>)]
        size: usize,
    },
}

/// Flags that every load takes, also where they make no difference to it; the last of one counts.
#[derive(Clone, Debug, Args)]
pub(crate) struct Load {
    /// The topic
    #[arg(long, default_value = "bench")]
    pub topic: String,
    /// How many records
    #[arg(long, default_value = "1_000_000", value_name = "N", value_parser = number::<u64>)]
    pub count: u64,
    /// Bytes in a value; there are no keys
    #[arg(long, default_value = "100", value_name = "BYTES", value_parser = number::<usize>)]
    pub size: usize,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(short = 'z', long, default_value = "none", value_name = "C")]
    pub compression: String,
    /// Who must have a record before it is acknowledged: 0, 1 or all
    #[arg(long, default_value = "all", value_name = "A")]
    pub acks: String,
    /// How many milliseconds to wait for a batch to fill
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub linger_ms: u64,
    /// The largest batch, before compression
    #[arg(long, default_value = "1_000_000", value_name = "BYTES", value_parser = number::<usize>)]
    pub batch_bytes: usize,
    /// Whether retries never duplicate or reorder; with acks all unless given
    #[arg(long, value_name = "true|false")]
    pub idempotent: Option<bool>,
    /// How many partitions are read: 0 and those that follow
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
    /// How records are given to the client: one at a time
    #[arg(long, default_value = "record", value_parser = ["record"])]
    pub api: String,
}

/// A number, in which underscores may stand.
pub(crate) fn number<T: FromStr>(text: &str) -> Result<T, String> {
    let digits = text.replace('_', "");
    digits
        .parse()
        .map_err(|_| format!("{text:?} is no number, or too large a one"))
}

fn rate(text: &str) -> Result<u64, String> {
    match number(text)? {
        0 => Err("a record a second is the least".to_owned()),
        rate => Ok(rate),
    }
}

fn separator(text: &str) -> Result<String, String> {
    match text {
        "" => Err("a separator has at least one character".to_owned()),
        text => Ok(text.to_owned()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1000) => Ok(count),
        _ => Err("a number from 1 to 1000 is expected".to_owned()),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not NAME=VALUE")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is no time; give 500ms, 30s or 2m"))?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(count)),
        "" | "s" => Ok(Duration::from_secs(count)),
        "m" => Ok(Duration::from_secs(count.saturating_mul(60))),
        unit => Err(format!(
            "{unit:?} is no unit of time; give 500ms, 30s or 2m"
        )),
    }
}
