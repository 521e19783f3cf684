//! How long to wait before the next attempt (KIP-580): exponential, with jitter.
//!
//! - I1: a wait is never longer than the maximum, jitter included.
//! - I2: the same randomness gives the same waits.
//!
//! Not for deciding whether to try again.

use std::time::Duration;

const PER_MILLION: u64 = 1_000_000;
const JITTER: u64 = 200_000;

/// The waits of one operation, or towards one broker: `min(max, initial × 2ⁿ × 0.8…1.2)`, where `n`
/// is the number of failures before this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts with `initial`, doubles with each failure, and never exceeds `max`.
    #[must_use]
    pub const fn new(initial: Duration, max: Duration) -> Self {
        Self {
            initial,
            max,
            failures: 0,
        }
    }

    /// Counts a failure and returns the wait before the next attempt. `random` is uniform over
    /// all of `u64`; it spreads the wait by ±20 %.
    #[must_use = "the wait has to be waited"]
    pub fn next(&mut self, random: u64) -> Duration {
        let doubled = self
            .initial
            .checked_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        let Some(base) = doubled.filter(|base| base.as_secs() < PER_MILLION) else {
            return self.max;
        };
        jittered(base, random).min(self.max) // I1
    }

    /// The operation succeeded: the next failure starts over at the initial wait.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// The failures since the start or the last [`reset`](Self::reset).
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

/// `base` times a factor between 0.8 and 1.2. `base` is below a million seconds, which in
/// nanoseconds has room for the factor in 128 bits.
fn jittered(base: Duration, random: u64) -> Duration {
    let spread = JITTER.saturating_mul(2).saturating_add(1);
    let factor = PER_MILLION
        .saturating_sub(JITTER)
        .saturating_add(random.checked_rem(spread).unwrap_or(0));
    let nanos = base
        .as_nanos()
        .saturating_mul(u128::from(factor))
        .checked_div(u128::from(PER_MILLION))
        .unwrap_or(0);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
