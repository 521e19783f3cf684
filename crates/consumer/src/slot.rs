//! One assigned partition: its position, what was fetched of it, and what holds it up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use milena_codec::{Bytes, ErrorCode, Uuid};
use milena_proto::backoff::Backoff;
use milena_proto::position::{FetchFrom, OutOfRangeFault, Phase, Position, Token};
use milena_records::{Batch, BatchError, Batches};

use crate::check::is_compressed;
use crate::record::Bounds;
use crate::{Activity, ConsumeError, PartitionState, TopicPartition};

/// Fetched bytes of one answer that wait to be handed out.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) token: Token,
    pub(crate) bounds: Bounds,
    batches: Batches,
    /// What the chunk counts for in the memory share, until its last batch is taken.
    size: usize,
}

impl Chunk {
    pub(crate) fn new(token: Token, bounds: Bounds, bytes: Bytes) -> Self {
        let size = bytes.len();
        Self {
            token,
            bounds,
            batches: Batches::new(bytes),
            size,
        }
    }
}

/// A batch taken from a slot, not yet checked.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) token: Token,
    pub(crate) bounds: Bounds,
    pub(crate) batch: Result<Batch, BatchError>,
}

/// What stopped a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The topic has another id now.
    Recreated { old: Uuid, new: Uuid },
    /// The broker's answer, which waiting will not change.
    Refused(ErrorCode),
    /// Bytes without a whole batch.
    Cut { bytes: usize },
    /// Outside the log.
    OutOfRange(OutOfRangeFault),
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: TopicPartition,
    /// Zero until known.
    pub(crate) topic_id: Uuid,
    pub(crate) core: Position,
    pub(crate) paused: bool,
    /// Whether the partition stands in the rotation of those with something to hand out.
    pub(crate) rotating: bool,
    /// To be returned once what was fetched before it has been handed out.
    pub(crate) fault: Option<Fault>,
    pub(crate) high_watermark: Option<i64>,
    chunks: VecDeque<Chunk>,
    buffered: usize,
    backoff: Backoff,
    retry_at: Option<Instant>,
    awaiting_leader: bool,
    shown: Activity,
    since: Instant,
}

impl Slot {
    pub(crate) fn new(
        name: TopicPartition,
        topic_id: Uuid,
        core: Position,
        backoff: Backoff,
        now: Instant,
    ) -> Self {
        Self {
            name,
            topic_id,
            core,
            paused: false,
            rotating: false,
            fault: None,
            high_watermark: None,
            chunks: VecDeque::new(),
            buffered: 0,
            backoff,
            retry_at: None,
            awaiting_leader: false,
            shown: Activity::Resolving,
            since: now,
        }
    }

    /// Fetched bytes that wait.
    pub(crate) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Whether a visit of the user finds a batch or an error.
    pub(crate) fn has_something(&self) -> bool {
        !self.paused && (!self.chunks.is_empty() || self.fault.is_some())
    }

    /// Whether nothing more will come of it: read to its end, or failed with its error returned.
    pub(crate) fn is_over(&self) -> bool {
        self.core.is_finished() || self.has_failed()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.core.phase() == Phase::Failed && self.fault.is_none()
    }

    /// Where to fetch from, unless something holds the partition up. Being full is not asked here.
    pub(crate) fn fetch_from(&self, now: Instant) -> Option<FetchFrom> {
        let waiting = self.paused || self.fault.is_some() || self.retry_at(now).is_some();
        if waiting {
            None
        } else {
            self.core.fetch_from()
        }
    }

    /// Whether a look-up is due.
    pub(crate) fn needs_lookup(&self, now: Instant) -> bool {
        self.core.needs_lookup() && self.fault.is_none() && self.retry_at(now).is_none()
    }

    /// When something is tried again, if that is later than `now`.
    pub(crate) fn retry_at(&self, now: Instant) -> Option<Instant> {
        self.retry_at.filter(|at| *at > now)
    }

    /// Something failed: waits before the next attempt.
    pub(crate) fn hold(&mut self, now: Instant, random: u64) -> Duration {
        let wait = self.backoff.next(random);
        self.retry_at = Some(now + wait);
        wait
    }

