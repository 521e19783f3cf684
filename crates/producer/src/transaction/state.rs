//! What the open transaction's handle, the outboxes and the transaction's task share.
//!
//! - I1. Nothing of a transaction is sent unless its core says that the partition may be sent to.
//! - I2. Once a transaction is stopped, nothing of it is sent any more, and what comes back is not
//!   sent again.
//! - I3. The core is told to end a transaction only when all of its batches have come to an end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use milena_codec::Str;
use milena_proto::sequencer::{Because, Fate, Identity};
use milena_proto::transaction::{
    Cause, Config, Level, OffsetsId, State, Token, TopicPartition, Transactions,
};
use milena_rpc::CallError;
use tokio::sync::Notify;

use super::TransactionConfig;
use super::offsets::Offsets;
use crate::ProducerConfig;
use crate::failed::DeliveryCause;
use crate::partition::Partition;
use crate::shared::lock;

/// The transactions of one producer.
pub(crate) struct Coordination {
    pub(crate) transactional_id: Str,
    /// The open transaction's number, counted from 1; 0 while there is none.
    current: AtomicU64,
    /// Whether it may only be aborted, or is ending. // I2
    stopped: AtomicBool,
    two: AtomicBool,
    /// Wakes the transaction's task.
    pub(super) notify: Notify,
    /// Wakes those who wait for what the task does.
    pub(super) changed: Notify,
    pub(super) inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub(super) core: Transactions,
    /// The number of the transaction begun last.
    pub(super) number: u64,
    /// The core is to be initialised once the level is known.
    pub(super) starts: Option<Start>,
    pub(super) ending: Option<Ending>,
    /// Whether the handle wants it to be committed.
    pub(super) committing: bool,
    /// A prepared transaction is nobody's here any more.
    pub(super) left: bool,
    /// How the transaction with this number ended, as far as its handle is told.
    pub(super) finished: Option<(u64, Finish)>,
    /// Why it must be aborted.
    pub(super) cause: Option<Arc<Cause>>,
    pub(super) fatal: Option<Arc<Cause>>,
    /// What waiting does not cure.
    pub(super) broken: Option<Arc<CallError>>,
    pub(super) last_error: Option<Arc<CallError>>,
    pub(super) joining: BTreeMap<TopicPartition, Arc<Partition>>,
    pub(super) offsets: BTreeMap<OffsetsId, Arc<Offsets>>,
    pub(super) next_offsets: u64,
}

/// What the core does first.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    Init,
    Resume(Token, milena_proto::transaction::Complete),
}

/// A transaction on its way to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) commit: bool,
    pub(super) deadline: Option<Instant>,
    /// The core was told, after the last batch had come to its end. // I3
    pub(super) told: bool,
}

/// How a transaction ended.
#[derive(Clone, Debug)]
pub(super) enum Finish {
    Committed,
    Aborted,
    NotCommitted(Arc<Cause>),
    Unknown(Token),
    Fatal(Arc<Cause>),
}

/// Whether a partition's batch may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Granted,
    /// The coordinator has to be told of the partition first, which is under way.
    Awaited,
    /// The transaction is over.
    Refused,
}

impl Coordination {
    pub(crate) fn new(config: &TransactionConfig, producer: &ProducerConfig) -> Self {
        let core = Transactions::new(
            Config {
                transaction_timeout: config.transaction_timeout,
                two_phase_commit: config.two_phase_commit,
                retry_backoff: producer.retry_backoff,
                retry_backoff_max: producer.retry_backoff_max,
                ..Config::default()
            },
            Level::V1,
        );
        Self {
            transactional_id: config.transactional_id.clone(),
            current: AtomicU64::new(0),
            stopped: AtomicBool::new(true),
            two: AtomicBool::new(false),
            notify: Notify::new(),
            changed: Notify::new(),
            inner: Mutex::new(Inner {
                core,
                number: 0,
                starts: None,
                ending: None,
                committing: false,
                left: false,
                finished: None,
                cause: None,
                fatal: None,
                broken: None,
                last_error: None,
                joining: BTreeMap::new(),
                offsets: BTreeMap::new(),
                next_offsets: 0,
            }),
        }
    }

    /// The level that the open transaction follows.
    pub(crate) fn level(&self) -> Level {
        if self.two.load(Ordering::Acquire) {
            Level::V2
        } else {
            Level::V1
        }
    }

    /// Whether what is not in flight may not be sent any more. // I2
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Why what is not in flight fails.
    pub(crate) fn stop_cause(&self) -> DeliveryCause {
        let inner = lock(&self.inner);
        match inner.fatal.as_ref().or(inner.cause.as_ref()) {
            Some(cause) => DeliveryCause::Transaction(Arc::clone(cause)),
            None => DeliveryCause::Aborted,
        }
    }

