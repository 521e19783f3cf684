//! Loops to count instructions in: `counts MODE RECORDS`. `cargo xtask counts` runs them.
//!
//! - `encode` writes records into batches in warm memory.
//! - `decode` checks such batches, checksum and structure, and walks their records.
//! - `send` sends through the producer, `send-plain` without idempotence, `receive` reads through the
//!   consumer, on the embedded broker, whose instructions are counted as well.
//!
//! Values have 100 B, and there are no keys.

#![forbid(unsafe_code)]

use anyhow::{Result, bail};
use milena_benches::batches::{LIMIT, fill, read, sealed};
use milena_benches::embedded::{Embedded, soon};
use milena_benches::payloads;
use milena_records::{Compression, Decompressor};

const SIZE: usize = 100;
/// How many records there are to receive, again and again.
const LOG: u64 = 20_000;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [mode, records] = args.as_slice() else {
        bail!("usage: counts encode|decode|send|send-plain|receive RECORDS");
    };
    let records = records.parse()?;
    match mode.as_str() {
        "encode" => encode(records),
        "decode" => decode(records),
        "send" => run(send(records, true))?,
        "send-plain" => run(send(records, false))?,
        "receive" => run(receive(records))?,
        other => bail!("{other} is none of encode, decode, send, send-plain and receive"),
    }
    Ok(())
}

fn encode(records: u64) {
    let payloads = payloads(SIZE);
    let (mut memory, mut done) = (Vec::with_capacity(LIMIT), 0);
    let mut values = payloads.iter().cycle();
    while done < records {
        let filled = fill(memory, &mut values);
        done += filled.0;
        memory = filled.1;
    }
}

fn decode(records: u64) {
    let batch = sealed(&payloads(SIZE), Compression::None);
    let mut decompressor = Decompressor::new();
    let mut done = 0;
    while done < records {
        done += read(&batch, &mut decompressor);
    }
}

async fn send(records: u64, idempotent: bool) -> Result<()> {
    let embedded = Embedded::start(SIZE).await?;
    let producer = embedded.producer(idempotent).await?;
    embedded.send(&producer, records).await?;
    producer.close(soon()).await;
    embedded.close().await;
    Ok(())
}

async fn receive(records: u64) -> Result<()> {
    let embedded = Embedded::start(SIZE).await?;
    let producer = embedded.producer(true).await?;
    embedded.send(&producer, LOG).await?;
    producer.close(soon()).await;
    for _ in 0..records.div_ceil(LOG) {
        embedded.receive(LOG).await?;
    }
    embedded.close().await;
    Ok(())
}

/// In one thread, so that a run is like another.
fn run(work: impl Future<Output = Result<()>>) -> Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build()?.block_on(work)
}
