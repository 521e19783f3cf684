//! The core's calls as requests, and answers as its replies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use milena_codec::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use milena_codec::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use milena_codec::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnRequest,
    InitProducerIdRequest, TxnOffsetCommitRequest,
};
use milena_codec::{ApiKey, ErrorCode, Request, Str, VersionRange};
use milena_net::{Address, Lane};
use milena_proto::sequencer::Identity;
use milena_proto::transaction::{Call, CallId, Complete, Level, Reply, TopicPartition};
use milena_rpc::caps::{self, CapContext, TransactionLevel};
use milena_rpc::{CallError, CoordinatorKind, Target};

use super::offsets::Offsets;
use crate::shared::Shared;

/// What a call came to.
pub(super) struct Returned {
    pub(super) id: CallId,
    pub(super) reply: Reply,
    /// Who answered.
    pub(super) from: Option<Address>,
    /// The level as the coordinator's connection knew it before the call.
    pub(super) seen: Option<Seen>,
    pub(super) error: Option<Arc<CallError>>,
}

/// The level that a coordinator's connection knows of, and how new that is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) epoch: i64,
    pub(super) level: Level,
}

/// All that calls need of the producer.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) shared: Arc<Shared>,
    pub(super) transactional_id: Str,
    pub(super) timeout_ms: i32,
    pub(super) unstable: bool,
}

impl Returned {
    /// There was no connection to make the call on.
    fn unsent(id: CallId, call: &Call, error: CallError) -> Self {
        let reply = match failed(call, &error) {
            Reply::Lost { .. } => Reply::Lost { sent: false },
            refused => refused,
        };
        Self {
            id,
            reply,
            from: None,
            seen: None,
            error: Some(Arc::new(error)),
        }
    }
}

impl Caller {
    /// Makes one call and says what came of it.
    pub(super) async fn make(
        self,
        id: CallId,
        call: Call,
        offsets: Option<Arc<Offsets>>,
    ) -> Returned {
        let seen = match self.level_for(&call).await {
            Ok(seen) => seen,
            Err(error) => return Returned::unsent(id, &call, error),
        };
        let outcome = match &call {
            Call::InitProducerId {
                current,
                enable_2pc,
                keep_prepared,
            } => self.init(*current, *enable_2pc, *keep_prepared).await,
            Call::AddPartitions {
                identity,
                partitions,
            } => self.add_partitions(*identity, partitions).await,
            Call::AddOffsets { identity, .. } => self.add_offsets(*identity, offsets).await,
            Call::TxnOffsetCommit {
                identity, level, ..
            } => self.commit_offsets(*identity, *level, offsets).await,
            Call::EndTxn {
                identity,
                complete,
                level,
            } => self.end(*identity, *complete, *level).await,
        };
        match outcome {
            Ok((reply, from)) => Returned {
                id,
                reply,
                from: Some(from),
                seen,
                error: None,
            },
            Err(error) => Returned {
                id,
                reply: failed(&call, &error),
                from: None,
                seen,
                error: Some(Arc::new(error)),
            },
        }
    }

    /// The level, before calls after which it may change. The call would open the connection anyway.
    async fn level_for(&self, call: &Call) -> Result<Option<Seen>, CallError> {
        match call {
            Call::InitProducerId { .. } | Call::EndTxn { .. } => self.level().await.map(Some),
            _ => Ok(None),
        }
    }

    /// The finalized `transaction.version`, as the coordinator's connection was told it.
    pub(super) async fn level(&self) -> Result<Seen, CallError> {
        let deadline = self.deadline();
        let cluster = &self.shared.cluster;
        let lane = self.lane();
        let to = cluster.route(&self.coordinator(), lane, deadline).await?;
        let versions = cluster.pool().versions(&to, lane, deadline).await;
        let versions = versions.inspect_err(|_| {
            let kind = CoordinatorKind::Transaction;
            cluster.forget_coordinator(kind, &self.transactional_id, &to);
        })?;
        let level = match versions.finalized("transaction.version") {
            Some(2..) => Level::V2,
            _ => Level::V1,
        };
        Ok(Seen {
            epoch: versions.features_epoch(),
            level,
        })
    }

