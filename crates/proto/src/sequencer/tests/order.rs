use super::*;

#[test]
fn the_first_batch_travels_alone_then_five_do() {
    let mut bench = Bench::with(Acks::All, true);
    for _ in 0..8 {
        bench.seal(2);
    }
    let first = bench.send();
    assert_eq!(bench.poll(), Next::Wait);
    assert_eq!(bench.tell(first, written_at(0)), [acknowledged(0, 0)]);
    let five = [(1, 0, 2), (2, 0, 4), (3, 0, 6), (4, 0, 8), (5, 0, 10)];
    assert_eq!(bench.sent(), five);
    assert_eq!(bench.poll(), Next::Wait);
    assert_eq!(bench.sequencer.in_flight(), 5);
    assert_eq!(bench.sequencer.unresolved(), 7);
    assert_eq!(bench.sequencer.oldest(), Some(BatchId(1)));
}

#[test]
fn after_an_hour_without_success_one_travels_alone_again() {
    let mut bench = Bench::proven();
    bench.now += REMEMBERED;
    let [first] = bench.fly();
    bench.seal(2);
    assert_eq!(bench.poll(), Next::Wait);
    bench.now += REMEMBERED / 2;
    assert_eq!(bench.tell(first, written_at(103)), [acknowledged(1, 103)]);
    bench.fly::<2>();
}

#[test]
fn a_retry_after_a_lost_attempt_carries_the_same_stamp() {
    let mut bench = Bench::proven();
    let [first] = bench.fly();
    assert!(!first.retry);
    assert_eq!(bench.tell(first, Attempt::Lost), [retry(1)]);
    let again = bench.send();
    assert_eq!((again.stamp, again.retry), (first.stamp, true));
    assert!(again.attempt > first.attempt);
    assert_eq!(bench.sequencer.attempts(BatchId(1)), 2);
}

#[test]
fn retries_go_first_in_the_order_of_their_stamps() {
    let mut bench = Bench::proven();
    let [a, b, c] = bench.fly();
    bench.seal(2);
    for (sending, id) in [(b, 2), (c, 3), (a, 1)] {
        assert_eq!(bench.tell(sending, Attempt::Lost), [retry(id)]);
    }
    assert_eq!(bench.sent(), [(1, 0, 3), (2, 0, 5), (3, 0, 7), (4, 0, 9)]);
}

#[test]
fn nothing_goes_to_a_new_leader_before_all_attempts_at_the_old_have_ended() {
    let mut bench = Bench::proven();
    let [a, b] = bench.fly();
    assert_eq!(
        bench.tell(a, answered(ErrorCode::NotLeaderOrFollower)),
        [retry(1)]
    );
    let to_another = |bench: &mut Bench| bench.sequencer.poll_send(None, 2, bench.now);
    assert_eq!(to_another(&mut bench), Next::Wait);
    bench.expire(2);
    assert_eq!(
        to_another(&mut bench),
        Next::Wait,
        "given up, and still on its way"
    );
    assert_eq!(bench.tell(b, Attempt::Lost), []);
    let Next::Send(again) = to_another(&mut bench) else {
        panic!("all attempts have ended");
    };
    assert_eq!((again.id, again.stamp), (BatchId(1), a.stamp));
}

#[test]
fn successes_are_reported_in_order_and_those_held_back_fill_the_window() {
    let mut bench = Bench::proven();
    let [a, b, c, d, e] = bench.fly();
    assert_eq!(
        bench.tell(a, answered(ErrorCode::RequestTimedOut)),
        [retry(1)]
    );
    for (sending, offset) in [(b, 105), (c, 107), (d, 109), (e, 111)] {
        assert_eq!(bench.tell(sending, written_at(offset)), []);
    }
    bench.seal(2);
    let again = bench.send();
    assert_eq!(again.id, BatchId(1));
    assert_eq!(bench.poll(), Next::Wait);
    let told = bench.tell(again, written_at(103));
    assert_eq!(told.len(), 5);
    assert_eq!(
        (told[0], told[4]),
        (acknowledged(1, 103), acknowledged(5, 111))
    );
    assert_eq!(bench.sent(), [(6, 0, 13)]);
}

