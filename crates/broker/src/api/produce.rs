//! Produce: validation, the producer's sequence, the append, and the wait for replicas.
//!
//! I1. Of a partition named twice in a request only the last entry counts, and it is answered once
//!     (what Kafka 4.3.1 does; the first is lost without a word).
//! I2. A produced batch is copied once, into the log.

mod transactional;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use milena_codec::messages::produce_response::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use milena_codec::messages::{ProduceRequest, ProduceResponse};
use milena_codec::{Bytes, ErrorCode, Str, Uuid};
use milena_records::{BatchHeader, edit};

use super::validate::{self, Refusal};
use super::{Call, Reply, check_leader, endpoint, unknown_topic};
use crate::model::producer_state::{Rules, Verdict};
use crate::model::profile::KafkaVersion;
use crate::model::{ClusterModel, Parked, Waiting};

pub(crate) use self::transactional::begin as handle;
use self::transactional::{ADDS_FROM, of_transactions, verify};
pub(crate) use self::transactional::{EarlyProduce, resume};

const ALL: i16 = -1;
/// Leader hints are answered from this version on (KIP-951).
const HINTS_FROM: i16 = 10;
/// Topics go by id from this version on (KIP-516).
const IDS_FROM: i16 = 13;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    name: Str,
    id: Uuid,
    index: i32,
}

/// A batch that is in the log.
#[derive(Debug, Clone, Copy)]
struct Appended {
    topic: Uuid,
    base_offset: i64,
    end_offset: i64,
    log_append_time: i64,
    log_start_offset: i64,
    /// What became of it, once that is certain: whatever comes later, the answer says so.
    outcome: Option<ErrorCode>,
}

type Entry = (Place, Result<Appended, Refusal>);

/// An acks=all request whose replicas are behind.
#[derive(Debug)]
pub(crate) struct PendingProduce {
    entries: Vec<Entry>,
    /// Whether success means replicated.
    all: bool,
}

/// Carries a request out.
fn carry_out(model: &mut ClusterModel, call: &Call, request: ProduceRequest) -> Reply {
    let (acks, timeout) = (request.acks, request.timeout_ms);
    let transactional_id = request.transactional_id.clone();
    let asked = last_of_each(request);
    let refused = of_transactions(transactional_id.is_none(), &asked);
    let mut entries = Vec::new();
    for (place, records) in asked {
        let Some(records) = records else {
            return Reply::Close;
        };
        if let Some(code) = refused {
            entries.push((place, Err(code.into())));
            continue;
        }
        let id = transactional_id.as_deref().unwrap_or_default();
        let result = produce(model, call, &place, (id, records), acks);
        entries.push((place, result));
    }
    let mut pending = PendingProduce {
        entries,
        all: acks == ALL,
    };
    pending.settle(model, call);
    if acks == 0 {
        let failed = pending.entries.iter().any(|(_, result)| result.is_err());
        return if failed { Reply::Close } else { Reply::Silent };
    }
    if pending.is_ready(model, call) {
        return pending.answer(model, call);
    }
    let wait = Duration::from_millis(u64::try_from(timeout).unwrap_or(0));
    let deadline = Some(call.now.saturating_add(wait));
    Reply::Park(Box::new(Waiting {
        parked: Parked::Produce(call.clone(), pending),
        deadline,
    }))
}

pub(super) fn refuse(call: &Call, request: ProduceRequest, code: ErrorCode) -> Reply {
    if request.acks == 0 {
        return Reply::Close;
    }
    let entry = |(place, _)| {
        let refused = PartitionProduceResponse {
            error_code: code.code(),
            ..failed()
        };
        (place, refused)
    };
    call.answer(&response(
        last_of_each(request).into_iter().map(entry),
        Vec::new(),
    ))
}

/// The entries in order, without those that a later one replaces. // I1
fn last_of_each(request: ProduceRequest) -> Vec<(Place, Option<Bytes>)> {
    let mut places = BTreeMap::new();
    let mut entries: Vec<(Place, Option<Bytes>)> = Vec::new();
    for topic in request.topic_data {
        for partition in topic.partition_data {
            let (name, id, index) = (topic.name.clone(), topic.topic_id, partition.index);
            let place = Place { name, id, index };
            if let Some(at) = places.get(&place) {
                let at: usize = *at;
                entries[at].1 = partition.records;
            } else {
                places.insert(place.clone(), entries.len());
                entries.push((place, partition.records));
            }
        }
    }
    entries
}

/// The rules for producers that this release and, in a Produce, its version come with.
pub(super) fn rules(model: &ClusterModel, version: Option<i16>) -> Rules {
    if model.settings.version < KafkaVersion::V4_3 {
        Rules::Old
    } else if version.is_some_and(|version| version >= ADDS_FROM) {
        Rules::Version2
    } else {
        Rules::Current
    }
}

