//! `cargo xtask counts`: instructions per record of the hot paths, against their limits.
//!
//! Instructions and not time, because they are the same on a busy machine. The limits leave room
//! for another compiler; a real regression of these loops is larger.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};

/// What is counted: the mode of `records`' example `counts`, and at most how many instructions.
const LIMITS: [(&str, u64); 2] = [("encode", 280), ("decode", 420)];
/// The figure is the difference of a long and a short run, so that starting up does not count.
const SHORT: u64 = 100_000;
const LONG: u64 = 300_000;

pub(crate) fn run() -> Result<ExitCode> {
    let program = build()?;
    let mut exceeded = false;
    for (mode, limit) in LIMITS {
        let short = instructions(&program, mode, SHORT)?;
        let long = instructions(&program, mode, LONG)?;
        ensure!(
            long > short,
            "{mode}: {LONG} records took no more than {SHORT}"
        );
        let each = (long - short) / (LONG - SHORT);
        let verdict = if each > limit { "TOO MANY" } else { "ok" };
        println!("{mode}: {each} instructions a 100 B record, at most {limit}: {verdict}");
        exceeded |= each > limit;
    }
    Ok(if exceeded {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Builds the example and returns its path.
fn build() -> Result<String> {
    let output = Command::new("cargo")
        .args([
            "build",
            "--release",
            "--package",
            "milena-records",
            "--example",
            "counts",
        ])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(crate::root())
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "the example `counts` of milena-records does not build"
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(str::to_owned))
        .next_back()
        .context("cargo names no executable")
}

fn instructions(program: &str, mode: &str, records: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(Path::new(program))
        .args([mode, &records.to_string()])
        .output()
        .context("cannot run valgrind; install the package valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{program} {mode} failed under valgrind: {text}");
    }
    collected(&text).with_context(|| format!("valgrind printed no count: {text}"))
}

/// The number behind `Collected :`.
fn collected(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::collected;

    #[test]
    fn the_count_is_read_from_what_callgrind_prints() {
        let text = "==7== Events    : Ir\n==7== Collected : 123456\n==7==\n";
        assert_eq!(collected(text), Some(123_456));
        assert_eq!(collected("==7== no such line"), None);
    }
}
