//! The consumer as its user sees it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{self, BoxStream, StreamExt};
use milena_net::Lane;
use milena_proto::position::{Start, Stop};
use milena_rpc::{AutoCreate, Cluster, Topic};
use tokio::task::JoinSet;

use crate::check::Checker;
use crate::record::{Batch, Record};
use crate::shared::Shared;
use crate::state::State;
use crate::{
    AssignError, ConfigError, ConsumeError, ConsumerConfig, PartitionState, SeekError,
    TopicPartition, driver,
};

mod handout;

use self::handout::{Checking, Held};

/// Jobs that check ahead hold memory, so there is a limit to them however many processors there are.
const MAX_JOBS: usize = 8;

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
    checker: Checker,
    /// How many jobs may check ahead at the same time.
    jobs: usize,
    /// What was taken from the rotation, in that order.
    checking: VecDeque<Checking>,
    /// How many batches were taken since the last wait for one.
    unwaited: u32,
    /// Whether a fetcher was woken that this task must let run.
    yielding: bool,
    cursor: Option<Held>,
    /// Batches of which a part was handed out before their partition was paused.
    aside: Vec<Held>,
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
        let max_decompressed = config.max_decompressed_batch;
        let shared = Shared::new(cluster, config, lane);
        let checker = Checker::new(shared.blocks.clone(), max_decompressed);
        let mut tasks = JoinSet::new();
        tasks.spawn(driver::run(Arc::clone(&shared)));
        Ok(Self {
            jobs: shared.cluster.env().offload.spare().min(MAX_JOBS),
            shared,
            tasks,
            checker,
            checking: VecDeque::new(),
            unwaited: 0,
            yielding: false,
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
                let next = held.cursor.batch().next_offset();
                self.advance(&held.name, held.token, next, held.cursor.batch());
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
        self.checking.clear();
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
