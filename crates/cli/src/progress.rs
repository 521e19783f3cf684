//! How far a command has come, on a terminal only.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

/// A line on standard error that says how many records have passed.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Nothing is shown when `quiet`, or when standard error is not a terminal.
    pub(crate) fn new(verb: &'static str, quiet: bool) -> Self {
        if quiet || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner().with_prefix(verb);
        let style = ProgressStyle::with_template("{spinner} {prefix} {msg} ({rate}/s, {elapsed})");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        bar.set_style(style.with_key("rate", rate));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(Some(bar))
    }

    pub(crate) fn set(&self, records: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(records);
            bar.set_message(format!("{} records", HumanCount(records)));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Records a second, without the fractions that `{per_sec}` has.
fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    // There is nowhere to report that a line cannot be drawn.
    let _ = write!(out, "{}", HumanCount(state.per_sec() as u64));
}
