//! A transaction coordinator as a transactional producer meets it: epochs, states, and when which
//! request is a repetition (KIP-360, KIP-890).
//!
//! - I1. An epoch below the current one is fenced, save the one right before it where EndTxn raised it.
//! - I2. A transaction ends once: its result is decided when EndTxn is executed, and the markers follow.
//! - I3. InitProducerId aborts what is open and raises the epoch, once more than its producer is told.
//!
//! What was decided survives the coordinator's moves; it is one object, wherever it runs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use milena_codec::ErrorCode;
use milena_proto::transaction::{Complete, Identity, Level};

use super::Plan;

/// From this epoch on a producer id is used up.
const LAST_EPOCH: i16 = i16::MAX - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Ongoing,
    Prepared(Complete),
    Complete(Complete),
}

/// A marker to be written to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) part: usize,
    pub(super) identity: Identity,
    pub(super) result: Complete,
}

/// The coordinator's knowledge of the transactional id.
#[derive(Clone, Debug)]
pub(super) struct Coordinator {
    known: bool,
    identity: Identity,
    last_epoch: Option<i16>,
    previous_id: Option<i64>,
    /// The id that an EndTxn was sent under whose answer named the one that is used now.
    used_up_id: Option<i64>,
    next_id: i64,
    first_epoch: i16,
    level: Level,
    /// The id that EndTxn has rotated to, once the markers are written.
    rotates: Option<i64>,
    state: State,
    parts: BTreeSet<usize>,
    started: Option<Instant>,
    timeout: Duration,
    /// While markers are written, everything is answered with CONCURRENT_TRANSACTIONS, whatever it
    /// asks for (newer brokers), or only what would be right otherwise.
    modern: bool,
    /// Fencing at V2 raises the epoch twice (Kafka 4.0.0).
    fences_twice: bool,
    markers: Vec<Marker>,
    /// How often a transaction was aborted or a producer was fenced from outside of it.
    pub(super) fences: u64,
    pub(super) timeouts: u64,
}

type Answer<T> = Result<T, ErrorCode>;

