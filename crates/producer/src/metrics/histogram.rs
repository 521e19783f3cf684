//! Latencies in fixed buckets, eight for each power of two of microseconds: without a lock or an
//! allocation, and wrong by an eighth at most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The last bucket begins near 38 hours; what is longer is counted there.
const BUCKETS: usize = 280;

pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    micros: AtomicU64,
    longest: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            micros: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    pub(crate) fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(micros)].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        self.longest.fetch_max(micros, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Latencies {
        let buckets = self.buckets.iter();
        Latencies {
            buckets: buckets.map(|it| it.load(Ordering::Relaxed)).collect(),
            micros: self.micros.load(Ordering::Relaxed),
            longest: self.longest.load(Ordering::Relaxed),
        }
    }
}

fn bucket_of(micros: u64) -> usize {
    if micros < 8 {
        return micros as usize;
    }
    let power = micros.ilog2();
    let eighth = (micros >> (power - 3)) & 7;
    ((power as usize - 2) * 8 + eighth as usize).min(BUCKETS - 1)
}

/// The longest time that its bucket takes.
fn end_of(bucket: usize) -> u64 {
    match bucket {
        0..8 => bucket as u64,
        _ => ((8 + bucket as u64 % 8 + 1) << (bucket / 8 - 1)) - 1,
    }
}

/// Latencies of batches or requests. Percentiles are too long by an eighth at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    buckets: Vec<u64>,
    micros: u64,
    longest: u64,
}

impl Latencies {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All of them added up.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.micros)
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.longest)
    }

    /// The mean; zero without any.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_micros(self.micros / self.count().max(1))
    }

    /// What `percent` of them do not exceed, such as 99.9; zero without any.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        let wanted = (self.count() as f64 * percent.clamp(0.0, 100.0) / 100.0).ceil() as u64;
        let mut seen = 0;
        for (bucket, (count, _)) in self.buckets().enumerate() {
            seen += count;
            if count > 0 && seen >= wanted {
                return Duration::from_micros(end_of(bucket).min(self.longest));
            }
        }
        self.max()
    }

    /// How many there are in each bucket, with the longest time that the bucket takes, ascending:
    /// for exporters.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, Duration)> + '_ {
        let ends = (0..).map(|bucket| Duration::from_micros(end_of(bucket)));
        self.buckets.iter().copied().zip(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_falls_into_a_bucket_that_ends_at_most_an_eighth_later() {
        let mut last = 0;
        for micros in (0..5_000).chain((0..37).map(|power| (1 << power) + 1)) {
            let bucket = bucket_of(micros);
            let end = end_of(bucket);
            assert!(
                end >= micros && end - micros <= micros / 8,
                "{micros} {end}"
            );
            assert!(bucket >= last || micros < 5_000);
            last = bucket;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_mean_and_longest_are_those_of_what_was_recorded() {
        let histogram = Histogram::default();
        assert_eq!(histogram.snapshot().percentile(50.0), Duration::ZERO);
        for millis in 1..=100 {
            histogram.record(Duration::from_millis(millis));
        }
        let latencies = histogram.snapshot();
        assert_eq!(latencies.count(), 100);
        assert_eq!(latencies.mean(), Duration::from_micros(50_500));
        assert_eq!(latencies.max(), Duration::from_millis(100));
        for (percent, exact) in [(50.0, 50), (99.0, 99), (100.0, 100)] {
            let found = latencies.percentile(percent).as_millis();
            assert!((exact..=exact + exact / 8).contains(&found), "{found}");
        }
    }
}
