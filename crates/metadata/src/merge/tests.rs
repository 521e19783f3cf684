use std::time::Duration;

use super::*;

pub(crate) fn broker(id: i32, port: i32) -> MetadataResponseBroker {
    MetadataResponseBroker {
        node_id: id,
        host: "kafka".into(),
        port,
        ..MetadataResponseBroker::default()
    }
}

pub(crate) fn partition(index: i32, leader: i32, epoch: i32) -> MetadataResponsePartition {
    MetadataResponsePartition {
        partition_index: index,
        leader_id: leader,
        leader_epoch: epoch,
        replica_nodes: vec![1, 2],
        ..MetadataResponsePartition::default()
    }
}

pub(crate) fn topic(name: &str, id: u8, parts: &[(i32, i32)]) -> MetadataResponseTopic {
    let parts = parts.iter().enumerate();
    MetadataResponseTopic {
        name: Some(name.into()),
        topic_id: Uuid([id; 16]),
        partitions: parts
            .map(|(index, (leader, epoch))| partition(index as i32, *leader, *epoch))
            .collect(),
        ..MetadataResponseTopic::default()
    }
}

pub(crate) fn failed_topic(name: &str, error: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: error.code(),
        ..topic(name, 0, &[])
    }
}

pub(crate) fn answer(topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
    MetadataResponse {
        brokers: vec![broker(1, 9092), broker(2, 9093)],
        cluster_id: Some("c".into()),
        controller_id: 1,
        topics,
        ..MetadataResponse::default()
    }
}

fn lookup(topics: &[&str]) -> Lookup {
    Lookup {
        topics: topics.iter().map(|name| Str::from(*name)).collect(),
        create: false,
        refresh: None,
        covers: 0,
    }
}

/// Merges answers about "t", one after the other, and returns the outcome of the last.
fn after(version: i16, answers: Vec<MetadataResponseTopic>) -> (Snapshot, Merged) {
    let mut state = (Snapshot::default(), Merged::default());
    for topic in answers {
        state = merge(
            &state.0,
            &lookup(&["t"]),
            answer(vec![topic]),
            version,
            at(0),
        );
    }
    state
}

pub(crate) fn at(seconds: u64) -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    #[allow(clippy::disallowed_methods)]
    let start = *START.get_or_init(Instant::now);
    start + Duration::from_secs(seconds)
}

fn leader(snapshot: &Snapshot) -> Option<(i32, Option<i32>)> {
    snapshot.leader("t", 0).map(|l| (l.broker.id, l.epoch))
}

#[test]
fn an_answer_with_an_older_leader_epoch_is_ignored() {
    let (snapshot, merged) = after(13, vec![topic("t", 7, &[(2, 5)]), topic("t", 7, &[(1, 4)])]);
    assert_eq!(leader(&snapshot), Some((2, Some(5))));
    assert!(!merged.changed);
}

#[test]
fn an_older_leader_epoch_counts_when_the_topic_id_changed() {
    let (snapshot, merged) = after(13, vec![topic("t", 7, &[(2, 5)]), topic("t", 8, &[(1, 0)])]);
    assert_eq!(leader(&snapshot), Some((1, Some(0))));
    let expected = Recreated {
        topic: "t".into(),
        old: Uuid([7; 16]),
        new: Uuid([8; 16]),
    };
    assert_eq!(merged.recreated, [expected]);
}

#[test]
fn without_topic_ids_a_topic_that_vanished_or_shrank_starts_over() {
    let gone = failed_topic("t", ErrorCode::UnknownTopicOrPartition);
    let vanished = vec![topic("t", 0, &[(2, 5)]), gone, topic("t", 0, &[(1, 0)])];
    assert_eq!(leader(&after(9, vanished).0), Some((1, Some(0))));
    let shrank = vec![topic("t", 0, &[(2, 5), (2, 5)]), topic("t", 0, &[(1, 0)])];
    assert_eq!(leader(&after(9, shrank).0), Some((1, Some(0))));
    let same = vec![topic("t", 0, &[(2, 5)]), topic("t", 0, &[(1, 0)])];
    assert_eq!(leader(&after(9, same).0), Some((2, Some(5))));
}

#[test]
fn epochs_below_version_9_are_not_relied_on() {
    let (snapshot, _) = after(8, vec![topic("t", 0, &[(2, 5)]), topic("t", 0, &[(1, 4)])]);
    assert_eq!(leader(&snapshot), Some((1, None)));
}

