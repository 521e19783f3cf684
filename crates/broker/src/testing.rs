//! A client of the model for tests: it speaks the wire format, and owns the time.

mod transactions;

use std::time::Duration;

use milena_codec::frame::{self, Frame};
use milena_codec::messages::produce_request::{PartitionProduceData, TopicProduceData};
use milena_codec::messages::produce_response::PartitionProduceResponse;
use milena_codec::messages::{ProduceRequest, fetch_request, fetch_response};
use milena_codec::{Bytes, Request, Str, Uuid};
use milena_records::{
    BatchBuilder, Batches, Compression, Compressor, Decompressor, Heap, RecordParts, Stamp,
};

pub(crate) use self::transactions::{Who, data, end_request, init_request};
use crate::model::settings::{ClusterSettings, NodeAddress};
use crate::model::{ClusterModel, ConnectionId, Outcome};

/// The wall-clock time at which test clusters start.
pub(crate) const START_MILLIS: i64 = 1_700_000_000_000;

pub(crate) struct Client {
    pub(crate) model: ClusterModel,
    pub(crate) now: Duration,
    pub(crate) connection: ConnectionId,
    correlation_id: i32,
}

pub(crate) fn settings(nodes: usize) -> ClusterSettings {
    let address = |node: usize| NodeAddress {
        host: format!("node-{node}").into(),
        port: 9092,
    };
    ClusterSettings {
        nodes: (1..=nodes).map(address).collect(),
        start_millis: START_MILLIS,
        ..ClusterSettings::default()
    }
}

impl Client {
    /// A cluster of one node with a topic `t` of two partitions.
    pub(crate) fn new() -> Self {
        Self::of(settings(1))
    }

    pub(crate) fn of(settings: ClusterSettings) -> Self {
        let mut model = ClusterModel::new(settings);
        model.create_topic("t", 2).unwrap();
        let connection = model.connect(1).unwrap();
        Self {
            model,
            now: Duration::ZERO,
            connection,
            correlation_id: 0,
        }
    }

    pub(crate) fn topic_id(&self) -> Uuid {
        self.model.topics.by_name("t").unwrap().id
    }

    /// Goes on with a connection to the leader of a partition of `t`.
    pub(crate) fn at_leader(&mut self, partition: i32) -> i32 {
        let (leader, _) = self.model.leader("t", partition).unwrap();
        self.at(leader.unwrap());
        leader.unwrap()
    }

    pub(crate) fn at(&mut self, node: i32) {
        self.connection = self.model.connect(node).unwrap();
    }

    pub(crate) fn send<R: Request>(&mut self, request: &R, version: i16) -> Outcome {
        self.correlation_id += 1;
        let frame = frame::request(request, version, self.correlation_id, Some("test".into()));
        self.send_bytes(frame.unwrap().into_bytes().slice(4..))
    }

    pub(crate) fn send_bytes(&mut self, frame: Bytes) -> Outcome {
        self.model.handle(self.now, self.connection, frame)
    }

    pub(crate) fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        match self.send(request, version) {
            Outcome::Answer(frame) => self.decode::<R>(frame, version),
            other => panic!("{} v{version}: {other:?}", R::NAME),
        }
    }

    pub(crate) fn decode<R: Request>(&self, frame: Frame, version: i16) -> R::Response {
        let body = frame.into_bytes().slice(4..);
        let (correlation_id, body) = frame::read_response(body, R::KEY, version).unwrap();
        assert!(correlation_id <= self.correlation_id);
        milena_codec::decode(body, version).unwrap()
    }

    /// The answer to a parked request, when it has been released.
    pub(crate) fn released<R: Request>(&mut self, version: i16) -> Option<R::Response> {
        match self.model.poll_release()? {
            (connection, Outcome::Answer(frame)) if connection == self.connection => {
                Some(self.decode::<R>(frame, version))
            }
            other => panic!("unexpected release: {other:?}"),
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        self.model.handle_timeout(now);
    }

    /// Produces to a partition of `t`; the partition's answer.
    pub(crate) fn produce(
        &mut self,
        partition: i32,
        records: Bytes,
        version: i16,
    ) -> PartitionProduceResponse {
        let request = produce_request(self.topic_id(), partition, records, -1, version);
        self.call(&request, version)
            .responses
            .remove(0)
            .partition_responses
            .remove(0)
    }
}

pub(crate) fn produce_request(
    id: Uuid,
    index: i32,
    records: Bytes,
    acks: i16,
    version: i16,
) -> ProduceRequest {
    let (name, topic_id) = named(id, version >= 13);
    ProduceRequest {
        acks,
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name,
            topic_id,
            partition_data: vec![PartitionProduceData {
                index,
                records: Some(records),
                ..PartitionProduceData::default()
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

/// The topic `t` by name or by id.
pub(crate) fn named(id: Uuid, by_id: bool) -> (Str, Uuid) {
    if by_id {
        (Str::new(), id)
    } else {
        ("t".into(), Uuid::ZERO)
    }
}

/// A fetch of one partition of `t` from an offset, without a session.
pub(crate) fn fetch_request(
    id: Uuid,
    partition: i32,
    fetch_offset: i64,
    version: i16,
) -> milena_codec::messages::FetchRequest {
    let (topic, topic_id) = named(id, version >= 13);
    milena_codec::messages::FetchRequest {
        min_bytes: 1,
        topics: vec![fetch_request::FetchTopic {
            topic,
            topic_id,
            partitions: vec![fetch_request::FetchPartition {
                partition,
                fetch_offset,
                current_leader_epoch: -1,
                partition_max_bytes: 1 << 20,
                ..fetch_request::FetchPartition::default()
            }],
            ..fetch_request::FetchTopic::default()
        }],
        ..milena_codec::messages::FetchRequest::default()
    }
}

/// The only partition of an answer.
pub(crate) fn only(
    mut answer: milena_codec::messages::FetchResponse,
) -> fetch_response::PartitionData {
    assert_eq!(answer.error_code, 0);
    assert_eq!(answer.responses.len(), 1);
    answer.responses.remove(0).partitions.remove(0)
}

pub(crate) fn batch(values: &[&str]) -> Bytes {
    stamped(values, Stamp::NONE)
}

pub(crate) fn stamped(values: &[&str], stamp: Stamp) -> Bytes {
    build(values, stamp, Compression::None, Some(b"key"), START_MILLIS)
}

pub(crate) fn build(
    values: &[&str],
    stamp: Stamp,
    codec: Compression,
    key: Option<&[u8]>,
    timestamp: i64,
) -> Bytes {
    let mut builder = BatchBuilder::default();
    for value in values {
        let value = Some(value.as_bytes());
        builder
            .append(&RecordParts {
                timestamp,
                key,
                value,
                headers: &[],
            })
            .unwrap();
    }
    let sealed = builder
        .seal(&mut Compressor::new(codec), &mut Heap)
        .unwrap();
    sealed.to_bytes(stamp)
}

/// (offset, value) of all records.
pub(crate) fn records(bytes: Bytes) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    for batch in Batches::new(bytes) {
        let checked = batch
            .unwrap()
            .check(&mut Decompressor::new(), 1 << 26)
            .unwrap();
        all.extend(checked.iter().map(|record| {
            let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
            (record.offset, value)
        }));
    }
    all
}
