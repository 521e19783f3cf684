mod read_committed;

use std::time::Duration;

use milena_codec::messages::{EndTxnRequest, FetchRequest, InitProducerIdRequest, ProduceRequest};
use milena_records::{BatchHeader, EndTxnMarker};

use super::*;
use crate::model::profile::KafkaVersion;
use crate::model::topics::marker;
use crate::model::{Outcome, Verdict};
use crate::testing::{
    Client, Who, batch, data, end_request, fetch_request, init_request, only, produce_request,
    records, settings,
};

const BUSY: ErrorCode = ErrorCode::ConcurrentTransactions;

fn state(client: &Client, id: &str) -> TransactionState {
    client.model.transaction(id).unwrap().state
}

fn values(client: &Client, partition: i32, read_committed: bool) -> Vec<String> {
    let seen = client.model.records("t", partition, read_committed);
    let text = |value: milena_codec::Bytes| String::from_utf8(value.to_vec()).unwrap();
    let values = seen.unwrap().into_iter();
    values.map(|record| text(record.value.unwrap())).collect()
}

/// Epoch of the batch and what it says, of all markers.
fn markers(client: &Client, partition: i32) -> Vec<(i16, EndTxnMarker)> {
    let log = client.model.log("t", partition).unwrap().into_iter();
    let one = |bytes: milena_codec::Bytes| {
        let header = BatchHeader::read(&bytes)?;
        Some((header.producer_epoch, marker(&header, bytes)?))
    };
    log.filter_map(one).collect()
}

/// A client at the coordinator of `id`.
fn at_coordinator(nodes: usize, cold_start: bool, id: &str) -> Client {
    let mut client = Client::of(ClusterSettings {
        cold_start,
        ..settings(nodes)
    });
    let node = client.model.transaction_coordinator(id).unwrap();
    client.at(node);
    client
}

#[test]
fn a_decision_shows_as_prepared_until_its_markers_are_written() {
    for (version, epoch) in [(4, 0), (5, 1)] {
        let mut client = Client::new();
        let who = client.init("a");
        client.add("a", who, 0).unwrap();
        client.write("a", data(who, 0, &["x"]), 0, 11).unwrap();
        client.end("a", who, true, version).unwrap();
        assert_eq!(state(&client, "a"), TransactionState::PrepareCommit);
        assert!(values(&client, 0, true).is_empty());
        assert_eq!(client.add("a", who, 1), Err(BUSY));
        assert_eq!(client.add_offsets("a", who, 3), Err(BUSY));
        assert_eq!(client.end("a", who, true, version), Err(BUSY));
        assert_eq!(client.try_init(&init_request("a"), 4), Err(BUSY));
        client.markers();
        assert_eq!(state(&client, "a"), TransactionState::CompleteCommit);
        assert_eq!(values(&client, 0, true), ["x"]);
        assert_eq!(client.end("a", who, true, version).map(|_| ()), Ok(()));
        let marker = EndTxnMarker {
            committed: true,
            coordinator_epoch: 0,
        };
        assert_eq!(markers(&client, 0), [(epoch, marker)]);
    }
}

#[test]
fn a_produce_of_version_12_waits_a_moment_for_the_transaction_before() {
    for (delay, expected) in [(30, ErrorCode::None), (500, BUSY)] {
        let mut client = Client::new();
        client.model.set_marker_delay(Duration::from_millis(delay));
        let who = client.init("a");
        client.write("a", data(who, 0, &["x"]), 0, 12).unwrap();
        let who = client.end("a", who, true, 5).unwrap();
        let request = ProduceRequest {
            transactional_id: Some("a".into()),
            ..produce_request(client.topic_id(), 0, data(who, 0, &["y"]), -1, 12)
        };
        assert_eq!(client.send(&request, 12), Outcome::Parked);
        let mut answer = None;
        for _ in 0..5 {
            assert!(answer.is_none());
            client.pass(Duration::from_millis(20));
            answer = client.released::<ProduceRequest>(12);
            if expected == ErrorCode::None && answer.is_some() {
                break;
            }
        }
        let code = answer.unwrap().responses[0].partition_responses[0].error_code;
        assert_eq!(ErrorCode::from(code), expected);
    }
}

