//! How a batch gets from the rotation to the user: taken, checked, and put aside while its partition
//! is paused.
//!
//! While the user is slower than the brokers, compressed batches are taken and checked elsewhere
//! before their turn; see [`check`](crate::check).
//!
//! - I1: whatever was taken is kept in the consumer across every await, so that a dropped call
//!   loses nothing.
//! - I2: a position moves only when something is returned, or past a batch with nothing to return.

use milena_proto::position::{Start, Token};

use super::Consumer;
use crate::check::{Check, Checked};
use crate::record::{Batch, Bounds, Cursor};
use crate::state::{Raw, Turn};
use crate::{ConsumeError, ConsumerEvent, TopicPartition};

/// After so many batches without a wait the user is taken for the slower side.
const SLOW_USER: u32 = 8;
/// So many bytes of compressed batches go into one job, to be worth another thread's wake-up.
const JOB: usize = 256 << 10;

/// A batch on its way through the check.
#[derive(Debug)]
pub(super) struct Checking {
    name: TopicPartition,
    token: Token,
    bounds: Bounds,
    base_offset: i64,
    last_offset: i64,
    size: usize,
    check: Check,
}

impl Checking {
    fn new(raw: Raw, check: impl FnOnce(milena_records::Batch) -> Check) -> Self {
        let header = *raw.batch.header();
        Self {
            name: raw.name,
            token: raw.token,
            bounds: raw.bounds,
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            size: raw.batch.bytes().len(),
            check: check(raw.batch),
        }
    }
}

/// A checked batch whose records are not all handed out.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) name: TopicPartition,
    pub(super) token: Token,
    pub(super) cursor: Cursor,
}

impl Consumer {
    /// A checked batch with something left, of a partition that is not paused.
    pub(super) async fn next_held(&mut self) -> Result<Option<Held>, ConsumeError> {
        if self.shared.with(|state| state.closed) {
            return Ok(None);
        }
        if let Some(held) = self.cursor.take().and_then(|held| self.usable(held)) {
            return Ok(Some(held));
        }
        loop {
            if let Some(held) = self.resumed() {
                return Ok(Some(held));
            }
            if std::mem::take(&mut self.yielding) {
                tokio::task::yield_now().await;
            }
            if self.checking.is_empty() && !self.take_one().await? {
                return Ok(None);
            }
            self.look_ahead();
            let Some(checking) = self.checking.front_mut() else {
                continue;
            };
            let result = checking.check.result(&self.checker).await;
            let Some(checking) = self.checking.pop_front() else {
                continue;
            };
            if let Some(held) = self.judge(checking, result)?
                && let Some(held) = self.usable(held)
            {
                return Ok(Some(held));
            }
        }
    }

    /// Takes the next batch, or waits until there may be one: then nothing was taken. Returns false
    /// when there will be none.
    async fn take_one(&mut self) -> Result<bool, ConsumeError> {
        let now = self.shared.now();
        let (turn, freed) = self
            .shared
            .with(|state| (state.turn(now), state.has_freed()));
        self.yielding |= freed;
        let raw = match turn {
            Turn::Batch(raw) => raw,
            Turn::Error(error) => return Err(error),
            Turn::Over => return Ok(false),
            Turn::Nothing => {
                self.unwaited = 0;
                self.wait().await;
                return Ok(true);
            }
        };
        self.unwaited = self.unwaited.saturating_add(1);
        let offload = &*self.shared.cluster.env().offload;
        let begin = |batch| self.checker.now(offload, batch);
        self.checking.push_back(Checking::new(raw, begin));
        Ok(true)
    }

