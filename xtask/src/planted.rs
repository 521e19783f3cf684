//! `cargo xtask planted`: bugs planted into a copy of the sources, each of which its test must find.
//!
//! A bug is a patch in `crates/sim/planted`. What stands above its diff says what is wrong then, and on
//! a line `Test: NAME` which of the [`TESTS`] has to fail. A patch that does not apply any more, does
//! not compile, or is not found is an error.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Plant only the bugs with one of these in their names
    names: Vec<String>,
    /// Leave the last bug planted in the copy, `target/planted`
    #[arg(long)]
    keep: bool,
}

/// A test by the name that patches give it.
struct Test {
    name: &'static str,
    arguments: &'static [&'static str],
    /// The runs from seeds, where it has any.
    seeds: Option<&'static str>,
}

const TESTS: [Test; 4] = [
    Test {
        name: "sequencer",
        arguments: &["-p", "milena-sim", "--test", "sequencer", "--", "replay"],
        seeds: Some("3000"),
    },
    Test {
        name: "transaction",
        arguments: &["-p", "milena-sim", "--test", "transaction", "--", "replay"],
        seeds: Some("2000"),
    },
    Test {
        name: "milena-proto",
        arguments: &["-p", "milena-proto", "--lib"],
        seeds: None,
    },
    Test {
        name: "whole_client",
        arguments: &["-p", "protocol-tests", "--test", "whole_client"],
        seeds: None,
    },
];

/// A test that takes longer than this hangs, which is a way to fail.
const LONGEST: Duration = Duration::from_secs(180);

struct Planted {
    name: String,
    patch: PathBuf,
    test: &'static Test,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Caught,
    Missed,
    DoesNotApply,
    DoesNotCompile,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = crate::root();
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let copy = target.join("planted");
    let bugs = bugs(&root.join("crates/sim/planted"), &args.names)?;
    refresh(&root, &copy)?;
    for test in &TESTS {
        if bugs.iter().any(|bug| std::ptr::eq(bug.test, test)) {
            let sound = compiles(&copy, test)? && passes(&copy, test)?;
            ensure!(sound, "{} fails without any bug", test.name);
        }
    }
    let mut failed = false;
    for bug in &bugs {
        let begun = now();
        let verdict = plant(&copy, bug)?;
        failed |= verdict != Verdict::Caught;
        let seconds = begun.elapsed().as_secs();
        println!(
            "{:<15} {seconds:>3} s  {:<13} {}",
            verdict.text(),
            bug.test.name,
            bug.name
        );
        let last = bugs.last().is_some_and(|last| last.name == bug.name);
        if !(args.keep && last) {
            refresh(&root, &copy)?;
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

impl Verdict {
    const fn text(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::Missed => "MISSED",
            Self::DoesNotApply => "DOES NOT APPLY",
            Self::DoesNotCompile => "DOES NOT BUILD",
        }
    }
}

/// The bugs of a folder, by name.
fn bugs(dir: &Path, wanted: &[String]) -> Result<Vec<Planted>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let patch = entry?.path();
        let stem = patch.file_stem().context("a file has a name")?;
        let name = stem.to_string_lossy().into_owned();
        if !wanted.is_empty() && !wanted.iter().any(|one| name.contains(one.as_str())) {
            continue;
        }
        let text = fs::read_to_string(&patch)?;
        let test = text.lines().find_map(|line| line.strip_prefix("Test: "));
        let test = test.and_then(|name| TESTS.iter().find(|test| test.name == name));
        let test = test.with_context(|| format!("{name}: no line 'Test: ' with a known test"))?;
        found.push(Planted { name, patch, test });
    }
    ensure!(!found.is_empty(), "no bug has such a name");
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn plant(copy: &Path, bug: &Planted) -> Result<Verdict> {
    // Or git would take the copy for a part of the repository, and apply nothing.
    let applied = Command::new("git")
        .args(["apply", "-C1", "--whitespace=nowarn"])
        .arg(&bug.patch)
        .current_dir(copy)
        .env("GIT_CEILING_DIRECTORIES", copy.parent().unwrap_or(copy))
        .status()
        .context("cannot run git")?;
    if !applied.success() {
        return Ok(Verdict::DoesNotApply);
    }
    if !compiles(copy, bug.test)? {
        return Ok(Verdict::DoesNotCompile);
    }
    Ok(if passes(copy, bug.test)? {
        Verdict::Missed
    } else {
        Verdict::Caught
    })
}

fn cargo(copy: &Path, test: &Test) -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--quiet", "--locked"])
        .current_dir(copy)
        // Not ours: cargo would take the copy's crates for ours, and build both again and again.
        .env("CARGO_TARGET_DIR", copy.join("target"))
        .env("RUST_BACKTRACE", "0")
        .env_remove("CARGO_MANIFEST_DIR")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(seeds) = test.seeds {
        cargo.env("MILENA_SEEDS", seeds);
    }
    cargo
}

fn compiles(copy: &Path, test: &Test) -> Result<bool> {
    let build = test
        .arguments
        .iter()
        .take_while(|argument| **argument != "--");
    let status = cargo(copy, test).args(build).arg("--no-run").status();
    Ok(status.context("cannot run cargo")?.success())
}

fn passes(copy: &Path, test: &Test) -> Result<bool> {
    let mut running = cargo(copy, test)
        .args(test.arguments)
        .spawn()
        .context("cannot run cargo")?;
    let begun = now();
    loop {
        if let Some(status) = running.try_wait()? {
            return Ok(status.success());
        }
        if begun.elapsed() > LONGEST {
            // The test itself is a child of cargo's.
            let group = rustix::process::Pid::from_child(&running);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
            running.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long tests take is printed, and bounded"
)]
fn now() -> Instant {
    Instant::now()
}

/// Makes the copy equal to the tracked sources. What is equal is left alone, so that it is not built
/// again.
fn refresh(root: &Path, copy: &Path) -> Result<()> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    if !listed.status.success() {
        bail!("git cannot list the sources");
    }
    for name in listed.stdout.split(|byte| *byte == 0) {
        let name = Path::new(std::str::from_utf8(name)?);
        let from = root.join(name);
        if !from.is_file() {
            continue;
        }
        let to = copy.join(name);
        let wanted = fs::read(&from)?;
        if fs::read(&to).is_ok_and(|known| known == wanted) {
            continue;
        }
        if let Some(dir) = to.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(&to, wanted).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}
