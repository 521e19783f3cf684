//! A broker far away: a TCP proxy that hands on every byte a little later, in order, and otherwise as
//! fast as it can.
//!
//! Two threads a direction: one notes when bytes came, the other waits until they are due.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;

/// How many reads may be under way: with one to four TCP segments in each, more than any window.
const UNDER_WAY: usize = 4096;
const READ: usize = 256 * 1024;

/// Adds a delay between clients and a broker.
#[derive(Clone, Debug, Parser)]
struct Cli {
    /// Where to listen, on the loopback interface
    #[arg(long, default_value_t = 19_193)]
    port: u16,
    /// Where the broker listens, on the loopback interface
    #[arg(long, default_value_t = 19_192)]
    to: u16,
    /// What a round trip takes longer, in milliseconds: half of it in each direction
    #[arg(long, default_value_t = 5.0)]
    round_trip_ms: f64,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let delay = Duration::try_from_secs_f64(cli.round_trip_ms / 2_000.0)
        .context("--round-trip-ms is not a time")?;
    let listener = TcpListener::bind(("127.0.0.1", cli.port))
        .with_context(|| format!("cannot listen on port {}", cli.port))?;
    for client in listener.incoming().flatten() {
        if let Err(error) = connect(client, cli.to, delay) {
            eprintln!("a connection failed: {error:#}");
        }
    }
    Ok(())
}

fn connect(client: TcpStream, to: u16, delay: Duration) -> Result<()> {
    let broker = TcpStream::connect(("127.0.0.1", to)).context("the broker is not there")?;
    for stream in [&client, &broker] {
        stream.set_nodelay(true)?;
    }
    carry(client.try_clone()?, broker.try_clone()?, delay);
    carry(broker, client, delay);
    Ok(())
}

/// Hands on what comes from one side to the other until there is no more.
fn carry(from: TcpStream, to: TcpStream, delay: Duration) {
    let (sender, receiver) = sync_channel(UNDER_WAY);
    std::thread::spawn(move || read(from, &sender, delay));
    std::thread::spawn(move || write(to, &receiver));
}

fn read(mut from: TcpStream, to: &SyncSender<(Instant, Vec<u8>)>, delay: Duration) {
    let mut buffer = vec![0; READ];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let due = Instant::now() + delay;
        if to.send((due, buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}

fn write(mut to: TcpStream, from: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((due, bytes)) = from.recv() {
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // Either side may have gone already.
    drop(to.shutdown(Shutdown::Both));
}
