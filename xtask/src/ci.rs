//! `cargo xtask ci` is `.ci/run`: one list of steps, written once, there.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also run the long steps, fuzzing among them
    #[arg(value_parser = ["full"])]
    mode: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let script = crate::root().join(".ci/run");
    let status = Command::new(&script)
        .args(&args.mode)
        .status()
        .with_context(|| format!("cannot run {}", script.display()))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
