use milena_codec::ApiKey;
use milena_codec::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};

use super::*;
use crate::model::profile::KafkaVersion;
use crate::model::settings::ClusterSettings;
use crate::testing::{Client, batch, fetch_request, only, settings, stamped};

#[test]
fn the_start_moves_up_to_the_high_watermark_at_every_version() {
    for version in ApiKey::DeleteRecords.stable_versions().iter() {
        let mut client = Client::new();
        client.produce(0, batch(&["a", "b", "c"]), 9);
        client.produce(0, batch(&["d"]), 9);
        let out = Err(ErrorCode::OffsetOutOfRange);
        let unknown = Err(ErrorCode::UnknownTopicOrPartition);
        for (partition_index, offset, expected) in [
            (0, 2, Ok(2)),
            (0, 1, Ok(2)),
            (0, 5, out),
            (0, -2, out),
            (9, 0, unknown),
            (0, -1, Ok(4)),
        ] {
            let partition = DeleteRecordsPartition {
                partition_index,
                offset,
                ..DeleteRecordsPartition::default()
            };
            let request = DeleteRecordsRequest {
                topics: vec![DeleteRecordsTopic {
                    name: "t".into(),
                    partitions: vec![partition],
                    ..DeleteRecordsTopic::default()
                }],
                ..DeleteRecordsRequest::default()
            };
            let answer = client
                .call(&request, version)
                .topics
                .remove(0)
                .partitions
                .remove(0);
            let code = ErrorCode::from(answer.error_code);
            assert_eq!(code.check().map(|()| answer.low_watermark), expected);
        }
        let data = only(client.call(&fetch_request(client.topic_id(), 0, 3, 12), 12));
        assert_eq!(
            ErrorCode::from(data.error_code),
            ErrorCode::OffsetOutOfRange
        );
        assert_eq!(client.model.log_bytes, 0);
    }
}

#[test]
fn before_kafka_2_5_producers_are_forgotten_with_their_records() {
    for (version, expected) in [
        (KafkaVersion::V2_1, ErrorCode::UnknownProducerId),
        (KafkaVersion::V4_3, ErrorCode::None),
    ] {
        let mut client = Client::of(ClusterSettings {
            version,
            ..settings(1)
        });
        let records = |base_sequence| {
            let stamp = milena_records::Stamp {
                producer_id: 5,
                producer_epoch: 0,
                base_sequence,
                transactional: false,
            };
            stamped(&["x"], stamp)
        };
        client.produce(0, records(0), 7);
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: "t".into(),
                partitions: vec![DeleteRecordsPartition {
                    offset: 1,
                    ..DeleteRecordsPartition::default()
                }],
                ..DeleteRecordsTopic::default()
            }],
            ..DeleteRecordsRequest::default()
        };
        client.call(&request, 1);
        let answer = client.produce(0, records(1), 7);
        let code = ErrorCode::from(answer.error_code);
        assert_eq!((code, answer.log_start_offset), (expected, 1));
    }
}
