use super::*;
use milena_codec::messages::fetch_response::FetchableTopicResponse;

const IDS: i16 = 18;
const NAMES: i16 = 12;

fn key(topic: &'static str, id: u8, partition: i32) -> SessionKey {
    SessionKey {
        topic: Str::from_static(topic),
        topic_id: Uuid([id; 16]),
        partition,
    }
}

fn want(offset: i64) -> Wanted {
    Wanted {
        offset,
        leader_epoch: 3,
        max_bytes: 100,
    }
}

fn wanted(list: &[(SessionKey, i64)]) -> BTreeMap<SessionKey, Wanted> {
    list.iter().map(|(k, o)| (k.clone(), want(*o))).collect()
}

fn answer(session_id: i32, version: i16, keys: &[SessionKey]) -> FetchResponse {
    let responses = keys
        .iter()
        .map(|key| FetchableTopicResponse {
            topic: if version < 13 {
                key.topic.clone()
            } else {
                Str::new()
            },
            topic_id: if version < 13 {
                Uuid::ZERO
            } else {
                key.topic_id
            },
            partitions: vec![PartitionData {
                partition_index: key.partition,
                ..PartitionData::default()
            }],
            ..FetchableTopicResponse::default()
        })
        .collect();
    FetchResponse {
        session_id,
        responses,
        ..FetchResponse::default()
    }
}

fn refused(code: ErrorCode) -> FetchResponse {
    FetchResponse {
        error_code: code.code(),
        ..FetchResponse::default()
    }
}

fn asked(request: &SessionRequest) -> Vec<(String, i32, i64)> {
    let topics = request.topics.iter();
    topics
        .flat_map(|t| {
            let each = t.partitions.iter();
            each.map(|p| (t.topic.to_string(), p.partition, p.fetch_offset))
        })
        .collect()
}

fn gone(request: &SessionRequest) -> Vec<(Uuid, i32)> {
    let topics = request.forgotten.iter();
    topics
        .flat_map(|t| t.partitions.iter().map(|p| (t.topic_id, *p)))
        .collect()
}

/// A session in which one full request with `list` was answered well.
fn established(version: i16, list: &[(SessionKey, i64)]) -> FetchSession {
    let mut session = FetchSession::new();
    let request = session.next_request(wanted(list), version);
    assert_eq!((request.session_id, request.session_epoch), (0, 0));
    let keys: Vec<_> = list.iter().map(|(k, _)| k.clone()).collect();
    let found = session.handle_answer(answer(7, version, &keys));
    assert_eq!(found.map(|f| f.len()), Ok(list.len()));
    session
}

#[test]
fn the_first_request_is_full_and_later_ones_carry_only_what_changed() {
    let (a, b, c) = (key("a", 1, 0), key("a", 1, 1), key("b", 2, 0));
    for version in [7, NAMES, IDS] {
        let mut session = established(version, &[(a.clone(), 10), (b.clone(), 20)]);
        assert!(session.is_incremental());
        let next = wanted(&[(a.clone(), 11), (b.clone(), 20), (c.clone(), 0)]);
        let request = session.next_request(next, version);
        assert_eq!((request.session_id, request.session_epoch), (7, 1));
        assert_eq!(asked(&request), [("a".into(), 0, 11), ("b".into(), 0, 0)]);
        assert!(request.forgotten.is_empty());
        let found = session
            .handle_answer(answer(7, version, std::slice::from_ref(&c)))
            .unwrap();
        assert_eq!((found[0].key.clone(), found[0].offset), (c.clone(), 0));
        let request = session.next_request(wanted(&[(a.clone(), 11)]), version);
        assert_eq!(request.session_epoch, 2);
        assert!(request.topics.is_empty());
        assert_eq!(gone(&request).len(), 2);
    }
}

#[test]
fn a_changed_leader_epoch_or_limit_is_a_change() {
    let a = key("a", 1, 0);
    let mut session = established(IDS, &[(a.clone(), 10)]);
    let mut next = wanted(&[(a.clone(), 10)]);
    next.get_mut(&a).unwrap().leader_epoch = 4;
    assert_eq!(session.next_request(next, IDS).topics.len(), 1);
}

#[test]
fn every_failure_makes_the_next_request_full_with_the_right_id() {
    let a = key("a", 1, 0);
    let table = [
        (ErrorCode::FetchSessionIdNotFound, 0),
        (ErrorCode::InvalidFetchSessionEpoch, 7),
        (ErrorCode::FetchSessionTopicIdError, 7),
        (ErrorCode::InconsistentTopicId, 7),
        (ErrorCode::UnknownServerError, 7),
        (ErrorCode::from(999), 7),
    ];
    for (code, id) in table {
        let mut session = established(IDS, &[(a.clone(), 10)]);
        let _ = session.next_request(wanted(&[(a.clone(), 10)]), IDS);
        let fault = session.handle_answer(refused(code)).unwrap_err();
        assert_eq!(fault, SessionFault::Refused(code));
        let request = session.next_request(wanted(&[(a.clone(), 10)]), IDS);
        assert_eq!(
            (request.session_id, request.session_epoch),
            (id, 0),
            "{code}"
        );
        assert_eq!(asked(&request).len(), 1);
    }
}