    /// Whether a batch of the partition may be sent; if not yet, it is put in line when it may. // I1
    pub(crate) fn admit(&self, partition: &Arc<Partition>) -> Admission {
        if self.is_stopped() {
            return Admission::Refused;
        }
        let current = self.current.load(Ordering::Acquire);
        if partition.joined.load(Ordering::Acquire) == current {
            return Admission::Granted;
        }
        let name = TopicPartition {
            topic: partition.topic.clone(),
            partition: partition.index,
        };
        let mut inner = lock(&self.inner);
        if inner.core.add_partition(name.clone()).is_err() {
            return Admission::Refused;
        }
        if inner.core.may_send(&name) {
            partition.joined.store(current, Ordering::Release);
            return Admission::Granted;
        }
        inner.joining.insert(name, Arc::clone(partition));
        self.notify.notify_one();
        Admission::Awaited
    }

    /// The coordinator knows these partitions now. Returns those that waited.
    pub(super) fn joined(
        &self,
        inner: &mut Inner,
        names: &[TopicPartition],
    ) -> Vec<Arc<Partition>> {
        let current = self.current.load(Ordering::Acquire);
        let waited = names.iter().filter_map(|name| inner.joining.remove(name));
        let waited: Vec<_> = waited.collect();
        for partition in &waited {
            partition.joined.store(current, Ordering::Release);
        }
        waited
    }

    /// A batch failed.
    pub(crate) fn handle_failed(&self, because: Because, fate: Fate) {
        let mut inner = lock(&self.inner);
        inner.core.handle_batch_failed(because, fate);
        self.notify.notify_one();
    }

    /// Begins a transaction if that is possible now: its number, and what to stamp with.
    pub(super) fn begin(&self, inner: &mut Inner) -> Option<(u64, Option<Identity>)> {
        if inner.core.state() != State::Ready || inner.core.begin().is_err() {
            return None;
        }
        inner.number += 1;
        inner.cause = None;
        inner.ending = None;
        self.two
            .store(inner.core.level() == Level::V2, Ordering::Release);
        self.current.store(inner.number, Ordering::Release);
        self.stopped.store(false, Ordering::Release);
        Some((inner.number, inner.core.identity()))
    }

    /// From now on nothing of the open transaction is sent. // I2
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// A prepared transaction is left to whoever has its token.
    pub(super) fn leave(&self) {
        lock(&self.inner).left = true;
    }

    /// Waits until `ready` has something, which it is asked after each change.
    pub(super) async fn wait_for<T>(&self, ready: impl Fn(&mut Inner) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = ready(&mut lock(&self.inner)) {
                return found;
            }
            changed.await;
        }
    }

    /// As [`Self::wait_for`], until `deadline`.
    pub(super) async fn wait_until<T>(
        &self,
        deadline: Instant,
        ready: impl Fn(&mut Inner) -> Option<T>,
    ) -> Option<T> {
        let waiting = self.wait_for(ready);
        tokio::time::timeout_at(deadline.into(), waiting).await.ok()
    }

    /// Asks for the end of the transaction with this number, unless that is under way.
    pub(super) fn request_end(&self, number: u64, commit: bool, deadline: Option<Instant>) {
        let mut inner = lock(&self.inner);
        if inner.number == number && inner.ending.is_none() && !inner.left && inner.is_open() {
            inner.committing = commit;
            inner.ending = Some(Ending {
                commit,
                deadline,
                told: false,
            });
            self.notify.notify_one();
        }
    }
}

impl Inner {
    /// Whether a transaction has begun and the core was not told to end it.
    pub(super) fn is_open(&self) -> bool {
        matches!(
            self.core.state(),
            State::Open | State::MustAbort | State::Prepared
        )
    }

    /// The token of the transaction whose end is unknown.
    pub(super) fn in_doubt(&self) -> Option<Token> {
        match &self.finished {
            Some((_, Finish::Unknown(token))) if self.core.state() == State::InDoubt => {
                Some(*token)
            }
            _ => None,
        }
    }

    /// Notes how the transaction ended, for its handle; the first word counts, but whoever wanted to
    /// commit is told of the end of the producer.
    pub(super) fn finish(&mut self, finish: Finish) {
        let number = self.number;
        let told = self.finished(number);
        let worse = matches!((&told, &finish), (Some(Finish::Aborted), Finish::Fatal(_)));
        if told.is_none() || (worse && self.committing) {
            self.finished = Some((number, finish));
        }
    }

    pub(super) fn finished(&self, number: u64) -> Option<Finish> {
        let (_, finish) = self.finished.as_ref().filter(|(of, _)| *of == number)?;
        Some(finish.clone())
    }
}
