use milena_codec::ApiKey;
use milena_codec::messages::list_offsets_request::ListOffsetsTopic;
use milena_records::{Compression, Stamp};

use super::*;
use crate::testing::{Client, START_MILLIS, build};

fn ask(partition_index: i32, timestamp: i64) -> ListOffsetsRequest {
    let current_leader_epoch = -1;
    let partition = ListOffsetsPartition {
        partition_index,
        current_leader_epoch,
        timestamp,
        ..ListOffsetsPartition::default()
    };
    let topic = ListOffsetsTopic {
        name: "t".into(),
        partitions: vec![partition],
        ..ListOffsetsTopic::default()
    };
    ListOffsetsRequest {
        topics: vec![topic],
        ..ListOffsetsRequest::default()
    }
}

/// Records at the times 10, 30 (compressed), 20, counted from the start; two a batch.
fn filled() -> Client {
    let mut client = Client::new();
    for (time, codec) in [
        (10, Compression::None),
        (30, Compression::Gzip),
        (20, Compression::None),
    ] {
        let records = build(&["a", "b"], Stamp::NONE, codec, None, START_MILLIS + time);
        assert_eq!(client.produce(0, records, 9).error_code, 0);
    }
    client
}

fn offset(
    client: &mut Client,
    request: &ListOffsetsRequest,
    version: i16,
) -> Result<(i64, i64), ErrorCode> {
    let answer = client
        .call(request, version)
        .topics
        .remove(0)
        .partitions
        .remove(0);
    assert!(answer.leader_epoch <= 0);
    ErrorCode::from(answer.error_code).check()?;
    Ok((answer.offset, answer.timestamp))
}

#[test]
fn ends_and_times_are_found_at_every_version() {
    let mut client = filled();
    for version in ApiKey::ListOffsets.stable_versions().iter() {
        let at = |time: i64| ask(0, START_MILLIS + time);
        let table = [
            (ask(0, LATEST), Ok((6, -1)), 0),
            (ask(0, EARLIEST), Ok((0, -1)), 0),
            (ask(1, LATEST), Ok((0, -1)), 0),
            (at(0), Ok((0, START_MILLIS + 10)), 0),
            (at(11), Ok((2, START_MILLIS + 30)), 0),
            (at(20), Ok((2, START_MILLIS + 30)), 0),
            (at(31), Ok((-1, -1)), 0),
            (ask(0, MAX_TIMESTAMP), Ok((2, START_MILLIS + 30)), 7),
            (ask(1, MAX_TIMESTAMP), Ok((-1, -1)), 7),
            (ask(0, EARLIEST_LOCAL), Ok((0, -1)), 8),
            (ask(0, LATEST_TIERED), Ok((-1, -1)), 9),
            (ask(0, EARLIEST_PENDING_UPLOAD), Ok((-1, -1)), 11),
            (ask(0, -7), Ok((0, 0)), i16::MAX),
        ];
        for (request, expected, since) in table {
            let expected = if version >= since {
                expected
            } else {
                Err(ErrorCode::UnsupportedVersion)
            };
            assert_eq!(
                offset(&mut client, &request, version),
                expected,
                "v{version} {request:?}"
            );
        }
        let missing = Err(ErrorCode::UnknownTopicOrPartition);
        assert_eq!(offset(&mut client, &ask(9, LATEST), version), missing);
    }
}

#[test]
fn consumers_are_told_the_high_watermark_not_the_end() {
    let mut client = filled();
    client.model.hold_replication("t", 0, true).unwrap();
    let records = build(
        &["c"],
        Stamp::NONE,
        Compression::None,
        None,
        START_MILLIS + 99,
    );
    let request = crate::testing::produce_request(client.topic_id(), 0, records, 1, 9);
    client.call(&request, 9);
    assert_eq!(offset(&mut client, &ask(0, LATEST), 11), Ok((6, -1)));
    assert_eq!(
        offset(&mut client, &ask(0, START_MILLIS + 99), 11),
        Ok((-1, -1))
    );
}

#[test]
fn the_same_partition_twice_is_an_error_and_so_is_a_newer_epoch() {
    let mut client = filled();
    let mut request = ask(0, LATEST);
    request.topics[0].partitions[0].current_leader_epoch = 4;
    assert_eq!(
        offset(&mut client, &request, 11),
        Err(ErrorCode::UnknownLeaderEpoch)
    );
    let copy = request.topics[0].partitions[0].clone();
    request.topics[0].partitions.push(copy);
    assert_eq!(
        offset(&mut client, &request, 11),
        Err(ErrorCode::InvalidRequest)
    );
}
