//! One partition's order and honesty: how its batches are stamped, and what each answer means.
//!
//! A [`Sequence`] stamps one batch at a time, the *head*, with (producer id, epoch, base sequence),
//! and decides after each attempt whether the head is acknowledged, has to be sent again, or has
//! failed, and then with which [`Fate`].
//!
//! - I1. A stamp never changes while the outcome of any attempt that carried it is unknown.
//! - I2. A head whose every attempt was definitely refused leaves its sequence range to the next.
//! - I3. After a head failed in doubt, nothing is stamped with its epoch: the partition raises its
//!   own epoch by one and starts at sequence 0. The broker then refuses a late copy, and other
//!   partitions are not touched.
//! - I4. A fate is the worst over all attempts: once one may have been written, `NotWritten` is
//!   never said.
//! - I5. Only one batch is in flight.
//!
//! Without idempotence there are no stamps, and a retry after a lost attempt may write twice; the
//! fates are the same.
//!
//! Not for transactions, where the epoch belongs to the coordinator, nor for choosing when and
//! where to send.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use milena_codec::ErrorCode;
use milena_records::Stamp;

mod refusal;
use refusal::Refusal;

/// How many replicas must have a batch before the broker answers (`acks`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// The broker does not answer at all (`0`).
    None,
    /// The leader alone (`1`).
    Leader,
    /// All in-sync replicas (`all`, `-1`).
    #[default]
    All,
}

impl Acks {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// Whether a failed batch is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It is not, and never will be: it was not sent, or each attempt was refused before the
    /// append. Producing its records again cannot duplicate them.
    NotWritten,
    /// It may be, or may yet come to be, once and never more often with idempotence.
    MaybeWritten,
}

/// A producer id with an epoch, as InitProducerId gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The producer id, at least 0.
    pub producer_id: i64,
    /// The epoch to start with.
    pub epoch: i16,
}

/// What a Produce answer says of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The partition's error code.
    pub error: ErrorCode,
    /// The first record's offset, −1 if the broker does not say.
    pub base_offset: i64,
    /// Where the partition's log starts, −1 if the broker does not say.
    pub log_start_offset: i64,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// None of it reached a socket.
    NotSent,
    /// It was sent, wholly or in part, and no answer will come. It may still be executed.
    Lost,
    /// It was written to the socket and asks for no answer (acks 0).
    Unacknowledged,
    /// The broker answered.
    Answered(Answer),
}

/// What an attempt's outcome means for the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// The head is in the log, at this offset if the broker said it. The next batch may begin.
    Acknowledged {
        /// The first record's offset.
        offset: Option<i64>,
    },
    /// The head has to be sent again: call [`Sequence::begin`] for its stamp.
    Retry,
    /// The head has failed for good. The next batch may begin.
    Failed(Fate),
    /// There is no attempt to decide on: the head was given up meanwhile.
    Stale,
}

/// Why there is no stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// An identity is needed; not one of the producer id that is named, if one is.
    #[error("a producer id is needed, other than {exhausted:?}, whose epochs are used up")]
    NeedsIdentity {
        /// The producer id whose last epoch this partition has used.
        exhausted: Option<i64>,
    },
    /// The head is in flight. // I5
    #[error("the partition's batch is in flight")]
    InFlight,
    /// The head is another batch: it must be resolved first.
    #[error("the partition's unresolved batch has {head} records, not {given}")]
    OtherBatch {
        /// The head's number of records.
        head: u32,
        /// The number of records given.
        given: u32,
    },
}

/// The partition raised its epoch, or left its producer id if there was no higher epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bump {
    /// The identity it had.
    pub from: Identity,
    /// The identity it has now, `None` if it needs a new producer id.
    pub to: Option<Identity>,
    /// Why.
    pub reason: BumpReason,
}

/// Why a partition raised its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BumpReason {
    /// A batch failed and may have been written.
    InDoubt,
    /// The broker's state does not fit ours, and no attempt was lost: it forgot or lost some.
    BrokerState(ErrorCode),
    /// As before, and the log starts after the last acknowledged record: retention removed the
    /// producer's state with its records, which is not a loss.
    Retention(ErrorCode),
    /// The topic was deleted and created again.
    TopicReplaced,
}

