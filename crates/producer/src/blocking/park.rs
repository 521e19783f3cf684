//! Waiting for a future by parking the thread.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use tokio::runtime::Handle;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future that may need the runtime's timers, which another thread drives. What is ready at
/// once is taken without making anything that could be woken.
pub(super) fn block_on<F: Future>(runtime: &Handle, future: F) -> F::Output {
    let mut future = pin!(future);
    {
        let _inside = runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(ready) = future.as_mut().poll(&mut context) {
            return ready;
        }
    }
    runtime.block_on(future)
}

/// Waits for a future that needs no runtime, until the deadline.
pub(super) fn wait<F: Future + Unpin>(
    future: &mut F,
    deadline: Option<Instant>,
    now: impl Fn() -> Instant,
) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(ready) = Pin::new(&mut *future).poll(&mut context) {
            return Some(ready);
        }
        match deadline.map(|deadline| deadline.saturating_duration_since(now())) {
            Some(left) if left.is_zero() => return None,
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
    }
}
