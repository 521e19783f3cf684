//! `cargo xtask dag`: what the compiler does not check about the workspace.
//!
//! 1. Edges between crates point down by layer ([`layers`]), and the lower crates do no I/O.
//! 2. Every library forbids unsafe code, and no file names somebody's own directories
//!    ([`sources`]).

mod layers;
mod sources;

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// The part of `cargo metadata` that is looked at.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// None for a normal dependency, `dev`, `build`.
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: std::path::PathBuf,
}

pub(crate) fn run() -> Result<ExitCode> {
    let metadata = metadata()?;
    let mut problems = layers::check(&metadata.packages);
    problems.extend(sources::check(&crate::root(), &metadata.packages)?);
    if problems.is_empty() {
        println!(
            "dag: {} crates, every edge points down",
            metadata.packages.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    for problem in &problems {
        eprintln!("dag: {problem}");
    }
    Ok(ExitCode::FAILURE)
}

fn metadata() -> Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(crate::root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "`cargo metadata` failed; see above"
    );
    serde_json::from_slice(&output.stdout).context("`cargo metadata` printed something unexpected")
}
