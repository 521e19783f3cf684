use super::*;

#[test]
fn a_lost_end_is_repeated_as_it_was() {
    for level in [Level::V1, Level::V2] {
        let mut bench = Bench::lost_commit(level);
        let (id, call) = bench.call();
        assert_eq!(call, end_txn(ID, Complete::Commit, level));
        let events = bench.reply(id, done(Some(at(4))));
        match level {
            Level::V1 => assert_eq!(
                events,
                [ended(COMMITTED, None), Event::Bumping(Bump::InDoubt)],
                "a late copy would end the next transaction"
            ),
            Level::V2 => assert_eq!(events, [ended(COMMITTED, Some(at(4)))]),
        }
    }
}

#[test]
fn after_the_deadline_nothing_begins_before_it_is_resolved() {
    for level in [Level::V1, Level::V2] {
        let (mut bench, token) = Bench::in_doubt(level);
        assert_eq!(token.intent, Intent::Commit);
        assert_eq!(bench.state(), State::InDoubt);
        assert!(bench.core.begin().is_err());
        assert_eq!(bench.core.poll_call(), None);
    }
}

#[test]
fn an_answer_that_comes_after_the_deadline_changes_nothing() {
    let mut bench = Bench::open(Level::V2);
    bench.core.commit().unwrap();
    let (id, _) = bench.call();
    bench.core.handle_deadline();
    bench.events();
    assert_eq!(bench.reply(id, done(Some(at(4)))), []);
    assert_eq!(bench.core.unanswered(), 0);
    assert_eq!(bench.state(), State::InDoubt);
}

#[test]
fn a_commit_that_was_never_sent_can_only_be_aborted_after_its_deadline() {
    let mut bench = Bench::open(Level::V1);
    bench.core.commit().unwrap();
    bench.answer(refused(ErrorCode::CoordinatorLoadInProgress));
    bench.core.handle_deadline();
    assert_eq!(bench.events(), [Event::MustAbort(Cause::Deadline)]);
}

#[test]
fn an_answer_that_the_coordinator_moved_leaves_the_commit_in_doubt() {
    let mut bench = Bench::open(Level::V1);
    bench.core.commit().unwrap();
    bench.answer(refused(ErrorCode::NotCoordinator));
    bench.core.handle_deadline();
    let events = bench.events();
    assert!(matches!(
        events[..],
        [Event::Ended {
            outcome: Outcome::Unknown(_),
            ..
        }]
    ));
}

#[test]
fn an_abort_resolves_a_commit_in_doubt_at_v1() {
    let (mut bench, token) = Bench::in_doubt(Level::V1);
    bench.core.resume(token, Complete::Abort).unwrap();
    let mut other = Bench {
        core: bench.core.clone(),
        now: bench.now,
    };
    let bump = Event::Bumping(Bump::InDoubt);
    assert_eq!(
        bench.answer(done(None)),
        [ended(ABORTED, None), bump.clone()]
    );
    let events = other.answer(refused(ErrorCode::InvalidTxnState));
    assert_eq!(events, [ended(COMMITTED, None), bump], "it had committed");
}

#[test]
fn an_abort_resolves_a_commit_in_doubt_at_v2() {
    let (mut bench, token) = Bench::in_doubt(Level::V2);
    bench.core.resume(token, Complete::Abort).unwrap();
    let mut other = Bench {
        core: bench.core.clone(),
        now: bench.now,
    };
    assert_eq!(
        bench.answer(done(Some(at(4)))),
        [ended(ABORTED, Some(at(4)))]
    );
    let events = other.answer(refused(ErrorCode::InvalidTxnState));
    assert_eq!(events, [ended(COMMITTED, None)], "it had committed");
    let (id, call) = other.call();
    assert_eq!(call, end_txn(ID, Complete::Commit, Level::V2));
    let (identity, level) = (at(4), Level::V2);
    let ready = Event::Ready { identity, level };
    assert_eq!(other.reply(id, done(Some(at(4)))), [ready]);
}

#[test]
fn fenced_while_in_doubt_is_unknown_for_good() {
    let mut bench = Bench::lost_commit(Level::V2);
    let events = bench.answer(refused(ErrorCode::ProducerFenced));
    assert!(matches!(
        events[..],
        [
            Event::Ended {
                outcome: Outcome::Unknown(_),
                next: None
            },
            Event::Fatal(Cause::Fenced { .. })
        ]
    ));
}

#[test]
fn a_commit_that_the_coordinator_timed_out_is_aborted_and_fatal() {
    let mut bench = Bench::lost_commit(Level::V2);
    let error = ErrorCode::InvalidTxnState;
    let fatal = Event::Fatal(fenced(Operation::EndTxn, error));
    assert_eq!(bench.answer(refused(error)), [ended(ABORTED, None), fatal]);
}

#[test]
fn a_transaction_in_doubt_can_be_left_to_its_fate() {
    let (mut bench, _) = Bench::in_doubt(Level::V1);
    bench.core.init().unwrap();
    assert_eq!(bench.core.clone().poll_call().unwrap().1, raise(None));
    bench.become_ready(at(4));
    bench.core.begin().unwrap();
}

#[test]
fn an_abort_gives_up_what_is_under_way_and_raises_the_epoch_at_v1() {
    let mut bench = Bench::open(Level::V1);
    bench.core.send_offsets(OFFSETS).unwrap();
    bench.answer(Reply::AddOffsets(ErrorCode::None));
    let (late, _) = bench.call();
    bench.core.abort().unwrap();
    assert_eq!(bench.core.unanswered(), 1);
    let events = bench.answer(done(None));
    assert_eq!(
        events,
        [ended(ABORTED, None), Event::Bumping(Bump::InDoubt)]
    );
    let sent = Reply::TxnOffsetCommit(vec![ErrorCode::None]);
    assert_eq!(bench.reply(late, sent), []);
}

#[test]
fn when_no_lost_addition_got_there_the_abort_finds_nothing() {
    let mut bench = Bench::ready(Level::V1);
    bench.core.begin().unwrap();
    bench.core.add_partition(part(0)).unwrap();
    bench.answer(Reply::Lost { sent: true });
    bench.core.abort().unwrap();
    let events = bench.answer(refused(ErrorCode::InvalidTxnState));
    assert_eq!(
        events,
        [ended(ABORTED, None), Event::Bumping(Bump::LostAdd)]
    );
}

#[test]
fn after_a_lost_addition_only_a_commit_resolves_a_commit_in_doubt() {
    let mut bench = Bench::ready(Level::V1);
    bench.core.begin().unwrap();
    bench.core.add_partition(part(0)).unwrap();
    bench.answer(Reply::Lost { sent: true });
    bench.pause();
    bench.answer(added(&[(0, ErrorCode::None)]));
    bench.core.commit().unwrap();
    bench.answer(Reply::Lost { sent: true });
    bench.core.handle_deadline();
    let events = bench.events();
    let Some(Event::Ended {
        outcome: Outcome::Unknown(token),
        ..
    }) = events.last()
    else {
        panic!("{events:?}");
    };
    let refused = bench.core.resume(*token, Complete::Abort);
    assert_eq!(refused, Err(Misuse::OnlyCommit));
    bench.core.resume(*token, Complete::Commit).unwrap();
}
