use std::time::Duration;

use milena_codec::ApiKey;
use milena_codec::messages::produce_request::PartitionProduceData;
use milena_records::{Compression, EndTxnMarker, Stamp};

use super::*;
use crate::model::Outcome;
use crate::model::settings::ClusterSettings;
use crate::testing::{
    Client, START_MILLIS, batch, build, fetch_request, only, produce_request, records, settings,
    stamped,
};

fn set(client: &mut Client, name: &str, value: &str) {
    let topic = client.model.topics.by_name_mut("t").unwrap();
    topic.config.set(&name.into(), Some(&value.into())).unwrap();
}

fn code(answer: &PartitionProduceResponse) -> ErrorCode {
    ErrorCode::from(answer.error_code)
}

#[test]
fn a_batch_is_appended_and_acknowledged_at_every_version() {
    let mut client = Client::new();
    for (at, version) in (0..).zip(ApiKey::Produce.stable_versions().iter()) {
        let answer = client.produce(1, batch(&["a", "b"]), version);
        assert_eq!(
            (code(&answer), answer.base_offset),
            (ErrorCode::None, 2 * at),
            "v{version}"
        );
        assert_eq!(answer.log_append_time_ms, -1);
        assert_eq!(answer.log_start_offset, if version >= 5 { 0 } else { -1 });
    }
    let stored = client.model.log("t", 1).unwrap().concat();
    assert_eq!(records(stored.into()).len(), 22);
}

#[test]
fn unknown_topics_and_partitions_are_named_as_asked() {
    let mut client = Client::new();
    for version in ApiKey::Produce.stable_versions().iter() {
        let answer = client.produce(2, batch(&["a"]), version);
        assert_eq!(
            code(&answer),
            ErrorCode::UnknownTopicOrPartition,
            "v{version}"
        );
        let mut request = produce_request(client.topic_id(), 0, batch(&["a"]), 1, version);
        let (name, id, expected) = if version >= 13 {
            ("", Uuid([9; 16]), ErrorCode::UnknownTopicId)
        } else {
            ("nope", Uuid::ZERO, ErrorCode::UnknownTopicOrPartition)
        };
        request.topic_data[0].name = name.into();
        request.topic_data[0].topic_id = id;
        let answer = client.call(&request, version).responses.remove(0);
        assert_eq!((&*answer.name, answer.topic_id), (name, id));
        assert_eq!(code(&answer.partition_responses[0]), expected);
    }
}

#[test]
fn acks_0_is_silent_and_closes_the_connection_on_an_error() {
    let mut client = Client::new();
    let id = client.topic_id();
    let sent = client.send(&produce_request(id, 0, batch(&["a"]), 0, 9), 9);
    assert_eq!(sent, Outcome::Silent);
    let sent = client.send(&produce_request(id, 9, batch(&["a"]), 0, 9), 9);
    assert_eq!(sent, Outcome::Close);
    assert_eq!(client.model.log("t", 0).unwrap().len(), 1);
}

#[test]
fn other_acks_are_refused() {
    let mut client = Client::new();
    let answer = client.call(
        &produce_request(client.topic_id(), 0, batch(&["a"]), 2, 9),
        9,
    );
    assert_eq!(
        code(&answer.responses[0].partition_responses[0]),
        ErrorCode::InvalidRequiredAcks
    );
}