#[test]
fn without_a_delay_markers_are_written_at_once() {
    let mut client = Client::new();
    client.model.set_marker_delay(Duration::ZERO);
    let mut who = client.init("a");
    for round in 0..3 {
        let base = client.write("a", data(who, 0, &["x"]), 0, 12);
        assert_eq!(base, Ok(2 * round));
        who = client.end("a", who, true, 5).unwrap();
    }
    assert_eq!(client.model.poll_timeout(), None);
    assert_eq!(values(&client, 0, true).len(), 3);
}

#[test]
fn in_version_1_epoch_and_sequences_go_on_and_in_version_2_they_begin_anew() {
    let mut client = Client::new();
    let who = client.init("one");
    for sequence in [0, 1] {
        client.add("one", who, 0).unwrap();
        let written = client.write("one", data(who, sequence, &["x"]), 0, 11);
        assert!(written.is_ok());
        client.end("one", who, true, 4).unwrap();
        client.markers();
    }
    let who = client.init("two");
    client.write("two", data(who, 0, &["x"]), 0, 12).unwrap();
    let next = client.end("two", who, true, 5).unwrap();
    client.markers();
    assert_eq!(next, (who.0, who.1 + 1));
    let disorder = Err(ErrorCode::OutOfOrderSequenceNumber);
    let fenced = Err(ErrorCode::InvalidProducerEpoch);
    assert_eq!(client.write("two", data(next, 1, &["x"]), 0, 12), disorder);
    assert_eq!(client.write("two", data(next, 1, &["x"]), 1, 12), disorder);
    assert_eq!(client.write("two", data(who, 1, &["x"]), 0, 12), fenced);
    assert_eq!(client.write("two", data(who, 0, &["x"]), 1, 12), fenced);
    assert!(client.write("two", data(next, 0, &["x"]), 0, 12).is_ok());
}

#[test]
fn a_partition_that_was_not_added_is_refused_by_version() {
    let mut client = Client::new();
    let who = client.init("a");
    for (version, expected) in [
        (9, Err(ErrorCode::InvalidTxnState)),
        (10, Err(ErrorCode::InvalidTxnState)),
        (11, Err(ErrorCode::TransactionAbortable)),
        (12, Ok(0)),
    ] {
        let written = client.write("a", data(who, 0, &["x"]), 0, version);
        assert_eq!(written, expected, "v{version}");
    }
    let known = client.model.transaction("a").unwrap();
    assert_eq!(known.partitions, [("t".into(), 0)]);
    let unknown = client.write("nobody", data(who, 0, &["x"]), 1, 12);
    assert_eq!(unknown, Err(ErrorCode::InvalidProducerIdMapping));
}

#[test]
fn a_producer_writes_nothing_else_where_its_transaction_is_open() {
    let mut client = Client::new();
    let who = client.init("a");
    client.write("a", data(who, 0, &["x"]), 0, 12).unwrap();
    let stamp = milena_records::Stamp {
        producer_id: who.0,
        producer_epoch: who.1,
        base_sequence: 1,
        transactional: false,
    };
    let plain = crate::testing::stamped(&["y"], stamp);
    let refused = client.produce(0, plain, 12).error_code;
    assert_eq!(ErrorCode::from(refused), ErrorCode::InvalidTxnState);
    let control = EndTxnMarker {
        committed: true,
        coordinator_epoch: 0,
    };
    let control = control.to_batch(who.0, who.1, 0);
    let written = client.write("a", control, 0, 12);
    assert_eq!(written, Err(ErrorCode::InvalidRecord));
}