/// The stamps of one partition and the state of its head.
#[derive(Clone, Debug)]
pub struct Sequence {
    acks: Acks,
    idempotent: bool,
    identity: Option<Identity>,
    exhausted: Option<i64>,
    /// The next batch's first sequence number.
    next: i32,
    head: Option<Head>,
    last_acknowledged: Option<i64>,
    bump: Option<Bump>,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    records: u32,
    stamp: Option<Stamp>,
    in_flight: bool,
    /// An attempt may have been written. // I4
    doubt: bool,
    attempts: u32,
}

impl Sequence {
    /// A partition to which this producer has written nothing yet.
    #[must_use]
    pub const fn new(acks: Acks, idempotent: bool) -> Self {
        Self {
            acks,
            idempotent,
            identity: None,
            exhausted: None,
            next: 0,
            head: None,
            last_acknowledged: None,
            bump: None,
        }
    }

    /// Begins an attempt of the head, or of a new head if there is none, and returns its stamp.
    ///
    /// `identity` is the producer's own, adopted if the partition has none; later ones are ignored
    /// unless the partition's epochs are used up.
    ///
    /// # Errors
    /// [`BeginError`]; nothing has changed then.
    pub fn begin(&mut self, records: u32, identity: Option<Identity>) -> Result<Stamp, BeginError> {
        let mut head = self.head.unwrap_or(Head {
            records,
            stamp: None,
            in_flight: false,
            doubt: false,
            attempts: 0,
        });
        if head.in_flight {
            return Err(BeginError::InFlight);
        }
        if head.records != records {
            return Err(BeginError::OtherBatch {
                head: head.records,
                given: records,
            });
        }
        let stamp = match head.stamp {
            Some(stamp) => stamp, // I1
            None => self.stamp(identity)?,
        };
        head.stamp = Some(stamp);
        head.in_flight = true;
        head.attempts = head.attempts.saturating_add(1);
        self.head = Some(head);
        Ok(stamp)
    }

    /// Takes the outcome of the attempt that [`Self::begin`] began.
    pub fn handle_attempt(&mut self, attempt: Attempt) -> Decision {
        let Some(head) = self.head.as_mut().filter(|head| head.in_flight) else {
            return Decision::Stale;
        };
        head.in_flight = false;
        match attempt {
            Attempt::NotSent => Decision::Retry,
            Attempt::Lost => {
                head.doubt = true;
                Decision::Retry
            }
            Attempt::Unacknowledged => self.acknowledge(None),
            Attempt::Answered(answer) => self.handle_answer(&answer),
        }
    }

    /// Gives the head up: its time is over. An attempt in flight counts as lost.
    ///
    /// Without a head nothing was sent, and the fate is `NotWritten`.
    pub fn handle_expired(&mut self) -> Fate {
        match self.head {
            None => Fate::NotWritten,
            Some(head) if head.doubt || head.in_flight => self.fail_in_doubt(),
            Some(_) => self.fail_clean(),
        }
    }

    /// The topic was deleted and created again. A head that may be in the old topic is given up
    /// and its fate returned; a clean one, like all that follow, starts anew in the new topic.
    pub fn handle_topic_replaced(&mut self) -> Option<Fate> {
        self.last_acknowledged = None;
        if self.head.is_some_and(|head| head.doubt || head.in_flight) {
            return Some(self.fail_in_doubt());
        }
        self.raise_epoch(BumpReason::TopicReplaced);
        self.unstamp();
        None
    }

    /// The last raise of the epoch that was not taken yet, to be told as an event.
    pub const fn poll_bump(&mut self) -> Option<Bump> {
        self.bump.take()
    }

