//! The consumer as its user sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{self, BoxStream, StreamExt};
use milena_net::Lane;
use milena_proto::position::{Start, Stop, Token};
use milena_rpc::{AutoCreate, Cluster, Topic};
use tokio::task::JoinSet;

use crate::check::{Check, Checked};
use crate::record::{Batch, Bounds, Cursor, Record};
use crate::shared::Shared;
use crate::state::{State, Turn};
use crate::{
    AssignError, ConfigError, ConsumeError, ConsumerConfig, PartitionState, SeekError,
    TopicPartition, driver,
};

/// Reads assigned partitions.
///
/// Fetching goes on in the background, for each broker apart, up to the memory share; what is
/// fetched is handed out by [`next_batch`](Self::next_batch), [`recv`](Self::recv) or
/// [`stream`](Self::stream), taking turns among the partitions. Within a partition, records come in
/// the order of their offsets, each once.
///
/// A partition's position moves when a record is handed out, never before. Nothing moves it
/// otherwise but your [`seek`](Self::seek) and, if you allow it,
/// [`ConsumerConfig::out_of_range`].
///
/// Dropping a consumer ends its tasks at once and waits for nothing; [`close`](Self::close) also
/// tells the brokers.
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
    tasks: JoinSet<usize>,
    checking: Option<Checking>,
    cursor: Option<Held>,
    /// Batches of which a part was handed out before their partition was paused.
    aside: Vec<Held>,
}

/// A batch on its way through the check.
#[derive(Debug)]
struct Checking {
    name: TopicPartition,
    token: Token,
    bounds: Bounds,
    base_offset: i64,
    last_offset: i64,
    check: Check,
}

/// A checked batch whose records are not all handed out.
#[derive(Debug)]
struct Held {
    name: TopicPartition,
    token: Token,
    cursor: Cursor,
}

/// What [`Consumer::close`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// Where each partition stood: the next offset to be read, where it was known.
    pub positions: BTreeMap<TopicPartition, Option<i64>>,
    /// Fetched bytes that were not handed out; the brokers still have them.
    pub unread_bytes: usize,
    /// Fetch sessions that the brokers were told to end. Others end there by themselves.
    pub sessions_closed: usize,
    /// Whether all tasks ended by the deadline; if not, they were aborted.
    pub in_time: bool,
}