#[test]
fn a_topic_that_fails_keeps_what_was_known_and_says_why() {
    let denied = failed_topic("t", ErrorCode::TopicAuthorizationFailed);
    let (snapshot, merged) = after(13, vec![topic("t", 7, &[(2, 5)]), denied]);
    let topic = snapshot.topic("t").unwrap();
    assert_eq!(topic.error, Some(ErrorCode::TopicAuthorizationFailed));
    assert_eq!(topic.id, Uuid([7; 16]));
    assert_eq!(leader(&snapshot), Some((2, Some(5))));
    assert!(merged.changed);
}

#[test]
fn an_answer_speaks_only_for_the_topics_it_was_asked_about() {
    let (old, _) = after(13, vec![topic("t", 7, &[(2, 5)])]);
    let strange = answer(vec![topic("u", 9, &[(1, 0)]), topic("unasked", 9, &[])]);
    let (next, _) = merge(&old, &lookup(&["u", "silent"]), strange, 13, at(1));
    let names: Vec<&str> = next.topics().map(|topic| &*topic.name).collect();
    assert_eq!(names, ["silent", "t", "u"]);
    let silent = next.topic("silent").unwrap();
    assert_eq!(silent.error, Some(ErrorCode::UnknownTopicOrPartition));
}

#[test]
fn brokers_are_replaced_and_those_that_left_or_moved_are_named() {
    let (old, _) = after(13, vec![topic("t", 7, &[(2, 5)])]);
    let moved = MetadataResponse {
        brokers: vec![
            broker(1, 9092),
            broker(2, 19093),
            broker(3, -1),
            broker(4, 70_000),
        ],
        ..answer(vec![])
    };
    let (next, merged) = merge(&old, &lookup(&[]), moved, 13, at(1));
    let ports: Vec<u16> = next.brokers().map(|broker| broker.port).collect();
    assert_eq!(ports, [9092, 19093]);
    assert_eq!(merged.left.len(), 1);
    assert_eq!(merged.left[0].port, 9093);
}

#[test]
fn another_clusters_answer_forgets_the_topics_of_the_first() {
    let (old, _) = after(13, vec![topic("t", 7, &[(2, 5)])]);
    let other = MetadataResponse {
        cluster_id: Some("other".into()),
        ..answer(vec![])
    };
    let (next, merged) = merge(&old, &lookup(&[]), other, 13, at(1));
    assert_eq!(merged.cluster_changed, Some("c".into()));
    assert_eq!(next.topics().len(), 0);
}

#[test]
fn strange_partitions_are_sorted_and_impossible_ones_left_out() {
    let mut strange = topic("t", 7, &[]);
    strange.partitions = vec![
        partition(3, 1, 0),
        partition(-5, 1, 0),
        partition(0, 2, 0),
        partition(3, 2, 9),
        partition(1, -1, 0),
    ];
    let (snapshot, _) = after(13, vec![strange]);
    let topic = snapshot.topic("t").unwrap();
    let indices: Vec<i32> = topic.partitions.iter().map(|p| p.index).collect();
    assert_eq!(indices, [0, 1, 3]);
    assert_eq!(topic.partition(3).unwrap().leader, Some(1));
    assert_eq!(topic.partition(1).unwrap().leader, None);
    assert!(topic.partition(2).is_none() && topic.partition(-1).is_none());
}

#[test]
fn answers_that_are_errors_are_refused() {
    assert_eq!(
        check(&MetadataResponse::default()),
        Err(AnswerError::NoBrokers)
    );
    let rebootstrap = MetadataResponse {
        error_code: ErrorCode::RebootstrapRequired.code(),
        ..answer(vec![])
    };
    let refused = AnswerError::Refused(ErrorCode::RebootstrapRequired);
    assert_eq!(check(&rebootstrap), Err(refused));
}

#[test]
fn a_hint_counts_only_if_it_is_newer_and_its_leader_can_be_reached() {
    let (old, _) = after(13, vec![topic("t", 7, &[(2, 5)])]);
    let moved = |leader, epoch, endpoint| hint(&old, "t", 0, (leader, epoch), endpoint);
    assert!(moved(1, 5, None).is_none());
    assert!(moved(1, 4, None).is_none());
    assert!(moved(-1, 6, None).is_none());
    assert!(moved(9, 6, None).is_none(), "no address is known");
    assert!(hint(&old, "u", 0, (1, 6), None).is_none());
    assert!(hint(&old, "t", 1, (1, 6), None).is_none());
    assert_eq!(leader(&moved(1, 6, None).unwrap()), Some((1, Some(6))));
    let endpoint = BrokerInfo {
        id: 9,
        host: "new".into(),
        port: 1,
        rack: None,
    };
    assert_eq!(
        leader(&moved(9, 6, Some(endpoint)).unwrap()),
        Some((9, Some(6)))
    );
}
