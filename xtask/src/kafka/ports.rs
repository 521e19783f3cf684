//! Ports on loopback.
//!
//! I1. Free ports lie below the range that the system gives to outgoing connections: otherwise a
//! client that keeps dialling a dead node takes that node's port, or connects to itself.
//! I2. One process hands out no port twice; two processes start far apart.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

const FIRST: u32 = 20_000;
const COUNT: u32 = 10_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// `count` ports on which nothing listens now.
pub(super) fn free(count: usize) -> Result<Vec<u16>> {
    let start = std::process::id().wrapping_mul(97) % COUNT; // I2
    let mut ports = Vec::with_capacity(count);
    while ports.len() < count {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        if step >= COUNT {
            bail!("no free ports between {FIRST} and {}", FIRST + COUNT);
        }
        let port = u16::try_from(FIRST + (start + step) % COUNT)?;
        if is_free(port) {
            ports.push(port);
        }
    }
    Ok(ports)
}

/// An error that names the first of `ports` on which something listens.
pub(super) fn check(ports: &[u16]) -> Result<()> {
    match ports.iter().find(|port| !is_free(**port)) {
        None => Ok(()),
        Some(port) => {
            bail!("port {port} is taken: end what listens there, or let `-p 0` take free ports")
        }
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
