//! Measuring. CPU time counts from before the client is made to the last acknowledgement or record,
//! wall time from the first send or poll.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::resource::{UsageWho, getrusage};

use crate::{Args, Mode};

#[derive(Clone, Copy)]
struct Usage {
    user: f64,
    system: f64,
}

fn usage() -> Result<Usage> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(Usage {
        user: seconds(usage.user_time()),
        system: seconds(usage.system_time()),
    })
}

/// `ru_maxrss` would not do: it begins with the size of the program that started this one.
fn peak_megabytes() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let line = line.context("there is no VmHWM")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0)
}

/// Measures a load at full speed, from before the client is made.
pub struct Meter {
    before: Usage,
    began: Instant,
}

impl Meter {
    pub fn start() -> Result<Self> {
        Ok(Self {
            before: usage()?,
            began: Instant::now(),
        })
    }

    /// The wall clock starts here: with the first send or poll.
    pub fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// Prints what `args.count` records have cost.
    pub fn finish(self, peer: &str, args: &Args) -> Result<()> {
        let wall = self.began.elapsed().as_secs_f64();
        let after = usage()?;
        let (user, system) = (
            after.user - self.before.user,
            after.system - self.before.system,
        );
        let (count, size) = (args.count as f64, args.size as f64);
        let mode = match args.mode {
            Mode::Consume => "consume",
            _ => "produce",
        };
        println!(
            r#"{{"peer":"{peer}","mode":"{mode}","count":{},"size":{},"wall_s":{wall:.4},"msgs_per_s":{:.0},"mb_per_s":{:.2},"user_s":{user:.4},"sys_s":{system:.4},"cpu_us_per_msg":{:.4},"max_rss_mb":{:.1}}}"#,
            args.count,
            args.size,
            count / wall,
            count * size / wall / 1e6,
            (user + system) / count * 1e6,
            peak_megabytes()?,
        );
        Ok(())
    }
}

/// Times round trips.
pub struct Trips {
    before: Usage,
    began: Instant,
    left: u64,
    took: Vec<Duration>,
}

impl Trips {
    pub fn start() -> Result<Self> {
        Ok(Self {
            before: usage()?,
            began: Instant::now(),
            left: crate::WARM_UP,
            took: Vec::new(),
        })
    }

    /// A trip begins.
    pub fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// It has ended.
    pub fn end(&mut self) -> Result<()> {
        if self.left == 0 {
            self.took.push(self.began.elapsed());
            return Ok(());
        }
        self.left -= 1;
        if self.left == 0 {
            self.before = usage()?;
        }
        Ok(())
    }

    /// Prints what they have taken.
    pub fn finish(mut self, peer: &str, args: &Args) -> Result<()> {
        let after = usage()?;
        self.took.sort_unstable();
        let count = self.took.len() as f64;
        let at = |part: f64| {
            let index = ((count - 1.0) * part).round() as usize;
            self.took[index].as_secs_f64() * 1e6
        };
        let sum: Duration = self.took.iter().sum();
        let cpu = after.user + after.system - self.before.user - self.before.system;
        println!(
            r#"{{"peer":"{peer}","mode":"latency","count":{count},"size":{},"mean_us":{:.1},"p50_us":{:.1},"p90_us":{:.1},"p99_us":{:.1},"p999_us":{:.1},"max_us":{:.1},"cpu_us_per_msg":{:.2},"max_rss_mb":{:.1}}}"#,
            args.size,
            sum.as_secs_f64() / count * 1e6,
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0),
            cpu / count * 1e6,
            peak_megabytes()?,
        );
        Ok(())
    }
}
