//! Everything that comes from outside: time, chance, sockets, spare threads.
//!
//! With [`Environment::seeded`] and a paused tokio clock the whole client is deterministic.

mod random;

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncWrite};

pub use self::random::{SeededRandom, SystemRandom};
use crate::{Address, TcpConnector};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An open byte stream to a broker.
pub type BoxedTransport = Box<dyn Transport>;

/// What a connection needs of a byte stream. Implemented for everything that fits.
///
/// Requests go out by vectored writes where `is_write_vectored` says so.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// Opens byte streams.
pub trait Connector: Send + Sync + Debug {
    /// Opens a stream to `address`, resolving its name anew, by `deadline`.
    ///
    /// Waiting is given up at `deadline` in any case; a connector that has several IP addresses
    /// to try divides the time among them. TLS is not its business.
    fn connect(
        &self,
        address: &Address,
        deadline: Instant,
    ) -> BoxFuture<'static, io::Result<BoxedTransport>>;
}

/// What time it is.
pub trait Clock: Send + Sync + Debug {
    /// The time that deadlines are compared with. Must agree with tokio's clock, which wakes.
    fn now(&self) -> Instant;

    /// Milliseconds since 1970 UTC.
    fn wall_millis(&self) -> i64;

    /// The same, some milliseconds old at most, where that is cheaper to read: for the timestamps
    /// of records, of which there are many.
    fn coarse_wall_millis(&self) -> i64 {
        self.wall_millis()
    }
}

/// Chance, good enough for secrets.
pub trait Random: Send + Sync + Debug {
    /// 64 random bits.
    fn next_u64(&self) -> u64;

    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]);
}

/// Runs work that would hold up a socket's task for milliseconds.
pub trait Offload: Send + Sync + Debug {
    /// Runs `job` soon, at most once, not necessarily before returning.
    fn run(&self, job: Box<dyn FnOnce() + Send>);

    /// How many jobs can run beside the tasks that move and use the data without taking their
    /// processors away: work that could as well be done by those is worth handing over only then.
    fn spare(&self) -> usize {
        1
    }
}

/// The outside world, as the client sees it. Clones share it.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Sockets.
    pub connector: Arc<dyn Connector>,
    /// Spare threads.
    pub offload: Arc<dyn Offload>,
}

impl Environment {
    /// TCP, the operating system's randomness and tokio's clock and blocking threads.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            connector: Arc::new(TcpConnector::new()),
            offload: Arc::new(ThreadOffload),
        }
    }

    /// The same with other sockets.
    #[must_use]
    pub fn with_connector(self, connector: Arc<dyn Connector>) -> Self {
        Self { connector, ..self }
    }

    /// A reproducible world for tests: randomness from `seed`, work done where it arises, and
    /// tokio's clock, which the test should have paused. Secrets made from it are no secrets.
    ///
    /// Wall time starts on 2001-09-09 and follows tokio's clock.
    pub fn seeded(seed: u64, connector: Arc<dyn Connector>) -> Self {
        Self {
            clock: Arc::new(TestClock {
                origin: tokio_now(),
            }),
            random: Arc::new(SeededRandom::new(seed)),
            connector,
            offload: Arc::new(InlineOffload),
        }
    }

    /// Shorthand for the clock's `now`.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }
}

/// Tokio's clock, which a test can pause, and the system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        tokio_now()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that others inject"
    )]
    fn wall_millis(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => millis(since),
            Err(before) => -millis(before.duration()),
        }
    }

    #[cfg(target_os = "linux")]
    fn coarse_wall_millis(&self) -> i64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}

/// One billion seconds after 1970.
const TEST_EPOCH_MILLIS: i64 = 1_000_000_000_000;

/// Both clocks from tokio's.
#[derive(Debug)]
struct TestClock {
    origin: Instant,
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        tokio_now()
    }

    fn wall_millis(&self) -> i64 {
        let since = tokio_now().saturating_duration_since(self.origin);
        TEST_EPOCH_MILLIS.saturating_add(millis(since))
    }
}

fn tokio_now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Tokio's blocking threads, or the caller's own where there is no runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadOffload;

impl Offload for ThreadOffload {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(job)),
            Err(_) => job(),
        }
    }

    /// All processors but two.
    fn spare(&self) -> usize {
        std::thread::available_parallelism().map_or(0, |all| all.get().saturating_sub(2))
    }
}

/// Runs each job where it arises, for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct InlineOffload;

impl Offload for InlineOffload {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        job();
    }
}

#[cfg(test)]
mod tests;
