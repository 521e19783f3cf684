//! How long a call may take.

use std::time::{Duration, Instant};

/// How long a call may take. A mere deadline makes one, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The call has ended by then, whatever happens.
    pub deadline: Instant,
    /// How long one broker may take to answer, with everything before it (`request.timeout.ms`).
    /// While it has throttled us it cannot answer, so that such time is added once the request is
    /// on its way (KIP-219).
    pub patience: Duration,
}

impl Limit {
    /// When the broker's time is up, if the call begins at `started` and is not throttled.
    pub(crate) fn due(&self, started: Instant) -> Instant {
        let due = started.checked_add(self.patience);
        due.map_or(self.deadline, |due| due.min(self.deadline))
    }
}

impl From<Instant> for Limit {
    fn from(deadline: Instant) -> Self {
        Self {
            deadline,
            patience: Duration::MAX,
        }
    }
}
