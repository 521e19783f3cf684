//! A broker that takes everything, keeps nothing and costs next to nothing, so that what is measured
//! is the client.
//!
//! - Produce: the batches' headers are read, for the number of records, and the rest is dropped
//!   inside the kernel; acknowledged at once.
//! - Fetch: an endless log of a few batches, made once and sent from the kernel's memory. The topic's
//!   name says which: `ANYTHING-SIZE-COMPRESSION`, such as `null-100-lz4`.
//!
//! A thread a connection. No groups, no transactions, no authentication. Linux only.

#![forbid(unsafe_code)]

mod answers;
mod batches;
mod fetch;
mod input;
mod produce;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Parser;
use kafka_protocol::messages::ApiKey;

use crate::batches::Batches;
use crate::input::Input;

/// A Kafka broker that keeps nothing.
#[derive(Clone, Debug, Parser)]
struct Cli {
    /// Where to listen, on the loopback interface
    #[arg(long, default_value_t = 19_192)]
    port: u16,
    /// The port that clients are told, if it is another: that of a proxy
    #[arg(long)]
    advertise: Option<u16>,
    /// How many partitions each topic has
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    /// How large the batches are that are served, before compression
    #[arg(long, default_value_t = 131_072)]
    batch_bytes: usize,
}

impl Cli {
    /// The port that clients are told.
    fn advertised(&self) -> u16 {
        self.advertise.unwrap_or(self.port)
    }
}

/// What all connections share.
struct Broker {
    cli: Cli,
    batches: Batches,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let address = ("127.0.0.1", cli.port);
    let listener = TcpListener::bind(address);
    let listener = listener.with_context(|| format!("cannot listen on port {}", cli.port))?;
    let batches = Batches::new(cli.batch_bytes);
    let broker = Arc::new(Broker { cli, batches });
    for stream in listener.incoming().flatten() {
        let broker = Arc::clone(&broker);
        std::thread::spawn(move || {
            let Err(error) = serve(&broker, &stream);
            if !is_gone(&error) {
                eprintln!("a connection ended: {error:#}");
            }
        });
    }
    Ok(())
}

/// Whether the client has gone, as it may.
fn is_gone(error: &anyhow::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};

    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| matches!(cause.kind(), BrokenPipe | ConnectionReset | UnexpectedEof))
}

/// Serves a connection until the client closes it.
fn serve(broker: &Broker, stream: &TcpStream) -> Result<Infallible> {
    stream.set_nodelay(true)?;
    let mut input = Input::new(stream);
    let mut ends = HashMap::new();
    loop {
        let request = input.request()?;
        match request.api {
            ApiKey::Produce => produce::answer(&mut input, request, &mut ends)?,
            ApiKey::Fetch => fetch::answer(&broker.batches, &mut input, request)?,
            _ => answers::answer(&broker.cli, &mut input, request)?,
        }
    }
}