#[test]
fn init_aborts_the_open_transaction_of_the_producer_before() {
    for (level, epochs) in [(1, (1, 2)), (2, (1, 2))] {
        let mut client = Client::new();
        client.model.set_transaction_version(level);
        let old = client.init("a");
        client.add("a", old, 0).unwrap();
        client.write("a", data(old, 0, &["x"]), 0, 11).unwrap();
        assert_eq!(client.try_init(&init_request("a"), 4), Err(BUSY));
        assert_eq!(client.try_init(&init_request("a"), 4), Err(BUSY));
        client.markers();
        assert_eq!(client.init("a"), (old.0, epochs.1));
        let marker = EndTxnMarker {
            committed: false,
            coordinator_epoch: 0,
        };
        assert_eq!(markers(&client, 0), [(epochs.0, marker)]);
        assert!(values(&client, 0, true).is_empty());
        let fenced = ErrorCode::ProducerFenced;
        let coded = ErrorCode::InvalidProducerEpoch;
        let again = InitProducerIdRequest {
            producer_id: old.0,
            producer_epoch: old.1,
            ..init_request("a")
        };
        assert_eq!(client.try_init(&again, 4), Err(fenced));
        assert_eq!(client.try_init(&again, 3), Err(coded));
        assert_eq!(client.add_in("a", old, 0, 2), Err(fenced));
        assert_eq!(client.add_in("a", old, 0, 1), Err(coded));
        assert_eq!(client.add_offsets("a", old, 2), Err(fenced));
        assert_eq!(client.add_offsets("a", old, 1), Err(coded));
        assert_eq!(client.end("a", old, true, 2), Err(fenced));
        assert_eq!(client.end("a", old, true, 1), Err(coded));
        assert_eq!(client.write("a", data(old, 1, &["x"]), 0, 11), Err(coded));
        assert_eq!(client.write("a", data(old, 0, &["x"]), 1, 12), Err(coded));
    }
}

#[test]
fn a_transaction_whose_time_is_up_is_aborted_at_the_next_look() {
    let mut client = Client::new();
    let request = InitProducerIdRequest {
        transaction_timeout_ms: 12_000,
        ..init_request("a")
    };
    let who = client.try_init(&request, 4).unwrap();
    client.now = Duration::from_secs(1);
    client.write("a", data(who, 0, &["x"]), 0, 12).unwrap();
    let wait = FetchRequest {
        isolation_level: 1,
        max_wait_ms: 60_000,
        ..fetch_request(client.topic_id(), 0, 0, 12)
    };
    assert_eq!(client.send(&wait, 12), Outcome::Parked);
    let look = Duration::from_secs(20);
    assert_eq!(client.model.poll_timeout(), Some(look));
    assert_eq!(client.model.deadline(client.connection), Some(look));
    client.pass(Duration::from_secs(18));
    assert_eq!(state(&client, "a"), TransactionState::Ongoing);
    client.pass(Duration::from_secs(1));
    assert_eq!(state(&client, "a"), TransactionState::PrepareAbort);
    client.markers();
    let data = only(client.released::<FetchRequest>(12).unwrap());
    let aborted = data.aborted_transactions.unwrap();
    assert_eq!(
        (aborted[0].producer_id, aborted[0].first_offset),
        (who.0, 0)
    );
    assert_eq!(data.last_stable_offset, 2);
    let known = client.model.transaction("a").unwrap();
    assert_eq!(
        (known.producer_epoch, known.state),
        (1, TransactionState::CompleteAbort)
    );
    assert_eq!(
        client.end("a", who, true, 5),
        Err(ErrorCode::InvalidTxnState)
    );
    assert_eq!(client.end("a", who, false, 5), Ok((who.0, 1)));
    assert_eq!(
        client.end("a", who, true, 4),
        Err(ErrorCode::ProducerFenced)
    );
}

#[test]
fn timeouts_have_a_limit_except_in_two_phase_commit() {
    let mut client = Client::new();
    let refused = Err(ErrorCode::InvalidTransactionTimeout);
    for timeout in [-1, 0, 900_001, i32::MAX] {
        let request = InitProducerIdRequest {
            transaction_timeout_ms: timeout,
            ..init_request("a")
        };
        assert_eq!(client.try_init(&request, 5), refused);
    }
    assert_eq!(client.send(&init_request("a"), 6), Outcome::Close);
    let mut client = Client::of(ClusterSettings {
        two_phase_commit: true,
        ..settings(1)
    });
    let prepared = InitProducerIdRequest {
        enable2_pc: true,
        transaction_timeout_ms: 0,
        ..init_request("a")
    };
    let who = client.try_init(&prepared, 6).unwrap();
    client.write("a", data(who, 0, &["x"]), 0, 12).unwrap();
    assert_eq!(client.model.poll_timeout(), None);
    let keep = InitProducerIdRequest {
        keep_prepared_txn: true,
        ..prepared
    };
    assert_eq!(
        client.try_init(&keep, 6),
        Err(ErrorCode::UnsupportedVersion)
    );
    assert_eq!(state(&client, "a"), TransactionState::Ongoing);
    client.end("a", who, true, 5).unwrap();
}

