//! `cargo xtask kafka test`: the `#[ignore]`d tests of the workspace on real clusters.
//!
//! | variable | what |
//! |---|---|
//! | `MILENA_TEST_KAFKA` | 4.3.1, plaintext |
//! | `MILENA_TEST_KAFKA_DIR` | its directory: `ca.pem`, `client.pem`, `client.key`, … |
//! | `MILENA_TEST_KAFKA_SASL_SSL` | 4.3.1, SASL over TLS |
//! | `MILENA_TEST_KAFKA_CLIENT_PROPERTIES` | Kafka's settings for it (SCRAM-SHA-512) |
//! | `MILENA_TEST_KAFKA_SSL` | 4.3.1, TLS; a client certificate is welcome |
//! | `MILENA_TEST_KAFKA_3`, `…_3_DIR` | 4.3.1, three brokers; only if the name of a test, with its module, contains `three_brokers` |
//! | `MILENA_TEST_KAFKA_TXN` | 4.3.1 with two-phase commit, formatted with `transaction.version` 0; only if the name of a test contains `transactions` |
//! | `MILENA_TEST_KAFKA_39`, `MILENA_TEST_KAFKA_21` | 3.9.1 and 2.1.1, plaintext |
//! | `MILENA_TEST_KAFKA_LIBS` | the directory with the jars of 4.3.1 |
//! | `MILENA_TEST_SECONDS` | yours, if you set it: how long connections are cut in `three_brokers_faults` |
//! | `MILENA_ROUNDS` | yours, too: so many whole rounds of each fault there |
//! | `MILENA_TEST_XTASK` | this program, for `kafka kill 1 -d …` |
//!
//! I1. Whatever happens, SIGKILL to xtask itself excepted, no cluster outlives the run.
//! I2. A run in which no test matches fails.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use super::cluster::Cluster;
use super::{DEFAULT_VERSION, Dir, Up, Version, interrupt, jars, java, legacy, wait};

/// Those that have such tests.
const PACKAGES: [&str; 3] = ["protocol-tests", "milena-admin", "milena-net"];

/// Twenty rounds of all faults take two hours.
const LONGEST_RUN: Duration = Duration::from_secs(3 * 3600);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on to the test program: a filter, --nocapture, --test-threads=1 …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    java::check()?;
    interrupt::install()?;
    let tests = list(&args.args)?;
    let filter = args.args.join(" ");
    ensure!(
        !tests.is_empty(),
        "no test that needs a real Kafka matches [{filter}]"
    ); // I2
    let mut clusters = Clusters::create()?;
    clusters.start(&wanted(&tests))?;
    let passed = run_tests(&clusters.environment()?, &args.args)?;
    if !passed {
        clusters.keep_files();
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn cargo_test() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::root()).stdin(Stdio::null());
    command.args(["test", "--no-fail-fast"]);
    command.args(PACKAGES.iter().flat_map(|package| ["-p", package]));
    // `cargo run` sets these for this program, and build scripts that watch them would run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// The names of the tests that would run. Builds them, too, before any cluster takes memory.
fn list(args: &[String]) -> Result<Vec<String>> {
    let mut command = cargo_test();
    command
        .args(["--", "--ignored", "--list"])
        .args(args)
        .stderr(Stdio::inherit());
    let output = command.output().context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "the tests do not build, or `--list` fails; see above"
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}

/// One cluster to start.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wanted {
    name: &'static str,
    version: &'static str,
    brokers: u16,
    secure: bool,
    /// Arguments more to format with, and properties more.
    format: &'static [&'static str],
    properties: &'static str,
    variable: &'static str,
}

const SINGLE: Wanted = Wanted {
    name: "single",
    version: DEFAULT_VERSION,
    brokers: 1,
    secure: true,
    format: &[],
    properties: "",
    variable: "MILENA_TEST_KAFKA",
};
const TRANSACTIONS: Wanted = Wanted {
    name: "transactions",
    secure: false,
    format: &["--feature", "transaction.version=0"],
    properties: "unstable.api.versions.enable=true
transaction.two.phase.commit.enable=true
",
    variable: "MILENA_TEST_KAFKA_TXN",
    ..SINGLE
};
const THREE: Wanted = Wanted {
    name: "three",
    brokers: 3,
    secure: false,
    variable: "MILENA_TEST_KAFKA_3",
    ..SINGLE
};
const LINE_39: Wanted = Wanted {
    name: "3.9.1",
    version: "3.9.1",
    secure: false,
    variable: "MILENA_TEST_KAFKA_39",
    ..SINGLE
};
const LINE_21: Wanted = Wanted {
    name: "2.1.1",
    version: legacy::VERSION,
    secure: false,
    variable: "MILENA_TEST_KAFKA_21",
    ..SINGLE
};

fn wanted(tests: &[String]) -> Vec<Wanted> {
    let mut wanted = vec![SINGLE, LINE_39, LINE_21];
    if tests.iter().any(|name| name.contains("three_brokers")) {
        wanted.push(THREE);
    }
    if tests.iter().any(|name| name.contains("transactions")) {
        wanted.push(TRANSACTIONS);
    }
    wanted
}

/// Clusters in a directory of this run; its drop ends them.
struct Clusters {
    dir: PathBuf,
    up: Vec<(Wanted, Cluster)>,
    keep: bool,
}