fn produce(
    model: &mut ClusterModel,
    call: &Call,
    place: &Place,
    (transactional_id, records): (&str, Bytes),
    acks: i16,
) -> Result<Appended, Refusal> {
    let wall_millis = model.wall_millis(call.now);
    let rules = rules(model, Some(call.version));
    let topic = model.topics.find(&place.name, place.id);
    let topic = topic.filter(|_| call.version < IDS_FROM || !place.id.is_zero());
    let topic = topic.ok_or_else(|| unknown_topic(place.id, call.version >= IDS_FROM))?;
    if topic.partition(place.index).is_none() {
        return Err(ErrorCode::UnknownTopicOrPartition.into());
    }
    let batch = validate::single_batch(records, call.version)?;
    if !(ALL..=1).contains(&acks) {
        return Err(ErrorCode::InvalidRequiredAcks.into());
    }
    check_leader(call, Some(topic), place.index, -1)?;
    if topic.is_internal() {
        return Err(ErrorCode::InvalidTopicException.into());
    }
    let (name, header) = (topic.name.clone(), *batch.header());
    if header.attributes.is_transactional() && rules != Rules::Old {
        verify(model, call, transactional_id, (name, place.index), &header)?;
    }
    let topic = model.topics.find(&place.name, place.id);
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = topic.partition(place.index);
    let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if acks == ALL && partition.isr.len() < topic.config.min_insync_replicas() {
        return Err(ErrorCode::NotEnoughReplicas.into());
    }
    let name = (&*topic.name, place.index);
    let max_decompressed = model.settings.max_decompressed;
    let bytes = validate::check(&batch, name, &topic.config, wall_millis, max_decompressed)?;
    let verdict = partition.producers.check(batch.header(), rules);
    let verdict = verdict.map_err(Refusal::by_log)?;
    if let Verdict::Duplicate {
        base_offset,
        timestamp,
    } = verdict
    {
        let end_offset = base_offset + i64::from(batch.header().record_count);
        let log_start_offset = partition.log.start();
        let log_append_time = timestamp;
        let topic = topic.id;
        return Ok(Appended {
            topic,
            base_offset,
            end_offset,
            log_append_time,
            log_start_offset,
            outcome: None,
        });
    }
    append(model, place, &bytes, wall_millis)
}

fn append(
    model: &mut ClusterModel,
    place: &Place,
    bytes: &Bytes,
    wall_millis: i64,
) -> Result<Appended, Refusal> {
    let rules = rules(model, None);
    if model.log_bytes + bytes.len() > model.settings.max_log_bytes {
        let max = model.settings.max_log_bytes;
        let message = format!("The logs hold {max} bytes, the most this broker was given");
        return Err(Refusal::new(ErrorCode::KafkaStorageError, message));
    }
    let topic = model.topics.find_mut(&place.name, place.id);
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let index = usize::try_from(place.index).map_err(|_| ErrorCode::UnknownTopicOrPartition)?;
    let partition = topic
        .partitions
        .get_mut(index)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let log = &mut partition.log;
    let mut stored = bytes.to_vec(); // I2
    let too_short =
        |error: edit::TooShort| Refusal::new(ErrorCode::CorruptMessage, error.to_string());
    edit::append_at(&mut stored, log.end(), partition.leader_epoch).map_err(too_short)?;
    let log_append_time = if topic.config.is_log_append_time() {
        edit::set_log_append_time(&mut stored, wall_millis).map_err(too_short)?;
        wall_millis
    } else {
        -1
    };
    let header = BatchHeader::read(&stored).ok_or(ErrorCode::CorruptMessage)?;
    let before = log.size();
    log.append(&header, stored.into());
    if let Some(limit) = topic.config.retention_bytes() {
        let high_watermark = partition.held_at.unwrap_or(log.end());
        log.retain_bytes(limit, high_watermark);
    }
    model.log_bytes = model.log_bytes + log.size() - before;
    partition.producers.appended(&header);
    partition.producers.start_moved(log.start(), rules);
    model.touched.insert((topic.id, place.index));
    Ok(Appended {
        topic: topic.id,
        base_offset: header.base_offset,
        end_offset: header.last_offset() + 1,
        log_append_time,
        log_start_offset: log.start(),
        outcome: None,
    })
}

impl PendingProduce {
    /// Whether it waits for one of these partitions.
    pub(crate) fn concerns(&self, touched: &BTreeSet<(Uuid, i32)>) -> bool {
        let mut appended = self.entries.iter().filter_map(|(place, result)| {
            result
                .as_ref()
                .ok()
                .map(|appended| (appended.topic, place.index))
        });
        appended.any(|place| touched.contains(&place))
    }

    /// Notes what is certain now of each partition, which the others may have to wait for.
    pub(crate) fn settle(&mut self, model: &ClusterModel, call: &Call) {
        for (place, result) in &mut self.entries {
            if let Ok(appended) = result {
                appended.outcome = match replicated(model, call, place, appended) {
                    Ok(()) => Some(ErrorCode::None),
                    Err(ErrorCode::RequestTimedOut) => None,
                    Err(code) => Some(code),
                };
            }
        }
    }

