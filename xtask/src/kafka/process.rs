//! One JVM of a cluster, known across runs of xtask by files in its own directory.
//!
//! I1. A signal is sent only to a process whose command line names this process's directory: a
//! stale pid file never hits a stranger.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::wait;

const TO_EXEC: Duration = Duration::from_secs(10);
const TO_END: Duration = Duration::from_secs(40);
const LOG_LINES_SHOWN: usize = 20;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Process {
    /// The node's id, or `zookeeper`.
    pub(super) name: String,
    /// Holds `server.properties`, `log`, `pid` and the data.
    pub(super) dir: PathBuf,
    /// Where it accepts plaintext connections.
    pub(super) port: u16,
    /// Everything after `java`; the last one is a file in `dir`.
    pub(super) args: Vec<String>,
}

impl Process {
    /// The broker's id; ZooKeeper has none.
    pub(super) fn broker_id(&self) -> Option<i32> {
        self.name.parse().ok()
    }

    /// Starts it in a process group of its own, so that a Ctrl-C here does not reach it.
    pub(super) fn launch(&self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))?;
        let mut child = Command::new("java")
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("cannot start java")?;
        fs::write(self.pid_file(), child.id().to_string())
            .with_context(|| format!("cannot write {}", self.pid_file().display()))?;
        self.await_exec(&mut child).inspect_err(|_| {
            let _ = child.kill(); // it may have ended by itself
        })
    }

    /// Between fork and exec it is not recognised, so a `down` would miss it.
    fn await_exec(&self, child: &mut Child) -> Result<()> {
        wait::until(TO_EXEC, &format!("the start of node {}", self.name), || {
            Ok(self.is_alive() || child.try_wait()?.is_some())
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.pid().is_some()
    }

    /// Whether there was a process to send it to.
    pub(super) fn signal(&self, signal: Signal) -> Result<bool> {
        let Some(pid) = self.pid() else {
            return Ok(false);
        };
        kill_process(pid, signal).with_context(|| format!("cannot signal node {}", self.name))?;
        Ok(true)
    }

    /// Waits until it has ended.
    pub(super) fn wait(&self) -> Result<()> {
        let what = format!("the end of node {}", self.name);
        wait::uninterrupted(TO_END, &what, || Ok(!self.is_alive()))
    }

    /// The last lines of its log, for an error.
    pub(super) fn log_tail(&self) -> String {
        let text = fs::read(self.dir.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join("pid")
    }

    fn pid(&self) -> Option<Pid> {
        let pid: i32 = fs::read_to_string(self.pid_file())
            .ok()?
            .trim()
            .parse()
            .ok()?;
        let ours = command_line(pid)?.contains(self.args.last()?); // I1
        if ours { Pid::from_raw(pid) } else { None }
    }
}

/// The command line of a living process; a zombie has none.
fn command_line(pid: i32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&bytes).replace('\0', " "));
    }
    let mut ps = Command::new("ps");
    ps.args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .stdin(Stdio::null());
    let output = ps.output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
