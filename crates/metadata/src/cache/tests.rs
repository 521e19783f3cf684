use super::*;
use crate::merge::tests::{answer, at, failed_topic, topic};
use AutoCreate::{Allow, Never};

const NEWEST: i16 = 13;

fn connected() -> Cache {
    let mut cache = Cache::new(CacheConfig::default());
    let lookup = cache.needs(at(0)).unwrap();
    assert!(lookup.topics().is_empty(), "no topic is wanted yet");
    cache
        .handle_answer(lookup, answer(vec![]), NEWEST, at(0))
        .unwrap();
    cache
}

/// Answers all that is due: each topic exists.
fn serve(cache: &mut Cache, seconds: u64) -> Vec<(Vec<Str>, bool)> {
    let mut asked = Vec::new();
    while let Some(lookup) = cache.needs(at(seconds)) {
        asked.push((lookup.topics().to_vec(), lookup.may_create()));
        let topics = lookup.topics().iter().map(|name| topic(name, 1, &[(1, 0)]));
        let topics = topics.collect();
        cache
            .handle_answer(lookup, answer(topics), NEWEST, at(seconds))
            .unwrap();
    }
    asked
}

fn names(all: &[&str]) -> Vec<Str> {
    all.iter().map(|name| Str::from(*name)).collect()
}

#[test]
fn a_new_topic_is_looked_up_at_once_and_alone() {
    let mut cache = connected();
    cache.want("a", Never, at(1));
    assert!(cache.is_pending("a"));
    assert_eq!(cache.poll_timeout(), None);
    assert_eq!(serve(&mut cache, 1), [(names(&["a"]), false)]);
    assert!(!cache.is_pending("a"));
    cache.want("b", Never, at(2));
    assert_eq!(serve(&mut cache, 2), [(names(&["b"]), false)]);
    assert_eq!(cache.snapshot().topics().len(), 2);
}

#[test]
fn only_topics_never_seen_are_asked_for_with_creation_and_never_with_others() {
    let mut cache = connected();
    cache.want("known", Allow, at(1));
    assert_eq!(serve(&mut cache, 1), [(names(&["known"]), true)]);
    cache.want("known", Allow, at(2));
    cache.want("new", Allow, at(2));
    cache.want("other", Never, at(2));
    cache.refresh(RefreshReason::Requested);
    let asked = serve(&mut cache, 2);
    let rest = (names(&["known", "new", "other"]), false);
    assert_eq!(asked, [(names(&["new"]), true), rest]);
}

#[test]
fn a_topic_that_was_deleted_is_never_created_again_by_a_look_up() {
    let mut cache = connected();
    cache.want("t", Allow, at(1));
    serve(&mut cache, 1);
    cache.refresh(RefreshReason::Requested);
    let lookup = cache.needs(at(2)).unwrap();
    let gone = failed_topic("t", ErrorCode::UnknownTopicOrPartition);
    cache
        .handle_answer(lookup, answer(vec![gone]), NEWEST, at(2))
        .unwrap();
    cache.want("t", Allow, at(3));
    assert_eq!(serve(&mut cache, 3), [(names(&["t"]), false)]);
}

#[test]
fn creation_is_asked_for_again_while_the_topic_was_never_seen_and_somebody_waits() {
    let mut cache = connected();
    cache.want("t", Allow, at(1));
    let lookup = cache.needs(at(1)).unwrap();
    let creating = failed_topic("t", ErrorCode::LeaderNotAvailable);
    cache
        .handle_answer(lookup, answer(vec![creating]), NEWEST, at(1))
        .unwrap();
    assert!(cache.needs(at(2)).is_none(), "nobody asked again");
    cache.want("t", Allow, at(2));
    assert!(cache.needs(at(2)).unwrap().may_create());
}

