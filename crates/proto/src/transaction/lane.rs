//! One coordinator's calls: one at a time, with waits in between.

use std::time::{Duration, Instant};

use super::{CallId, Complete, Config, OffsetsId, Operation};
use crate::backoff::Backoff;

/// What an unanswered call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Init,
    Partitions,
    AddOffsets(OffsetsId),
    Offsets(OffsetsId),
    End(Complete),
}

impl Work {
    pub(super) const fn operation(self) -> Operation {
        match self {
            Self::Init => Operation::InitProducerId,
            Self::Partitions => Operation::AddPartitions,
            Self::AddOffsets(_) => Operation::AddOffsets,
            Self::Offsets(_) => Operation::TxnOffsetCommit,
            Self::End(_) => Operation::EndTxn,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Lane {
    flying: Option<(CallId, Work)>,
    wait: Option<Instant>,
    backoff: Backoff,
    concurrent: Duration,
}

impl Lane {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            flying: None,
            wait: None,
            backoff: Backoff::new(config.retry_backoff, config.retry_backoff_max),
            concurrent: config.concurrent_backoff,
        }
    }

    pub(super) const fn is_free(&self) -> bool {
        self.flying.is_none() && self.wait.is_none()
    }

    pub(super) const fn waits(&self) -> Option<Instant> {
        self.wait
    }

    /// What the unanswered call is for.
    pub(super) fn flying(&self) -> Option<Work> {
        self.flying.map(|(_, work)| work)
    }

    pub(super) const fn begin(&mut self, id: CallId, work: Work) {
        self.flying = Some((id, work));
    }

    /// What the call was for, if it is the lane's unanswered one.
    pub(super) fn take(&mut self, id: CallId) -> Option<Work> {
        let (_, work) = self.flying.take_if(|(flying, _)| *flying == id)?;
        Some(work)
    }

    /// Gives up what is under way, and forgets earlier failures.
    pub(super) const fn reset(&mut self) {
        self.flying = None;
        self.wait = None;
        self.backoff.reset();
    }

    pub(super) const fn succeed(&mut self) {
        self.backoff.reset();
    }

    pub(super) fn back_off(&mut self, now: Instant, random: u64) {
        self.wait = now.checked_add(self.backoff.next(random));
    }

    pub(super) fn wait_for_markers(&mut self, now: Instant) {
        self.wait = now.checked_add(self.concurrent);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.wait = self.wait.filter(|until| *until > now);
    }
}
