//! One transactional id: its producer id, its epochs, and where its transaction stands.
//!
//! I1. The epoch of a producer id never falls; when it is used up the next producer id begins at 0.
//! I2. Between a decision (`Prepare…`) and its last marker everything that would change the
//!     transaction is refused with `CONCURRENT_TRANSACTIONS`.
//! I3. Under transaction version 2 (KIP-890) each decision raises the epoch by one, a fence
//!     included; under version 1 only fences and InitProducerId do.
//!
//! Not for: markers, coordinators and timers; see [`super`].

use std::collections::BTreeSet;
use std::time::Duration;

use milena_codec::{ErrorCode, Str};

/// Where the transaction of a transactional id stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TransactionState {
    /// The producer has begun no transaction since InitProducerId.
    Empty,
    /// Partitions or offsets belong to an open transaction.
    Ongoing,
    /// Committed; markers are still to be written.
    PrepareCommit,
    /// Aborted; markers are still to be written.
    PrepareAbort,
    /// Committed, all markers written.
    CompleteCommit,
    /// Aborted, all markers written.
    CompleteAbort,
}

impl TransactionState {
    pub(crate) const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// Kafka's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether the decision is made and markers are still to be written.
    pub fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// A producer as it names itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

impl Producer {
    pub(crate) const NONE: Self = Self { id: -1, epoch: -1 };
}

/// What InitProducerId comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Init {
    Ready(Producer),
    /// The open transaction is to be aborted first.
    Fence,
}

/// What EndTxn comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Decided: markers are to be written. The producer as it goes on.
    Begun(Producer),
    /// It had been decided so before.
    Repeated(Producer),
}

/// A transactional id.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) producer: Producer,
    pub(crate) state: TransactionState,
    /// (topic, partition), those of committed offsets too.
    pub(crate) partitions: BTreeSet<(Str, i32)>,
    pub(crate) timeout_ms: i32,
    /// When the open or last transaction began.
    pub(crate) started: Option<Duration>,
    pub(crate) updated: Duration,
    last_epoch: i16,
    previous_id: i64,
    /// The producer id to go on with when the epoch is used up (version 2).
    next_id: Option<i64>,
}

/// The last epoch that is given to clients is 32766: fencing needs one more.
fn is_exhausted(epoch: i16) -> bool {
    epoch >= i16::MAX - 1
}

impl Transaction {
    /// An id that has just been seen for the first time.
    pub(crate) fn new(producer_id: i64, timeout_ms: i32, now: Duration) -> Self {
        Self {
            producer: Producer {
                id: producer_id,
                ..Producer::NONE
            },
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            timeout_ms,
            started: None,
            updated: now,
            last_epoch: -1,
            previous_id: -1,
            next_id: None,
        }
    }

    /// InitProducerId; `who` is the producer as the client knows it, if it says (KIP-360).
    pub(crate) fn init(
        &mut self,
        who: Option<Producer>,
        timeout_ms: i32,
        now: Duration,
        fresh_id: impl FnOnce() -> i64,
    ) -> Result<Init, ErrorCode> {
        if self.state.is_prepared() {
            return Err(ErrorCode::ConcurrentTransactions); // I2
        }
        if who.is_some_and(|who| !self.may_be(who)) {
            return Err(ErrorCode::ProducerFenced);
        }
        if self.state == TransactionState::Ongoing {
            return Ok(Init::Fence);
        }
        let epoch = self.producer.epoch;
        let exhausted = is_exhausted(epoch) && who.is_none_or(|who| who.epoch == epoch);
        match who {
            _ if exhausted => {
                self.rotate(fresh_id());
                self.last_epoch = if who.is_some() { epoch } else { -1 };
            }
            Some(who) if epoch >= 0 && who.epoch != epoch => {
                // A repeated call finds what the first one made of it.
                if who.epoch != self.last_epoch {
                    return Err(ErrorCode::ProducerFenced);
                }
            }
            _ => {
                self.producer.epoch = epoch.saturating_add(1);
                self.last_epoch = if who.is_some() { epoch } else { -1 };
            }
        }
        self.state = TransactionState::Empty;
        self.partitions.clear();
        self.started = None;
        self.timeout_ms = timeout_ms;
        self.updated = now;
        Ok(Init::Ready(self.producer))
    }

    /// Adds partitions, which begins a transaction where none is open.
    pub(crate) fn add(
        &mut self,
        who: Producer,
        partitions: impl IntoIterator<Item = (Str, i32)>,
        now: Duration,
    ) -> Result<(), ErrorCode> {
        if self.state.is_prepared() {
            return Err(ErrorCode::ConcurrentTransactions); // I2
        }
        self.check(who)?;
        if self.state != TransactionState::Ongoing {
            self.state = TransactionState::Ongoing;
            self.started = Some(now);
        }
        self.partitions.extend(partitions);
        self.updated = now;
        Ok(())
    }

