//! `cargo xtask counts`: instructions per record of the hot paths, against a committed baseline.
//!
//! Instructions and not time, because they are the same on a busy machine. What is counted are the
//! modes of `milena-benches`' program `counts`; the baseline is `benches/instructions.txt`, a line
//! `MODE COUNT` each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Count these modes only
    modes: Vec<String>,
    /// Write what was counted into the baseline
    #[arg(long)]
    update: bool,
}

/// How far from the baseline a count may be, in percent: compilers differ by less.
const TOLERANCE: u64 = 5;
/// The figure is the difference of a long and a short run, so that starting up does not count.
const SHORT: u64 = 100_000;
const LONG: u64 = 300_000;

const HEADER: &str = "\
# Instructions a 100 B record, as `cargo xtask counts --update` has counted them on x86-64.
";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let path = crate::root().join("benches/instructions.txt");
    let text = fs::read_to_string(&path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let mut baseline = parse(&text)?;
    for mode in &args.modes {
        let known = baseline.iter().any(|(name, _)| name == mode);
        ensure!(known, "{mode} is not in {}", path.display());
    }
    let program = build()?;
    let mut exceeded = false;
    for (mode, limit) in &mut baseline {
        if !args.modes.is_empty() && !args.modes.contains(mode) {
            continue;
        }
        let each = each(&program, mode)?;
        let verdict = Verdict::of(each, *limit);
        println!(
            "{mode}: {each} instructions a 100 B record, baseline {limit}: {}",
            verdict.text()
        );
        exceeded |= verdict == Verdict::TooMany;
        *limit = each;
    }
    if args.update {
        fs::write(&path, format(&baseline))?;
        println!("wrote {}", path.display());
        exceeded = false;
    }
    Ok(if exceeded {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    TooMany,
    AsBefore,
    Fewer,
}

impl Verdict {
    fn of(count: u64, baseline: u64) -> Self {
        let margin = baseline * TOLERANCE;
        if count * 100 > baseline * 100 + margin {
            Self::TooMany
        } else if count * 100 + margin < baseline * 100 {
            Self::Fewer
        } else {
            Self::AsBefore
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::TooMany => "TOO MANY (if that is right, update the baseline with --update)",
            Self::AsBefore => "ok",
            Self::Fewer => "ok, and fewer: update the baseline with --update",
        }
    }
}

fn parse(text: &str) -> Result<Vec<(String, u64)>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (mode, count) = line.split_once(' ').context(line.to_owned())?;
            Ok((mode.to_owned(), count.trim().parse()?))
        })
        .collect::<Result<_>>()
        .context("a line of the baseline is not MODE COUNT")
}

fn format(baseline: &[(String, u64)]) -> String {
    let lines = baseline.iter();
    let lines = lines.map(|(mode, count)| format!("{mode} {count}\n"));
    HEADER.to_owned() + &lines.collect::<String>()
}

fn each(program: &Path, mode: &str) -> Result<u64> {
    let short = instructions(program, mode, SHORT)?;
    let long = instructions(program, mode, LONG)?;
    ensure!(
        long > short,
        "{mode}: {LONG} records took no more than {SHORT}"
    );
    Ok((long - short) / (LONG - SHORT))
}

/// Builds the program and returns its path.
fn build() -> Result<PathBuf> {
    let output = Command::new("cargo")
        .args(["build", "--release", "--locked"])
        .args(["--package", "milena-benches", "--bin", "counts"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(crate::root())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "the program `counts` of milena-benches does not build"
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .context("cargo names no executable")
}

fn instructions(program: &Path, mode: &str, records: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([mode, &records.to_string()])
        .output()
        .context("cannot run valgrind; install the package valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("counts {mode} failed under valgrind: {text}");
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
    use super::*;

    #[test]
    fn the_count_is_read_from_what_callgrind_prints() {
        let text = "==7== Events    : Ir\n==7== Collected : 123456\n==7==\n";
        assert_eq!(collected(text), Some(123_456));
        assert_eq!(collected("==7== no such line"), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let baseline = vec![("encode".to_owned(), 250), ("decode".to_owned(), 400)];
        assert_eq!(parse(&format(&baseline)).unwrap(), baseline);
        assert!(parse("encode\n").is_err());
        assert!(parse("encode many\n").is_err());
    }

    #[test]
    fn a_count_is_judged_with_a_tolerance_to_both_sides() {
        let verdicts = [94, 95, 100, 105, 106].map(|count| Verdict::of(count, 100));
        let (fewer, ok, many) = (Verdict::Fewer, Verdict::AsBefore, Verdict::TooMany);
        assert_eq!(verdicts, [fewer, ok, ok, ok, many]);
    }
}
