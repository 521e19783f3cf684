//! Which call comes next, and what its answer means for what is under way.

use std::time::Instant;

use milena_codec::ErrorCode;

use super::judge::{self, Again, Verdict};
use super::lane::{Lane, Work};
use super::{
    Bump, Call, Cause, Complete, Contents, Coordinator, Event, Identity, Level, Offsets, OffsetsId,
    Operation, Phase, Progress, Reply, TopicPartition, Transactions,
};

impl Transactions {
    pub(super) fn next_call(&mut self) -> Option<(Work, Call)> {
        self.next_for_coordinator()
            .or_else(|| self.next_for_group())
    }

    pub(super) fn handle_work(&mut self, work: Work, reply: Reply, now: Instant, random: u64) {
        match (work, reply) {
            (
                Work::Init,
                Reply::InitProducerId {
                    error,
                    identity,
                    ongoing,
                },
            ) => {
                self.handle_init(error, identity, ongoing, now, random);
            }
            (Work::Partitions, Reply::AddPartitions(results)) => {
                self.handle_partitions(&results, now, random);
            }
            (Work::AddOffsets(id), Reply::AddOffsets(error)) => {
                self.handle_group_added(id, error, now, random);
            }
            (Work::Offsets(id), Reply::TxnOffsetCommit(errors)) => {
                self.handle_offsets(id, &errors, now, random);
            }
            (Work::End(_), Reply::EndTxn { error, next }) => match self.phase {
                Phase::Ending(ending) => self.handle_end(ending, error, next, now, random),
                Phase::Learning(complete) => {
                    self.handle_learned(complete, error, next, now, random);
                }
                _ => {}
            },
            (work, Reply::Unsupported) => self.handle_unsupported(work),
            (work, reply) => {
                if !matches!(reply, Reply::Lost { sent: false }) {
                    self.doubt(work);
                }
                self.again(work, Again::Elsewhere, now, random);
            }
        }
    }

    /// What a failed call or batch means for the transaction.
    pub(super) fn take_verdict(&mut self, verdict: Verdict) {
        match (verdict, self.phase) {
            (Verdict::Fatal(cause), Phase::Ending(ending)) => self.fail_ending(ending, cause),
            (Verdict::Fatal(cause), _) => self.fatal(cause),
            (Verdict::Abort(_, bump), Phase::Ending(_)) if self.end_was_sent() => {
                self.current.needs(bump);
            }
            (Verdict::Abort(cause, bump), _) => self.must_abort(cause, bump),
            (Verdict::Done | Verdict::Again(_), _) => {}
        }
    }

    /// The call may have been executed, or may yet be.
    pub(super) fn doubt(&mut self, work: Work) {
        let v1 = self.level == Level::V1;
        match work {
            Work::Init => {}
            Work::Partitions | Work::AddOffsets(_) => {
                self.current.touched = true;
                self.current.needs(v1.then_some(Bump::LostAdd));
                self.current.may_reopen |= v1;
            }
            Work::Offsets(_) => {
                self.current.touched = true;
                self.current.offsets_lost = true;
                self.current.needs(v1.then_some(Bump::InDoubt)); // I3
            }
            Work::End(complete) => self.doubt_end(complete),
        }
    }

    /// Makes the call again, in its time.
    pub(super) fn again(&mut self, work: Work, again: Again, now: Instant, random: u64) {
        if work == Work::Partitions {
            self.ask_again();
        }
        if again == Again::Elsewhere {
            let coordinator = match work {
                Work::Offsets(id) => Coordinator::Group(id),
                _ => Coordinator::Transaction,
            };
            self.events.push_back(Event::Moved(coordinator));
        }
        let lane = self.lane(work);
        match again {
            Again::Concurrent => lane.wait_for_markers(now),
            Again::Later | Again::Elsewhere => lane.back_off(now, random),
        }
    }

