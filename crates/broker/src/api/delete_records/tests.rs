use milena_codec::ApiKey;
use milena_codec::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};

use super::*;
use crate::testing::{Client, batch, fetch_request, only};

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
