//! The project's own tasks: `cargo xtask …`.

mod ci;
mod codegen;
mod counts;
mod dag;
mod kafka;
mod planted;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about, disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// A real Apache Kafka on loopback, from Maven Central's jars
    Kafka(kafka::Args),
    /// Check the layers of the workspace and a few rules about its sources
    Dag,
    /// Generate the messages and the API table of `codec` from Kafka's published schemas
    Codegen(codegen::Args),
    /// Count the instructions per record of the hot paths, with valgrind, against the baseline
    Counts(counts::Args),
    /// Plant bugs into a copy of the sources, and see whether the tests find each
    Planted(planted::Args),
    /// Run what CI runs
    Ci(ci::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Kafka(args) => kafka::run(args),
        Task::Dag => dag::run(),
        Task::Codegen(args) => codegen::run(&root(), &args),
        Task::Counts(args) => counts::run(&args),
        Task::Planted(args) => planted::run(&args),
        Task::Ci(args) => ci::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The root of the repository.
fn root() -> PathBuf {
    let xtask = own_dir();
    xtask.parent().unwrap_or(&xtask).to_owned()
}

/// The folder of xtask. What `cargo run` says comes first: clones that share a target directory
/// share this program, too.
fn own_dir() -> PathBuf {
    let running = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let running = running.filter(|dir| dir.ends_with("xtask"));
    running.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).to_owned())
}