    /// How often the head was begun.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.head.map_or(0, |head| head.attempts)
    }

    /// What the head's fate would be if it was given up now.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self.head {
            Some(head) if head.doubt || head.in_flight => Fate::MaybeWritten,
            _ => Fate::NotWritten,
        }
    }

    /// The identity that the partition stamps with.
    #[must_use]
    pub const fn identity(&self) -> Option<Identity> {
        self.identity
    }

    fn stamp(&mut self, offered: Option<Identity>) -> Result<Stamp, BeginError> {
        if !self.idempotent {
            return Ok(Stamp::NONE);
        }
        let exhausted = self.exhausted;
        let usable = offered.filter(|offer| exhausted != Some(offer.producer_id));
        let identity = self
            .identity
            .or(usable)
            .ok_or(BeginError::NeedsIdentity { exhausted })?;
        self.identity = Some(identity);
        Ok(Stamp {
            producer_id: identity.producer_id,
            producer_epoch: identity.epoch,
            base_sequence: self.next,
            transactional: false,
        })
    }

    fn handle_answer(&mut self, answer: &Answer) -> Decision {
        match answer.error {
            ErrorCode::None => {
                let offset = (answer.base_offset >= 0).then_some(answer.base_offset);
                self.acknowledge(offset)
            }
            // Only old and foreign brokers say so: it is in the log, they don't know where.
            ErrorCode::DuplicateSequenceNumber if self.idempotent => self.acknowledge(None),
            _ => match refusal::of(answer, self.acks, self.idempotent) {
                Refusal::State => self.handle_state_mismatch(answer),
                Refusal::Definite { retriable } => self.handle_refused(retriable),
                Refusal::Maybe { retriable } => {
                    self.doubt();
                    self.handle_refused(retriable)
                }
            },
        }
    }

    fn handle_refused(&mut self, retriable: bool) -> Decision {
        if retriable {
            Decision::Retry
        } else {
            Decision::Failed(self.handle_expired())
        }
    }

    /// The broker's idea of the producer does not fit the stamp. After a lost attempt this proves
    /// nothing: the lost copy may be in the log or still run, and a new stamp would duplicate it.
    fn handle_state_mismatch(&mut self, answer: &Answer) -> Decision {
        if self.fate() == Fate::MaybeWritten {
            return Decision::Failed(self.fail_in_doubt());
        }
        let retained = self
            .last_acknowledged
            .is_some_and(|last| answer.log_start_offset > last);
        self.raise_epoch(if retained {
            BumpReason::Retention(answer.error)
        } else {
            BumpReason::BrokerState(answer.error)
        });
        self.unstamp();
        Decision::Retry
    }

    fn acknowledge(&mut self, offset: Option<i64>) -> Decision {
        if let Some(head) = self.head.take() {
            self.next = advance(self.next, head.records);
            let last = i64::from(head.records.saturating_sub(1));
            self.last_acknowledged = offset.map(|offset| offset.saturating_add(last));
        }
        Decision::Acknowledged { offset }
    }

    fn fail_clean(&mut self) -> Fate {
        self.head = None; // I2
        Fate::NotWritten
    }

    fn fail_in_doubt(&mut self) -> Fate {
        self.head = None;
        self.raise_epoch(BumpReason::InDoubt); // I3
        Fate::MaybeWritten
    }

    fn raise_epoch(&mut self, reason: BumpReason) {
        let Some(from) = self.identity.take() else {
            return;
        };
        match from.epoch.checked_add(1) {
            Some(epoch) => self.identity = Some(Identity { epoch, ..from }),
            None => self.exhausted = Some(from.producer_id),
        }
        self.next = 0;
        self.bump = Some(Bump {
            from,
            to: self.identity,
            reason,
        });
    }

    fn unstamp(&mut self) {
        if let Some(head) = self.head.as_mut() {
            head.stamp = None;
        }
    }

    fn doubt(&mut self) {
        if let Some(head) = self.head.as_mut() {
            head.doubt = true;
        }
    }
}

/// The sequence number `records` after `sequence`: after 2³¹ − 1 comes 0.
fn advance(sequence: i32, records: u32) -> i32 {
    sequence.cast_unsigned().wrapping_add(records).cast_signed() & i32::MAX
}

#[cfg(test)]
mod tests;