    async fn init(
        &self,
        current: Option<Identity>,
        enable_2pc: bool,
        keep_prepared: bool,
    ) -> Result<(Reply, Address), CallError> {
        let context = CapContext {
            unstable: self.unstable,
            ..CapContext::default()
        };
        let least = match (current, enable_2pc || keep_prepared) {
            (_, true) => 6,
            (Some(_), _) => 3,
            _ => 0,
        };
        let versions = at_least(least, caps::cap(ApiKey::InitProducerId, context));
        let current = current.unwrap_or(Identity {
            producer_id: -1,
            epoch: -1,
        });
        let prepare = |_| InitProducerIdRequest {
            transactional_id: Some(self.transactional_id.clone()),
            transaction_timeout_ms: self.timeout_ms,
            producer_id: current.producer_id,
            producer_epoch: current.epoch,
            enable2_pc: enable_2pc,
            keep_prepared_txn: keep_prepared,
            ..InitProducerIdRequest::default()
        };
        let (answer, from) = self.ask(self.coordinator(), versions, prepare).await?;
        let error = ErrorCode::from(answer.error_code);
        let identity = |producer_id, epoch| {
            (error.is_ok() && producer_id >= 0).then_some(Identity { producer_id, epoch })
        };
        let reply = Reply::InitProducerId {
            error,
            identity: identity(answer.producer_id, answer.producer_epoch),
            ongoing: identity(
                answer.ongoing_txn_producer_id,
                answer.ongoing_txn_producer_epoch,
            ),
        };
        Ok((reply, from))
    }

    async fn add_partitions(
        &self,
        identity: Identity,
        partitions: &[TopicPartition],
    ) -> Result<(Reply, Address), CallError> {
        let mut topics = BTreeMap::<&Str, Vec<i32>>::new();
        for one in partitions {
            topics.entry(&one.topic).or_default().push(one.partition);
        }
        let topics: Vec<_> = topics
            .into_iter()
            .map(|(name, partitions)| AddPartitionsToTxnTopic {
                name: name.clone(),
                partitions,
                ..AddPartitionsToTxnTopic::default()
            })
            .collect();
        let prepare = |_| AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.transactional_id.clone(),
            v3_and_below_producer_id: identity.producer_id,
            v3_and_below_producer_epoch: identity.epoch,
            v3_and_below_topics: topics,
            ..AddPartitionsToTxnRequest::default()
        };
        let versions = caps::cap(ApiKey::AddPartitionsToTxn, CapContext::default());
        let (answer, from) = self.ask(self.coordinator(), versions, prepare).await?;
        Ok((Reply::AddPartitions(added(&answer)), from))
    }

    async fn add_offsets(
        &self,
        identity: Identity,
        offsets: Option<Arc<Offsets>>,
    ) -> Result<(Reply, Address), CallError> {
        let group_id = offsets.map(|offsets| offsets.group.group_id.clone());
        let prepare = |_| AddOffsetsToTxnRequest {
            transactional_id: self.transactional_id.clone(),
            producer_id: identity.producer_id,
            producer_epoch: identity.epoch,
            group_id: group_id.unwrap_or_default(),
            ..AddOffsetsToTxnRequest::default()
        };
        let versions = caps::cap(ApiKey::AddOffsetsToTxn, CapContext::default());
        let (answer, from) = self.ask(self.coordinator(), versions, prepare).await?;
        Ok((Reply::AddOffsets(answer.error_code.into()), from))
    }

    async fn commit_offsets(
        &self,
        identity: Identity,
        level: Level,
        offsets: Option<Arc<Offsets>>,
    ) -> Result<(Reply, Address), CallError> {
        let Some(offsets) = offsets else {
            return Ok((Reply::Lost { sent: false }, Address::new("", 0)));
        };
        let cap = caps::cap(ApiKey::TxnOffsetCommit, context(level));
        let least = match level {
            Level::V2 => 5,
            Level::V1 if offsets.group.names_member() => 3,
            Level::V1 => 0,
        };
        let to = Target::Coordinator {
            kind: CoordinatorKind::Group,
            key: offsets.group.group_id.clone(),
        };
        let prepare = |version| self.offsets_request(identity, &offsets, version);
        let (answer, from) = self.ask(to, at_least(least, cap), prepare).await?;
        let topics = answer.topics.iter();
        let codes = topics.flat_map(|topic| &topic.partitions);
        let codes = codes.map(|partition| partition.error_code.into());
        Ok((Reply::TxnOffsetCommit(codes.collect()), from))
    }

    fn offsets_request(
        &self,
        identity: Identity,
        offsets: &Offsets,
        version: i16,
    ) -> TxnOffsetCommitRequest {
        let mut topics = BTreeMap::<&Str, Vec<TxnOffsetCommitRequestPartition>>::new();
        for one in &offsets.offsets {
            let partition = TxnOffsetCommitRequestPartition {
                partition_index: one.partition,
                committed_offset: one.offset,
                committed_leader_epoch: one.leader_epoch.filter(|_| version >= 2).unwrap_or(-1),
                committed_metadata: one.metadata.clone(),
                ..TxnOffsetCommitRequestPartition::default()
            };
            topics.entry(&one.topic).or_default().push(partition);
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| TxnOffsetCommitRequestTopic {
                name: name.clone(),
                partitions,
                ..TxnOffsetCommitRequestTopic::default()
            });
        let base = TxnOffsetCommitRequest {
            transactional_id: self.transactional_id.clone(),
            group_id: offsets.group.group_id.clone(),
            producer_id: identity.producer_id,
            producer_epoch: identity.epoch,
            topics: topics.collect(),
            ..TxnOffsetCommitRequest::default()
        };
        if version < 3 {
            return base;
        }
        TxnOffsetCommitRequest {
            generation_id: offsets.group.generation,
            member_id: offsets.group.member_id.clone(),
            group_instance_id: offsets.group.group_instance_id.clone(),
            ..base
        }
    }

    async fn end(
        &self,
        identity: Identity,
        complete: Complete,
        level: Level,
    ) -> Result<(Reply, Address), CallError> {
        let cap = caps::cap(ApiKey::EndTxn, context(level));
        let versions = at_least(if level == Level::V2 { 5 } else { 0 }, cap);
        let prepare = |_| EndTxnRequest {
            transactional_id: self.transactional_id.clone(),
            producer_id: identity.producer_id,
            producer_epoch: identity.epoch,
            committed: complete == Complete::Commit,
            ..EndTxnRequest::default()
        };
        let (answer, from) = self.ask(self.coordinator(), versions, prepare).await?;
        let next = Identity {
            producer_id: answer.producer_id,
            epoch: answer.producer_epoch,
        };
        let reply = Reply::EndTxn {
            error: answer.error_code.into(),
            next: (level == Level::V2 && next.producer_id >= 0).then_some(next),
        };
        Ok((reply, from))
    }

    async fn ask<R: Request>(
        &self,
        to: Target,
        versions: VersionRange,
        prepare: impl FnOnce(i16) -> R,
    ) -> Result<(R::Response, Address), CallError> {
        let cluster = &self.shared.cluster;
        let deadline = self.deadline();
        let reply = cluster.call_once_within(to, self.lane(), versions, prepare, deadline);
        let reply = reply.await?;
        Ok((reply.message, reply.address))
    }

    pub(super) fn coordinator(&self) -> Target {
        Target::Coordinator {
            kind: CoordinatorKind::Transaction,
            key: self.transactional_id.clone(),
        }
    }

    fn lane(&self) -> Lane {
        Lane::Coordinator(self.shared.id)
    }

    fn deadline(&self) -> Instant {
        self.shared.now() + self.shared.config.request_timeout
    }
}