#[test]
fn only_the_coordinator_answers_and_it_may_move() {
    let mut client = at_coordinator(3, true, "a");
    let loading = Err(ErrorCode::CoordinatorLoadInProgress);
    assert_eq!(client.try_init(&init_request("a"), 4), loading);
    let who = client.init("a");
    client.add("a", who, 0).unwrap();
    let before = client.model.transaction_coordinator("a").unwrap();
    let after = before % 3 + 1;
    client
        .model
        .move_transaction_coordinator("a", after)
        .unwrap();
    let elsewhere = ErrorCode::NotCoordinator;
    assert_eq!(client.try_init(&init_request("a"), 4), Err(elsewhere));
    assert_eq!(client.add("a", who, 1), Err(elsewhere));
    assert_eq!(client.add_offsets("a", who, 3), Err(elsewhere));
    assert_eq!(client.end("a", who, true, 5), Err(elsewhere));
    client.at(after);
    assert_eq!(client.add("a", who, 1).err(), loading.err());
    client.add("a", who, 1).unwrap();
    client.end("a", who, true, 5).unwrap();
    client.model.kill_node(after).unwrap();
    client.markers();
    assert_eq!(state(&client, "a"), TransactionState::CompleteCommit);
    let (_, marker) = markers(&client, 0)[0];
    assert_eq!(marker.coordinator_epoch, 2, "written by the third");
    let moved = client.model.move_transaction_coordinator("a", after);
    assert_eq!(moved, Err(crate::AdminError::CannotCoordinate(after)));
}

#[test]
fn markers_wait_for_a_leader_and_for_replication() {
    for hold in [true, false] {
        let mut client = at_coordinator(3, false, "a");
        let who = client.init("a");
        client.add("a", who, 0).unwrap();
        let keeper = client.connection;
        let leader = client.at_leader(0);
        client.write("a", data(who, 0, &["x"]), 0, 11).unwrap();
        client.connection = keeper;
        if hold {
            client.model.hold_replication("t", 0, true).unwrap();
        } else {
            let coordinator = client.model.transaction_coordinator("a");
            if coordinator == Some(leader) {
                client
                    .model
                    .move_transaction_coordinator("a", leader % 3 + 1)
                    .unwrap();
            }
            let topic = client.model.topics.by_name_mut("t").unwrap();
            topic.partitions[0].lead(None);
        }
        let now = client.model.transaction_coordinator("a").unwrap();
        client.at(now);
        client.end("a", who, true, 5).unwrap();
        client.pass(Duration::from_secs(3));
        assert_eq!(state(&client, "a"), TransactionState::PrepareCommit);
        assert_eq!(client.end("a", who, true, 5), Err(BUSY));
        if hold {
            client.model.hold_replication("t", 0, false).unwrap();
        } else {
            client.model.move_leader("t", 0, leader, None).unwrap();
        }
        client.pass(Duration::from_secs(1));
        assert_eq!(state(&client, "a"), TransactionState::CompleteCommit);
        assert_eq!(values(&client, 0, true), ["x"]);
    }
}

#[test]
fn a_deleted_topic_needs_no_marker() {
    let mut client = Client::new();
    let who = client.init("a");
    client.write("a", data(who, 0, &["x"]), 0, 12).unwrap();
    client.model.delete_topic("t").unwrap();
    client.end("a", who, true, 5).unwrap();
    client.markers();
    assert_eq!(state(&client, "a"), TransactionState::CompleteCommit);
}

#[test]
fn an_idle_transactional_id_expires() {
    let mut client = Client::new();
    let who = client.init("a");
    client.pass(Duration::from_secs(7 * 24 * 60 * 60));
    let gone = Err(ErrorCode::InvalidProducerIdMapping);
    assert_eq!(client.add("a", who, 0), gone);
    let again = client.init("a");
    assert!(again.0 > who.0 && again.1 == 0);
    client.add("a", again, 0).unwrap();
    assert!(client.model.forget_transactional_id("a"));
    assert_eq!(client.end("a", again, true, 5).err(), gone.err());
    assert_eq!(client.model.poll_timeout(), None);
}