impl Coordinator {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            known: false,
            identity: Identity {
                producer_id: 0,
                epoch: 0,
            },
            last_epoch: None,
            previous_id: None,
            used_up_id: None,
            next_id: 1000,
            first_epoch: plan.first_epoch,
            level: Level::V1,
            rotates: None,
            state: State::Empty,
            parts: BTreeSet::new(),
            started: None,
            timeout: plan.timeout,
            modern: plan.modern,
            fences_twice: plan.fences_twice,
            markers: Vec::new(),
            fences: 0,
            timeouts: 0,
        }
    }

    pub(super) fn init(&mut self, current: Option<Identity>) -> Answer<Identity> {
        if !self.known {
            self.known = true;
            self.start_over(self.first_epoch);
            (self.previous_id, self.last_epoch) = (None, None);
            return Ok(self.identity);
        }
        self.check_markers()?;
        if current.is_some_and(|current| !self.is_valid(current)) {
            return Err(ErrorCode::ProducerFenced);
        }
        match self.state {
            State::Prepared(_) => Err(ErrorCode::ConcurrentTransactions),
            State::Ongoing => {
                self.fences += 1;
                self.fence(); // I3
                Err(ErrorCode::ConcurrentTransactions)
            }
            State::Empty | State::Complete(_) => self.raise(current),
        }
    }

    pub(super) fn add(
        &mut self,
        identity: Identity,
        parts: &[usize],
        level: Level,
        now: Instant,
    ) -> Answer<()> {
        self.check_markers()?;
        if !self.known || identity.producer_id != self.identity.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if identity.epoch != self.identity.epoch {
            return Err(ErrorCode::ProducerFenced); // I1
        }
        if matches!(self.state, State::Prepared(_)) {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if self.state != State::Ongoing {
            self.state = State::Ongoing;
            self.level = level;
            self.parts.clear();
            self.started = Some(now);
        }
        self.parts.extend(parts);
        Ok(())
    }

    /// Whether the partition is part of the open transaction of this identity.
    pub(super) fn verifies(&self, identity: Identity, part: usize) -> bool {
        let same = self.known && self.identity == identity;
        same && self.state == State::Ongoing && self.parts.contains(&part)
    }

    pub(super) fn end(
        &mut self,
        identity: Identity,
        result: Complete,
        level: Level,
    ) -> Answer<Option<Identity>> {
        self.check_markers()?;
        let overflow = self.used_up_id == Some(identity.producer_id)
            && identity.epoch >= LAST_EPOCH
            && self.identity.epoch == 0;
        let id = identity.producer_id == self.identity.producer_id || overflow;
        if !self.known || !id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        match level {
            Level::V1 => self.end_v1(identity, result).map(|()| None),
            Level::V2 => self.end_v2(identity, result, overflow).map(Some),
        }
    }

    /// Aborts a transaction that takes too long.
    pub(super) fn check_timeout(&mut self, now: Instant) -> bool {
        let late = |started: Instant| now.saturating_duration_since(started) >= self.timeout;
        let expired = self.state == State::Ongoing && self.started.is_some_and(late);
        if expired {
            self.timeouts += 1;
            self.fence();
        }
        expired
    }

    /// The transactional id is forgotten, if nothing is open.
    pub(super) fn expire(&mut self) -> bool {
        let idle = matches!(self.state, State::Empty | State::Complete(_));
        self.known &= !idle;
        idle
    }

    /// A marker that is not written yet.
    pub(super) fn pending(&self) -> &[Marker] {
        &self.markers
    }

    /// It is written now.
    pub(super) fn written(&mut self, index: usize) {
        self.markers.remove(index);
        if let (true, State::Prepared(result)) = (self.markers.is_empty(), self.state) {
            self.complete(result);
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Ongoing | State::Prepared(_))
    }

    fn check_markers(&self) -> Answer<()> {
        if self.modern && self.known && matches!(self.state, State::Prepared(_)) {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        Ok(())
    }

    fn start_over(&mut self, epoch: i16) {
        self.previous_id = Some(self.identity.producer_id);
        self.used_up_id = None;
        self.identity = Identity {
            producer_id: self.next_id,
            epoch,
        };
        self.next_id += 1;
        self.last_epoch = None;
        self.state = State::Empty;
        self.parts.clear();
    }

    fn is_valid(&self, current: Identity) -> bool {
        let previous = self.previous_id == Some(current.producer_id);
        current.producer_id == self.identity.producer_id
            || (previous && current.epoch >= LAST_EPOCH)
    }

    fn raise(&mut self, current: Option<Identity>) -> Answer<Identity> {
        if let Some(current) = current {
            if self.last_epoch == Some(current.epoch) {
                return Ok(self.identity);
            }
            if current != self.identity {
                return Err(ErrorCode::ProducerFenced);
            }
        } else {
            self.fences += 1;
        }
        if self.identity.epoch >= LAST_EPOCH {
            self.start_over(0);
        } else {
            self.identity.epoch += 1;
            self.state = State::Empty;
        }
        self.last_epoch = current.map(|current| current.epoch);
        Ok(self.identity)
    }

    /// Aborts the open transaction so that its producer cannot go on with it.
    fn fence(&mut self) {
        let epoch = self.identity.epoch;
        let rises = if self.level == Level::V2 && self.fences_twice {
            2
        } else {
            1
        };
        self.identity.epoch = epoch.saturating_add(rises);
        if epoch >= LAST_EPOCH {
            self.level = Level::V1; // no repetition is recognised any more
        }
        self.last_epoch = (self.level == Level::V2 && rises == 1).then_some(epoch);
        self.prepare(Complete::Abort, self.identity);
    }

    fn end_v1(&mut self, identity: Identity, result: Complete) -> Answer<()> {
        if identity != self.identity {
            return Err(ErrorCode::ProducerFenced); // I1
        }
        match self.state {
            State::Ongoing => {
                self.prepare(result, identity);
                Ok(())
            }
            State::Complete(decided) if decided == result => Ok(()),
            State::Prepared(decided) if decided == result => Err(ErrorCode::ConcurrentTransactions),
            _ => Err(ErrorCode::InvalidTxnState), // I2
        }
    }

    fn end_v2(&mut self, identity: Identity, result: Complete, overflow: bool) -> Answer<Identity> {
        let same = identity == self.identity;
        let raised = identity.producer_id == self.identity.producer_id
            && self.level == Level::V2
            && identity.epoch.checked_add(1) == Some(self.identity.epoch);
        match self.state {
            State::Ongoing if same => Ok(self.finish_v2(result)),
            State::Prepared(decided) if raised => Err(if decided == result {
                ErrorCode::ConcurrentTransactions
            } else {
                ErrorCode::InvalidTxnState
            }),
            State::Complete(decided) if raised || overflow => {
                if decided == result {
                    Ok(self.identity)
                } else {
                    Err(ErrorCode::InvalidTxnState) // I2
                }
            }
            State::Empty | State::Complete(_) if same => match result {
                Complete::Abort => {
                    self.parts.clear();
                    Ok(self.finish_v2(result))
                }
                Complete::Commit => Err(ErrorCode::InvalidTxnState),
            },
            _ => Err(ErrorCode::ProducerFenced),
        }
    }

    /// The end of a transaction at V2 raises the epoch, or gives another id.
    fn finish_v2(&mut self, result: Complete) -> Identity {
        self.level = Level::V2;
        let epoch = self.identity.epoch;
        self.last_epoch = Some(epoch);
        if epoch < LAST_EPOCH {
            self.identity.epoch += 1;
            self.prepare(result, self.identity);
            return self.identity;
        }
        let next = Identity {
            producer_id: self.next_id,
            epoch: 0,
        };
        self.next_id += 1;
        self.rotates = Some(next.producer_id);
        self.identity.epoch = epoch.saturating_add(1);
        self.prepare(result, self.identity);
        next
    }

    fn prepare(&mut self, result: Complete, identity: Identity) {
        self.started = None;
        let marker = |part: &usize| Marker {
            part: *part,
            identity,
            result,
        };
        self.markers = self.parts.iter().map(marker).collect();
        self.state = State::Prepared(result);
        if self.markers.is_empty() {
            self.complete(result);
        }
    }

    fn complete(&mut self, result: Complete) {
        self.state = State::Complete(result);
        self.parts.clear();
        if let Some(producer_id) = self.rotates.take() {
            self.previous_id = Some(self.identity.producer_id);
            self.used_up_id = self.previous_id;
            self.identity = Identity {
                producer_id,
                epoch: 0,
            };
            self.last_epoch = None;
        }
    }
}
