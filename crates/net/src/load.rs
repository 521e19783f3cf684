//! How busy a broker is, for those who may choose one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::lane::LaneShared;

/// A request unanswered for this long holds up what is sent behind it.
const SLOW: Duration = Duration::from_millis(100);

/// How busy a broker is, seen from one lane to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Load {
    /// Requests that are unanswered or wait to be sent, on all lanes to the broker.
    pub in_flight: usize,
    /// Whether the lane has a connection.
    pub is_connected: bool,
    /// Whether the broker has throttled the lane.
    pub is_throttled: bool,
    /// Whether connecting to it has failed, and the pause after that is not over.
    pub is_backing_off: bool,
    /// Whether a new request on the lane would wait: behind others in the queue, or behind one
    /// that has not been answered for 100 ms.
    pub is_busy: bool,
}

impl Load {
    /// Takes one of the broker's lanes into account; `own` is the one it is seen from.
    pub(crate) fn count(&mut self, lane: &Arc<LaneShared>, own: bool, now: Instant) {
        let (unanswered, oldest) = lane.flights.now(now);
        let queued = lane.calls.len();
        self.in_flight += unanswered + queued;
        if own {
            self.is_connected = lane.link().up.is_some();
            self.is_throttled = lane.muted_until(now).is_some();
            self.is_busy = queued > 0 || oldest >= SLOW;
        }
    }
}
