//! What is kept of a batch and of an attempt.

use std::time::Instant;

use milena_records::Stamp;

use super::{AttemptId, BatchId, Fate, Identity};

/// A batch that is not resolved, or whose success is held back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) id: BatchId,
    pub(super) place: Place,
    pub(super) records: u32,
    pub(super) stamp: Option<Stamp>,
    /// It is being divided.
    pub(super) splitting: bool,
    pub(super) flying: Option<AttemptId>,
    /// An attempt may have been written. Never taken back: then the stamp is for good.
    pub(super) doubt: bool,
    /// It is in the log, at this offset if the broker said it.
    pub(super) success: Option<Option<i64>>,
    pub(super) attempts: u32,
}

/// Where a batch stands in the order of all: how many were sealed before it, and how many records
/// of the same sealed batch, if it is a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) sealed: u64,
    pub(super) records: u32,
}

/// An attempt that has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outstanding {
    pub(super) attempt: AttemptId,
    pub(super) id: BatchId,
    pub(super) place: Place,
    pub(super) to: i32,
    pub(super) sent: Instant,
}

impl Entry {
    pub(super) const fn new(id: BatchId, place: Place, records: u32) -> Self {
        Self {
            id,
            place,
            records,
            stamp: None,
            splitting: false,
            flying: None,
            doubt: false,
            success: None,
            attempts: 0,
        }
    }

    /// Whether it has to be sent, for the first time or again, or divided first.
    pub(super) const fn waits(&self) -> bool {
        self.flying.is_none() && self.success.is_none()
    }

    /// Whether it may be in the log, or may yet come to be, without our knowing.
    pub(super) const fn is_uncertain(&self) -> bool {
        self.success.is_none() && (self.doubt || self.flying.is_some())
    }

    pub(super) const fn fate(&self) -> Fate {
        if self.doubt || self.flying.is_some() || self.success.is_some() {
            Fate::MaybeWritten
        } else {
            Fate::NotWritten
        }
    }

    /// Whether it is stamped with this identity.
    pub(super) fn is_under(&self, identity: Option<Identity>) -> bool {
        let of = |stamp: Stamp| Identity {
            producer_id: stamp.producer_id,
            epoch: stamp.producer_epoch,
        };
        identity.is_some() && self.stamp.map(of) == identity
    }
}