    fn next_for_coordinator(&mut self) -> Option<(Work, Call)> {
        if !self.coordinator.is_free() {
            return None;
        }
        match self.phase {
            Phase::Initialising(bump) => {
                let current = self.identity.filter(|_| bump.is_some());
                let call = Call::InitProducerId {
                    current,
                    enable_2pc: self.config.two_phase_commit,
                    keep_prepared: self.config.keep_prepared && current.is_none(),
                };
                Some((Work::Init, call))
            }
            Phase::Open => self.next_addition(),
            // I6
            Phase::Ending(ending)
                if ending.complete == Complete::Commit && !self.is_confirmed() =>
            {
                self.next_addition()
            }
            Phase::Ending(ending) => {
                let call = Call::EndTxn {
                    identity: ending.identity,
                    complete: ending.complete,
                    level: ending.level,
                };
                Some((Work::End(ending.complete), call))
            }
            Phase::Learning(complete) => {
                let call = Call::EndTxn {
                    identity: self.identity?,
                    complete,
                    level: self.level,
                };
                Some((Work::End(complete), call))
            }
            _ => None,
        }
    }

    fn next_addition(&mut self) -> Option<(Work, Call)> {
        let identity = self.identity?;
        let mut partitions = Vec::new();
        for (partition, progress) in &mut self.current.partitions {
            if *progress == Progress::Wanted {
                *progress = Progress::Asked;
                partitions.push(partition.clone());
            }
        }
        if !partitions.is_empty() {
            let call = Call::AddPartitions {
                identity,
                partitions,
            };
            return Some((Work::Partitions, call));
        }
        let offsets = self.current.offsets.front()?;
        if offsets.added {
            return None;
        }
        let offsets = offsets.id;
        let call = Call::AddOffsets { identity, offsets };
        Some((Work::AddOffsets(offsets), call))
    }

    fn next_for_group(&mut self) -> Option<(Work, Call)> {
        let &Offsets { id, added } = self.current.offsets.front()?;
        let open = matches!(self.phase, Phase::Open | Phase::Ending(_));
        if !(added && open && self.group.is_free()) {
            return None;
        }
        self.current.touched = true;
        let call = Call::TxnOffsetCommit {
            identity: self.identity?,
            offsets: id,
            level: self.level,
        };
        Some((Work::Offsets(id), call))
    }

    fn handle_init(
        &mut self,
        error: ErrorCode,
        identity: Option<Identity>,
        ongoing: Option<Identity>,
        now: Instant,
        random: u64,
    ) {
        match (judge::answer(Operation::InitProducerId, error), identity) {
            (Verdict::Done, Some(identity)) => self.initialised(identity, ongoing),
            (Verdict::Done, None) => self.again(Work::Init, Again::Later, now, random),
            (Verdict::Again(again), _) => self.again(Work::Init, again, now, random),
            (Verdict::Abort(cause, _) | Verdict::Fatal(cause), _) => self.fatal(cause),
        }
    }

    fn initialised(&mut self, identity: Identity, ongoing: Option<Identity>) {
        self.coordinator.succeed();
        self.identity = Some(identity);
        self.may_reopen = false;
        self.level = self.offered; // I7
        let ongoing = ongoing.filter(|_| self.config.keep_prepared);
        if let Some(prepared) = ongoing {
            self.current = Contents {
                touched: true,
                confirmed: true,
                prepared: true,
                ..Contents::default()
            };
            self.phase = Phase::Prepared;
            self.events.push_back(Event::PreparedFound(prepared));
        } else {
            self.phase = Phase::Ready;
            self.tell_ready();
        }
    }

    pub(super) fn tell_ready(&mut self) {
        if let (Some(identity), Phase::Ready) = (self.identity, self.phase) {
            let level = self.level;
            self.events.push_back(Event::Ready { identity, level });
        }
    }