#[test]
fn a_look_up_without_an_answer_is_due_again_as_it_was() {
    let mut cache = connected();
    cache.want("t", Allow, at(1));
    let ticket = cache.refresh(RefreshReason::Disconnected);
    let first = cache.needs(at(1)).unwrap();
    let second = cache.needs(at(1)).unwrap();
    assert!(first.may_create() && second.refresh().is_some());
    cache.handle_failure(first);
    cache.handle_failure(second);
    assert!(cache.is_pending("t") && !cache.is_fulfilled(ticket));
    assert_eq!(cache.needs(at(1)).unwrap().topics(), names(&["t"]));
    assert_eq!(
        cache.needs(at(1)).unwrap().refresh(),
        Some(RefreshReason::Disconnected)
    );
}

#[test]
fn an_answer_of_no_use_counts_as_none() {
    let mut cache = connected();
    cache.want("t", Never, at(1));
    let lookup = cache.needs(at(1)).unwrap();
    let useless = MetadataResponse::default();
    let error = cache
        .handle_answer(lookup, useless, NEWEST, at(1))
        .unwrap_err();
    assert_eq!(error, AnswerError::NoBrokers);
    assert!(cache.is_pending("t"));
    assert_eq!(cache.snapshot().brokers().len(), 2);
}

#[test]
fn refreshes_before_a_look_up_leaves_share_it_and_those_after_do_not() {
    let mut cache = connected();
    let one = cache.refresh(RefreshReason::Disconnected);
    let two = cache.refresh(RefreshReason::Requested);
    assert_eq!(one, two);
    let lookup = cache.needs(at(1)).unwrap();
    let three = cache.refresh(RefreshReason::Requested);
    cache
        .handle_answer(lookup, answer(vec![]), NEWEST, at(1))
        .unwrap();
    assert!(cache.is_fulfilled(one) && !cache.is_fulfilled(three));
    serve(&mut cache, 1);
    assert!(cache.is_fulfilled(three));
}

#[test]
fn everything_is_asked_again_at_its_maximum_age() {
    let mut cache = connected();
    cache.want("t", Never, at(1));
    serve(&mut cache, 1);
    assert_eq!(cache.poll_timeout(), Some(at(300)));
    assert!(cache.needs(at(299)).is_none());
    let lookup = cache.needs(at(300)).unwrap();
    assert_eq!(lookup.refresh(), Some(RefreshReason::Age));
    assert_eq!(lookup.topics(), names(&["t"]));
}

#[test]
fn topics_not_used_for_five_minutes_are_forgotten_and_those_in_use_are_kept() {
    let mut cache = connected();
    cache.want("idle", Never, at(1));
    cache.want("used", Never, at(1));
    serve(&mut cache, 1);
    cache.touch("used", at(200));
    assert_eq!(serve(&mut cache, 310), [(names(&["used"]), false)]);
    assert!(cache.snapshot().topic("idle").is_none());
    assert!(cache.snapshot().topic("used").is_some());
}

#[test]
fn while_held_back_only_topics_never_asked_for_pass() {
    let mut cache = connected();
    cache.want("old", Never, at(1));
    serve(&mut cache, 1);
    cache.hold_until(at(10));
    cache.want("old", Never, at(2));
    cache.want("new", Never, at(2));
    cache.refresh(RefreshReason::Requested);
    assert_eq!(serve(&mut cache, 2), [(names(&["new"]), false)]);
    assert_eq!(cache.poll_timeout(), Some(at(10)));
    assert_eq!(serve(&mut cache, 10), [(names(&["new", "old"]), false)]);
}

#[test]
fn another_cluster_makes_everything_due() {
    let mut cache = connected();
    cache.want("t", Never, at(1));
    serve(&mut cache, 1);
    cache.refresh(RefreshReason::Requested);
    let lookup = cache.needs(at(2)).unwrap();
    let other = MetadataResponse {
        cluster_id: Some("other".into()),
        ..answer(vec![topic("t", 1, &[(1, 0)])])
    };
    let merged = cache.handle_answer(lookup, other, NEWEST, at(2)).unwrap();
    assert!(merged.cluster_changed.is_some());
    let next = cache.needs(at(2)).unwrap();
    assert_eq!(next.topics(), names(&["t"]));
    assert!(next.refresh().is_some());
}
