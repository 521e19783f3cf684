//! The transactions of one transactional id: what is asked of its coordinators, in which order, and
//! what each answer means for the transaction, for the producer and for its identity.
//!
//! - I1. `Committed` and `Aborted` are said only when it is certain: by an answer that proves it, or
//!   because no commit was ever sent. Anything else is `Unknown`, with a token.
//! - I2. An EndTxn whose outcome is unknown is repeated with the same identity, level and result until
//!   the caller's deadline; no transaction begins before it is resolved, or before a bare
//!   InitProducerId has left it to its fate.
//! - I3. At level V1, where the epoch stays, a request that was lost and could turn up in the next
//!   transaction (Produce, TxnOffsetCommit, EndTxn) makes InitProducerId raise the epoch first. V2's
//!   EndTxn raises it itself. What brokers cannot raise (below 2.5) ends the producer: a bare
//!   InitProducerId could fence the rightful owner.
//! - I4. Fenced is fenced: nothing gives this producer an identity again.
//! - I5. A transaction that sent nothing sends no EndTxn, unless at V2 the epoch has to be raised.
//! - I6. Commit is sent only when every partition and all offsets are confirmed, and never for a
//!   transaction that must be aborted.
//! - I7. The level changes only between transactions, and from V1 to V2 only with InitProducerId.
//! - I8. Within a transaction no offsets follow offsets of which a request was lost: the lost one could
//!   be executed last.
//! - I9. At level V1 an abort says what became of a commit in doubt only if no addition was lost: one
//!   that is executed after the commit opens the transaction again, and that is what is aborted then.
//! - I10. At most one call to each coordinator is unanswered, save those that a deadline or an abort
//!   gave up; their answers change nothing.
//!
//! A lost InitProducerId that is executed during a later transaction aborts it and fences this
//! producer: nothing is torn, but no client can prevent it.
//!
//! Not for batches and their order (that is [`sequencer`](crate::sequencer)), the offsets themselves,
//! finding coordinators, or the time a caller wants to wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

mod call;
mod end;
mod errors;
mod judge;
mod lane;
mod reply;
mod token;
mod types;

pub use call::{Call, CallId, Reply};
use end::Ending;
pub use errors::{Cause, Command, Misuse, Operation};
use lane::Lane;
pub use token::{Intent, ParseTokenError, Token};
pub use types::{
    Bump, Complete, Config, Coordinator, Event, Identity, Level, OffsetsId, Outcome, State,
    TopicPartition,
};

use crate::sequencer::{Because, Fate};

/// One transactional id's life in one producer.
///
/// After every command and `handle_*`, call [`poll_event`](Self::poll_event) and
/// [`poll_call`](Self::poll_call) until they yield nothing.
#[derive(Clone, Debug)]
pub struct Transactions {
    config: Config,
    /// The level that the cluster has.
    offered: Level,
    /// The level that the transaction follows.
    level: Level,
    identity: Option<Identity>,
    phase: Phase,
    current: Contents,
    /// An addition was lost under this identity, which brokers cannot raise.
    may_reopen: bool,
    coordinator: Lane,
    group: Lane,
    /// Calls that were not answered, those that were given up included.
    unanswered: BTreeSet<CallId>,
    next_call: u64,
    events: VecDeque<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Uninitialised,
    /// Without a reason it is a new start, with a bare InitProducerId.
    Initialising(Option<Bump>),
    Ready,
    Open,
    MustAbort,
    Prepared,
    Ending(Ending),
    /// The transaction has ended like this, and the next identity is asked for, at V2.
    Learning(Complete),
    InDoubt(Token),
    Fatal,
}

/// What is in the transaction, as far as the coordinators are concerned.
#[derive(Clone, Debug, Default)]
struct Contents {
    /// Something of it has reached, or may have reached, a coordinator or a partition.
    touched: bool,
    /// The coordinator has confirmed that the transaction goes on.
    confirmed: bool,
    /// A commit was sent and may have been executed.
    commit_in_doubt: bool,
    /// An abort was sent and may have been executed.
    abort_in_doubt: bool,
    prepared: bool,
    /// At V1, a lost addition may open the transaction once more after its end.
    may_reopen: bool,
    partitions: BTreeMap<TopicPartition, Progress>,
    offsets: VecDeque<Offsets>,
    offsets_lost: bool,
    bump: Option<Bump>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Wanted,
    Asked,
    Added,
}

#[derive(Clone, Copy, Debug)]
struct Offsets {
    id: OffsetsId,
    /// The group is part of the transaction, or needs no call for it.
    added: bool,
}

impl Transactions {
    /// A producer that has asked for nothing yet, at the level its cluster is known to have.
    #[must_use]
    pub fn new(config: Config, level: Level) -> Self {
        Self {
            config,
            offered: level,
            level,
            identity: None,
            phase: Phase::Uninitialised,
            current: Contents::default(),
            may_reopen: false,
            coordinator: Lane::new(&config),
            group: Lane::new(&config),
            unanswered: BTreeSet::new(),
            next_call: 0,
            events: VecDeque::new(),
        }
    }