impl Clusters {
    fn create() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("milena-kafka-test-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self {
            dir,
            up: Vec::new(),
            keep: false,
        })
    }

    /// All at the same time; those that came up are kept for the drop even if one did not.
    fn start(&mut self, wanted: &[Wanted]) -> Result<()> {
        for wanted in wanted {
            jars::libs(wanted.version)?;
        }
        let dir = self.dir.as_path();
        let results = thread::scope(|scope| {
            let threads: Vec<_> = wanted
                .iter()
                .map(|&wanted| {
                    let start = move || super::start(&up(wanted, dir)?);
                    (wanted, scope.spawn(start))
                })
                .collect();
            let join = |(wanted, thread): (Wanted, thread::ScopedJoinHandle<'_, _>)| {
                (
                    wanted,
                    thread.join().expect("starting a cluster does not panic"),
                )
            };
            threads.into_iter().map(join).collect::<Vec<_>>()
        });
        let mut failed = None;
        for (wanted, result) in results {
            match result {
                Ok(cluster) => {
                    eprintln!("Kafka {}: {}", wanted.name, cluster.bootstrap);
                    self.up.push((wanted, cluster));
                }
                Err(error) => failed = Some(error.context(format!("cluster {}", wanted.name))),
            }
        }
        match failed {
            None => Ok(()),
            Some(error) => {
                self.keep_files();
                Err(error)
            }
        }
    }

    fn environment(&self) -> Result<Vec<(String, OsString)>> {
        let mut variables = vec![
            (
                "MILENA_TEST_KAFKA_LIBS".to_owned(),
                jars::libs(DEFAULT_VERSION)?.into(),
            ),
            (
                "MILENA_TEST_XTASK".to_owned(),
                std::env::current_exe()?.into(),
            ),
        ];
        for (wanted, cluster) in &self.up {
            let name = wanted.variable;
            variables.push((name.to_owned(), cluster.bootstrap.clone().into()));
            variables.push((format!("{name}_DIR"), cluster.dir.clone().into()));
            if wanted.secure {
                let properties = cluster.dir.join("client.properties");
                let ssl = cluster.dir.join("client-ssl.properties");
                variables.push((
                    format!("{name}_SASL_SSL"),
                    bootstrap_of(&properties)?.into(),
                ));
                variables.push((format!("{name}_SSL"), bootstrap_of(&ssl)?.into()));
                variables.push((format!("{name}_CLIENT_PROPERTIES"), properties.into()));
            }
        }
        Ok(variables)
    }

    fn keep_files(&mut self) {
        self.keep = true;
        eprintln!("the clusters' logs stay in {}", self.dir.display());
    }
}

impl Drop for Clusters {
    fn drop(&mut self) {
        // I1
        for (wanted, cluster) in &self.up {
            if let Err(error) = cluster.down() {
                eprintln!("cluster {} does not end: {error:#}", wanted.name);
                self.keep = true;
            }
        }
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            eprintln!("cannot remove {}: {error}", self.dir.display());
        }
    }
}

fn up(wanted: Wanted, dir: &Path) -> Result<Up> {
    let mut extra = None;
    if !wanted.properties.is_empty() {
        // Not within the cluster's own directory, which is cleared.
        let file = dir.join(format!("{}.properties", wanted.name));
        fs::write(&file, wanted.properties)?;
        extra = Some(file);
    }
    Ok(Up {
        dir: Dir {
            dir: dir.join(wanted.name),
        },
        version: Version {
            version: wanted.version.to_owned(),
        },
        brokers: wanted.brokers,
        port: 0,
        extra,
        add_scram: Vec::new(),
        format_arg: wanted.format.iter().map(|&it| it.to_owned()).collect(),
        secure: wanted.secure,
        heap: "512m".to_owned(),
        jvm: String::new(),
    })
}

fn bootstrap_of(properties: &Path) -> Result<String> {
    let text = fs::read_to_string(properties)?;
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix("bootstrap.servers="));
    let found = found.with_context(|| format!("{} has no bootstrap.servers", properties.display()));
    Ok(found?.to_owned())
}

/// Whether all tests passed. They run in a process group of their own, which an interrupt ends.
fn run_tests(environment: &[(String, OsString)], args: &[String]) -> Result<bool> {
    let mut command = cargo_test();
    command
        .args(["--", "--ignored"])
        .args(args)
        .process_group(0);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn().context("cannot run cargo")?;
    let mut status = None;
    let ended = wait::until(LONGEST_RUN, "the end of the tests", || {
        status = child.try_wait()?;
        Ok(status.is_some())
    });
    if let Err(error) = ended {
        kill_group(&mut child)?;
        return Err(error);
    }
    Ok(status.is_some_and(|status| status.success()))
}

fn kill_group(child: &mut Child) -> Result<()> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process_group(group.context("a child has a positive id")?, Signal::KILL)?;
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_clusters_start_only_for_a_test_that_asks_for_them() {
        let names = |names: &[&str]| names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        assert_eq!(wanted(&names(&["a::b"])), [SINGLE, LINE_39, LINE_21]);
        let asked = wanted(&names(&["a::b", "three_brokers::a_leader_is_killed"]));
        assert_eq!(asked, [SINGLE, LINE_39, LINE_21, THREE]);
        let asked = wanted(&names(&["transactions::they_commit"]));
        assert_eq!(asked, [SINGLE, LINE_39, LINE_21, TRANSACTIONS]);
    }
}
