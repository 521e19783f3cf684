//! Requests that wait: for data, for replicas, for time.

use std::collections::BTreeSet;
use std::time::Duration;

use milena_codec::Uuid;

use super::fault::Verdict;
use super::requests::Received;
use super::{ClusterModel, ConnectionId, Outcome};
use crate::api::fetch::FetchPlan;
use crate::api::produce::{self, EarlyProduce, PendingProduce};
use crate::api::{Call, Reply};

/// A parked request.
#[derive(Debug)]
pub(crate) enum Parked {
    /// A fetch that wants more bytes than there are.
    Fetch(Call, FetchPlan),
    /// An acks=all produce whose replicas are behind.
    Produce(Call, PendingProduce),
    /// A produce whose producer's last transaction is not over.
    Early(Call, Box<EarlyProduce>),
    /// Not yet carried out, and what it is to meet then.
    Request(Box<Received>, Verdict),
    /// Never to be answered.
    Never,
}

/// A parked request and when it ends.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) parked: Parked,
    pub(crate) deadline: Option<Duration>,
}

impl Waiting {
    /// Whether it may be ready after these partitions changed.
    pub(super) fn concerns(&self, touched: &BTreeSet<(Uuid, i32)>) -> bool {
        match &self.parked {
            Parked::Fetch(_, plan) => plan.concerns(touched),
            Parked::Produce(_, pending) => pending.concerns(touched),
            Parked::Early(..) | Parked::Request(..) | Parked::Never => false,
        }
    }

    /// Whether it still does something when nobody waits for the answer.
    pub(super) fn has_effects(&self) -> bool {
        matches!(self.parked, Parked::Request(..) | Parked::Early(..))
    }
}

impl ClusterModel {
    /// Looks at a parked request again: its outcome, or itself.
    pub(super) fn retry(&mut self, waiting: Waiting) -> Result<Outcome, Waiting> {
        let Waiting {
            mut parked,
            deadline,
        } = waiting;
        if let Parked::Produce(call, pending) = &mut parked {
            pending.settle(self, call);
        }
        match parked {
            Parked::Fetch(call, plan) if plan.is_ready(self, &call) => {
                Ok(finish(plan.answer(self, &call)))
            }
            Parked::Produce(call, pending) if pending.is_ready(self, &call) => {
                Ok(finish(pending.answer(self, &call)))
            }
            parked => Err(Waiting { parked, deadline }),
        }
    }

    /// The outcome of a request whose time is up.
    pub(super) fn expire(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        parked: Parked,
    ) -> Outcome {
        match parked {
            Parked::Fetch(call, plan) => finish(plan.answer(self, &call)),
            Parked::Produce(call, pending) => finish(pending.answer(self, &call)),
            Parked::Early(mut call, early) => {
                call.now = now;
                let reply = produce::resume(self, &call, *early);
                self.conclude(connection, reply)
            }
            Parked::Request(received, verdict) => self.resume(now, *received, verdict),
            Parked::Never => Outcome::Parked,
        }
    }
}

fn finish(reply: Reply) -> Outcome {
    match reply {
        Reply::Answer(frame) => Outcome::Answer(frame),
        Reply::Silent => Outcome::Silent,
        Reply::Close | Reply::Park(_) => Outcome::Close,
    }
}