#[test]
fn a_lost_answer_makes_the_next_request_full_with_the_old_id() {
    let a = key("a", 1, 0);
    for explicit in [true, false] {
        let mut session = established(IDS, &[(a.clone(), 10)]);
        let _ = session.next_request(wanted(&[(a.clone(), 10)]), IDS);
        if explicit {
            session.handle_lost();
        }
        let request = session.next_request(wanted(&[(a.clone(), 10)]), IDS);
        assert_eq!((request.session_id, request.session_epoch), (7, 0));
    }
}

#[test]
fn a_broker_without_room_for_a_session_gets_full_requests() {
    let a = key("a", 1, 0);
    let mut session = established(IDS, &[(a.clone(), 10)]);
    let _ = session.next_request(wanted(&[(a.clone(), 11)]), IDS);
    session.handle_answer(answer(0, IDS, &[])).unwrap();
    let request = session.next_request(wanted(&[(a.clone(), 11)]), IDS);
    assert_eq!((request.session_id, request.session_epoch), (0, 0));
    assert_eq!(asked(&request).len(), 1);
}

#[test]
fn before_version_7_every_request_is_full_and_without_a_session() {
    let a = key("a", 1, 0);
    let mut session = FetchSession::new();
    for offset in 0..3 {
        let request = session.next_request(wanted(&[(a.clone(), offset)]), 6);
        assert_eq!((request.session_id, request.session_epoch), (0, -1));
        assert_eq!(asked(&request).len(), 1);
        session
            .handle_answer(answer(0, 6, std::slice::from_ref(&a)))
            .unwrap();
    }
}

#[test]
fn the_epoch_wraps_to_one() {
    let a = key("a", 1, 0);
    let mut session = established(IDS, &[(a.clone(), 10)]);
    session.epoch = i32::MAX;
    let request = session.next_request(wanted(&[(a.clone(), 10)]), IDS);
    assert_eq!(request.session_epoch, i32::MAX);
    session.handle_answer(answer(7, IDS, &[])).unwrap();
    let request = session.next_request(wanted(&[(a, 10)]), IDS);
    assert_eq!((request.session_id, request.session_epoch), (7, 1));
}

#[test]
fn a_changed_topic_id_forgets_the_old_one_and_adds_the_new_one() {
    let (old, new) = (key("a", 1, 0), key("a", 2, 0));
    let mut session = established(IDS, &[(old.clone(), 10)]);
    let request = session.next_request(wanted(&[(new.clone(), 0)]), IDS);
    assert_eq!(request.session_epoch, 1);
    assert_eq!(asked(&request), [("a".into(), 0, 0)]);
    assert_eq!(gone(&request), [(old.topic_id, 0)]);

    let mut session = established(NAMES, &[(old, 10)]);
    let request = session.next_request(wanted(&[(new, 0)]), NAMES);
    assert_eq!(asked(&request).len(), 1);
    assert!(gone(&request).is_empty(), "the name would be forgotten too");
}

#[test]
fn switching_between_names_and_ids_starts_a_new_session() {
    let a = key("a", 1, 0);
    for (first, second) in [(NAMES, IDS), (IDS, NAMES)] {
        let mut session = established(first, &[(a.clone(), 10)]);
        let request = session.next_request(wanted(&[(a.clone(), 10)]), second);
        assert_eq!((request.session_id, request.session_epoch), (7, 0));
        assert_eq!(asked(&request).len(), 1);
    }
}

#[test]
fn an_answer_with_a_foreign_partition_is_not_used() {
    let (a, b) = (key("a", 1, 0), key("b", 2, 0));
    for version in [NAMES, IDS] {
        let mut session = established(version, &[(a.clone(), 10)]);
        let _ = session.next_request(wanted(&[(a.clone(), 10)]), version);
        let result = session.handle_answer(answer(7, version, std::slice::from_ref(&b)));
        assert!(matches!(
            result,
            Err(SessionFault::Unexpected { partition: 0, .. })
        ));
        let _ = session.next_request(wanted(&[(a.clone(), 10)]), version);
        let twice = answer(7, version, &[a.clone(), a.clone()]);
        assert!(session.handle_answer(twice).is_err(), "a partition twice");
        assert!(!session.is_incremental());
    }
}

#[test]
fn a_full_answer_lacks_nothing_unless_it_is_throttled() {
    let a = key("a", 1, 0);
    let mut session = FetchSession::new();
    let _ = session.next_request(wanted(&[(a.clone(), 10)]), IDS);
    let result = session.handle_answer(answer(7, IDS, &[]));
    assert!(matches!(result, Err(SessionFault::Missing { .. })));
    let _ = session.next_request(wanted(&[(a.clone(), 10)]), IDS);
    let throttled = FetchResponse {
        throttle_time_ms: 50,
        ..answer(0, IDS, &[])
    };
    assert_eq!(
        session.handle_answer(throttled),
        Err(SessionFault::Throttled)
    );
    let request = session.next_request(wanted(&[(a, 10)]), IDS);
    assert_eq!((request.session_id, request.session_epoch), (0, 0));
}

#[test]
fn closing_names_the_session_once() {
    let a = key("a", 1, 0);
    let mut session = established(IDS, &[(a, 10)]);
    let request = session.closing_request().unwrap();
    assert_eq!((request.session_id, request.session_epoch), (7, -1));
    assert_eq!(session.closing_request(), None);
    assert_eq!(
        session.handle_answer(answer(7, IDS, &[])),
        Err(SessionFault::Unasked)
    );
}
