//! Dropping a future at any of its polls.

use std::pin::pin;
use std::task::Poll;

/// When a future is dropped that did not get ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// When its poll returns.
    AtOnce,
    /// When it was woken, before it could notice why.
    WhenWoken,
}

impl Drop {
    /// Both.
    pub const ALL: [Self; 2] = [Self::AtOnce, Self::WhenWoken];
}

/// The future's output, or `None` if it was dropped since `polls` polls did not make it ready.
pub async fn dropped_after<F: Future>(future: F, polls: usize, drop: Drop) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polled = 0;
    std::future::poll_fn(|context| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polled == polls && drop == Drop::AtOnce => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
