use super::*;

#[test]
fn lost_broker_state_is_stamped_again_with_all_clean_successors() {
    for error in [
        OUT_OF_ORDER,
        ErrorCode::UnknownProducerId,
        ErrorCode::InvalidProducerEpoch,
    ] {
        let mut bench = Bench::proven();
        let [a, b] = bench.fly();
        bench.seal(2);
        assert_eq!(bench.tell(a, answered(error)), [retry(1)]);
        assert_eq!(bench.poll(), Next::Wait);
        let bump = bumped(1, BumpReason::BrokerState(error));
        assert_eq!(bench.tell(b, answered(error)), [retry(2), bump]);
        assert_eq!(bench.sent(), [(1, 1, 0)], "alone");
    }
}

#[test]
fn lost_broker_state_after_a_lost_attempt_proves_nothing() {
    let mut bench = Bench::proven();
    let [a] = bench.fly();
    bench.tell(a, Attempt::Lost);
    let again = bench.send();
    let expected = [
        failed(1, Fate::MaybeWritten, Because::State(OUT_OF_ORDER)),
        bumped(1, BumpReason::InDoubt),
    ];
    assert_eq!(bench.tell(again, answered(OUT_OF_ORDER)), expected);
}

#[test]
fn state_removed_by_retention_is_told_apart() {
    let mut bench = Bench::proven();
    let [a] = bench.fly();
    let error = ErrorCode::UnknownProducerId;
    let told = bench.tell(
        a,
        Attempt::Answered(Answer {
            error,
            base_offset: -1,
            log_start_offset: 103,
        }),
    );
    assert_eq!(told, [retry(1), bumped(1, BumpReason::Retention(error))]);
}

#[test]
fn the_old_epoch_is_left_only_when_no_stamp_of_it_is_unresolved() {
    let mut bench = Bench::proven();
    let [_, b] = bench.fly();
    assert_eq!(bench.expire(1).len(), 1, "no bump: batch 2 is in flight");
    assert_eq!(bench.sequencer.identity(), Some(ID));
    assert_eq!(bench.tell(b, Attempt::Lost), [retry(2)]);
    let again = bench.send();
    assert_eq!(again.stamp, b.stamp);
    assert_eq!(bench.tell(again, Attempt::Lost), [retry(2)]);
    let expected = [
        failed(2, Fate::MaybeWritten, Because::Expired),
        bumped(1, BumpReason::InDoubt),
    ];
    assert_eq!(bench.expire(2), expected);
}

#[test]
fn after_the_last_epoch_a_new_producer_id_is_asked_for() {
    let mut bench = Bench::with(Acks::All, true);
    bench.identity.epoch = i16::MAX;
    bench.fly::<1>();
    let told = bench.expire(0);
    let Some(Event::Bumped(bump)) = told.last() else {
        panic!("{told:?}");
    };
    assert_eq!(bump.to, None);
    bench.seal(1);
    assert_eq!(bench.poll(), Next::Wait, "an attempt is under way");
    bench.sequencer.handle_attempt(AttemptId(0), Attempt::Lost);
    let exhausted = bench.sequencer.left;
    assert_eq!(bench.poll(), Next::NeedsIdentity { exhausted });
    bench.identity = Identity {
        producer_id: 8,
        epoch: 0,
    };
    let stamp = bench.send().stamp;
    assert_eq!((stamp.producer_id, stamp.base_sequence), (8, 0));
}

#[test]
fn without_an_identity_one_is_asked_for() {
    let mut bench = Bench::with(Acks::All, true);
    bench.seal(1);
    let next = bench.sequencer.poll_send(None, NODE, bench.now);
    assert_eq!(next, Next::NeedsIdentity { exhausted: None });
    bench.send();
}

#[test]
fn a_recreated_topic_gets_clean_batches_only() {
    let mut bench = Bench::proven();
    let [a, b, c] = bench.fly();
    bench.seal(2);
    bench.tell(a, answered(ErrorCode::UnknownTopicId));
    bench.tell(b, Attempt::Lost);
    let replaced = |id| failed(id, Fate::MaybeWritten, Because::TopicReplaced);
    let bump = bumped(1, BumpReason::TopicReplaced);
    assert_eq!(bench.replace_topic(), [replaced(2), replaced(3), bump]);
    assert_eq!(
        bench.poll(),
        Next::Wait,
        "the old topic's request is under way"
    );
    assert_eq!(bench.tell(c, written_at(9)), []);
    let first = bench.send();
    assert_eq!(stamp(&first), (1, 1, 0));
    bench.tell(first, written_at(0));
    assert_eq!(bench.sent(), [(4, 1, 2)]);
}
