//! The transactional part of the test client, on topic `t` and group `g`.

use std::time::Duration;

use milena_codec::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use milena_codec::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest,
    ProduceRequest,
};
use milena_codec::{Bytes, ErrorCode};
use milena_records::Stamp;

use super::{Client, produce_request, stamped};

/// Producer id and epoch.
pub(crate) type Who = (i64, i16);

/// A transactional batch.
pub(crate) fn data(who: Who, base_sequence: i32, values: &[&str]) -> Bytes {
    let stamp = Stamp {
        producer_id: who.0,
        producer_epoch: who.1,
        base_sequence,
        transactional: true,
    };
    stamped(values, stamp)
}

pub(crate) fn init_request(id: &str) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: Some(id.into()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    }
}

fn result<T>(code: i16, value: T) -> Result<T, ErrorCode> {
    match ErrorCode::from(code) {
        ErrorCode::None => Ok(value),
        code => Err(code),
    }
}

impl Client {
    pub(crate) fn try_init(
        &mut self,
        request: &InitProducerIdRequest,
        version: i16,
    ) -> Result<Who, ErrorCode> {
        let answer = self.call(request, version);
        result(
            answer.error_code,
            (answer.producer_id, answer.producer_epoch),
        )
    }

    pub(crate) fn init(&mut self, id: &str) -> Who {
        self.try_init(&init_request(id), 1).unwrap()
    }

    pub(crate) fn add(&mut self, id: &str, who: Who, partition: i32) -> Result<(), ErrorCode> {
        self.add_in(id, who, partition, 3)
    }

    pub(crate) fn add_in(
        &mut self,
        id: &str,
        who: Who,
        partition: i32,
        version: i16,
    ) -> Result<(), ErrorCode> {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: id.into(),
            v3_and_below_producer_id: who.0,
            v3_and_below_producer_epoch: who.1,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: "t".into(),
                partitions: vec![partition],
                ..AddPartitionsToTxnTopic::default()
            }],
            ..AddPartitionsToTxnRequest::default()
        };
        let answer = self.call(&request, version);
        let topic = &answer.results_by_topic_v3_and_below[0];
        result(topic.results_by_partition[0].partition_error_code, ())
    }

    pub(crate) fn add_offsets(
        &mut self,
        id: &str,
        who: Who,
        version: i16,
    ) -> Result<(), ErrorCode> {
        let request = AddOffsetsToTxnRequest {
            transactional_id: id.into(),
            producer_id: who.0,
            producer_epoch: who.1,
            group_id: "g".into(),
            ..AddOffsetsToTxnRequest::default()
        };
        result(self.call(&request, version).error_code, ())
    }

    pub(crate) fn end(
        &mut self,
        id: &str,
        who: Who,
        committed: bool,
        version: i16,
    ) -> Result<Who, ErrorCode> {
        let answer = self.call(&end_request(id, who, committed), version);
        result(
            answer.error_code,
            (answer.producer_id, answer.producer_epoch),
        )
    }

    /// Produces within the transaction of `id`; the base offset.
    pub(crate) fn write(
        &mut self,
        id: &str,
        records: Bytes,
        partition: i32,
        version: i16,
    ) -> Result<i64, ErrorCode> {
        let request = ProduceRequest {
            transactional_id: Some(id.into()),
            ..produce_request(self.topic_id(), partition, records, -1, version)
        };
        let answer = self.call(&request, version);
        let partition = &answer.responses[0].partition_responses[0];
        result(partition.error_code, partition.base_offset)
    }

    /// Until the markers of all decisions are written.
    pub(crate) fn markers(&mut self) {
        self.pass(Duration::from_millis(5));
    }
}

pub(crate) fn end_request(id: &str, who: Who, committed: bool) -> EndTxnRequest {
    EndTxnRequest {
        transactional_id: id.into(),
        producer_id: who.0,
        producer_epoch: who.1,
        committed,
        ..EndTxnRequest::default()
    }
}
