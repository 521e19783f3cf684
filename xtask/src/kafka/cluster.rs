//! A cluster as its directory holds it: which processes, and how to drive them.
//!
//! I1. `cluster.json` is written before the first process starts, so that `down` finds all.
//! I2. A directory that is not a cluster's is never emptied; nor is one whose processes live.
//! I3. A cluster that does not come up whole is ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::process::Process;
use super::wait;
use super::{interrupt, probe};

const STATE: &str = "cluster.json";
/// Each start that is refused takes some seconds.
const SESSION_RETRIES: usize = 5;
const TO_REGISTER: Duration = Duration::from_secs(120);

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Cluster {
    #[serde(skip)]
    pub(super) dir: PathBuf,
    pub(super) version: String,
    /// The plaintext addresses.
    pub(super) bootstrap: String,
    /// In the order in which they must start.
    pub(super) processes: Vec<Process>,
}

impl Cluster {
    /// The cluster that lives in `dir`.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let dir = std::path::absolute(dir)?;
        let text = fs::read_to_string(dir.join(STATE)).with_context(|| {
            format!(
                "{} holds no cluster: name one by `-d`, or start one by `up`",
                dir.display()
            )
        })?;
        let cluster: Self = serde_json::from_str(&text)?;
        Ok(Self { dir, ..cluster })
    }

    /// Makes `dir` an empty directory for a new cluster and returns its absolute path.
    pub(super) fn clear(dir: &Path) -> Result<PathBuf> {
        let dir = std::path::absolute(dir)?;
        if dir.join(STATE).exists() {
            let old = Self::open(&dir)?;
            ensure!(
                !old.processes.iter().any(Process::is_alive),
                "{0} holds a running cluster: end it by `cargo xtask kafka down -d {0}`",
                dir.display()
            );
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let empty = fs::read_dir(&dir)?.next().is_none();
        ensure!(
            empty,
            "{} is not empty: name another by `-d`",
            dir.display()
        ); // I2
        Ok(dir)
    }

    /// Starts every process and waits until every broker lists every broker.
    pub(super) fn up(self) -> Result<Self> {
        fs::write(self.dir.join(STATE), serde_json::to_vec_pretty(&self)?)?; // I1
        match self.launch_all() {
            Ok(()) => Ok(self),
            Err(error) => {
                self.down()?; // I3
                Err(error)
            }
        }
    }

    /// Kills every process and waits until all have ended. The files stay.
    pub(super) fn down(&self) -> Result<()> {
        self.kill_all()?;
        self.processes.iter().try_for_each(Process::wait)
    }

    /// Ends one process by `signal` and waits for it.
    pub(super) fn end(&self, id: &str, signal: Signal) -> Result<()> {
        self.signal(id, signal)?;
        self.process(id)?.wait()
    }

    pub(super) fn signal(&self, id: &str, signal: Signal) -> Result<()> {
        ensure!(
            self.process(id)?.signal(signal)?,
            "node {id} is not running"
        );
        Ok(())
    }

    /// Starts one process again and waits until it lists itself.
    pub(super) fn start(&self, id: &str) -> Result<()> {
        let process = self.process(id)?;
        ensure!(!process.is_alive(), "node {id} is running already");
        // ZooKeeper keeps a killed broker registered until its session ends, and refuses it so long
        let with_zookeeper = self
            .processes
            .iter()
            .any(|process| process.broker_id().is_none());
        let mut retries = if with_zookeeper { SESSION_RETRIES } else { 0 };
        loop {
            process.launch()?;
            let ready = await_ready(process, process.broker_id().as_slice());
            if ready.is_ok() || process.is_alive() || retries == 0 {
                return ready;
            }
            interrupt::check()?;
            retries -= 1;
        }
    }

    fn process(&self, id: &str) -> Result<&Process> {
        let found = self.processes.iter().find(|process| process.name == id);
        found.with_context(|| {
            let names: Vec<_> = self.processes.iter().map(|it| it.name.as_str()).collect();
            format!("there is no node {id}, only {}", names.join(", "))
        })
    }

    fn launch_all(&self) -> Result<()> {
        let brokers: Vec<_> = self
            .processes
            .iter()
            .filter_map(Process::broker_id)
            .collect();
        for process in &self.processes {
            process.launch()?;
            if process.broker_id().is_none() {
                await_ready(process, &[])?;
            }
        }
        self.processes
            .iter()
            .try_for_each(|process| await_ready(process, &brokers))
    }

    fn kill_all(&self) -> Result<()> {
        for process in &self.processes {
            process.signal(Signal::KILL)?;
        }
        Ok(())
    }
}

/// Waits until `process` lists `brokers`; ZooKeeper, until it accepts connections.
fn await_ready(process: &Process, brokers: &[i32]) -> Result<()> {
    let name = &process.name;
    let what = format!("node {name} registered");
    let ready = wait::until(TO_REGISTER, &what, || {
        if !process.is_alive() {
            bail!("node {name} has ended");
        }
        if process.broker_id().is_none() {
            return Ok(probe::accepts(process.port));
        }
        Ok(probe::view(process.port).is_some_and(|view| {
            view.controller >= 0 && brokers.iter().all(|id| view.brokers.contains(id))
        }))
    });
    ready.with_context(|| {
        format!(
            "{}\nThe log is in {}",
            process.log_tail(),
            process.dir.display()
        )
    })
}
