//! Time that moves only when told.

use std::time::{Duration, Instant};

/// A virtual clock.
#[derive(Clone, Debug)]
pub struct Clock {
    base: Instant,
    elapsed: Duration,
}

impl Clock {
    /// A clock at its start. Only differences of its instants mean anything.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "an `Instant` can be had in no other way; no run depends on which it is"
    )]
    pub fn new() -> Self {
        Self {
            base: Instant::now(),
            elapsed: Duration::ZERO,
        }
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.base + self.elapsed
    }

    /// How long it has run.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Moves on.
    pub fn advance(&mut self, by: Duration) {
        self.elapsed += by;
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
