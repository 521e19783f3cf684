//! Faults: what a test makes the broker do to a request instead of, or besides, answering it.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use milena_codec::{ApiKey, ErrorCode, Str};

use super::ConnectionId;

/// A request as a fault plan sees it, before it is carried out.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestInfo {
    /// When it arrived, counted from the start of the cluster.
    pub at: Duration,
    /// The node it was sent to.
    pub node: i32,
    /// The connection it came on.
    pub connection: ConnectionId,
    /// Its API.
    pub api: ApiKey,
    /// Its version.
    pub version: i16,
    /// What ties the answer to it on its connection.
    pub correlation_id: i32,
    /// The name the client gives itself.
    pub client_id: Option<Str>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is carried out.
    Pass,
    /// It is carried out after this time; what is behind it on the connection waits.
    Delay(Duration),
    /// It is not carried out, and answered with this error wherever its API puts one. For Produce,
    /// Fetch, Metadata, ListOffsets, FindCoordinator, OffsetCommit, OffsetFetch and the APIs of
    /// transactions; requests of other APIs pass.
    Error(ErrorCode),
    /// It is carried out and answered with this error all the same (a Produce with the offset it
    /// got, as after a late loss of leadership). For the same APIs.
    ApplyThenError(ErrorCode),
    /// It is carried out, and the answer asks the client to wait for so long (KIP-219); meanwhile
    /// the connection is not read. For Produce, Fetch, Metadata, ListOffsets, FindCoordinator,
    /// CreateTopics and the APIs of transactions; answers of other APIs ask for nothing.
    Throttle(Duration),
    /// It is not carried out, and the connection is closed.
    Disconnect,
    /// It is carried out, and the connection is closed instead of an answer.
    ApplyThenDisconnect,
    /// It is not carried out and never answered; nor is anything behind it on the connection.
    Silence,
}

/// Decides over each request; must be deterministic for the cluster to be.
pub type FaultPlan = Box<dyn FnMut(&RequestInfo) -> Verdict + Send>;

/// The plan in force, if any, and what comes before it.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) plan: Option<FaultPlan>,
    /// Verdicts over the next requests of an API, in order.
    pub(crate) next: VecDeque<(ApiKey, Verdict)>,
}

impl Faults {
    pub(crate) fn judge(&mut self, request: &RequestInfo) -> Verdict {
        let next = self.next.iter().position(|(api, _)| *api == request.api);
        if let Some((_, verdict)) = next.and_then(|at| self.next.remove(at)) {
            return verdict;
        }
        self.plan
            .as_mut()
            .map_or(Verdict::Pass, |plan| plan(request))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("plan", &self.plan.is_some())
            .field("next", &self.next)
            .finish()
    }
}