/// What requests of a transaction at this level keep to.
pub(crate) fn context(level: Level) -> CapContext {
    CapContext {
        transaction: Some(match level {
            Level::V1 => TransactionLevel::One,
            Level::V2 => TransactionLevel::Two,
        }),
        ..CapContext::default()
    }
}

pub(crate) fn at_least(least: i16, range: VersionRange) -> VersionRange {
    VersionRange::new(range.min.max(least), range.max)
}

fn added(answer: &AddPartitionsToTxnResponse) -> Vec<(TopicPartition, ErrorCode)> {
    let topics = answer.results_by_topic_v3_and_below.iter();
    let each = topics.flat_map(|topic| {
        topic.results_by_partition.iter().map(|one| {
            let partition = TopicPartition {
                topic: topic.name.clone(),
                partition: one.partition_index,
            };
            (partition, ErrorCode::from(one.partition_error_code))
        })
    });
    each.collect()
}

/// A call without an answer. A coordinator that cannot be found for good is an answer of its own.
fn failed(call: &Call, error: &CallError) -> Reply {
    let code = match error {
        CallError::NoCoordinator { code, .. } if !code.is_retriable() => *code,
        CallError::Attempt(milena_net::CallError::Unsupported { .. }) => return Reply::Unsupported,
        error => {
            return Reply::Lost {
                sent: error.was_sent(),
            };
        }
    };
    match call {
        Call::InitProducerId { .. } => Reply::InitProducerId {
            error: code,
            identity: None,
            ongoing: None,
        },
        Call::AddPartitions { partitions, .. } => {
            let each = partitions.iter().map(|one| (one.clone(), code));
            Reply::AddPartitions(each.collect())
        }
        Call::AddOffsets { .. } => Reply::AddOffsets(code),
        Call::TxnOffsetCommit { .. } => Reply::TxnOffsetCommit(vec![code]),
        Call::EndTxn { .. } => Reply::EndTxn {
            error: code,
            next: None,
        },
    }
}
