//! What an attempt's outcome means for its batch.

use milena_codec::ErrorCode;

use super::entry::{Entry, Outstanding};
use super::refusal::{self, Refusal};
use super::settle::Settling;
use super::{Answer, Attempt, Because, BumpReason, Event, Sequencer, advance};

impl Sequencer {
    pub(super) fn handle_outcome(&mut self, index: usize, ended: &Outstanding, outcome: Attempt) {
        match outcome {
            Attempt::NotSent => self.retry(index),
            Attempt::Lost => {
                self.doubt(index);
                self.retry(index);
            }
            Attempt::Unacknowledged => self.succeed(index, ended, None),
            Attempt::Answered(answer) => self.handle_answer(index, ended, &answer),
        }
    }

    /// Takes the batch from the queue, for good.
    pub(super) fn fail(&mut self, index: usize, because: Because) {
        let Some(entry) = self.queue.remove(index) else {
            return;
        };
        let (id, fate) = (entry.id, entry.fate()); // I7
        self.events.push_back(Event::Failed { id, fate, because });
        self.leave_hole(&entry, fate);
    }

    /// Reports the successes that nothing before them holds back.
    pub(super) fn release(&mut self) {
        // I6
        while let Some(&Entry {
            success: Some(offset),
            ..
        }) = self.queue.front()
        {
            if let Some(entry) = self.queue.pop_front() {
                self.note_acknowledged(&entry, offset);
                let id = entry.id;
                self.events.push_back(Event::Acknowledged { id, offset });
            }
        }
    }

    fn handle_answer(&mut self, index: usize, ended: &Outstanding, answer: &Answer) {
        match answer.error {
            ErrorCode::None => {
                let offset = (answer.base_offset >= 0).then_some(answer.base_offset);
                self.succeed(index, ended, offset);
            }
            // Only old and foreign brokers say so: it is in the log, they don't know where.
            ErrorCode::DuplicateSequenceNumber if self.idempotent => {
                self.succeed(index, ended, None);
            }
            _ => self.handle_refusal(index, answer),
        }
    }

    fn handle_refusal(&mut self, index: usize, answer: &Answer) {
        match refusal::of(answer, self.acks, self.idempotent) {
            Refusal::State => self.handle_state_mismatch(index, answer),
            Refusal::TooLarge if self.may_split(index) => self.begin_split(index),
            Refusal::TooLarge => self.handle_refused(index, false, answer.error),
            Refusal::Definite { retriable } => self.handle_refused(index, retriable, answer.error),
            Refusal::Maybe { retriable } => {
                self.doubt(index);
                self.handle_refused(index, retriable, answer.error);
            }
        }
    }

    fn handle_refused(&mut self, index: usize, retriable: bool, error: ErrorCode) {
        if retriable {
            self.retry(index);
        } else {
            self.fail(index, Because::Refused(error));
        }
    }

    /// The broker's idea of the producer does not fit the stamp. That is normal while a batch before
    /// it may still be written. Else, after a lost attempt, it proves nothing: the lost copy may be
    /// in the log or still run, and a new stamp would duplicate it.
    fn handle_state_mismatch(&mut self, index: usize, answer: &Answer) {
        let certain = self.settling.is_some();
        let may_come = |entry: &Entry| {
            entry.stamp.is_some() && entry.success.is_none() && (entry.is_uncertain() || !certain)
        };
        let head = !self.queue.iter().take(index).any(may_come);
        let doubt = self.queue.get(index).is_some_and(|entry| entry.doubt);
        if head && (self.transactional || !doubt) && self.settling.is_none() {
            self.settling = Some(Settling::State(self.mismatch(answer)));
        }
        if head && (self.transactional || doubt) {
            self.fail(index, Because::State(answer.error));
        } else {
            self.retry(index);
        }
    }

    fn mismatch(&self, answer: &Answer) -> BumpReason {
        let last = self.last_acknowledged;
        if last.is_some_and(|last| answer.log_start_offset > last) {
            BumpReason::Retention(answer.error)
        } else {
            BumpReason::BrokerState(answer.error)
        }
    }

    fn succeed(&mut self, index: usize, ended: &Outstanding, offset: Option<i64>) {
        if let Some(entry) = self.queue.get_mut(index) {
            entry.success = Some(offset);
        }
        self.proven = self.proven.max(Some(ended.sent));
        self.close_hole(ended.place);
    }

    fn note_acknowledged(&mut self, entry: &Entry, offset: Option<i64>) {
        let Some(stamp) = entry.stamp.filter(|_| entry.is_under(self.identity)) else {
            return;
        };
        self.expected = advance(stamp.base_sequence, entry.records);
        let last = i64::from(entry.records.saturating_sub(1));
        self.last_acknowledged = offset.map(|offset| offset.saturating_add(last));
    }

    fn retry(&mut self, index: usize) {
        if let Some(entry) = self.queue.get(index) {
            self.events.push_back(Event::Retry { id: entry.id });
        }
    }

    fn doubt(&mut self, index: usize) {
        if let Some(entry) = self.queue.get_mut(index) {
            entry.doubt = true;
        }
    }
}
