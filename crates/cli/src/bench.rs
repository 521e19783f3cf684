//! `milena bench`: loads of fixed shape, and a line of JSON with what they cost.
//!
//! What the figures mean is the same for every client that is compared with this one:
//!
//! - I1. Payloads come from [`ring`], byte for byte the same everywhere, made before anything is
//!   measured.
//! - I2. CPU time counts from before the client is made to the last acknowledgement or record; wall
//!   time from the first send or poll, after connecting and the topic's metadata.
//! - I3. Nothing is taken on trust: every receipt is awaited and checked, and what was read is
//!   summed up and compared.
//!
//! Not for finding out whether a cluster keeps what it was given.

mod consume;
mod knobs;
mod latency;
mod meter;
mod pace;
mod produce;
pub(crate) mod ring;
mod window;

use std::time::Instant;

use milena::{AutoCreate, Client};
use tokio::runtime::{Builder, Runtime};

use self::knobs::Knobs;
use crate::args::{Bench, Connection, Load};
use crate::connection::connect;
use crate::failure::Failure;
use crate::output::print;

/// The runtime that `--set rt=` asks for.
pub(crate) fn runtime(connection: &Connection) -> Result<Runtime, Failure> {
    let knobs = Knobs::of(connection)?;
    let mut builder = match knobs.current_thread {
        true => Builder::new_current_thread(),
        false => Builder::new_multi_thread(),
    };
    builder
        .worker_threads(knobs.workers)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))
}

pub(crate) async fn run(connection: &Connection, bench: &Bench) -> Result<(), Failure> {
    if let Bench::Ring { size } = bench {
        let sum = ring::checksum(&ring::payloads(*size, u64::MAX));
        return print(&format!("{sum:016x}\n"));
    }
    let setup = Setup {
        knobs: Knobs::of(connection)?,
        connection: connection.clone(),
    };
    // Spawned, so that the loop runs where a program's tasks do: on a worker.
    let task = match bench.clone() {
        Bench::Produce { load, rate } => tokio::spawn(produce::run(setup, load, rate)),
        Bench::Consume { load } => tokio::spawn(consume::run(setup, load)),
        Bench::Latency { load } => tokio::spawn(latency::run(setup, load)),
        Bench::Ring { .. } => return Ok(()),
    };
    match task.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(Failure::failed(error)),
    }
}

/// What all loads share.
struct Setup {
    knobs: Knobs,
    connection: Connection,
}

impl Setup {
    /// A client for this load: its flags count less than `--set`, and `over` counts most.
    async fn connect(&self, load: &Load, over: &[(&str, &str)]) -> Result<Client, Failure> {
        let mut settings = flags(load);
        let given = self.knobs.settings.iter();
        settings.extend(given.map(|setting| {
            let (name, value) = &setting.pair;
            (name.as_str(), value.clone(), setting.source.as_str())
        }));
        let over = over.iter();
        settings.extend(over.map(|(name, value)| (*name, (*value).to_owned(), "milena bench")));
        let connection = Connection {
            set: Vec::new(),
            ..self.connection.clone()
        };
        connect(&connection, &settings).await
    }

    /// Has the topic looked up, so that its metadata is there before the first record.
    async fn look_up(&self, client: &Client, topic: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + self.connection.timeout;
        let found = client
            .cluster()
            .topic(topic, AutoCreate::Never, deadline)
            .await;
        Ok(found.map(drop)?)
    }
}

/// The flags that are settings: name, value and flag.
fn flags(load: &Load) -> Vec<(&str, String, &str)> {
    let batch = load.batch_bytes.to_string();
    let mut flags = vec![
        (
            "compression.type",
            load.compression.clone(),
            "--compression",
        ),
        ("acks", load.acks.clone(), "--acks"),
        ("linger.ms", load.linger_ms.to_string(), "--linger-ms"),
        ("batch.size", batch, "--batch-bytes"),
    ];
    if let Some(on) = load.idempotent {
        flags.push(("enable.idempotence", on.to_string(), "--idempotent"));
    }
    flags
}