#[test]
fn bad_batches_are_refused_as_the_real_broker_refuses_them() {
    let mut client = Client::new();
    let good = batch(&["a"]);
    let mut bent = good.to_vec();
    *bent.last_mut().unwrap() ^= 1;
    let mut shifted = good.to_vec();
    shifted[7] = 5;
    let mut old = good.to_vec();
    old[16] = 1;
    let mut unknown = good.to_vec();
    unknown[16] = 97;
    let twice = [&good[..], &good[..]].concat();
    let marker = EndTxnMarker {
        committed: true,
        coordinator_epoch: 0,
    }
    .to_batch(1, 0, 0);
    let transactional = Stamp {
        producer_id: 1,
        producer_epoch: 0,
        base_sequence: 0,
        transactional: true,
    };
    let no_epoch = Stamp {
        producer_id: 1,
        producer_epoch: -1,
        base_sequence: -1,
        transactional: false,
    };
    let table: [(&str, Bytes, ErrorCode); 10] = [
        ("nothing", Bytes::new(), ErrorCode::InvalidRecord),
        (
            "a cut batch",
            good.slice(..good.len() - 1),
            ErrorCode::InvalidRecord,
        ),
        ("a bent byte", bent.into(), ErrorCode::CorruptMessage),
        ("two batches", twice.into(), ErrorCode::InvalidRecord),
        ("a base offset", shifted.into(), ErrorCode::InvalidRecord),
        ("format 1", old.into(), ErrorCode::InvalidRecord),
        ("no format", unknown.into(), ErrorCode::CorruptMessage),
        (
            "a marker",
            marker,
            ErrorCode::TransactionalIdAuthorizationFailed,
        ),
        (
            "a transaction",
            stamped(&["a"], transactional),
            ErrorCode::TransactionalIdAuthorizationFailed,
        ),
        (
            "no epoch",
            stamped(&["a"], no_epoch),
            ErrorCode::InvalidRecord,
        ),
    ];
    for (what, records, expected) in table {
        let answer = client.produce(0, records, 9);
        assert_eq!(code(&answer), expected, "{what}");
        assert_eq!(answer.base_offset, -1);
    }
    assert!(client.model.log("t", 0).unwrap().is_empty());
}

#[test]
fn zstd_needs_version_7() {
    let mut client = Client::new();
    let zstd = build(&["a"], Stamp::NONE, Compression::Zstd, None, START_MILLIS);
    assert_eq!(
        code(&client.produce(0, zstd.clone(), 6)),
        ErrorCode::UnsupportedCompressionType
    );
    assert_eq!(code(&client.produce(0, zstd, 7)), ErrorCode::None);
}

#[test]
fn a_batch_may_be_as_large_as_max_message_bytes() {
    let mut client = Client::new();
    let records = batch(&["abc"]);
    set(&mut client, "max.message.bytes", &records.len().to_string());
    assert_eq!(
        code(&client.produce(0, records.clone(), 9)),
        ErrorCode::None
    );
    set(
        &mut client,
        "max.message.bytes",
        &(records.len() - 1).to_string(),
    );
    assert_eq!(
        code(&client.produce(0, records, 9)),
        ErrorCode::MessageTooLarge
    );
}

#[test]
fn a_compacted_topic_names_the_records_without_a_key() {
    let mut client = Client::new();
    set(&mut client, "cleanup.policy", "compact");
    let keyless = build(
        &["a", "b"],
        Stamp::NONE,
        Compression::Gzip,
        None,
        START_MILLIS,
    );
    for version in [7, 8, 13] {
        let answer = client.produce(0, keyless.clone(), version);
        assert_eq!(code(&answer), ErrorCode::InvalidRecord);
        let blamed: Vec<i32> = answer
            .record_errors
            .iter()
            .map(|error| error.batch_index)
            .collect();
        assert_eq!(blamed, if version >= 8 { vec![0, 1] } else { vec![] });
        assert_eq!(answer.error_message.is_some(), version >= 8);
    }
    assert_eq!(code(&client.produce(0, batch(&["a"]), 9)), ErrorCode::None);
}

#[test]
fn timestamps_too_far_ahead_are_refused() {
    let mut client = Client::new();
    let hour = 3_600_000;
    let at = |time| build(&["a"], Stamp::NONE, Compression::None, None, time);
    assert_eq!(
        code(&client.produce(0, at(START_MILLIS + hour), 9)),
        ErrorCode::None
    );
    let answer = client.produce(0, at(START_MILLIS + hour + 1), 9);
    assert_eq!(
        (code(&answer), answer.record_errors.len()),
        (ErrorCode::InvalidTimestamp, 1)
    );
    client.now = Duration::from_millis(1);
    assert_eq!(
        code(&client.produce(0, at(START_MILLIS + hour + 1), 9)),
        ErrorCode::None
    );
}

#[test]
fn log_append_time_replaces_the_producers() {
    let mut client = Client::new();
    set(&mut client, "message.timestamp.type", "LogAppendTime");
    client.now = Duration::from_secs(5);
    let answer = client.produce(0, batch(&["a"]), 9);
    assert_eq!(answer.log_append_time_ms, START_MILLIS + 5000);
    let dump =
        milena_records::text::dump(client.model.log("t", 0).unwrap().remove(0), 1000).unwrap();
    assert!(dump.contains("LogAppendTime") && dump.contains(&(START_MILLIS + 5000).to_string()));
}

