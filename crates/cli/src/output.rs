//! Standard output, which may be closed by who reads it.

use std::io::{self, Write};

use crate::failure::Failure;

/// What writing came to.
pub(crate) enum Written {
    /// It went out.
    Ok,
    /// Nobody reads any more, as with `| head`: the command ends quietly.
    Closed,
}

/// Sorts out what a write to standard output came to.
pub(crate) fn outcome(result: io::Result<()>) -> Result<Written, Failure> {
    match result {
        Ok(()) => Ok(Written::Ok),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written::Closed),
        Err(error) => Err(Failure::failed(format!(
            "cannot write to standard output: {error}"
        ))),
    }
}

/// Writes text to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    outcome(
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush()),
    )
    .map(drop)
}