    /// Something succeeded.
    pub(crate) fn unhold(&mut self) {
        self.backoff.reset();
        self.retry_at = None;
        self.awaiting_leader = false;
    }

    /// Returns whether that is new.
    pub(crate) fn await_leader(&mut self) -> bool {
        !std::mem::replace(&mut self.awaiting_leader, true)
    }

    /// A leader is known again; a wait for the one before means nothing.
    pub(crate) fn leader_known(&mut self) {
        self.awaiting_leader = false;
    }

    pub(crate) fn push(&mut self, chunk: Chunk) {
        self.buffered = self.buffered.saturating_add(chunk.size);
        self.chunks.push_back(chunk);
    }

    /// The next batch of the chunks, in order. A cut last batch ends its chunk quietly.
    pub(crate) fn take(&mut self) -> (Option<Taken>, usize) {
        let mut freed = 0;
        while let Some(chunk) = self.chunks.front_mut() {
            let batch = chunk.batches.next();
            let (token, bounds, size) = (chunk.token, chunk.bounds, chunk.size);
            // What is left without another batch in it is the cut one.
            let empty = chunk.batches.clone().next().is_none();
            if empty || batch.is_none() {
                self.chunks.pop_front();
                self.buffered = self.buffered.saturating_sub(size);
                freed += size;
            }
            if let Some(batch) = batch {
                let taken = Taken {
                    token,
                    bounds,
                    batch,
                };
                return (Some(taken), freed);
            }
        }
        (None, freed)
    }

    /// Whether the next batch is a whole, compressed one before the end of reading.
    pub(crate) fn is_worth_checking_ahead(&self) -> bool {
        let chunk = self.chunks.front().filter(|_| !self.paused);
        let Some(Ok(batch)) = chunk.and_then(|chunk| chunk.batches.clone().next()) else {
            return false;
        };
        let end = self.core.stop_offset().unwrap_or(i64::MAX);
        is_compressed(&batch) && batch.header().base_offset < end && !self.core.is_finished()
    }

    /// Drops all that was fetched; returns how many bytes.
    pub(crate) fn clear(&mut self) -> usize {
        self.chunks.clear();
        std::mem::take(&mut self.buffered)
    }

    /// The error that `fault` is to the user, now that what was fetched before is handed out.
    pub(crate) fn error(&self, fault: Fault) -> ConsumeError {
        let partition = self.name.clone();
        let position = self.core.position();
        match fault {
            Fault::Recreated { old, new } => ConsumeError::TopicRecreated {
                partition,
                position,
                old,
                new,
            },
            Fault::Refused(code) => ConsumeError::Refused {
                partition,
                position,
                code,
            },
            Fault::Cut { bytes } => ConsumeError::Cut {
                partition,
                position: position.unwrap_or_default(),
                bytes,
            },
            Fault::OutOfRange(fault) => ConsumeError::OutOfRange { partition, fault },
        }
    }

    fn activity(&self) -> Activity {
        match self.core.phase() {
            Phase::Failed => Activity::Failed,
            _ if self.core.is_finished() => Activity::Finished,
            _ if self.paused => Activity::Paused,
            _ if !self.chunks.is_empty() || self.fault.is_some() => Activity::Buffered,
            _ if self.awaiting_leader => Activity::AwaitingLeader,
            Phase::Resolving => Activity::Resolving,
            Phase::CheckingRange => Activity::CheckingRange,
            Phase::Fetching | Phase::Blocked => Activity::Fetching,
        }
    }

    /// To be called after every change: keeps the time of the last change of activity.
    pub(crate) fn note(&mut self, now: Instant) {
        let activity = self.activity();
        if self.shown != activity {
            self.shown = activity;
            self.since = now;
        }
    }

    pub(crate) fn state(&self) -> PartitionState {
        PartitionState {
            partition: self.name.clone(),
            activity: self.activity(),
            since: self.since,
            position: self.core.position(),
            high_watermark: self.high_watermark,
            buffered_bytes: self.buffered,
        }
    }
}