#[test]
fn a_topic_may_have_a_codec_of_its_own() {
    let mut client = Client::new();
    set(&mut client, "compression.type", "lz4");
    assert_eq!(
        code(&client.produce(0, batch(&["a", "b"]), 9)),
        ErrorCode::None
    );
    let stored = client.model.log("t", 0).unwrap().remove(0);
    let header = BatchHeader::read(&stored).unwrap();
    assert_eq!(header.attributes.compression(), Ok(Compression::Lz4));
    assert_eq!(records(stored), [(0, "a".into()), (1, "b".into())]);
}

#[test]
fn of_the_same_partition_twice_in_a_request_the_last_wins_silently() {
    let mut client = Client::new();
    let mut request = produce_request(client.topic_id(), 0, batch(&["first"]), -1, 9);
    request.topic_data[0]
        .partition_data
        .push(PartitionProduceData {
            index: 0,
            records: Some(batch(&["last"])),
            ..PartitionProduceData::default()
        });
    let answer = client.call(&request, 9);
    assert_eq!(answer.responses[0].partition_responses.len(), 1);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    assert_eq!(
        records(client.model.log("t", 0).unwrap().concat().into()),
        [(0, "last".into())]
    );
}

#[test]
fn a_duplicate_is_answered_with_its_old_offset_and_not_appended() {
    let mut client = Client::new();
    let stamp = Stamp {
        producer_id: 5,
        producer_epoch: 0,
        base_sequence: 0,
        transactional: false,
    };
    client.produce(0, batch(&["x", "y"]), 9);
    for _ in 0..2 {
        let answer = client.produce(0, stamped(&["a"], stamp), 9);
        assert_eq!((code(&answer), answer.base_offset), (ErrorCode::None, 2));
    }
    let gap = Stamp {
        base_sequence: 7,
        ..stamp
    };
    let answer = client.produce(0, stamped(&["a"], gap), 9);
    assert_eq!(
        (code(&answer), answer.log_start_offset),
        (ErrorCode::OutOfOrderSequenceNumber, 0)
    );
    assert_eq!(client.model.log("t", 0).unwrap().len(), 2);
}

#[test]
fn another_node_names_the_leader_from_version_10_on() {
    let mut client = Client::of(ClusterSettings {
        replication_factor: Some(1),
        ..settings(2)
    });
    let leader = client.at_leader(0);
    client.at(3 - leader);
    for version in ApiKey::Produce.stable_versions().iter() {
        let request = produce_request(client.topic_id(), 0, batch(&["a"]), -1, version);
        let answer = client.call(&request, version);
        let partition = &answer.responses[0].partition_responses[0];
        assert_eq!(code(partition), ErrorCode::NotLeaderOrFollower);
        let hinted = version >= 10;
        assert_eq!(
            partition.current_leader.leader_id,
            if hinted { leader } else { -1 }
        );
        let endpoints: Vec<i32> = answer
            .node_endpoints
            .iter()
            .map(|node| node.node_id)
            .collect();
        assert_eq!(endpoints, if hinted { vec![leader] } else { vec![] });
    }
}

#[test]
fn acks_all_waits_for_replicas_and_times_out() {
    let mut client = Client::of(settings(3));
    client.at_leader(0);
    client.model.hold_replication("t", 0, true).unwrap();
    let request = produce_request(client.topic_id(), 0, batch(&["a"]), -1, 9);
    assert_eq!(client.send(&request, 9), Outcome::Parked);
    assert_eq!(client.model.poll_timeout(), Some(Duration::from_secs(1)));
    client.pass(Duration::from_secs(1));
    let answer = client.released::<ProduceRequest>(9).unwrap();
    let answer = &answer.responses[0].partition_responses[0];
    assert_eq!(
        (code(answer), answer.base_offset),
        (ErrorCode::RequestTimedOut, 0)
    );

    assert_eq!(client.send(&request, 9), Outcome::Parked);
    client.model.hold_replication("t", 0, false).unwrap();
    let answer = client.released::<ProduceRequest>(9).unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    let leader_only = produce_request(client.topic_id(), 0, batch(&["a"]), 1, 9);
    client.model.hold_replication("t", 0, true).unwrap();
    assert_eq!(
        client.call(&leader_only, 9).responses[0].partition_responses[0].error_code,
        0
    );
}

