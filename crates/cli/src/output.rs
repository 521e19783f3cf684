//! Standard output, which may be closed by who reads it, and standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

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

/// Says on standard error what must be known.
pub(crate) fn say(text: impl Display) {
    // There is nowhere to report that standard error is closed.
    let _ = writeln!(io::stderr(), "milena: {text}");
}

/// Says on standard error what is nice to know: on a terminal only, so that pipes and logs stay
/// quiet.
pub(crate) fn note(quiet: bool, text: impl Display) {
    if !quiet && io::stderr().is_terminal() {
        say(text);
    }
}

/// "1 record", "2 records".
pub(crate) fn records(count: u64) -> String {
    format!("{count} record{}", if count == 1 { "" } else { "s" })
}
