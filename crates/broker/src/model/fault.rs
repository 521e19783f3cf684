//! Faults: what a test makes the broker do to a request instead of, or besides, answering it.

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
    /// Fetch, Metadata, ListOffsets, InitProducerId and FindCoordinator; requests of other APIs
    /// pass.
    Error(ErrorCode),
    /// A Produce is carried out and answered with this error all the same (with the offset it got,
    /// as after a late loss of leadership); requests of other APIs pass.
    ApplyThenError(ErrorCode),
    /// It is carried out, and the answer asks the client to send nothing more on this connection for
    /// so long (KIP-219). A request that comes all the same is carried out, so that tests see it.
    /// For Produce, Fetch, Metadata, ListOffsets, InitProducerId, FindCoordinator and CreateTopics;
    /// answers of other APIs ask for nothing.
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

/// The plan in force, if any.
#[derive(Default)]
pub(crate) struct Faults(pub(crate) Option<FaultPlan>);

impl Faults {
    pub(crate) fn judge(&mut self, request: &RequestInfo) -> Verdict {
        self.0.as_mut().map_or(Verdict::Pass, |plan| plan(request))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Faults(a plan)"
        } else {
            "Faults(none)"
        })
    }
}
