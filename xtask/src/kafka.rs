//! A real Apache Kafka on loopback: no Docker, Java 17 or later, jars from Maven Central.
//!
//! Standard output carries results only (the bootstrap list, a directory); all else goes to
//! standard error. Unix only: nodes are driven by signals.

mod cluster;
mod interrupt;
pub(crate) mod jars;
mod java;
mod kraft;
mod legacy;
mod ports;
mod probe;
mod process;
mod secure;
mod suite;
mod wait;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;
use rustix::process::Signal;

use cluster::Cluster;

pub(crate) const DEFAULT_VERSION: &str = "4.3.1";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster; print its bootstrap list when every node is registered
    Up(Up),
    /// End the cluster: SIGKILL to each of its processes
    Down(Dir),
    /// SIGKILL one node
    Kill(Node),
    /// SIGTERM one node and wait until it has ended
    Stop(Node),
    /// Start one node again and wait until it is registered
    Start(Node),
    /// SIGSTOP one node
    Pause(Node),
    /// SIGCONT one node
    Resume(Node),
    /// Run one of Kafka's own tools, such as org.apache.kafka.tools.TopicCommand
    Run(Run),
    /// Fetch the jars if they are not there and print their directory
    Jars(Version),
    /// Run the tests that need a real Kafka, with the clusters they need
    Test(suite::Args),
}

#[derive(clap::Args, Clone)]
struct Up {
    #[command(flatten)]
    dir: Dir,
    #[command(flatten)]
    version: Version,
    /// Brokers, each a controller too
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=9))]
    brokers: u16,
    /// Port of the first node's plaintext listener; 0 takes free ports
    #[arg(short, long, default_value_t = 19092)]
    port: u16,
    /// Properties appended to each node's, where the last one wins; @ID@, @PORT@ and @DIR@ are
    /// filled in
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    extra: Option<PathBuf>,
    /// A SCRAM user made at format time: 'SCRAM-SHA-512=[name=alice,password=…]'
    #[arg(long, value_name = "CREDENTIAL")]
    add_scram: Vec<String>,
    /// An argument more for Kafka's StorageTool format
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    format_arg: Vec<String>,
    /// Add a SASL_SSL listener (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512) and an SSL one (client
    /// certificates welcome), with certificates and client.properties in the cluster's directory
    #[arg(long)]
    secure: bool,
    /// The most heap of a node
    #[arg(long, env = "KAFKA_HEAP", default_value = "1g")]
    heap: String,
    /// More arguments for each node's JVM, separated by spaces
    #[arg(
        long,
        env = "KAFKA_OPTS",
        default_value = "",
        allow_hyphen_values = true
    )]
    jvm: String,
}

#[derive(clap::Args, Clone)]
struct Version {
    /// Kafka's version: 4.3.1, 3.9.1, or 2.1.1 (one broker with a ZooKeeper)
    #[arg(short = 'v', long = "kafka-version", default_value = DEFAULT_VERSION)]
    version: String,
}

#[derive(clap::Args, Clone)]
struct Dir {
    /// Where the cluster lives
    #[arg(short, long, default_value_os_t = std::env::temp_dir().join("milena-kafka"))]
    dir: PathBuf,
}

#[derive(clap::Args)]
struct Node {
    /// The node's id, from 1; or `zookeeper`
    id: String,
    #[command(flatten)]
    dir: Dir,
}

#[derive(clap::Args)]
struct Run {
    #[command(flatten)]
    version: Version,
    /// The class to run
    class: String,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Up(up) => println!("{}", start(&up)?.bootstrap),
        Command::Down(dir) => Cluster::open(&dir.dir)?.down()?,
        Command::Kill(node) => node.end(Signal::KILL)?,
        Command::Stop(node) => node.end(Signal::TERM)?,
        Command::Start(node) => {
            interrupt::install()?;
            Cluster::open(&node.dir.dir)?.start(&node.id)?;
        }
        Command::Pause(node) => node.signal(Signal::STOP)?,
        Command::Resume(node) => node.signal(Signal::CONT)?,
        Command::Run(run) => return java::run_tool(&run.version.version, &run.class, &run.args),
        Command::Jars(version) => println!("{}", jars::libs(&version.version)?.display()),
        Command::Test(args) => return suite::run(&args),
    }
    Ok(ExitCode::SUCCESS)
}

/// Brings up what `up` describes; ends what it has started if that fails.
fn start(up: &Up) -> Result<Cluster> {
    interrupt::install()?;
    java::check()?;
    let version = up.version.version.as_str();
    let major: u32 = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok())
        .unwrap_or(0);
    match (version, major) {
        (legacy::VERSION, _) => legacy::up(up),
        (_, 3..) => kraft::up(up),
        _ => bail!("Kafka {version} is not supported here: take 4.3.1, 3.9.1 or 2.1.1"),
    }
}

impl Node {
    fn end(&self, signal: Signal) -> Result<()> {
        Cluster::open(&self.dir.dir)?.end(&self.id, signal)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Cluster::open(&self.dir.dir)?.signal(&self.id, signal)
    }
}
