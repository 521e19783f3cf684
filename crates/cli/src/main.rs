//! The `milena` binary: Apache Kafka from the command line.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a program has the real clock")]

mod args;
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
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.connection.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("milena: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(&cli));
    // A read of standard input cannot be cancelled and must not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("milena: {}", failure.message);
            failure.code()
        }
    }
}

async fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Produce(args) => produce::run(&cli.connection, args).await,
        Command::Consume(args) => consume::run(&cli.connection, args).await,
        Command::Topic(topic) => topic::run(&cli.connection, topic).await,
        Command::Broker(args) => broker::run(args, cli.connection.quiet).await,
        Command::Quickstart => quickstart::run().await,
    }
}

/// `MILENA_LOG` or `-v` decide what is logged; without them nothing is but warnings.
fn log_to_stderr(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "milena=debug,info",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("MILENA_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
