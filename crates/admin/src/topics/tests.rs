use super::*;

fn names() -> Vec<Str> {
    vec!["a".into(), "b".into()]
}

#[test]
fn what_is_left_to_the_brokers_is_minus_one() {
    let message = NewTopic::new("t").to_message();
    assert_eq!(
        (message.num_partitions, message.replication_factor),
        (-1, -1)
    );
    let decided = NewTopic::new("t").partitions(3).replication_factor(2);
    assert!(NewTopic::new("t").partitions(3).leaves_choice());
    assert!(!decided.leaves_choice());
    let assigned = decided
        .assignment(vec![vec![1, 2], vec![2, 1]])
        .to_message();
    assert_eq!(
        (assigned.num_partitions, assigned.replication_factor),
        (-1, -1)
    );
    assert_eq!(assigned.assignments[1].broker_ids, [2, 1]);
    assert!(!NewTopic::new("t").assignment(vec![vec![1]]).leaves_choice());
}

#[test]
fn requests_can_be_written_in_every_version_they_are_made_for() {
    for version in ApiKey::DeleteTopics.stable_versions().iter() {
        let request = delete_request(&names(), 100, version);
        milena_codec::encode(&request, version).unwrap();
    }
    for version in 1..=13 {
        let all = metadata_request(None, version);
        milena_codec::encode(&all, version).unwrap();
        assert_eq!(all.topics, None);
    }
    for version in 4..=13 {
        let some = metadata_request(Some(&names()), version);
        milena_codec::encode(&some, version).unwrap();
        assert!(!some.allow_auto_topic_creation);
    }
}

#[test]
fn not_controller_is_tried_again_and_other_errors_belong_to_their_topics() {
    assert_eq!(
        judge([0, 41].into_iter()),
        Verdict::Retry(ErrorCode::NotController)
    );
    assert_eq!(judge([0, 36, 7].into_iter()), Verdict::Done);
    let answer = CreatableTopicResult {
        error_code: 36,
        ..CreatableTopicResult::default()
    };
    let result = per_topic(&"orders".into(), Some(&answer), created).result;
    assert!(
        result
            .unwrap_err()
            .to_string()
            .starts_with("topic orders exists already")
    );
}

#[test]
fn a_topic_that_the_answer_leaves_out_is_an_error() {
    let result = per_topic(&"a".into(), None, created).result;
    assert!(result.unwrap_err().to_string().contains("leaves it out"));
}
