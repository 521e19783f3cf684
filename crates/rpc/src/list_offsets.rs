//! Offsets of many partitions at once: one request to each leader.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::future::join_all;
use milena_codec::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use milena_codec::messages::{ListOffsetsRequest, ListOffsetsResponse};
use milena_codec::{ErrorCode, Refresh, Str, VersionRange};
use milena_metadata::{AutoCreate, RefreshReason};
use milena_net::{Lane, Reply};
use thiserror::Error;

use crate::caps::{self, CapContext};
use crate::{CallError, Cluster, Target, TopicError};

/// Which offset of a partition is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The first offset that the log still holds.
    Earliest,
    /// The offset after the last one: the high watermark, or for [`Isolation::ReadCommitted`] the
    /// last stable offset.
    Latest,
    /// The first offset whose record has this timestamp (milliseconds since 1970 UTC) or a later
    /// one.
    Timestamp(i64),
    /// The offset of the record with the greatest timestamp. Needs brokers from 3.0 (KIP-734).
    MaxTimestamp,
}

impl OffsetSpec {
    const fn timestamp(self) -> i64 {
        match self {
            Self::Timestamp(millis) => millis,
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
        }
    }

    const fn min_version(self) -> i16 {
        match self {
            Self::MaxTimestamp => 7,
            _ => 1,
        }
    }
}

/// Whose records count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All.
    #[default]
    ReadUncommitted,
    /// Those of committed transactions, up to the first open one.
    ReadCommitted,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetQuery {
    /// The topic.
    pub topic: Str,
    /// The partition's index.
    pub partition: i32,
    /// Which offset.
    pub at: OffsetSpec,
}

/// The answer to one [`OffsetQuery`].
#[derive(Clone, Debug)]
pub struct OffsetAnswer {
    /// The topic.
    pub topic: Str,
    /// The partition's index.
    pub partition: i32,
    /// The offset, or why there is none.
    pub result: Result<FoundOffset, ListOffsetsError>,
}

/// An offset that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset; `None` if no record fits: none has such a timestamp, or the log is empty.
    pub offset: Option<i64>,
    /// The record's timestamp, where one was searched for.
    pub timestamp: Option<i64>,
    /// The leader epoch of the record at the offset, if the broker knows it.
    pub leader_epoch: Option<i32>,
}

/// Why a partition's offset could not be listed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ListOffsetsError {
    /// The topic could not be looked up.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The topic has no such partition.
    #[error("topic {topic} has no partition {partition}; it has {count}")]
    NoPartition {
        /// The topic.
        topic: Str,
        /// The index asked for.
        partition: i32,
        /// How many partitions it has.
        count: usize,
    },
    /// The broker refuses with an error.
    #[error("partition {partition} of topic {topic}: {code}")]
    Refused {
        /// The topic.
        topic: Str,
        /// The partition's index.
        partition: i32,
        /// The last error.
        code: ErrorCode,
    },
    /// The leader could not be asked.
    #[error("partition {partition} of topic {topic}: {cause}")]
    Call {
        /// The topic.
        topic: Str,
        /// The partition's index.
        partition: i32,
        /// Why.
        cause: Box<CallError>,
    },
}

/// Finds offsets: asks each leader once for all its partitions, and again, until `deadline`, for
/// those that failed in a way that time or fresh metadata cures. Answers are in the order of
/// `queries`, each with a result of its own.
///
/// Cancel safe: it changes nothing.
pub async fn list_offsets(
    cluster: &Cluster,
    queries: &[OffsetQuery],
    isolation: Isolation,
    deadline: Instant,
) -> Vec<OffsetAnswer> {
    let mut search = Search {
        cluster,
        queries,
        isolation,
        results: vec![None; queries.len()],
    };
    search.look_up_topics(deadline).await;
    let mut backoff = cluster.shared.backoff();
    loop {
        let open = search.ask_leaders(deadline).await;
        if !open || cluster.shared.now() >= deadline {
            return search.finish();
        }
        let pause = cluster.shared.pause(&mut backoff);
        cluster.shared.sleep(pause, deadline).await;
    }
}

