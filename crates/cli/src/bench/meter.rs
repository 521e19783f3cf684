//! What a load has cost: wall time, CPU time, memory.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::args::Load;

/// What this process has used so far. Zero where the system does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// CPU time in the program, in seconds.
    pub user: f64,
    /// CPU time in the kernel, in seconds.
    pub system: f64,
    /// How often a thread was switched away from.
    pub switches: i64,
}

impl Usage {
    #[cfg(unix)]
    pub(crate) fn now() -> Self {
        use nix::sys::resource::{UsageWho, getrusage};

        let seconds = |time: nix::sys::time::TimeVal| {
            time.tv_sec() as f64 + f64::from(time.tv_usec() as u32) / 1e6
        };
        getrusage(UsageWho::RUSAGE_SELF).map_or_else(
            |_| Self::default(),
            |usage| Self {
                user: seconds(usage.user_time()),
                system: seconds(usage.system_time()),
                switches: usage.voluntary_context_switches() + usage.involuntary_context_switches(),
            },
        )
    }

    #[cfg(not(unix))]
    pub(crate) fn now() -> Self {
        Self::default()
    }

    fn since(self, before: Self) -> Self {
        Self {
            user: self.user - before.user,
            system: self.system - before.system,
            switches: self.switches - before.switches,
        }
    }
}

/// The most memory that was resident at a time, in megabytes; none where there is no such file.
/// `ru_maxrss` would not do: it begins with the size of the program that started this one.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes / 1024.0)
}

/// Measures a load from before its client is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    before: Usage,
    began: Instant,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self {
            before: Usage::now(),
            began: Instant::now(),
        }
    }

    /// The wall clock starts here: with the first send or poll.
    pub(crate) fn begin(&mut self) {
        self.began = Instant::now();
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// A line of JSON: what `count` records of a load have cost until now, and the counts in `more`.
    pub(crate) fn line(&self, mode: &str, load: &Load, count: u64, more: &[(&str, u64)]) -> String {
        let wall = self.began.elapsed().as_secs_f64();
        let used = Usage::now().since(self.before);
        let records = count.max(1) as f64;
        let mut line = Line::new(mode, count, load.size);
        line.number("wall_s", wall, 4);
        line.number("msgs_per_s", count as f64 / wall, 0);
        line.number("mb_per_s", count as f64 * load.size as f64 / wall / 1e6, 2);
        line.number("user_s", used.user, 4);
        line.number("sys_s", used.system, 4);
        line.number("cpu_us_per_msg", micros(used) / records, 4);
        line.memory();
        line.number("csw", used.switches as f64, 0);
        for (name, count) in more {
            line.number(name, *count as f64, 0);
        }
        line.end()
    }

    /// As [`Meter::line`], for round trips one after the other. `trips` is not empty.
    pub(crate) fn trips(&self, load: &Load, mut trips: Vec<Duration>) -> String {
        let used = Usage::now().since(self.before);
        trips.sort_unstable();
        let last = trips.len() - 1;
        let at = |part: f64| trips[(last as f64 * part).round() as usize].as_secs_f64() * 1e6;
        let sum: f64 = trips.iter().map(Duration::as_secs_f64).sum();
        let count = trips.len() as f64;
        let mut line = Line::new("latency", trips.len() as u64, load.size);
        line.number("mean_us", sum / count * 1e6, 1);
        line.number("p50_us", at(0.5), 1);
        line.number("p90_us", at(0.9), 1);
        line.number("p99_us", at(0.99), 1);
        line.number("p999_us", at(0.999), 1);
        line.number("max_us", at(1.0), 1);
        line.number("cpu_us_per_msg", micros(used) / count, 2);
        line.memory();
        line.end()
    }
}

fn micros(used: Usage) -> f64 {
    (used.user + used.system) * 1e6
}

/// An object of JSON on a line.
struct Line(String);

impl Line {
    fn new(mode: &str, count: u64, size: usize) -> Self {
        Self(format!(
            r#"{{"peer":"milena","mode":"{mode}","count":{count},"size":{size}"#
        ))
    }

    fn number(&mut self, name: &str, value: f64, digits: usize) {
        // Writing to a string does not fail.
        let _ = write!(self.0, r#","{name}":{value:.digits$}"#);
    }

    fn memory(&mut self) {
        match peak_memory() {
            Some(megabytes) => self.number("max_rss_mb", megabytes, 1),
            None => self.0.push_str(r#","max_rss_mb":null"#),
        }
    }

    fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}