    /// Whether a partition is in the open transaction (KIP-890, first part).
    pub(crate) fn verify(&self, who: Producer, partition: &(Str, i32)) -> Result<(), ErrorCode> {
        self.check(who)?;
        if self.state.is_prepared() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if self.partitions.contains(partition) {
            Ok(())
        } else {
            Err(ErrorCode::TransactionAbortable)
        }
    }

    /// EndTxn as clients below version 5 of it mean it: the epoch stays.
    pub(crate) fn end_v1(
        &mut self,
        who: Producer,
        commit: bool,
        now: Duration,
    ) -> Result<End, ErrorCode> {
        self.check(who)?;
        let invalid = Err(ErrorCode::InvalidTxnState);
        match self.state {
            _ if self.state.is_prepared() => Err(ErrorCode::ConcurrentTransactions), // I2
            TransactionState::Ongoing => {
                self.decide(commit, now);
                Ok(End::Begun(self.producer))
            }
            TransactionState::CompleteCommit if commit => Ok(End::Repeated(self.producer)),
            TransactionState::CompleteAbort if !commit => Ok(End::Repeated(self.producer)),
            _ => invalid,
        }
    }

    /// EndTxn from version 5 on: the epoch rises, and an abort without a transaction is legal.
    pub(crate) fn end_v2(
        &mut self,
        who: Producer,
        commit: bool,
        now: Duration,
        fresh_id: impl FnOnce() -> i64,
    ) -> Result<End, ErrorCode> {
        if self.state.is_prepared() {
            return Err(ErrorCode::ConcurrentTransactions); // I2
        }
        let current = self.producer;
        let after_rotation =
            self.previous_id == who.id && who.epoch == i16::MAX - 1 && current.epoch == 0;
        if current.id != who.id && !after_rotation {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        let repeated = after_rotation || who.epoch.checked_add(1) == Some(current.epoch);
        let complete = matches!(
            self.state,
            TransactionState::CompleteCommit | TransactionState::CompleteAbort
        );
        if who.epoch != current.epoch && !(complete && repeated) {
            return Err(ErrorCode::ProducerFenced);
        }
        match self.state {
            TransactionState::CompleteCommit if commit && repeated => Ok(End::Repeated(current)),
            TransactionState::CompleteAbort if !commit && repeated => Ok(End::Repeated(current)),
            _ if repeated => Err(ErrorCode::InvalidTxnState),
            TransactionState::Ongoing => Ok(End::Begun(self.decide_v2(commit, now, fresh_id))),
            _ if commit => Err(ErrorCode::InvalidTxnState),
            _ => {
                self.started = Some(now);
                Ok(End::Begun(self.decide_v2(false, now, fresh_id)))
            }
        }
    }

    /// Aborts the open transaction against its producer: for a new one, or after its time is up.
    pub(crate) fn fence(&mut self, v2: bool, now: Duration, fresh_id: impl FnOnce() -> i64) {
        if v2 {
            self.decide_v2(false, now, fresh_id);
        } else {
            self.producer.epoch = self.producer.epoch.saturating_add(1);
            self.last_epoch = -1;
            self.decide(false, now);
        }
    }

    /// All markers are written.
    pub(crate) fn complete(&mut self, now: Duration) {
        self.state = match self.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            _ => TransactionState::CompleteAbort,
        };
        self.partitions.clear();
        self.updated = now;
        if let Some(id) = self.next_id.take() {
            self.rotate(id);
        }
    }

    fn decide_v2(
        &mut self,
        commit: bool,
        now: Duration,
        fresh_id: impl FnOnce() -> i64,
    ) -> Producer {
        let Producer { id, epoch } = self.producer;
        self.next_id = is_exhausted(epoch).then(fresh_id);
        self.last_epoch = epoch;
        self.producer.epoch = epoch.saturating_add(1); // I3
        self.decide(commit, now);
        match self.next_id {
            Some(next) => Producer { id: next, epoch: 0 },
            None => Producer {
                id,
                ..self.producer
            },
        }
    }

    fn decide(&mut self, commit: bool, now: Duration) {
        self.updated = now;
        self.state = if commit {
            TransactionState::PrepareCommit
        } else {
            TransactionState::PrepareAbort
        };
    }

    fn rotate(&mut self, id: i64) {
        self.previous_id = self.producer.id;
        self.producer = Producer { id, epoch: 0 }; // I1
    }

    fn may_be(&self, who: Producer) -> bool {
        self.producer.epoch < 0
            || who.id == self.producer.id
            || who.id == self.previous_id && is_exhausted(who.epoch)
    }

    fn check(&self, who: Producer) -> Result<(), ErrorCode> {
        if who.id != self.producer.id {
            Err(ErrorCode::InvalidProducerIdMapping)
        } else if who.epoch != self.producer.epoch {
            Err(ErrorCode::ProducerFenced)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