struct Search<'a> {
    cluster: &'a Cluster,
    queries: &'a [OffsetQuery],
    isolation: Isolation,
    /// `None`: not asked yet; an error that [`may_pass`] may be replaced.
    results: Vec<Option<Result<FoundOffset, ListOffsetsError>>>,
}

/// One request: node, how often its partitions occurred before, and the lowest version.
type Group = (i32, usize, i16);

impl Search<'_> {
    async fn look_up_topics(&mut self, deadline: Instant) {
        let mut topics: BTreeMap<&Str, Vec<usize>> = BTreeMap::new();
        for (at, query) in self.queries.iter().enumerate() {
            topics.entry(&query.topic).or_default().push(at);
        }
        let looks = topics
            .keys()
            .map(|name| self.cluster.topic(name, AutoCreate::Never, deadline));
        let found = join_all(looks).await;
        for (queries, found) in topics.values().zip(found) {
            for at in queries {
                self.results[*at] = self.check_partition(*at, &found);
            }
        }
    }

    fn check_partition(
        &self,
        at: usize,
        found: &Result<std::sync::Arc<crate::Topic>, TopicError>,
    ) -> Option<Result<FoundOffset, ListOffsetsError>> {
        let OffsetQuery {
            topic, partition, ..
        } = &self.queries[at];
        match found {
            Err(error) => Some(Err(error.clone().into())),
            Ok(known) if known.partition(*partition).is_some() => None,
            Ok(known) => Some(Err(ListOffsetsError::NoPartition {
                topic: topic.clone(),
                partition: *partition,
                count: known.partitions.len(),
            })),
        }
    }

    /// Asks for all that is open; whether something still is.
    async fn ask_leaders(&mut self, deadline: Instant) -> bool {
        let groups = self.groups();
        let request_timeout = self.cluster.shared.config.net.request_timeout;
        let limit = deadline.min(self.cluster.shared.now() + request_timeout);
        let calls = groups
            .iter()
            .map(|(group, queries)| self.ask(*group, queries, limit));
        let replies = join_all(calls).await;
        for ((_, queries), reply) in groups.iter().zip(replies) {
            self.settle(queries, &reply);
        }
        let open = self.results.iter().any(is_open);
        if open {
            self.cluster.refresh(RefreshReason::NoLeader);
        }
        open
    }

    /// The open queries by leader. A request may name a partition once only, so a repeated one goes
    /// into another request.
    fn groups(&mut self) -> BTreeMap<Group, Vec<usize>> {
        let snapshot = self.cluster.snapshot();
        let mut seen: BTreeMap<(&Str, i32), usize> = BTreeMap::new();
        let mut groups: BTreeMap<Group, Vec<usize>> = BTreeMap::new();
        for (at, query) in self.queries.iter().enumerate() {
            if !is_open(&self.results[at]) {
                continue;
            }
            let Some(leader) = snapshot.leader(&query.topic, query.partition) else {
                self.results[at] = Some(Err(ListOffsetsError::Refused {
                    topic: query.topic.clone(),
                    partition: query.partition,
                    code: ErrorCode::LeaderNotAvailable,
                }));
                continue;
            };
            let times = seen.entry((&query.topic, query.partition)).or_default();
            let group = (leader.broker.id, *times, query.at.min_version());
            *times += 1;
            groups.entry(group).or_default().push(at);
        }
        groups
    }

    async fn ask(
        &self,
        (node, _, min): Group,
        queries: &[usize],
        deadline: Instant,
    ) -> Result<Reply<ListOffsetsResponse>, CallError> {
        let stable = caps::cap(milena_codec::ApiKey::ListOffsets, CapContext::default());
        let versions = VersionRange::new(min, stable.max);
        let left = deadline.saturating_duration_since(self.cluster.shared.now());
        let timeout_ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        let prepare = |version| self.request(queries, version, timeout_ms);
        let target = Target::Node(node);
        let cluster = self.cluster;
        cluster
            .call_once_within(target, Lane::Main, versions, prepare, deadline)
            .await
    }

    fn request(&self, queries: &[usize], version: i16, timeout_ms: i32) -> ListOffsetsRequest {
        let snapshot = self.cluster.snapshot();
        let mut topics: BTreeMap<&Str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for at in queries {
            let query = &self.queries[*at];
            let leader = snapshot.leader(&query.topic, query.partition);
            let epoch = leader
                .and_then(|leader| leader.epoch)
                .filter(|_| version >= 4);
            topics
                .entry(&query.topic)
                .or_default()
                .push(ListOffsetsPartition {
                    partition_index: query.partition,
                    current_leader_epoch: epoch.unwrap_or(-1),
                    timestamp: query.at.timestamp(),
                    ..ListOffsetsPartition::default()
                });
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| ListOffsetsTopic {
                name: name.clone(),
                partitions,
                ..ListOffsetsTopic::default()
            });
        ListOffsetsRequest {
            replica_id: -1,
            isolation_level: i8::from(self.isolation == Isolation::ReadCommitted && version >= 2),
            topics: topics.collect(),
            timeout_ms: if version >= 10 { timeout_ms } else { 0 },
            ..ListOffsetsRequest::default()
        }
    }

    fn settle(&mut self, queries: &[usize], reply: &Result<Reply<ListOffsetsResponse>, CallError>) {
        for at in queries {
            let query = &self.queries[*at];
            self.results[*at] = Some(match reply {
                Ok(reply) => answer_to(query, &reply.message),
                Err(cause) => Err(ListOffsetsError::Call {
                    topic: query.topic.clone(),
                    partition: query.partition,
                    cause: Box::new(cause.clone()),
                }),
            });
        }
    }

    fn finish(self) -> Vec<OffsetAnswer> {
        let answers = self.queries.iter().zip(self.results);
        answers
            .map(|(query, result)| OffsetAnswer {
                topic: query.topic.clone(),
                partition: query.partition,
                result: result.expect("every query is settled by the first round"),
            })
            .collect()
    }
}