#[test]
fn a_truncated_log_knows_its_open_and_aborted_transactions() {
    let mut client = Client::new();
    let who = client.init("a");
    client.write("a", data(who, 0, &["x"]), 0, 12).unwrap();
    let who = client.end("a", who, false, 5).unwrap();
    client.markers();
    client.write("a", data(who, 0, &["y"]), 0, 12).unwrap();
    client.produce(0, batch(&["z"]), 12);
    client.model.move_leader("t", 0, 1, Some(3)).unwrap();
    assert_eq!(client.model.last_stable_offset("t", 0), Ok(2));
    let wanted = FetchRequest {
        isolation_level: 1,
        ..fetch_request(client.topic_id(), 0, 0, 12)
    };
    let aborted = only(client.call(&wanted, 12)).aborted_transactions.unwrap();
    assert_eq!(aborted.len(), 1);
    client.end("a", who, true, 5).unwrap();
    client.markers();
    assert_eq!(values(&client, 0, true), ["y"]);
}

#[test]
fn kafka_2_1_has_transactions_without_verification() {
    let mut client = Client::of(ClusterSettings {
        version: KafkaVersion::V2_1,
        ..settings(1)
    });
    let who = client.init("a");
    assert_eq!(
        client.write("a", data(who, 0, &["x"]), 0, 7),
        Ok(0),
        "nobody asks"
    );
    client.add_in("a", who, 0, 1).unwrap();
    client.end("a", who, true, 1).unwrap();
    client.markers();
    assert_eq!(values(&client, 0, true), ["x"]);
    assert_eq!(markers(&client, 0)[0].0, who.1);
    client.add_in("a", who, 0, 1).unwrap();
    assert_eq!(client.write("a", data(who, 1, &["y"]), 0, 7), Ok(2));
    assert_eq!(client.send(&EndTxnRequest::default(), 2), Outcome::Close);
}

#[test]
fn faults_work_on_the_apis_of_transactions() {
    let mut client = Client::new();
    let who = client.init("a");
    let api = milena_codec::ApiKey::EndTxn;
    let code = ErrorCode::CoordinatorNotAvailable;
    client.write("a", data(who, 0, &["x"]), 0, 12).unwrap();
    client.model.fault_next(api, 2, Verdict::Error(code));
    assert_eq!(client.end("a", who, true, 5), Err(code));
    assert_eq!(client.end("a", who, true, 4), Err(code));
    assert_eq!(state(&client, "a"), TransactionState::Ongoing);
    client
        .model
        .fault_next(api, 1, Verdict::ApplyThenError(code));
    assert_eq!(client.end("a", who, true, 5), Err(code));
    assert_eq!(state(&client, "a"), TransactionState::PrepareCommit);
    client.markers();
    let who = client.end("a", who, true, 5).unwrap();

    client.write("a", data(who, 0, &["x"]), 0, 12).unwrap();
    let request = end_request("a", who, false);
    for (verdict, expected) in [
        (Verdict::Disconnect, TransactionState::Ongoing),
        (Verdict::ApplyThenDisconnect, TransactionState::PrepareAbort),
    ] {
        client.model.fault_next(api, 1, verdict);
        assert_eq!(client.send(&request, 5), Outcome::Close);
        assert_eq!(state(&client, "a"), expected);
        client.at(1);
    }
    let delay = Duration::from_secs(1);
    client.model.fault_next(api, 1, Verdict::Delay(delay));
    assert_eq!(client.send(&request, 5), Outcome::Parked);
    client.pass(delay);
    let answer = client.released::<EndTxnRequest>(5).unwrap();
    assert_eq!((answer.error_code, answer.producer_epoch), (0, who.1 + 1));
}

#[test]
fn a_throttled_client_is_told_and_not_read_for_a_while() {
    let mut client = Client::new();
    let second = Duration::from_secs(1);
    let api = milena_codec::ApiKey::Produce;
    client.model.fault_next(api, 1, Verdict::Throttle(second));
    let produce = produce_request(client.topic_id(), 0, batch(&["x"]), -1, 9);
    assert_eq!(client.call(&produce, 9).throttle_time_ms, 1000);
    assert_eq!(client.send(&produce, 9), Outcome::Parked);
    assert_eq!(client.model.log("t", 0).unwrap().len(), 1);
    client.pass(second);
    let answer = client.released::<ProduceRequest>(9).unwrap();
    assert_eq!(answer.throttle_time_ms, 0);
    assert_eq!(client.model.log("t", 0).unwrap().len(), 2);
}
