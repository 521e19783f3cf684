use super::*;

#[test]
fn partitions_are_added_together_and_each_once() {
    let mut bench = Bench::ready(Level::V1);
    bench.core.begin().unwrap();
    for index in [1, 0, 1] {
        bench.core.add_partition(part(index)).unwrap();
    }
    let (id, call) = bench.call();
    let partitions = vec![part(0), part(1)];
    let identity = ID;
    assert_eq!(
        call,
        Call::AddPartitions {
            identity,
            partitions
        }
    );
    bench.core.add_partition(part(2)).unwrap();
    assert_eq!(bench.core.poll_call(), None, "one call at a time");
    assert!(!bench.core.may_send(&part(0)));
    let none = ErrorCode::None;
    bench.reply(id, added(&[(0, none), (1, none)]));
    assert!(bench.core.may_send(&part(0)) && !bench.core.may_send(&part(2)));
    bench.answer(added(&[(2, none)]));
    assert!(bench.core.may_send(&part(2)));
    assert_eq!(bench.core.poll_call(), None);
}

#[test]
fn at_v2_a_partition_needs_no_call() {
    let mut bench = Bench::open(Level::V2);
    assert_eq!(bench.core.poll_call(), None);
    assert_eq!(bench.events(), []);
}

#[test]
fn while_markers_are_written_the_call_is_repeated_after_20_ms() {
    let mut bench = Bench::ready(Level::V1);
    bench.core.begin().unwrap();
    bench.core.add_partition(part(0)).unwrap();
    bench.answer(added(&[(0, ErrorCode::ConcurrentTransactions)]));
    assert_eq!(bench.core.poll_call(), None);
    assert_eq!(bench.pause(), Duration::from_millis(20));
    bench.answer(added(&[(0, ErrorCode::None)]));
    assert!(bench.core.may_send(&part(0)));
}

#[test]
fn a_coordinator_that_moved_is_looked_up_again() {
    for error in [
        ErrorCode::NotCoordinator,
        ErrorCode::CoordinatorNotAvailable,
    ] {
        let mut bench = Bench::ready(Level::V1);
        bench.core.begin().unwrap();
        bench.core.add_partition(part(0)).unwrap();
        let events = bench.answer(added(&[(0, error)]));
        assert_eq!(events, [Event::Moved(Coordinator::Transaction)]);
        assert_eq!(bench.pause(), Duration::from_millis(80), "the backoff");
        bench.call();
    }
}

#[test]
fn an_unauthorised_topic_means_abort_and_what_was_refused_with_it_sends_no_end_txn() {
    let mut bench = Bench::ready(Level::V1);
    bench.core.begin().unwrap();
    bench.core.add_partition(part(0)).unwrap();
    bench.core.add_partition(part(1)).unwrap();
    let error = ErrorCode::TopicAuthorizationFailed;
    let events = bench.answer(added(&[(0, error), (1, ErrorCode::OperationNotAttempted)]));
    let operation = Operation::AddPartitions;
    let cause = Cause::Unauthorized { operation, error };
    assert_eq!(events, [Event::MustAbort(cause)]);
    assert!(bench.core.commit().is_err() && bench.core.identity().is_none());
    bench.core.abort().unwrap();
    assert_eq!(bench.events(), [ended(ABORTED, Some(ID))]);
}

#[test]
fn answers_that_name_no_partition_are_asked_again_with_a_pause() {
    let mut bench = Bench::ready(Level::V1);
    bench.core.begin().unwrap();
    bench.core.add_partition(part(0)).unwrap();
    for _ in 0..3 {
        bench.answer(added(&[(9, ErrorCode::None)]));
        assert_eq!(bench.core.poll_call(), None);
        bench.pause();
    }
}

#[test]
fn offsets_take_two_calls_at_v1_and_one_at_v2() {
    for level in [Level::V1, Level::V2] {
        let mut bench = Bench::open(level);
        bench.core.send_offsets(OFFSETS).unwrap();
        if level == Level::V1 {
            let (id, call) = bench.call();
            let (identity, offsets) = (ID, OFFSETS);
            assert_eq!(call, Call::AddOffsets { identity, offsets });
            bench.reply(id, Reply::AddOffsets(ErrorCode::None));
        }
        bench.core.commit().unwrap();
        let (id, call) = bench.call();
        assert_eq!(
            call,
            Call::TxnOffsetCommit {
                identity: ID,
                offsets: OFFSETS,
                level
            }
        );
        assert_eq!(bench.core.poll_call(), None, "the commit waits");
        let events = bench.reply(id, Reply::TxnOffsetCommit(vec![ErrorCode::None]));
        assert_eq!(events, [Event::OffsetsSent(OFFSETS)]);
        assert_eq!(bench.call().1, end_txn(ID, Complete::Commit, level));
    }
}

#[test]
fn a_member_that_its_group_left_behind_cannot_commit() {
    for error in [
        ErrorCode::FencedInstanceId,
        ErrorCode::IllegalGeneration,
        ErrorCode::UnknownMemberId,
        ErrorCode::StaleMemberEpoch,
    ] {
        let mut bench = Bench::open(Level::V2);
        bench.core.send_offsets(OFFSETS).unwrap();
        bench.core.commit().unwrap();
        let events = bench.answer(Reply::TxnOffsetCommit(vec![ErrorCode::None, error]));
        assert_eq!(events, [Event::MustAbort(Cause::CommitFailed(error))]);
        assert_eq!(bench.state(), State::MustAbort, "the commit is off");
        assert_eq!(bench.core.poll_call(), None);
    }
}

#[test]
fn the_groups_coordinator_has_its_own_pace() {
    let mut bench = Bench::open(Level::V1);
    bench.core.send_offsets(OFFSETS).unwrap();
    bench.answer(Reply::AddOffsets(ErrorCode::None));
    let unstable = Reply::TxnOffsetCommit(vec![ErrorCode::UnstableOffsetCommit]);
    assert_eq!(bench.answer(unstable), []);
    bench.core.add_partition(part(1)).unwrap();
    bench.answer(added(&[(1, ErrorCode::None)]));
    bench.pause();
    let moved = Reply::TxnOffsetCommit(vec![ErrorCode::NotCoordinator]);
    let events = bench.answer(moved);
    assert_eq!(events, [Event::Moved(Coordinator::Group(OFFSETS))]);
}

#[test]
fn offsets_after_lost_offsets_could_be_overtaken() {
    let mut bench = Bench::open(Level::V2);
    bench.core.send_offsets(OFFSETS).unwrap();
    bench.answer(Reply::Lost { sent: true });
    bench.pause();
    let events = bench.answer(Reply::TxnOffsetCommit(vec![ErrorCode::None]));
    assert_eq!(events, [Event::OffsetsSent(OFFSETS)]);
    bench.core.send_offsets(OffsetsId(6)).unwrap();
    assert_eq!(bench.events(), [Event::MustAbort(Cause::OffsetsInDoubt)]);
}