    /// Begins checks whose results will be needed.
    fn look_ahead(&mut self) {
        if self.unwaited < SLOW_USER {
            return;
        }
        let begun: usize = self.checking.iter().skip(1).map(|c| c.size).sum();
        if begun / JOB >= self.jobs {
            return;
        }
        let now = self.shared.now();
        let (raws, freed) = self.shared.with(|state| {
            let mut raws = Vec::new();
            let mut size = 0;
            while size < JOB
                && let Some(raw) = state.turn_ahead(now)
            {
                size += raw.batch.bytes().len();
                raws.push(raw);
            }
            (raws, state.has_freed())
        });
        self.yielding |= freed;
        if raws.is_empty() {
            return;
        }
        let batches = raws.iter().map(|raw| raw.batch.clone()).collect();
        let offload = &*self.shared.cluster.env().offload;
        let checks = self.checker.ahead(offload, batches);
        let begun = raws.into_iter().zip(checks);
        self.checking
            .extend(begun.map(|(raw, check)| Checking::new(raw, |_| check)));
    }

    /// What a check came to. Batches with nothing to hand out only move the position.
    fn judge(
        &self,
        checking: Checking,
        result: Option<Checked>,
    ) -> Result<Option<Held>, ConsumeError> {
        let Checking { name, token, .. } = checking;
        let Some(position) = self.current_position(&name, token) else {
            let (partition, bytes) = (name, checking.size);
            self.shared
                .report(&ConsumerEvent::Dropped { partition, bytes });
            return Ok(None);
        };
        let now = self.shared.now();
        let checked = match result {
            Some(Ok(checked)) => checked,
            Some(Err(damage)) => {
                let error = ConsumeError::Corrupt {
                    partition: name.clone(),
                    position,
                    base_offset: checking.base_offset,
                    last_offset: checking.last_offset,
                    fault: damage.fault,
                };
                return Err(self.shared.with(|state| state.stop(&name, error, now)));
            }
            None => {
                let again = Start::Offset(position);
                self.shared.change(|state| state.seek(&name, again, now));
                let partition = name;
                return Err(ConsumeError::CheckLost {
                    partition,
                    position,
                });
            }
        };
        let epoch = Some(checked.header().partition_leader_epoch).filter(|epoch| *epoch >= 0);
        let (topic, partition) = (name.topic.clone(), name.partition);
        match Batch::new(topic, partition, checked, position, checking.bounds) {
            Some(batch) => {
                let cursor = batch.into_cursor();
                Ok(Some(Held {
                    name,
                    token,
                    cursor,
                }))
            }
            None => {
                let next = checking.last_offset.saturating_add(1);
                self.shared
                    .with(|state| state.advance(&name, token, next, epoch, now));
                Ok(None)
            }
        }
    }

    /// The batch, unless a seek has made it void or a pause has put it aside.
    fn usable(&mut self, held: Held) -> Option<Held> {
        let (current, paused) = self.shared.with(|state| {
            let slot = state.slots.get(&held.name);
            let paused = slot.is_some_and(|slot| slot.paused);
            (state.is_current(&held.name, held.token), paused)
        });
        match (current, paused) {
            (false, _) => None,
            (true, false) => Some(held),
            (true, true) => {
                self.aside.push(held);
                None
            }
        }
    }

    /// A batch put aside whose partition was resumed.
    fn resumed(&mut self) -> Option<Held> {
        let aside = std::mem::take(&mut self.aside);
        let mut found = None;
        for held in aside {
            match found {
                None => found = self.usable(held),
                Some(_) => self.aside.push(held),
            }
        }
        found
    }

    pub(super) fn current_position(&self, name: &TopicPartition, token: Token) -> Option<i64> {
        self.shared.with(|state| {
            let slot = state.slots.get(name)?;
            if slot.core.is_current(token) {
                slot.core.position()
            } else {
                None
            }
        })
    }

    pub(super) fn advance(
        &self,
        name: &TopicPartition,
        token: Token,
        next: i64,
        batch: &Batch,
    ) -> bool {
        let now = self.shared.now();
        let epoch = Some(batch.leader_epoch()).filter(|epoch| *epoch >= 0);
        self.shared
            .with(|state| state.advance(name, token, next, epoch, now))
    }

    /// Waits until something may have come. A panic of the background goes on here.
    async fn wait(&mut self) {
        tokio::select! {
            biased;
            Some(joined) = self.tasks.join_next() => {
                if let Err(error) = joined
                    && error.is_panic()
                {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
            () = self.shared.readied() => {}
        }
    }
}