    /// Asks for an identity: fences other producers with this transactional id and aborts what they,
    /// or this one, left open. `Ready` or `Fatal` follows. While the last transaction is in doubt,
    /// this leaves it to its fate.
    ///
    /// # Errors
    /// Unless nothing was initialised yet, or the last transaction is in doubt.
    pub fn init(&mut self) -> Result<(), Misuse> {
        match self.phase {
            Phase::Uninitialised | Phase::InDoubt(_) => {
                self.identity = None;
                self.level = self.offered;
                self.current = Contents::default();
                self.enter(Phase::Initialising(None));
                Ok(())
            }
            _ => Err(self.misuse(Command::Init)),
        }
    }

    /// Begins a transaction. Nothing is sent for it.
    ///
    /// # Errors
    /// Unless the state is [`State::Ready`].
    pub fn begin(&mut self) -> Result<(), Misuse> {
        if self.phase != Phase::Ready {
            return Err(self.misuse(Command::Begin));
        }
        self.current = Contents {
            may_reopen: self.may_reopen,
            ..Contents::default()
        };
        self.phase = Phase::Open;
        Ok(())
    }

    /// A batch is to be sent to this partition. At V1 it may be only once `PartitionsAdded` names
    /// it; at V2 at once.
    ///
    /// # Errors
    /// Unless the transaction is open and may still be committed.
    pub fn add_partition(&mut self, partition: TopicPartition) -> Result<(), Misuse> {
        if self.phase != Phase::Open {
            return Err(self.misuse(Command::AddPartition));
        }
        let progress = match self.level {
            Level::V1 => Progress::Wanted,
            Level::V2 => {
                self.current.touched = true;
                Progress::Added
            }
        };
        let partitions = &mut self.current.partitions;
        partitions.entry(partition).or_insert(progress);
        Ok(())
    }

    /// Makes offsets part of the transaction; `OffsetsSent` or `MustAbort` follows, or `Fatal`. A
    /// commit waits for it.
    ///
    /// # Errors
    /// Unless the transaction is open and may still be committed.
    pub fn send_offsets(&mut self, id: OffsetsId) -> Result<(), Misuse> {
        if self.phase != Phase::Open {
            return Err(self.misuse(Command::SendOffsets));
        }
        if self.current.offsets_lost {
            self.must_abort(Cause::OffsetsInDoubt, None); // I8
            return Ok(());
        }
        let added = self.level == Level::V2;
        self.current.offsets.push_back(Offsets { id, added });
        Ok(())
    }

    /// Commits the transaction, which all its batches must be acknowledged for. `Ended`, `MustAbort`
    /// or `Fatal` follows.
    ///
    /// # Errors
    /// Unless the transaction is open and may still be committed, or is prepared.
    pub fn commit(&mut self) -> Result<(), Misuse> {
        match self.phase {
            Phase::Open | Phase::Prepared => {
                self.end(Complete::Commit);
                Ok(())
            }
            _ => Err(self.misuse(Command::Commit)),
        }
    }

    /// Aborts the transaction. Its batches must have come to an end first; those that may have been
    /// written have been told to [`handle_batch_failed`](Self::handle_batch_failed). Calls that are
    /// under way are given up. `Ended` or `Fatal` follows.
    ///
    /// # Errors
    /// Unless the transaction is open, failed or prepared.
    pub fn abort(&mut self) -> Result<(), Misuse> {
        match self.phase {
            Phase::Open | Phase::MustAbort | Phase::Prepared => {
                self.end(Complete::Abort);
                Ok(())
            }
            _ => Err(self.misuse(Command::Abort)),
        }
    }

    /// The first phase of a two-phase commit (KIP-939): nothing more may be sent, and the token can
    /// complete the transaction, in this process ([`commit`](Self::commit), [`abort`](Self::abort))
    /// or in another ([`resume`](Self::resume)). Nothing is sent for it.
    ///
    /// # Errors
    /// Unless it is enabled, the transaction is open, and all that was sent is confirmed.
    pub fn prepare(&mut self) -> Result<Token, Misuse> {
        let (Phase::Open, Some(identity)) = (self.phase, self.identity) else {
            return Err(self.misuse(Command::Prepare));
        };
        if !self.config.two_phase_commit {
            return Err(Misuse::OnePhase);
        }
        if !self.is_confirmed() {
            return Err(Misuse::Unconfirmed);
        }
        self.current.prepared = true;
        self.phase = Phase::Prepared;
        Ok(self.token(identity, self.level))
    }