    fn handle_partitions(
        &mut self,
        results: &[(TopicPartition, ErrorCode)],
        now: Instant,
        random: u64,
    ) {
        let errors = || results.iter().map(|(_, error)| *error);
        self.current.touched |= errors().any(judge::may_have_run);
        let mut added = Vec::new();
        for (partition, error) in results {
            if *error == ErrorCode::None
                && let Some(progress) = self.current.partitions.get_mut(partition)
                && *progress == Progress::Asked
            {
                *progress = Progress::Added;
                added.push(partition.clone());
            }
        }
        let missing = self.ask_again();
        if !added.is_empty() {
            self.current.confirmed = true;
            self.tell(Event::PartitionsAdded(added));
        }
        match judge::worst(Operation::AddPartitions, errors()) {
            Some(Verdict::Done) if !missing => self.coordinator.succeed(),
            None | Some(Verdict::Done) => self.again(Work::Partitions, Again::Later, now, random),
            Some(Verdict::Again(again)) => self.again(Work::Partitions, again, now, random),
            Some(verdict) => self.take_verdict(verdict),
        }
    }

    fn handle_group_added(&mut self, id: OffsetsId, error: ErrorCode, now: Instant, random: u64) {
        self.current.touched |= judge::may_have_run(error);
        match judge::answer(Operation::AddOffsets, error) {
            Verdict::Done => {
                self.coordinator.succeed();
                self.current.confirmed = true;
                if let Some(front) = self.current.offsets.front_mut().filter(|one| one.id == id) {
                    front.added = true;
                }
            }
            Verdict::Again(again) => self.again(Work::AddOffsets(id), again, now, random),
            verdict => self.take_verdict(verdict),
        }
    }

    fn handle_offsets(&mut self, id: OffsetsId, errors: &[ErrorCode], now: Instant, random: u64) {
        let work = Work::Offsets(id);
        match judge::worst(Operation::TxnOffsetCommit, errors.iter().copied()) {
            Some(Verdict::Done) => {
                self.group.succeed();
                self.current.offsets.pop_front();
                self.tell(Event::OffsetsSent(id));
                if self.current.offsets_lost && !self.current.offsets.is_empty() {
                    self.must_abort(Cause::OffsetsInDoubt, None); // I8
                }
            }
            Some(Verdict::Again(again)) => self.again(work, again, now, random),
            None => self.again(work, Again::Later, now, random),
            Some(verdict) => self.take_verdict(verdict),
        }
    }

    fn handle_unsupported(&mut self, work: Work) {
        let operation = work.operation();
        let cause = Cause::Unsupported(operation);
        match (work, self.phase) {
            (Work::Init, Phase::Initialising(Some(bump))) if bump.is_optional() => {
                self.offered = self.level;
                self.may_reopen |= bump == Bump::LostAdd;
                self.phase = Phase::Ready;
                self.tell_ready();
            }
            (Work::Init, Phase::Initialising(Some(_))) => self.fatal(Cause::BumpUnsupported), // I3
            (Work::Offsets(_), _) => self.take_verdict(Verdict::Abort(cause, None)),
            _ => self.take_verdict(Verdict::Fatal(cause)),
        }
    }

    /// Says what is confirmed, unless the transaction can only be aborted.
    fn tell(&mut self, event: Event) {
        if self.phase != Phase::MustAbort {
            self.events.push_back(event);
        }
    }

    /// Whether partitions that were asked for are not added; they will be asked for again.
    fn ask_again(&mut self) -> bool {
        let mut missing = false;
        for progress in self.current.partitions.values_mut() {
            if *progress == Progress::Asked {
                *progress = Progress::Wanted;
                missing = true;
            }
        }
        missing
    }

    fn end_was_sent(&self) -> bool {
        let flying = matches!(self.coordinator.flying(), Some(Work::End(_)));
        flying || self.current.commit_in_doubt
    }

    const fn lane(&mut self, work: Work) -> &mut Lane {
        match work {
            Work::Offsets(_) => &mut self.group,
            _ => &mut self.coordinator,
        }
    }
}
