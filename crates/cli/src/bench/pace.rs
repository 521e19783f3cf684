//! So many records a second.

use std::time::{Duration, Instant};

use tokio::time::sleep_until;

/// When the record of each number is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    began: Instant,
    rate: u64,
}

impl Pace {
    pub(super) fn new(began: Instant, rate: u64) -> Self {
        Self { began, rate }
    }

    /// Waits until the record of this number, counted from 0, is due. A timer is good for a
    /// millisecond, so what falls into the same one goes out together, and what comes too late is
    /// caught up with.
    pub(super) async fn due(&self, number: u64) {
        let due = self.began + after(number, self.rate);
        if due > Instant::now() {
            sleep_until(due.into()).await;
        }
    }
}

/// How long after the first record the one of this number is due.
fn after(number: u64, rate: u64) -> Duration {
    let (seconds, rest) = (number / rate, number % rate);
    let nanos = u128::from(rest) * 1_000_000_000 / u128::from(rate);
    Duration::from_secs(seconds) + Duration::from_nanos(nanos as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_due_at_even_distances_however_many_there_are() {
        assert_eq!(after(0, 3), Duration::ZERO);
        assert_eq!(after(1, 4), Duration::from_millis(250));
        assert_eq!(after(7, 2), Duration::from_millis(3500));
        let year = 365 * 86_400 * 1_000_000;
        assert_eq!(after(year, 1_000_000), Duration::from_secs(365 * 86_400));
    }
}