    /// Completes a transaction by its token: the one in doubt, or, before [`init`](Self::init), one
    /// of an earlier process. `Ended` follows, or `Fatal`.
    ///
    /// # Errors
    /// In any other state, if the token is not that of the transaction in doubt, or if it does not
    /// [allow](Token::allows) it.
    pub fn resume(&mut self, token: Token, complete: Complete) -> Result<(), Misuse> {
        let foreign = match self.phase {
            Phase::Uninitialised => true,
            Phase::InDoubt(doubted) if doubted == token => false,
            Phase::InDoubt(_) => return Err(Misuse::OtherToken),
            _ => return Err(self.misuse(Command::Resume)),
        };
        if !token.allows(complete) {
            return Err(match complete {
                Complete::Commit => Misuse::WasAborted,
                Complete::Abort => Misuse::OnlyCommit,
            });
        }
        if foreign {
            self.current = Contents::of(token);
        }
        self.enter(Phase::Ending(Ending {
            identity: token.identity,
            level: token.level,
            complete,
            foreign,
        }));
        Ok(())
    }

    /// The level that the cluster has now. Between transactions it takes effect at once, else after
    /// the one that is open. // I7
    pub fn handle_level(&mut self, level: Level) {
        self.offered = level;
        if self.phase == Phase::Ready {
            self.settle_between(None);
        }
    }

    /// A batch of this transaction has failed, which therefore must be aborted. It must be told
    /// before [`abort`](Self::abort) is called.
    pub fn handle_batch_failed(&mut self, because: Because, fate: Fate) {
        let verdict = judge::batch(because, fate);
        match self.phase {
            Phase::Open | Phase::MustAbort | Phase::Ending(_) => self.take_verdict(verdict),
            _ => {}
        }
    }

    /// The caller's deadline for a commit, an abort or a resumption has passed. If it may have been
    /// executed, its outcome is now `Unknown`; a commit that certainly was not turns into
    /// `MustAbort`. In other states it changes nothing: what is under way goes on.
    pub fn handle_deadline(&mut self) {
        if let Phase::Ending(ending) = self.phase {
            self.give_up(ending);
        }
    }

    /// What came of a call. `random` is uniform over all of `u64`. An unknown id changes nothing.
    pub fn handle_reply(&mut self, id: CallId, reply: Reply, now: Instant, random: u64) {
        if !self.unanswered.remove(&id) {
            return;
        }
        let work = self.coordinator.take(id).or_else(|| self.group.take(id));
        if let Some(work) = work {
            self.handle_work(work, reply, now, random); // I10
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.coordinator.handle_timeout(now);
        self.group.handle_timeout(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called, at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waits = [self.coordinator.waits(), self.group.waits()];
        waits.into_iter().flatten().min()
    }

    /// The next call to make. Each must be answered by [`handle_reply`](Self::handle_reply) exactly
    /// once.
    pub fn poll_call(&mut self) -> Option<(CallId, Call)> {
        let (work, call) = self.next_call()?;
        let id = CallId(self.next_call);
        self.next_call = self.next_call.wrapping_add(1);
        self.unanswered.insert(id);
        match call {
            Call::TxnOffsetCommit { .. } => self.group.begin(id, work),
            _ => self.coordinator.begin(id, work),
        }
        Some((id, call))
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What to stamp the batches of the open transaction with; `None` if none may be stamped.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.identity.filter(|_| self.phase == Phase::Open)
    }

    /// Whether batches may be sent to the partition as part of the open transaction.
    #[must_use]
    pub fn may_send(&self, partition: &TopicPartition) -> bool {
        let progress = self.current.partitions.get(partition);
        self.phase == Phase::Open && progress == Some(&Progress::Added)
    }

    /// The level that the open transaction follows, or the next one.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The number of calls that were not answered, those that were given up included.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// What is going on.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Uninitialised => State::Uninitialised,
            Phase::Initialising(_) | Phase::Learning(_) => State::Initialising,
            Phase::Ready => State::Ready,
            Phase::Open => State::Open,
            Phase::MustAbort => State::MustAbort,
            Phase::Prepared => State::Prepared,
            Phase::Ending(ending) => match ending.complete {
                Complete::Commit => State::Committing,
                Complete::Abort => State::Aborting,
            },
            Phase::InDoubt(_) => State::InDoubt,
            Phase::Fatal => State::Fatal,
        }
    }

    /// Enters a phase with calls of its own: waits of earlier ones do not count for it.
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.coordinator.reset();
        self.group.reset();
    }

    /// Whether all that a commit would make visible is confirmed.
    fn is_confirmed(&self) -> bool {
        let added = |progress: &Progress| *progress == Progress::Added;
        self.current.partitions.values().all(added) && self.current.offsets.is_empty()
    }

    const fn misuse(&self, command: Command) -> Misuse {
        let state = self.state();
        Misuse::State { command, state }
    }
}

impl Contents {
    /// What is known of another process's transaction.
    fn of(token: Token) -> Self {
        Self {
            touched: true,
            commit_in_doubt: token.may_be_committed(),
            may_reopen: token.intent == Intent::CommitOnly,
            prepared: token.intent == Intent::Prepared,
            ..Self::default()
        }
    }

    /// The epoch has to be raised for this reason too.
    fn needs(&mut self, bump: Option<Bump>) {
        self.bump = self.bump.max(bump);
    }
}

#[cfg(test)]
mod tests;
