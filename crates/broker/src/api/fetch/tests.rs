use milena_codec::ApiKey;
use milena_codec::messages::fetch_request::ForgottenTopic;

use super::*;
use crate::model::Outcome;
use crate::model::settings::ClusterSettings;
use crate::testing::{Client, batch, fetch_request, named, only, records, settings};

fn filled() -> Client {
    let mut client = Client::new();
    for values in [["a", "b"], ["c", "d"], ["e", "f"]] {
        client.produce(0, batch(&values), 9);
    }
    client
}

#[test]
fn records_are_read_at_every_version() {
    let mut client = filled();
    for version in ApiKey::Fetch.stable_versions().iter() {
        let request = fetch_request(client.topic_id(), 0, 3, version);
        let data = only(client.call(&request, version));
        assert_eq!(
            (
                data.error_code,
                data.high_watermark,
                data.last_stable_offset
            ),
            (0, 6, 6)
        );
        assert_eq!(
            records(data.records.unwrap())[0],
            (2, "c".into()),
            "v{version}"
        );
        assert_eq!(data.aborted_transactions, None);
        let committed = FetchRequest {
            isolation_level: 1,
            ..request
        };
        let data = only(client.call(&committed, version));
        assert_eq!(data.aborted_transactions, Some(Vec::new()));
    }
}

#[test]
fn what_cannot_be_read_has_an_error_and_no_offsets() {
    let mut client = filled();
    let id = client.topic_id();
    for version in ApiKey::Fetch.stable_versions().iter() {
        let by_id = version >= 13;
        let unknown = if by_id {
            ErrorCode::UnknownTopicId
        } else {
            ErrorCode::UnknownTopicOrPartition
        };
        let mut stranger = fetch_request(Uuid([3; 16]), 0, 0, version);
        if !by_id {
            stranger.topics[0].topic = "nope".into();
        }
        let mut ahead = fetch_request(id, 0, 0, version);
        ahead.topics[0].partitions[0].current_leader_epoch = 3;
        let table = [
            (stranger, unknown),
            (
                fetch_request(id, 7, 0, version),
                ErrorCode::UnknownTopicOrPartition,
            ),
            (
                fetch_request(id, 0, 7, version),
                ErrorCode::OffsetOutOfRange,
            ),
            (
                fetch_request(id, 0, -1, version),
                ErrorCode::OffsetOutOfRange,
            ),
            (
                ahead,
                if version >= 9 {
                    ErrorCode::UnknownLeaderEpoch
                } else {
                    ErrorCode::None
                },
            ),
        ];
        for (mut request, expected) in table {
            request.max_wait_ms = 10_000;
            let data = only(client.call(&request, version));
            assert_eq!(ErrorCode::from(data.error_code), expected, "v{version}");
            if expected != ErrorCode::None {
                assert_eq!((data.high_watermark, data.log_start_offset), (-1, -1));
                assert_eq!(data.records, Some(milena_codec::Bytes::new()));
            }
        }
    }
}

#[test]
fn limits_hold_but_the_first_batch_is_delivered_whole() {
    let mut client = filled();
    let size = i32::try_from(batch(&["a", "b"]).len()).unwrap();
    let read = |client: &mut Client, max_bytes, partition_max_bytes| {
        let mut request = fetch_request(client.topic_id(), 0, 0, 12);
        request.max_bytes = max_bytes;
        request.topics[0].partitions[0].partition_max_bytes = partition_max_bytes;
        only(client.call(&request, 12)).records.unwrap().len()
    };
    let size_of = |batches: i32| usize::try_from(size * batches).unwrap();
    assert_eq!(read(&mut client, 1 << 20, 1 << 20), size_of(3));
    assert_eq!(read(&mut client, 1, 1 << 20), size_of(1));
    assert_eq!(read(&mut client, 1 << 20, 0), size_of(1));
    assert_eq!(read(&mut client, size * 2, 1 << 20), size_of(2));
    assert_eq!(
        read(&mut client, size * 3 - 1, 1 << 20),
        size_of(3) - 1,
        "the last is cut"
    );
}

#[test]
fn only_the_first_partition_gets_a_batch_beyond_the_limit() {
    let mut client = filled();
    client.produce(1, batch(&["z"]), 9);
    let mut request = fetch_request(client.topic_id(), 0, 0, 12);
    request.max_bytes = 1;
    let mut second = request.topics[0].partitions[0].clone();
    second.partition = 1;
    request.topics[0].partitions.push(second);
    let answer = client.call(&request, 12);
    let sizes: Vec<usize> = answer.responses[0]
        .partitions
        .iter()
        .map(|data| data.records.as_ref().unwrap().len())
        .collect();
    assert!(sizes[0] > 0 && sizes[1] == 0, "{sizes:?}");
}