#[test]
fn a_refused_batch_leaves_its_range_to_the_next() {
    let mut bench = Bench::proven();
    let [a] = bench.fly();
    let refused = Because::Refused(ErrorCode::InvalidRecord);
    let told = bench.tell(a, answered(ErrorCode::InvalidRecord));
    assert_eq!(told, [failed(1, Fate::NotWritten, refused)]);
    bench.seal(2);
    assert_eq!(bench.sent(), [(2, 0, 3)]);
}

#[test]
fn clean_successors_of_a_refused_batch_move_up_under_the_same_epoch() {
    let mut bench = Bench::proven();
    let [a, b, c] = bench.fly();
    bench.seal(2);
    bench.tell(a, answered(ErrorCode::InvalidRecord));
    assert_eq!(bench.poll(), Next::Wait, "nothing is stamped behind a hole");
    assert_eq!(bench.tell(b, answered(OUT_OF_ORDER)), [retry(2)]);
    assert_eq!(bench.poll(), Next::Wait);
    assert_eq!(bench.tell(c, answered(OUT_OF_ORDER)), [retry(3)]);
    assert_eq!(bench.sent(), [(2, 0, 3), (3, 0, 5), (4, 0, 7)]);
}

#[test]
fn a_success_before_a_hole_does_not_close_it() {
    let mut bench = Bench::proven();
    let [a, b, c] = bench.fly();
    assert_eq!(bench.tell(b, answered(ErrorCode::InvalidRecord)).len(), 1);
    assert_eq!(bench.tell(a, written_at(103)), [acknowledged(1, 103)]);
    bench.seal(2);
    assert_eq!(bench.poll(), Next::Wait);
    assert_eq!(bench.tell(c, answered(OUT_OF_ORDER)), [retry(3)]);
    assert_eq!(bench.sent(), [(3, 0, 5), (4, 0, 7)]);
}

#[test]
fn out_of_order_behind_the_head_only_means_to_send_again() {
    let mut bench = Bench::proven();
    let [a, b] = bench.fly();
    assert_eq!(
        bench.tell(a, answered(ErrorCode::NotEnoughReplicas)),
        [retry(1)]
    );
    assert_eq!(bench.tell(b, answered(OUT_OF_ORDER)), [retry(2)]);
    assert_eq!(bench.sent(), [(1, 0, 3), (2, 0, 5)]);
}

#[test]
fn sequences_wrap_to_zero_also_inside_a_batch() {
    let mut bench = Bench::with(Acks::All, true);
    bench.seal(i32::MAX.cast_unsigned());
    let first = bench.send();
    bench.tell(first, written_at(0));
    bench.seal(3);
    bench.seal(1);
    assert_eq!(bench.sent(), [(1, 0, i32::MAX), (2, 0, 2)]);
}

#[test]
fn without_idempotence_one_travels_unstamped() {
    let mut bench = Bench::with(Acks::All, false);
    bench.seal(1);
    bench.seal(1);
    let first = bench.send();
    assert_eq!(first.stamp, Stamp::NONE);
    assert_eq!(bench.poll(), Next::Wait);
    assert_eq!(bench.tell(first, Attempt::Lost), [retry(0)]);
    let again = bench.send();
    assert_eq!(again.id, BatchId(0));
    assert_eq!(bench.tell(again, written_at(4)), [acknowledged(0, 4)]);
    assert_eq!(bench.send().id, BatchId(1));
}

#[test]
fn an_idle_or_unknown_call_changes_nothing() {
    let mut bench = Bench::proven();
    assert_eq!(bench.poll(), Next::Empty);
    assert_eq!(bench.expire(77), []);
    bench.sequencer.handle_attempt(AttemptId(77), Attempt::Lost);
    assert_eq!(bench.events(), []);
    bench.fly::<1>();
    assert_eq!(bench.poll(), Next::Empty);
}
