//! On paused time a task that spins would never end: a clock that gives out instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use milena_net::{Clock, Environment};

#[derive(Debug)]
struct Fuse {
    clock: Arc<dyn Clock>,
    left: AtomicU64,
}

/// The same environment with a clock that can be read so many times.
pub(crate) fn fused(mut env: Environment, readings: u64) -> Environment {
    env.clock = Arc::new(Fuse {
        clock: env.clock,
        left: AtomicU64::new(readings),
    });
    env
}

impl Clock for Fuse {
    fn now(&self) -> Instant {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        assert!(left > 0 && left < u64::MAX / 2, "a task spins");
        self.clock.now()
    }

    fn wall_millis(&self) -> i64 {
        self.clock.wall_millis()
    }
}
