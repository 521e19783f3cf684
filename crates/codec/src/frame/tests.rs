use bytes::Bytes;

use super::{read_request, read_response, request, response};
use crate::messages::produce_request::{PartitionProduceData, TopicProduceData};
use crate::messages::{ApiVersionsResponse, MetadataRequest, ProduceRequest};
use crate::{ApiKey, Str, decode};

#[test]
fn a_request_is_a_size_a_header_and_a_body() {
    let frame = request(
        &MetadataRequest::default(),
        12,
        7,
        Some(Str::from_static("me")),
    )
    .unwrap();
    let bytes = frame.into_bytes();
    assert_eq!(bytes.len(), 4 + usize::from(bytes[3]));
    let (header, body) = read_request(bytes.slice(4..)).unwrap();
    assert_eq!(
        (header.request_api_key, header.request_api_version),
        (3, 12)
    );
    assert_eq!(header.correlation_id, 7);
    assert_eq!(header.client_id.as_deref(), Some("me"));
    assert_eq!(decode(body, 12), Ok(MetadataRequest::default()));
}

#[test]
fn the_answer_to_api_versions_has_the_oldest_header_in_every_version() {
    for version in ApiKey::ApiVersions.versions().iter() {
        let sent = ApiVersionsResponse::default();
        let bytes = response(&sent, ApiKey::ApiVersions, version, 3)
            .unwrap()
            .into_bytes();
        let (id, body) = read_response(bytes.slice(4..), ApiKey::ApiVersions, version).unwrap();
        assert_eq!(id, 3);
        assert_eq!(body.len() + 8, bytes.len());
    }
}

#[test]
fn record_batches_are_shared_and_not_copied() {
    let records = Bytes::from(vec![7; 100_000]);
    let sent = ProduceRequest {
        topic_data: vec![TopicProduceData {
            name: Str::from_static("t"),
            partition_data: vec![PartitionProduceData {
                records: Some(records.clone()),
                ..PartitionProduceData::default()
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let frame = request(&sent, 9, 1, None).unwrap();
    assert_eq!(frame.segments.len(), 3);
    assert_eq!(frame.segments[1].as_ptr(), records.as_ptr());
    let bytes = frame.into_bytes();
    let size = i32::from_be_bytes(bytes[..4].try_into().unwrap());
    assert_eq!(size as usize, bytes.len() - 4);
    let (_, body) = read_request(bytes.slice(4..)).unwrap();
    assert_eq!(decode(body, 9), Ok(sent));
}

#[test]
fn a_header_that_ends_early_is_an_error() {
    let bytes = request(&MetadataRequest::default(), 12, 7, None)
        .unwrap()
        .into_bytes();
    for end in 0..10 {
        assert!(read_request(bytes.slice(4..4 + end)).is_err());
    }
}
