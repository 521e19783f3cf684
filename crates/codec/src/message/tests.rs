use std::collections::BTreeMap;

use bytes::Bytes;

use crate::messages::*;
use crate::{
    DecodeError, EncodeError, Malformed, Message, Str, TaggedFields, decode, decode_with_limit,
    encode, encoded_size,
};

/// Bodies that Apache Kafka's own classes wrote: `key name version hex` a line.
const VECTORS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../protocol-tests/vectors/messages-4.3.1.txt"
));

type RoundTrip = fn(Bytes, i16) -> Result<Bytes, String>;

fn round_trip<M: Message>(body: Bytes, version: i16) -> Result<Bytes, String> {
    let message: M = decode(body, version).map_err(|e| e.to_string())?;
    let size = encoded_size(&message, version).map_err(|e| e.to_string())?;
    let bytes = encode(&message, version).map_err(|e| e.to_string())?;
    assert_eq!(size, bytes.len());
    Ok(bytes)
}

macro_rules! table {
    ($($name:ident),*) => {
        BTreeMap::from([$((stringify!($name), round_trip::<$name> as RoundTrip)),*])
    };
}

fn vectors() -> impl Iterator<Item = (&'static str, i16, Bytes)> {
    VECTORS.lines().map(|line| {
        let mut fields = line.split(' ').skip(1);
        let name = fields.next().unwrap();
        let version = fields.next().unwrap().parse().unwrap();
        (name, version, unhex(fields.next().unwrap()))
    })
}

fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as u8)
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

#[test]
fn every_message_that_kafka_wrote_decodes_and_encodes_back_to_the_same_bytes() {
    let table: BTreeMap<&str, RoundTrip> = crate::for_each_message!(table);
    let mut seen = 0;
    for (name, version, body) in vectors() {
        let back =
            table[name](body.clone(), version).unwrap_or_else(|e| panic!("{name} v{version}: {e}"));
        assert_eq!(back, body, "{name} v{version}");
        seen += 1;
    }
    assert!(seen > 1800, "only {seen} vectors");
}

#[test]
fn a_message_cut_anywhere_is_an_error_and_not_a_panic() {
    let table: BTreeMap<&str, RoundTrip> = crate::for_each_message!(table);
    for (name, version, body) in vectors() {
        for end in 0..body.len() {
            let result = table[name](body.slice(..end), version);
            assert!(result.is_err(), "{name} v{version} cut at {end}");
        }
    }
}

#[test]
fn a_message_with_any_bit_flipped_decodes_or_is_refused() {
    let table: BTreeMap<&str, RoundTrip> = crate::for_each_message!(table);
    for (name, version, body) in vectors() {
        let mut bytes = body.to_vec();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = table[name](Bytes::copy_from_slice(&bytes), version);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn a_declared_length_allocates_nothing_beyond_the_limit() {
    let four_billion_brokers =
        Bytes::from_static(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]);
    let error = decode::<MetadataResponse>(four_billion_brokers, 12).unwrap_err();
    assert_eq!(error.kind, Malformed::Truncated);

    let mut many = vec![0, 0, 0, 0, 0x80, 0x80, 0x20];
    many.resize(1 << 20, 0);
    let error = decode_with_limit::<MetadataResponse>(many.into(), 12, 1 << 20).unwrap_err();
    assert_eq!(error.kind, Malformed::Limit);
}

#[test]
fn strings_of_a_decoded_message_are_views_of_the_buffer() {
    let request = SaslHandshakeRequest {
        mechanism: Str::from_static("SCRAM-SHA-256"),
    };
    let body = encode(&request, 1).unwrap();
    let back: SaslHandshakeRequest = decode(body.clone(), 1).unwrap();
    assert_eq!(back, request);
    assert!(body.as_ptr_range().contains(&back.mechanism.as_ptr()));
}

#[test]
fn unknown_tagged_fields_survive_a_round_trip_in_order() {
    let mut unknown = TaggedFields::default();
    assert!(unknown.push(17, Bytes::from_static(b"one")));
    assert!(unknown.push(1000, Bytes::from_static(b"thousand")));
    assert!(!unknown.push(7, Bytes::new()));
    let response = ApiVersionsResponse {
        zk_migration_ready: true,
        finalized_features_epoch: 9,
        unknown_tagged_fields: unknown,
        ..ApiVersionsResponse::default()
    };
    let back: ApiVersionsResponse = decode(encode(&response, 4).unwrap(), 4).unwrap();
    assert_eq!(back, response);
}

#[test]
fn a_field_that_a_version_cannot_carry_is_refused_unless_it_may_be_dropped() {
    let request = FindCoordinatorRequest {
        coordinator_keys: vec![Str::from_static("a")],
        ..FindCoordinatorRequest::default()
    };
    assert_eq!(
        encode(&request, 3).unwrap_err(),
        EncodeError::Unsupported {
            field: "CoordinatorKeys",
            version: 3
        }
    );
    let request = FindCoordinatorRequest {
        key_type: 1,
        ..FindCoordinatorRequest::default()
    };
    assert!(matches!(
        encode(&request, 0),
        Err(EncodeError::Unsupported {
            field: "KeyType",
            ..
        })
    ));
}

#[test]
fn null_is_refused_where_a_version_has_none() {
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    assert_eq!(
        encode(&all, 0),
        Err(EncodeError::Null {
            field: "Topics",
            version: 0
        })
    );
    assert!(encode(&all, 1).is_ok());
}

#[test]
fn an_unknown_version_is_an_error_in_both_directions() {
    assert_eq!(
        encode(&MetadataRequest::default(), 99),
        Err(EncodeError::Version {
            message: "MetadataRequest",
            version: 99
        })
    );
    assert!(matches!(
        decode::<MetadataRequest>(Bytes::new(), -1),
        Err(DecodeError {
            kind: Malformed::Version,
            ..
        })
    ));
}

#[test]
fn an_error_names_the_message_the_version_and_the_place() {
    let error = decode::<SaslHandshakeRequest>(Bytes::from_static(&[0, 9, b'x']), 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed SaslHandshakeRequest version 1 near byte 2: the input ends inside a field"
    );
}
