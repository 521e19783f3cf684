use milena_codec::messages::produce_request::{PartitionProduceData, TopicProduceData};
use milena_codec::{decode, encode};

use super::*;

fn pieces() -> Vec<Bytes> {
    vec![Bytes::from_static(b"header"), Bytes::from(vec![7; 300])]
}

#[test]
fn it_has_the_bytes_of_the_generated_request_in_every_version() {
    let id = Uuid([9; 16]);
    let name = Str::from_static("orders");
    let ours = Produce {
        transactional_id: Some("id".into()),
        acks: -1,
        timeout_ms: 27_000,
        topics: vec![TopicBatches {
            name: name.clone(),
            id,
            partitions: (0..2)
                .map(|index| PartitionBatch {
                    index,
                    pieces: pieces(),
                })
                .collect(),
        }],
    };
    let data = (0..2).map(|index| PartitionProduceData {
        index,
        records: Some(pieces().concat().into()),
        ..PartitionProduceData::default()
    });
    let generated = ProduceRequest {
        transactional_id: Some("id".into()),
        acks: -1,
        timeout_ms: 27_000,
        topic_data: vec![TopicProduceData {
            name,
            topic_id: id,
            partition_data: data.collect(),
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    for version in Produce::VERSIONS.iter() {
        let bytes = encode(&ours, version).unwrap();
        assert_eq!(bytes, encode(&generated, version).unwrap(), "v{version}");
        let decoded: Produce = decode(bytes.clone(), version).unwrap();
        assert_eq!(encode(&decoded, version).unwrap(), bytes);
    }
}
