//! What the Rust programs share: command line, payloads, measuring, the line of JSON.
//!
//! The command line and the meaning of each figure are those of `milena bench`.

#![forbid(unsafe_code)]

mod meter;

#[path = "../../../../crates/cli/src/bench/ring.rs"]
#[allow(dead_code)]
mod ring;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};

pub use self::meter::{Meter, Trips};

/// How many payloads there are.
pub const RING: usize = ring::LEN;
/// Round trips before those that count.
pub const WARM_UP: u64 = 200;
/// How long nothing may come before that is a failure.
pub const STALLED: Duration = Duration::from_secs(20);

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Send, and check every acknowledgement.
    Produce,
    /// Read from the beginning, and check the sum of the sizes.
    Consume,
    /// Round trips one after the other.
    Latency,
    /// Print the checksum of the payloads.
    Ring,
}

/// The command line.
#[derive(Clone, Debug, Parser)]
#[command(args_override_self = true)]
pub struct Args {
    pub mode: Mode,
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub bootstrap: String,
    #[arg(long, default_value = "bench")]
    pub topic: String,
    #[arg(long, default_value = "1_000_000", value_parser = number)]
    pub count: u64,
    #[arg(long, default_value_t = 100)]
    pub size: usize,
    #[arg(long, default_value = "none")]
    pub compression: String,
    #[arg(long, default_value = "all")]
    pub acks: String,
    #[arg(long, default_value_t = 5)]
    pub linger_ms: u64,
    #[arg(long, default_value_t = 1_000_000)]
    pub batch_bytes: usize,
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    idempotent: bool,
    #[arg(long, default_value_t = 6)]
    pub partitions: i32,
    /// Which way of the client's to take
    #[arg(long, default_value = "")]
    pub api: String,
    /// What only this client knows
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
}

impl Args {
    /// Whether retries must not duplicate.
    pub fn idempotent(&self) -> bool {
        self.idempotent && self.acks == "all"
    }

    /// The value of `--set NAME=`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.set.iter().rev();
        values
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The same as a number.
    pub fn number(&self, name: &str, default: usize) -> Result<usize> {
        self.get(name).map_or(Ok(default), |value| {
            value.parse().with_context(|| format!("{name}={value}"))
        })
    }

    /// The payloads.
    pub fn payloads(&self) -> Vec<Vec<u8>> {
        ring::payloads(self.size, self.count.saturating_add(WARM_UP))
    }

    /// Fails unless what was read is `count` records of `size` bytes.
    pub fn check_sum(&self, bytes: u64) -> Result<()> {
        let expected = self.count * self.size as u64;
        anyhow::ensure!(bytes == expected, "{bytes} bytes were read, not {expected}");
        Ok(())
    }

    /// Prints the checksum of the payloads.
    pub fn print_ring(&self) -> Result<()> {
        println!(
            "{:016x}",
            ring::checksum(&ring::payloads(self.size, u64::MAX))
        );
        Ok(())
    }

    /// The error for a mode that this client has no way to carry out.
    pub fn no_such_way<T>(&self) -> Result<T> {
        bail!("there is no {:?} with --api {:?}", self.mode, self.api)
    }

    /// The runtime that `--set rt=` asks for.
    pub fn runtime(&self) -> Result<tokio::runtime::Runtime> {
        let mut builder = match self.get("rt").unwrap_or("multi") {
            "current" => tokio::runtime::Builder::new_current_thread(),
            "multi" => tokio::runtime::Builder::new_multi_thread(),
            other => bail!("rt={other}: current or multi is expected"),
        };
        builder.worker_threads(self.number("workers", 2)?);
        Ok(builder.enable_all().build()?)
    }
}

/// All payloads, for the null broker.
pub fn payloads(size: usize) -> Vec<Vec<u8>> {
    ring::payloads(size, u64::MAX)
}

fn number(text: &str) -> Result<u64, std::num::ParseIntError> {
    text.replace('_', "").parse()
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok((name.to_owned(), value.to_owned()))
}