impl Consumer {
    /// A consumer without an assignment. Has to be called within a tokio runtime with its timer
    /// enabled, which also runs the background tasks.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub fn new(cluster: Cluster, config: ConsumerConfig) -> Result<Self, ConfigError> {
        config.check(cluster.config().net.request_timeout)?;
        let lane = Lane::Fetch(cluster.env().random.next_u64());
        let shared = Shared::new(cluster, config, lane);
        let mut tasks = JoinSet::new();
        tasks.spawn(driver::run(Arc::clone(&shared)));
        Ok(Self {
            shared,
            tasks,
            checking: None,
            cursor: None,
            aside: Vec::new(),
        })
    }

    /// Reads one more partition, beginning at `start`, until it is unassigned, or with
    /// `stop_at_end` to the end that it has now.
    ///
    /// # Cancel safety
    /// Dropped before it is done, it has assigned nothing.
    ///
    /// # Errors
    /// [`AssignError`]: the topic or partition does not exist (after `default.api.timeout.ms` if
    /// it cannot be found out), or is assigned already.
    pub async fn assign(
        &self,
        topic: &str,
        partition: i32,
        start: Start,
    ) -> Result<(), AssignError> {
        self.assign_until(topic, partition, start, self.stop())
            .await
    }

    /// As [`assign`](Self::assign), and ends at `stop`: once all partitions have,
    /// [`next_batch`](Self::next_batch) returns `None`.
    pub async fn assign_until(
        &self,
        topic: &str,
        partition: i32,
        start: Start,
        stop: Stop,
    ) -> Result<(), AssignError> {
        let name = TopicPartition::new(topic, partition);
        if !is_valid(start) {
            let partition = name;
            return Err(AssignError::InvalidStart { partition, start });
        }
        let found = self.look_up(topic).await?;
        if found.partition(partition).is_none() {
            return Err(AssignError::NoSuchPartition {
                topic: name.topic,
                partition,
                count: found.partitions.len(),
            });
        }
        let now = self.shared.now();
        self.shared.change(|state| {
            if state.closed {
                return Err(AssignError::Closed);
            }
            if state.slots.contains_key(&name) {
                return Err(AssignError::AlreadyAssigned(name));
            }
            self.add(state, name, &found, (start, stop), now);
            Ok(())
        })
    }

    /// Reads all partitions that the topic has now and that are not assigned yet, each beginning at
    /// `start`. Returns how many that are.
    ///
    /// # Cancel safety
    /// Dropped before it is done, it has assigned nothing.
    ///
    /// # Errors
    /// As [`assign`](Self::assign).
    pub async fn assign_topic(&self, topic: &str, start: Start) -> Result<usize, AssignError> {
        if !is_valid(start) {
            let partition = TopicPartition::new(topic, 0);
            return Err(AssignError::InvalidStart { partition, start });
        }
        let found = self.look_up(topic).await?;
        let now = self.shared.now();
        self.shared.change(|state| {
            if state.closed {
                return Err(AssignError::Closed);
            }
            let before = state.slots.len();
            for partition in &found.partitions {
                let name = TopicPartition::new(topic, partition.index);
                if !state.slots.contains_key(&name) {
                    self.add(state, name, &found, (start, self.stop()), now);
                }
            }
            Ok(state.slots.len() - before)
        })
    }

    fn stop(&self) -> Stop {
        if self.shared.config.stop_at_end {
            Stop::AtEnd
        } else {
            Stop::Never
        }
    }

    async fn look_up(&self, topic: &str) -> Result<Arc<Topic>, AssignError> {
        let deadline = self.shared.now() + self.shared.config.api_timeout;
        let cluster = &self.shared.cluster;
        Ok(cluster.topic(topic, AutoCreate::Never, deadline).await?)
    }

    fn add(
        &self,
        state: &mut State,
        name: TopicPartition,
        topic: &Topic,
        (start, stop): (Start, Stop),
        now: Instant,
    ) {
        let settings = (self.shared.config.out_of_range, stop, self.shared.backoff());
        state.assign(name, topic.id, start, settings, now);
    }

    /// Reads a partition no more, and drops what was fetched of it. Returns whether it was
    /// assigned.
    pub fn unassign(&self, topic: &str, partition: i32) -> bool {
        let name = TopicPartition::new(topic, partition);
        self.shared.change(|state| state.unassign(&name))
    }

    /// The assigned partitions, in order.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared
            .with(|state| state.slots.keys().cloned().collect())
    }

    /// Goes on elsewhere in a partition. Drops what was fetched of it; no record from before is
    /// handed out any more. Also starts a partition again that an error has stopped.
    ///
    /// # Errors
    /// It is not assigned, or the offset is negative.
    pub fn seek(&self, topic: &str, partition: i32, to: Start) -> Result<(), SeekError> {
        let name = TopicPartition::new(topic, partition);
        if !is_valid(to) {
            let (partition, start) = (name, to);
            return Err(SeekError::InvalidStart { partition, start });
        }
        let now = self.shared.now();
        let done = self.shared.change(|state| state.seek(&name, to, now));
        if done {
            Ok(())
        } else {
            Err(SeekError::NotAssigned(name))
        }
    }

    /// Hands out no more of a partition, and fetches no more of it, until
    /// [`resume`](Self::resume). The position and what was fetched stay.
    ///
    /// # Errors
    /// It is not assigned.
    pub fn pause(&self, topic: &str, partition: i32) -> Result<(), SeekError> {
        self.set_paused(topic, partition, true)
    }

    /// Goes on with a paused partition.
    ///
    /// # Errors
    /// It is not assigned.
    pub fn resume(&self, topic: &str, partition: i32) -> Result<(), SeekError> {
        self.set_paused(topic, partition, false)
    }

    fn set_paused(&self, topic: &str, partition: i32, paused: bool) -> Result<(), SeekError> {
        let name = TopicPartition::new(topic, partition);
        let now = self.shared.now();
        let done = self.shared.change(|state| state.pause(&name, paused, now));
        if done {
            Ok(())
        } else {
            Err(SeekError::NotAssigned(name))
        }
    }

    /// The next offset to be handed out; `None` if the partition is not assigned or its start is
    /// not yet looked up.
    pub fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        let name = TopicPartition::new(topic, partition);
        self.shared
            .with(|state| state.slots.get(&name)?.core.position())
    }

    /// What each assigned partition is doing, since when, and where it stands.
    pub fn partitions_state(&self) -> Vec<PartitionState> {
        self.shared.with(|state| state.states())
    }

    /// The next batch of some partition: what is left of it, if [`recv`](Self::recv) handed out a
    /// part. `None` once the consumer is closed, or when `stop_at_end` is set and every partition
    /// was read to its end or has failed, not all of them failed.
    ///
    /// The positions then stand behind the batch.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing: the position moves when it returns.
    ///
    /// # Errors
    /// [`ConsumeError`]. An error concerns one partition or one broker; calling again goes on with
    /// the others, unless the error [is fatal](ConsumeError::is_fatal).
    pub async fn next_batch(&mut self) -> Result<Option<Batch>, ConsumeError> {
        loop {
            let Some(held) = self.next_held().await? else {
                return Ok(None);
            };
            let Held {
                name,
                token,
                cursor,
            } = held;
            let Some(from) = self.current_position(&name, token) else {
                continue;
            };
            let Some(batch) = cursor.into_batch(from) else {
                continue;
            };
            if self.advance(&name, token, batch.next_offset(), &batch) {
                return Ok(Some(batch));
            }
        }
    }

    /// The next record of some partition. `None` as in [`next_batch`](Self::next_batch).
    ///
    /// # Cancel safety
    /// Dropping it loses nothing: the position moves when it returns.
    ///
    /// # Errors
    /// As [`next_batch`](Self::next_batch).
    pub async fn recv(&mut self) -> Result<Option<Record>, ConsumeError> {
        loop {
            let Some(mut held) = self.next_held().await? else {
                return Ok(None);
            };
            let Some((record, next)) = held.cursor.next() else {
                continue;
            };
            if self.advance(&held.name, held.token, next, held.cursor.batch()) {
                self.cursor = Some(held);
                return Ok(Some(record));
            }
        }
    }

    /// The records as a stream, which ends as [`recv`](Self::recv) does, or after an error that
    /// [is fatal](ConsumeError::is_fatal). Dropping it loses nothing.
    pub fn stream(&mut self) -> BoxStream<'_, Result<Record, ConsumeError>> {
        stream::unfold(Some(self), |consumer| async {
            let consumer = consumer?;
            match consumer.recv().await {
                Ok(None) => None,
                Ok(Some(record)) => Some((Ok(record), Some(consumer))),
                Err(error) if error.is_fatal() => Some((Err(error), None)),
                Err(error) => Some((Err(error), Some(consumer))),
            }
        })
        .boxed()
    }

    /// Stops reading: ends the background tasks and tells the brokers, where that needs no waiting
    /// for a fetch under way. Afterwards `next_batch` and `recv` return `None`.
    ///
    /// # Cancel safety
    /// Dropped before it is done, the consumer is closed all the same; the tasks end in the
    /// background.
    pub async fn close(&mut self, deadline: Instant) -> CloseReport {
        let mut report = self.shared.change(|state| {
            state.closed = true;
            CloseReport {
                positions: positions(state),
                unread_bytes: state.buffered,
                sessions_closed: 0,
                in_time: true,
            }
        });
        self.cursor = None;
        self.checking = None;
        self.aside.clear();
        match tokio::time::timeout_at(deadline.into(), self.tasks.join_next()).await {
            Ok(Some(Ok(sessions))) => report.sessions_closed = sessions,
            Ok(Some(Err(error))) if error.is_panic() => {
                std::panic::resume_unwind(error.into_panic())
            }
            Ok(_) => {}
            Err(_) => {
                self.tasks.abort_all();
                report.in_time = false;
            }
        }
        report
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// A checked batch with something left, of a partition that is not paused.
    async fn next_held(&mut self) -> Result<Option<Held>, ConsumeError> {
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
            if self.checking.is_none() && !self.begin_check().await? {
                return Ok(None);
            }
            let Some(checking) = &mut self.checking else {
                continue;
            };
            let result = checking.check.result().await;
            let Some(checking) = self.checking.take() else {
                continue;
            };
            if let Some(held) = self.judge(checking, result)? {
                if let Some(held) = self.usable(held) {
                    return Ok(Some(held));
                }
            }
        }
    }

    /// Takes the next batch and begins its check, or waits until there may be one: then nothing
    /// has begun. Returns false when there will be none.
    async fn begin_check(&mut self) -> Result<bool, ConsumeError> {
        let now = self.shared.now();
        let raw = match self.shared.with(|state| state.turn(now)) {
            Turn::Batch(raw) => raw,
            Turn::Error(error) => return Err(error),
            Turn::Over => return Ok(false),
            Turn::Nothing => {
                self.wait().await;
                return Ok(true);
            }
        };
        let limit = self.shared.config.max_decompressed_batch;
        let header = *raw.batch.header();
        self.checking = Some(Checking {
            name: raw.name,
            token: raw.token,
            bounds: raw.bounds,
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            check: Check::begin(self.shared.cluster.env(), raw.batch, limit),
        });
        Ok(true)
    }

    /// What a check came to. Batches with nothing to hand out only move the position.
    fn judge(
        &self,
        checking: Checking,
        result: Option<Checked>,
    ) -> Result<Option<Held>, ConsumeError> {
        let Checking { name, token, .. } = checking;
        let Some(position) = self.current_position(&name, token) else {
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

    fn current_position(&self, name: &TopicPartition, token: Token) -> Option<i64> {
        self.shared.with(|state| {
            let slot = state.slots.get(name)?;
            if slot.core.is_current(token) {
                slot.core.position()
            } else {
                None
            }
        })
    }

    fn advance(&self, name: &TopicPartition, token: Token, next: i64, batch: &Batch) -> bool {
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

fn positions(state: &State) -> BTreeMap<TopicPartition, Option<i64>> {
    let slots = state.slots.iter();
    slots
        .map(|(name, slot)| (name.clone(), slot.core.position()))
        .collect()
}

fn is_valid(start: Start) -> bool {
    match start {
        Start::Offset(at) | Start::Timestamp(at) => at >= 0,
        Start::Beginning | Start::End => true,
    }
}
