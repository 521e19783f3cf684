//! Waiting for something real, with a limit, and mostly giving up on Ctrl-C.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::interrupt;

const PAUSE: Duration = Duration::from_millis(100);

/// Asks `done` again and again; the error after `limit` says that `what` did not happen. Ctrl-C
/// is an error too.
pub(super) fn until(
    limit: Duration,
    what: &str,
    mut done: impl FnMut() -> Result<bool>,
) -> Result<()> {
    uninterrupted(limit, what, || {
        let done = done()?;
        interrupt::check().map(|()| done)
    })
}

/// The same whatever the user presses: for tearing down.
#[expect(clippy::disallowed_methods, reason = "it waits for other processes")]
pub(super) fn uninterrupted(
    limit: Duration,
    what: &str,
    mut done: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    while !done()? {
        if start.elapsed() >= limit {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        sleep(PAUSE);
    }
    Ok(())
}
