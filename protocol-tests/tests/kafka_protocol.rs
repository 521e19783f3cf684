//! The `kafka-protocol` crate as a second, independent oracle.
//!
//! It only ever sees bytes that Kafka wrote: hostile ones abort the process (it allocates declared
//! lengths).

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable};
use protocol_tests::messages::{Vector, golden};

/// What `kafka-protocol` 0.18 cannot read.
const LACKING: &[(&str, i16)] = &[
    ("AddRaftVoterRequest", 1),
    ("AddRaftVoterResponse", 1),
    ("BrokerHeartbeatRequest", 2),
    ("BrokerHeartbeatResponse", 2),
    ("DescribeLogDirsRequest", 5),
    ("DescribeLogDirsResponse", 5),
    ("DescribeShareGroupOffsetsRequest", 1),
    ("DescribeShareGroupOffsetsResponse", 1),
    ("InitProducerIdRequest", 6),
    ("ListOffsetsRequest", 11),
    ("ListOffsetsResponse", 11),
    ("OffsetCommitRequest", 10),
    ("OffsetFetchRequest", 10),
    ("ReadShareGroupStateSummaryRequest", 1),
    ("ReadShareGroupStateSummaryResponse", 1),
    ("ShareAcknowledgeRequest", 2),
    ("ShareAcknowledgeResponse", 2),
    ("ShareFetchRequest", 2),
    ("ShareFetchResponse", 2),
    ("StreamsGroupDescribeRequest", 0),
    ("StreamsGroupDescribeResponse", 0),
    ("StreamsGroupHeartbeatRequest", 0),
    ("StreamsGroupHeartbeatResponse", 0),
    ("WriteShareGroupStateRequest", 1),
    ("WriteShareGroupStateResponse", 1),
    ("WriteTxnMarkersRequest", 2),
    ("WriteTxnMarkersResponse", 2),
    // The above are the 27 of 604 versions of requests and responses. Of the data messages it
    // lacks one, and two it cannot read because it takes their field `Version` for the version
    // of the schema.
    ("ControlRecordTypeSchema", 0),
    ("LeaderChangeMessage", 0),
    ("LeaderChangeMessage", 1),
    ("VotersRecord", 0),
];

#[test]
fn both_codecs_write_the_same_bytes_for_every_golden_message() {
    let mut lacking = BTreeSet::new();
    let mut same = 0;
    for vector in golden() {
        let (name, version) = (vector.entry.name, vector.version);
        let ours = vector.entry.round_trip(vector.body.clone(), version);
        let ours = ours.unwrap_or_else(|error| panic!("{name} v{version}: {error}"));
        match their_round_trip(&vector) {
            Ok(theirs) => {
                assert_eq!(theirs, ours, "{name} v{version}");
                same += 1;
            }
            Err(error) => {
                let known = LACKING.contains(&(name, version));
                assert!(known, "{name} v{version}: {error:#}");
                lacking.insert((name, version));
            }
        }
    }
    let listed: BTreeSet<(&str, i16)> = LACKING.iter().copied().collect();
    assert_eq!(lacking, listed, "no longer lacking: take them off the list");
    assert!(same >= 1863 - 3 * LACKING.len(), "{same}");
}

/// Fails when they do not know the message or the version.
fn their_round_trip(vector: &Vector) -> Result<Bytes> {
    let (mut body, version) = (vector.body.clone(), vector.version);
    let mut out = BytesMut::new();
    if let Some(api) = vector.entry.api {
        let key = theirs::ApiKey::try_from(api.code());
        let key = key.map_err(|()| anyhow::anyhow!("unknown key"))?;
        if vector.entry.name.ends_with("Request") {
            theirs::RequestKind::decode(key, &mut body, version)?.encode(&mut out, version)?;
        } else {
            theirs::ResponseKind::decode(key, &mut body, version)?.encode(&mut out, version)?;
        }
    } else {
        data_message(vector.entry.name, &mut body, version, &mut out)?;
    }
    ensure!(body.is_empty(), "{} bytes left", body.len());
    Ok(out.freeze())
}

fn data_message(name: &str, body: &mut Bytes, version: i16, out: &mut BytesMut) -> Result<()> {
    let copy = match name {
        "ConsumerProtocolAssignment" => copy::<theirs::ConsumerProtocolAssignment>,
        "ConsumerProtocolSubscription" => copy::<theirs::ConsumerProtocolSubscription>,
        "DefaultPrincipalData" => copy::<theirs::DefaultPrincipalData>,
        "EndTxnMarker" => copy::<theirs::EndTxnMarker>,
        "KRaftVersionRecord" => copy::<theirs::KRaftVersionRecord>,
        "LeaderChangeMessage" => copy::<theirs::LeaderChangeMessage>,
        "SnapshotFooterRecord" => copy::<theirs::SnapshotFooterRecord>,
        "SnapshotHeaderRecord" => copy::<theirs::SnapshotHeaderRecord>,
        "VotersRecord" => copy::<theirs::VotersRecord>,
        _ => anyhow::bail!("unknown message"),
    };
    copy(body, version, out)
}

fn copy<M: Decodable + Encodable>(
    body: &mut Bytes,
    version: i16,
    out: &mut BytesMut,
) -> Result<()> {
    M::decode(body, version)?.encode(out, version)
}