fn answer_to(
    query: &OffsetQuery,
    answer: &ListOffsetsResponse,
) -> Result<FoundOffset, ListOffsetsError> {
    let mut topics = answer
        .topics
        .iter()
        .filter(|topic| topic.name == query.topic);
    let found = topics.find_map(|topic| {
        let mut partitions = topic.partitions.iter();
        partitions.find(|partition| partition.partition_index == query.partition)
    });
    let refused = |code| ListOffsetsError::Refused {
        topic: query.topic.clone(),
        partition: query.partition,
        code,
    };
    let Some(found) = found else {
        return Err(refused(ErrorCode::UnknownServerError));
    };
    ErrorCode::from(found.error_code).check().map_err(refused)?;
    Ok(FoundOffset {
        offset: (found.offset >= 0).then_some(found.offset),
        timestamp: (found.timestamp >= 0).then_some(found.timestamp),
        leader_epoch: (found.leader_epoch >= 0).then_some(found.leader_epoch),
    })
}

fn is_open(result: &Option<Result<FoundOffset, ListOffsetsError>>) -> bool {
    match result {
        None => true,
        Some(Ok(_)) => false,
        Some(Err(error)) => may_pass(error),
    }
}

/// Whether time or fresh metadata may cure it.
fn may_pass(error: &ListOffsetsError) -> bool {
    match error {
        ListOffsetsError::Topic(_) | ListOffsetsError::NoPartition { .. } => false,
        ListOffsetsError::Refused { code, .. } => {
            code.is_retriable() || code.refresh() == Refresh::Metadata
        }
        ListOffsetsError::Call { cause, .. } => cause.is_retriable(),
    }
}

#[cfg(test)]
mod tests;