#[test]
fn a_long_poll_ends_with_enough_bytes_or_in_time() {
    let mut client = Client::new();
    let id = client.topic_id();
    let size = i32::try_from(batch(&["a"]).len()).unwrap();
    let request = FetchRequest {
        max_wait_ms: 500,
        min_bytes: 2 * size,
        ..fetch_request(id, 0, 0, 12)
    };
    assert_eq!(client.send(&request, 12), Outcome::Parked);
    assert_eq!(
        client.model.poll_timeout(),
        Some(Duration::from_millis(500))
    );
    let (fetcher, producer) = (client.connection, client.model.connect(1).unwrap());
    for expected in [0, 1] {
        assert!(
            client.model.poll_release().is_none(),
            "{expected} batch is not enough"
        );
        client.connection = producer;
        client.produce(0, batch(&["a"]), 9);
        client.connection = fetcher;
    }
    let (connection, outcome) = client.model.poll_release().unwrap();
    assert_eq!(connection, fetcher);
    assert!(matches!(outcome, Outcome::Answer(_)));
    assert_eq!(client.model.poll_timeout(), None);

    let request = FetchRequest {
        max_wait_ms: 500,
        ..fetch_request(id, 0, 2, 12)
    };
    assert_eq!(client.send(&request, 12), Outcome::Parked);
    client.pass(Duration::from_millis(499));
    assert!(client.model.poll_release().is_none());
    client.pass(Duration::from_millis(1));
    assert!(
        only(client.released::<FetchRequest>(12).unwrap())
            .records
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_long_poll_ends_when_its_topic_does() {
    let mut client = Client::new();
    let request = FetchRequest {
        max_wait_ms: 5000,
        ..fetch_request(client.topic_id(), 0, 0, 13)
    };
    assert_eq!(client.send(&request, 13), Outcome::Parked);
    client.model.delete_topic("t").unwrap();
    client.model.handle_timeout(client.now);
    let data = only(client.released::<FetchRequest>(13).unwrap());
    assert_eq!(ErrorCode::from(data.error_code), ErrorCode::UnknownTopicId);
}

#[test]
fn consumers_see_nothing_beyond_the_high_watermark() {
    let mut client = filled();
    client.model.hold_replication("t", 0, true).unwrap();
    let leader_only = crate::testing::produce_request(client.topic_id(), 0, batch(&["g"]), 1, 9);
    client.call(&leader_only, 9);
    let data = only(client.call(&fetch_request(client.topic_id(), 0, 6, 12), 12));
    assert_eq!((data.error_code, data.high_watermark), (0, 6));
    assert!(data.records.unwrap().is_empty());
}

#[test]
fn leaders_are_hinted_at_from_version_16_on_and_old_epochs_fenced() {
    let mut client = Client::of(ClusterSettings {
        replication_factor: Some(1),
        ..settings(2)
    });
    let leader = client.at_leader(0);
    client.at(3 - leader);
    let id = client.topic_id();
    for version in ApiKey::Fetch.stable_versions().iter() {
        let answer = client.call(&fetch_request(id, 0, 0, version), version);
        let endpoints = answer.node_endpoints.len();
        let data = only(answer);
        assert_eq!(
            ErrorCode::from(data.error_code),
            ErrorCode::NotLeaderOrFollower
        );
        let hinted = version >= 16;
        assert_eq!(
            data.current_leader.leader_id,
            if hinted { leader } else { -1 }
        );
        assert_eq!(endpoints, usize::from(hinted));
    }
    client.at(leader);
    client.model.move_leader("t", 0, leader, None).unwrap();
    let mut request = fetch_request(id, 0, 0, 12);
    request.topics[0].partitions[0].current_leader_epoch = 0;
    let data = only(client.call(&request, 12));
    assert_eq!(
        ErrorCode::from(data.error_code),
        ErrorCode::FencedLeaderEpoch
    );
}

#[test]
fn followers_serve_consumers_from_version_11_on() {
    let mut client = Client::of(settings(3));
    let leader = client.at_leader(0);
    client.produce(0, batch(&["a"]), 9);
    client.at(leader % 3 + 1);
    let id = client.topic_id();
    let old = only(client.call(&fetch_request(id, 0, 0, 10), 10));
    assert_eq!(
        ErrorCode::from(old.error_code),
        ErrorCode::NotLeaderOrFollower
    );
    let new = only(client.call(&fetch_request(id, 0, 0, 11), 11));
    assert_eq!(records(new.records.unwrap()).len(), 1);
}

#[test]
fn a_log_that_was_truncated_tells_where_it_parted() {
    let mut client = Client::of(settings(3));
    let leader = client.at_leader(0);
    client.produce(0, batch(&["a"]), 9);
    client.produce(0, batch(&["b"]), 9);
    let next = leader % 3 + 1;
    client.model.move_leader("t", 0, next, Some(1)).unwrap();
    client.at(next);
    let mut request = fetch_request(client.topic_id(), 0, 2, 12);
    assert_eq!(
        only(client.call(&request, 12)).error_code,
        ErrorCode::OffsetOutOfRange.code()
    );
    client.produce(0, batch(&["c", "d"]), 9);
    request.topics[0].partitions[0].last_fetched_epoch = 0;
    request.max_wait_ms = 1000;
    let data = only(client.call(&request, 12));
    assert_eq!(
        (data.diverging_epoch.epoch, data.diverging_epoch.end_offset),
        (0, 1)
    );
}

#[test]
fn sessions_answer_what_changed_and_nothing_else() {
    for version in [7, 12, 13, 18] {
        let mut client = filled();
        let id = client.topic_id();
        let full = FetchRequest {
            session_epoch: 0,
            ..fetch_request(id, 0, 6, version)
        };
        let answer = client.call(&full, version);
        let session_id = answer.session_id;
        assert!(session_id > 0);
        assert_eq!(answer.responses.len(), 1, "the first answer has everything");
        let next = |session_epoch| FetchRequest {
            session_id,
            session_epoch,
            topics: Vec::new(),
            ..fetch_request(id, 0, 0, version)
        };
        let answer = client.call(&next(1), version);
        assert_eq!((answer.session_id, answer.responses.len()), (session_id, 0));
        client.produce(0, batch(&["g"]), 9);
        client.at(1);
        let data = only(client.call(&next(2), version));
        assert_eq!(
            records(data.records.unwrap()),
            [(6, "g".into())],
            "on any connection"
        );
        let mut moved = next(3);
        moved.topics = fetch_request(id, 0, 7, version).topics;
        assert!(client.call(&moved, version).responses.is_empty());

        let (topic, topic_id) = named(id, version >= 13);
        let mut forget = next(4);
        forget.topics = fetch_request(id, 1, 0, version).topics;
        forget.forgotten_topics_data = vec![ForgottenTopic {
            topic,
            topic_id,
            partitions: vec![0],
            ..ForgottenTopic::default()
        }];
        assert_eq!(only(client.call(&forget, version)).partition_index, 1);
        client.produce(0, batch(&["h"]), 9);
        assert!(client.call(&next(5), version).responses.is_empty());
    }
}

#[test]
fn a_session_without_partitions_ends() {
    let mut client = filled();
    let id = client.topic_id();
    let full = FetchRequest {
        session_epoch: 0,
        ..fetch_request(id, 0, 6, 12)
    };
    let session_id = client.call(&full, 12).session_id;
    let mut forget = FetchRequest {
        session_id,
        session_epoch: 1,
        ..full
    };
    forget.topics.clear();
    forget.forgotten_topics_data = vec![ForgottenTopic {
        topic: "t".into(),
        partitions: vec![0],
        ..ForgottenTopic::default()
    }];
    let answer = client.call(&forget, 12);
    assert_eq!((answer.error_code, answer.session_id), (0, 0));
    forget.session_epoch = 2;
    let answer = client.call(&forget, 12);
    assert_eq!(
        ErrorCode::from(answer.error_code),
        ErrorCode::FetchSessionIdNotFound
    );
}

#[test]
fn sessions_are_strict_about_ids_epochs_and_topic_ids() {
    let mut client = filled();
    let id = client.topic_id();
    let full = FetchRequest {
        session_epoch: 0,
        ..fetch_request(id, 0, 6, 12)
    };
    let session_id = client.call(&full, 12).session_id;
    let code = |client: &mut Client, session_id, session_epoch, version| {
        let mut request = fetch_request(id, 0, 0, version);
        request.topics.clear();
        let request = FetchRequest {
            session_id,
            session_epoch,
            ..request
        };
        let answer = client.call(&request, version);
        assert_eq!((answer.session_id, answer.responses.len()), (0, 0));
        ErrorCode::from(answer.error_code)
    };
    assert_eq!(
        code(&mut client, session_id ^ 1, 1, 12),
        ErrorCode::FetchSessionIdNotFound
    );
    assert_eq!(
        code(&mut client, session_id, 2, 12),
        ErrorCode::InvalidFetchSessionEpoch
    );
    assert_eq!(
        code(&mut client, session_id, 1, 13),
        ErrorCode::FetchSessionTopicIdError
    );
    assert_eq!(
        code(&mut client, session_id, -1, 12),
        ErrorCode::None,
        "the final epoch closes it"
    );
    assert_eq!(
        code(&mut client, session_id, 1, 12),
        ErrorCode::FetchSessionIdNotFound
    );
}

#[test]
fn a_partition_that_delivered_goes_behind_the_others() {
    let mut client = filled();
    client.produce(1, batch(&["z"]), 9);
    let id = client.topic_id();
    let mut full = FetchRequest {
        session_epoch: 0,
        max_bytes: 1,
        ..fetch_request(id, 0, 0, 12)
    };
    let mut second = full.topics[0].partitions[0].clone();
    second.partition = 1;
    full.topics[0].partitions.push(second);
    let session_id = client.call(&full, 12).session_id;
    let next = FetchRequest {
        session_id,
        session_epoch: 1,
        topics: Vec::new(),
        ..full
    };
    let data = only(client.call(&next, 12));
    assert_eq!(data.partition_index, 1, "partition 0 had its turn");
}
