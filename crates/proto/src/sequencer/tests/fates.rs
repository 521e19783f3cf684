use super::*;

#[test]
fn a_batch_refused_after_a_lost_attempt_may_be_written_and_raises_the_epoch() {
    let mut bench = Bench::proven();
    let [a] = bench.fly();
    bench.tell(a, Attempt::Lost);
    let again = bench.send();
    let error = ErrorCode::TopicAuthorizationFailed;
    let expected = [
        failed(1, Fate::MaybeWritten, Because::Refused(error)),
        bumped(1, BumpReason::InDoubt),
    ];
    assert_eq!(bench.tell(again, answered(error)), expected);
    bench.seal(4);
    assert_eq!(bench.sent(), [(2, 1, 0)]);
}

#[test]
fn expiry_tells_the_queued_the_clean_and_the_doubtful_apart() {
    let mut bench = Bench::proven();
    let [a, b] = bench.fly();
    bench.seal(2);
    assert_eq!(
        bench.tell(a, answered(ErrorCode::NotEnoughReplicas)),
        [retry(1)]
    );
    let fate = |bench: &Bench, id| bench.sequencer.fate(BatchId(id));
    assert_eq!(fate(&bench, 1), Fate::NotWritten);
    assert_eq!(fate(&bench, 2), Fate::MaybeWritten);
    let expired = |id, fate| failed(id, fate, Because::Expired);
    assert_eq!(bench.expire(3), [expired(3, Fate::NotWritten)]);
    assert_eq!(bench.expire(1), [expired(1, Fate::NotWritten)]);
    let bump = bumped(1, BumpReason::InDoubt);
    assert_eq!(bench.expire(2), [expired(2, Fate::MaybeWritten), bump]);
    assert_eq!(bench.sequencer.unresolved(), 0);
    assert_eq!(bench.sequencer.in_flight(), 1);
    assert_eq!(bench.tell(b, written_at(105)), [], "too late to matter");
    assert_eq!(bench.sequencer.in_flight(), 0);
}

#[test]
fn a_held_success_is_not_given_up() {
    let mut bench = Bench::proven();
    let [a, b] = bench.fly();
    bench.tell(a, Attempt::Lost);
    assert_eq!(bench.tell(b, written_at(105)), []);
    assert_eq!(bench.expire(2), []);
    let expected = [
        failed(1, Fate::MaybeWritten, Because::Expired),
        acknowledged(2, 105),
    ];
    assert_eq!(
        bench.expire(1),
        expected,
        "its success proves the head: no bump"
    );
    bench.seal(2);
    assert_eq!(bench.sent(), [(3, 0, 7)]);
}

#[test]
fn a_successors_success_proves_an_expired_head() {
    let mut bench = Bench::proven();
    let [a, b] = bench.fly();
    bench.tell(a, Attempt::Lost);
    bench.tell(b, Attempt::Lost);
    bench.seal(2);
    assert_eq!(bench.expire(1).len(), 1);
    let again = bench.send();
    assert_eq!(again.stamp, b.stamp);
    assert_eq!(bench.poll(), Next::Wait, "nothing new is stamped");
    assert_eq!(bench.tell(again, written_at(105)), [acknowledged(2, 105)]);
    assert_eq!(bench.sent(), [(3, 0, 7)]);
}

#[test]
fn doubtful_successors_of_an_expired_head_fail_and_clean_ones_start_anew() {
    let mut bench = Bench::proven();
    let [a, b, c] = bench.fly();
    bench.tell(a, Attempt::Lost);
    bench.tell(b, Attempt::Lost);
    bench.tell(c, answered(OUT_OF_ORDER));
    bench.expire(1);
    let again = bench.send();
    assert_eq!(again.id, BatchId(2));
    assert_eq!(
        bench.poll(),
        Next::Wait,
        "a clean one is not sent under the old stamp"
    );
    let expected = [
        failed(2, Fate::MaybeWritten, Because::State(OUT_OF_ORDER)),
        bumped(1, BumpReason::InDoubt),
    ];
    assert_eq!(bench.tell(again, answered(OUT_OF_ORDER)), expected);
    assert_eq!(bench.sent(), [(3, 1, 0)]);
}

#[test]
fn not_leader_leaves_doubt_only_under_acks_all() {
    for (acks, fate) in [
        (Acks::All, Fate::MaybeWritten),
        (Acks::Leader, Fate::NotWritten),
    ] {
        let mut bench = Bench::with(acks, false);
        let [a] = bench.fly();
        assert_eq!(
            bench.tell(a, answered(ErrorCode::NotLeaderOrFollower)),
            [retry(0)]
        );
        assert_eq!(bench.sequencer.fate(BatchId(0)), fate);
        assert_eq!(bench.expire(0), [failed(0, fate, Because::Expired)]);
    }
}

#[test]
fn what_never_reached_a_socket_is_not_written() {
    let mut bench = Bench::proven();
    let [a] = bench.fly();
    assert_eq!(bench.tell(a, Attempt::NotSent), [retry(1)]);
    let expected = [failed(1, Fate::NotWritten, Because::Expired)];
    assert_eq!(bench.expire(1), expected);
}

#[test]
fn a_duplicate_is_success_without_an_offset() {
    let mut bench = Bench::proven();
    let [a] = bench.fly();
    let (id, offset) = (BatchId(1), None);
    let told = bench.tell(a, answered(ErrorCode::DuplicateSequenceNumber));
    assert_eq!(told, [Event::Acknowledged { id, offset }]);
}

#[test]
fn acks_zero_is_acknowledged_once_written() {
    let mut bench = Bench::with(Acks::None, false);
    let [a] = bench.fly();
    let (id, offset) = (BatchId(0), None);
    let told = bench.tell(a, Attempt::Unacknowledged);
    assert_eq!(told, [Event::Acknowledged { id, offset }]);
}

#[test]
fn every_error_that_may_follow_an_append_leaves_doubt() {
    for error in ErrorCode::ALL.iter().copied().chain([9999.into()]) {
        let answer = Answer {
            error,
            base_offset: -1,
            log_start_offset: -1,
        };
        let doubtful = matches!(
            error,
            ErrorCode::RequestTimedOut
                | ErrorCode::NotEnoughReplicasAfterAppend
                | ErrorCode::UnknownServerError
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::KafkaStorageError
                | ErrorCode::NetworkException
        );
        if doubtful || error.name() == "UNKNOWN" {
            let refusal = refusal::of(&answer, Acks::All, true);
            assert!(matches!(refusal, refusal::Refusal::Maybe { .. }), "{error}");
        }
    }
}