#[test]
fn a_leader_that_moves_while_replicas_are_behind_answers_an_error_with_an_offset() {
    let mut client = Client::of(settings(3));
    let leader = client.at_leader(0);
    client.model.hold_replication("t", 0, true).unwrap();
    let request = produce_request(client.topic_id(), 0, batch(&["a"]), -1, 10);
    assert_eq!(client.send(&request, 10), Outcome::Parked);
    let next = leader % 3 + 1;
    client.model.move_leader("t", 0, next, None).unwrap();
    let answer = client.released::<ProduceRequest>(10).unwrap();
    let answer = &answer.responses[0].partition_responses[0];
    assert_eq!(
        (code(answer), answer.base_offset),
        (ErrorCode::NotLeaderOrFollower, 0)
    );
    assert_eq!(
        (
            answer.current_leader.leader_id,
            answer.current_leader.leader_epoch
        ),
        (next, 1)
    );
}

/// What was lost must not be taken for what another wrote at its offset meanwhile.
#[test]
fn a_leader_that_comes_back_does_not_confirm_what_it_lost() {
    let mut client = Client::of(settings(3));
    let leader = client.at_leader(0);
    client.model.move_leader("t", 1, leader, None).unwrap();
    for partition in [0, 1] {
        let held = client.model.hold_replication("t", partition, true);
        held.unwrap();
    }
    let mut request = produce_request(client.topic_id(), 0, batch(&["a"]), -1, 9);
    request.topic_data[0]
        .partition_data
        .push(PartitionProduceData {
            index: 1,
            records: Some(batch(&["a"])),
            ..PartitionProduceData::default()
        });
    assert_eq!(client.send(&request, 9), Outcome::Parked);
    let next = leader % 3 + 1;
    client.model.move_leader("t", 0, next, Some(0)).unwrap();
    client.model.move_leader("t", 0, leader, None).unwrap();
    client.model.hold_replication("t", 0, false).unwrap();
    let other = client.model.connect(leader).unwrap();
    let first = std::mem::replace(&mut client.connection, other);
    let of_another = produce_request(client.topic_id(), 0, batch(&["b"]), -1, 9);
    client.call(&of_another, 9);
    client.connection = first;
    client.model.hold_replication("t", 1, false).unwrap();
    let answer = client.released::<ProduceRequest>(9).unwrap();
    let codes: Vec<_> = answer.responses[0]
        .partition_responses
        .iter()
        .map(code)
        .collect();
    assert_eq!(codes, [ErrorCode::NotLeaderOrFollower, ErrorCode::None]);
}

#[test]
fn too_few_replicas_refuse_acks_all_before_appending() {
    let mut client = Client::of(settings(3));
    set(&mut client, "min.insync.replicas", "3");
    let leader = client.at_leader(0);
    client.model.kill_node(leader % 3 + 1).unwrap();
    let answer = client.produce(0, batch(&["a"]), 9);
    assert_eq!(
        (code(&answer), answer.base_offset),
        (ErrorCode::NotEnoughReplicas, -1)
    );
    let leader_only = produce_request(client.topic_id(), 0, batch(&["a"]), 1, 9);
    assert_eq!(
        client.call(&leader_only, 9).responses[0].partition_responses[0].error_code,
        0
    );
}

#[test]
fn a_full_broker_says_so_and_deleting_makes_room() {
    let size = batch(&["a"]).len();
    let mut client = Client::of(ClusterSettings {
        max_log_bytes: 2 * size,
        ..settings(1)
    });
    for expected in [
        ErrorCode::None,
        ErrorCode::None,
        ErrorCode::KafkaStorageError,
    ] {
        assert_eq!(code(&client.produce(0, batch(&["a"]), 9)), expected);
    }
    client.model.delete_topic("t").unwrap();
    client.model.create_topic("t", 1).unwrap();
    assert_eq!(code(&client.produce(0, batch(&["a"]), 9)), ErrorCode::None);
}

#[test]
fn retention_by_bytes_drops_the_oldest_batches() {
    let mut client = Client::new();
    let size = batch(&["a"]).len();
    set(&mut client, "retention.bytes", &(3 * size).to_string());
    for _ in 0..9 {
        client.produce(0, batch(&["a"]), 9);
    }
    assert_eq!(client.model.log_bytes, 3 * size);
    let answer = only(client.call(&fetch_request(client.topic_id(), 0, 6, 12), 12));
    assert_eq!(answer.log_start_offset, 6);
}
