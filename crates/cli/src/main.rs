//! The `milena` binary: Apache Kafka from the command line.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a program has the real clock")]

mod args;
mod bench;
mod broker;
mod connection;
mod consume;
mod failure;
mod format;
mod interrupt;
mod output;
mod position;
mod produce;
mod progress;
mod quickstart;
mod topic;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;
use tracing_subscriber::filter::{EnvFilter, FilterExt, dynamic_filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Cli, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.connection.verbose);
    match start(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::say(&failure.message);
            failure.more.iter().for_each(output::say);
            failure.code()
        }
    }
}

fn start(cli: &Cli) -> Result<(), Failure> {
    let runtime = match &cli.command {
        Command::Bench(_) => bench::runtime(&cli.connection)?,
        _ => Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("cannot start: {error}")))?,
    };
    let result = runtime.block_on(run(cli));
    // A read of standard input cannot be cancelled and must not hold up the end.
    runtime.shutdown_background();
    result
}

async fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Produce(args) => produce::run(&cli.connection, args).await,
        Command::Consume(args) => consume::run(&cli.connection, args).await,
        Command::Topic(topic) => topic::run(&cli.connection, topic).await,
        Command::Broker(args) => broker::run(args, cli.connection.quiet).await,
        Command::Quickstart => quickstart::run().await,
        Command::Bench(bench) => bench::run(&cli.connection, bench).await,
    }
}

/// `MILENA_LOG` or `-v` decide what is logged. Without them it is warnings only, and none that an
/// error will say again: why a connection cannot be made at first, and what failed of the work.
fn log_to_stderr(verbose: u8) {
    let chosen = std::env::var("MILENA_LOG")
        .ok()
        .filter(|filter| !filter.is_empty());
    let all = verbose > 0 || chosen.is_some();
    let default = match verbose {
        0 => "warn,milena_producer=error,milena_consumer=error",
        1 => "milena=debug,info",
        _ => "trace",
    };
    let filter = chosen.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|error| {
        output::say(format_args!("MILENA_LOG={filter} is ignored: {error}"));
        EnvFilter::new(default)
    });
    let once_connected = dynamic_filter_fn(move |_, _| all || connection::is_connected());
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_filter(filter.and(once_connected));
    tracing_subscriber::registry().with(layer).init();
}