    /// Whether everything that was appended is replicated, or never will be from here.
    pub(crate) fn is_ready(&self, model: &ClusterModel, call: &Call) -> bool {
        let outcome = |(place, result): &Entry| match result {
            Ok(appended) if self.all => {
                replicated(model, call, place, appended) != Err(ErrorCode::RequestTimedOut)
            }
            _ => true,
        };
        self.entries.iter().all(outcome)
    }

    /// The answer as things stand: what is not replicated has timed out.
    pub(crate) fn answer(self, model: &ClusterModel, call: &Call) -> Reply {
        let mut hints = BTreeSet::new();
        let mut parts = Vec::new();
        for (place, result) in self.entries {
            let mut part = match result {
                Err(refusal) => refused(model, &place, refusal),
                Ok(appended) => {
                    let code = match replicated(model, call, &place, &appended) {
                        Err(code) if self.all => code,
                        _ => ErrorCode::None,
                    };
                    success(call.answer_with.unwrap_or(code), &appended)
                }
            };
            if call.version >= HINTS_FROM
                && part.error_code == ErrorCode::NotLeaderOrFollower.code()
                && let Some(hint) = hint(model, &place)
            {
                hints.insert(hint.leader_id);
                part.current_leader = hint;
            }
            parts.push((place, part));
        }
        let endpoints = hints
            .into_iter()
            .filter_map(|node| node_endpoint(model, node))
            .collect();
        call.answer(&response(parts.into_iter(), endpoints))
    }
}

/// Where an acks=all batch stands.
fn replicated(
    model: &ClusterModel,
    call: &Call,
    place: &Place,
    appended: &Appended,
) -> Result<(), ErrorCode> {
    match appended.outcome {
        Some(ErrorCode::None) => return Ok(()),
        Some(code) => return Err(code),
        None => {}
    }
    let topic = model
        .topics
        .by_id(appended.topic)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = topic
        .partition(place.index)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if partition.leader != Some(call.node) {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    if partition.high_watermark() < appended.end_offset {
        return Err(ErrorCode::RequestTimedOut);
    }
    if partition.isr.len() < topic.config.min_insync_replicas() {
        return Err(ErrorCode::NotEnoughReplicasAfterAppend);
    }
    Ok(())
}

fn failed() -> PartitionProduceResponse {
    PartitionProduceResponse {
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        ..PartitionProduceResponse::default()
    }
}

fn refused(model: &ClusterModel, place: &Place, refusal: Refusal) -> PartitionProduceResponse {
    let partition = model
        .topics
        .find(&place.name, place.id)
        .and_then(|t| t.partition(place.index));
    let start = partition
        .filter(|_| refusal.by_log)
        .map_or(-1, |found| found.log.start());
    PartitionProduceResponse {
        error_code: refusal.code.code(),
        error_message: refusal.message.map(Into::into),
        record_errors: refusal.records,
        log_start_offset: start,
        ..failed()
    }
}

fn success(code: ErrorCode, appended: &Appended) -> PartitionProduceResponse {
    PartitionProduceResponse {
        error_code: code.code(),
        base_offset: appended.base_offset,
        log_append_time_ms: appended.log_append_time,
        log_start_offset: appended.log_start_offset,
        ..PartitionProduceResponse::default()
    }
}

fn hint(model: &ClusterModel, place: &Place) -> Option<LeaderIdAndEpoch> {
    let partition = model
        .topics
        .find(&place.name, place.id)?
        .partition(place.index)?;
    Some(LeaderIdAndEpoch {
        leader_id: partition.leader?,
        leader_epoch: partition.leader_epoch,
        ..LeaderIdAndEpoch::default()
    })
}

fn node_endpoint(model: &ClusterModel, node_id: i32) -> Option<NodeEndpoint> {
    let (host, port, rack) = endpoint(model, node_id)?;
    Some(NodeEndpoint {
        node_id,
        host,
        port,
        rack,
        ..NodeEndpoint::default()
    })
}

fn response(
    parts: impl Iterator<Item = (Place, PartitionProduceResponse)>,
    node_endpoints: Vec<NodeEndpoint>,
) -> ProduceResponse {
    let mut responses: Vec<TopicProduceResponse> = Vec::new();
    for (place, mut part) in parts {
        part.index = place.index;
        match responses.last_mut() {
            Some(last) if last.name == place.name && last.topic_id == place.id => {
                last.partition_responses.push(part);
            }
            _ => responses.push(TopicProduceResponse {
                name: place.name,
                topic_id: place.id,
                partition_responses: vec![part],
                ..TopicProduceResponse::default()
            }),
        }
    }
    ProduceResponse {
        responses,
        node_endpoints,
        ..ProduceResponse::default()
    }
}

#[cfg(test)]
mod tests;
