use super::*;

#[test]
fn an_empty_transaction_sends_nothing() {
    for level in [Level::V1, Level::V2] {
        let mut bench = Bench::ready(level);
        bench.core.begin().unwrap();
        bench.core.commit().unwrap();
        assert_eq!(bench.events(), [ended(COMMITTED, Some(ID))]);
        bench.core.begin().unwrap();
        bench.core.abort().unwrap();
        assert_eq!(bench.events(), [ended(ABORTED, Some(ID))]);
        assert_eq!(bench.core.poll_call(), None);
    }
}

#[test]
fn at_v1_the_identity_stays_and_at_v2_the_answer_brings_the_next() {
    for (level, next) in [(Level::V1, ID), (Level::V2, at(4))] {
        let mut bench = Bench::open(level);
        bench.core.commit().unwrap();
        assert_eq!(bench.core.identity(), None, "nothing more is stamped");
        let events = bench.answer(done(Some(at(4))));
        assert_eq!(events, [ended(COMMITTED, Some(next))]);
        bench.core.begin().unwrap();
        assert_eq!(bench.core.identity(), Some(next));
        assert!(!bench.core.may_send(&part(0)));
    }
}

#[test]
fn an_empty_transaction_at_v2_raises_the_epoch_if_a_batch_is_in_doubt() {
    let mut bench = Bench::ready(Level::V2);
    bench.core.begin().unwrap();
    let (because, fate) = (Because::Expired, Fate::MaybeWritten);
    bench.core.handle_batch_failed(because, fate);
    assert_eq!(bench.events(), [Event::MustAbort(Cause::Batch(because))]);
    bench.core.abort().unwrap();
    assert_eq!(bench.call().1, end_txn(ID, Complete::Abort, Level::V2));
}

#[test]
fn at_v1_a_batch_in_doubt_raises_the_epoch_after_the_abort() {
    let mut bench = Bench::open(Level::V1);
    bench
        .core
        .handle_batch_failed(Because::Expired, Fate::MaybeWritten);
    bench.core.abort().unwrap();
    bench.events();
    let events = bench.answer(done(None));
    assert_eq!(
        events,
        [ended(ABORTED, None), Event::Bumping(Bump::InDoubt)]
    );
    assert!(bench.core.begin().is_err());
    assert_eq!(bench.core.clone().poll_call().unwrap().1, raise(Some(ID)));
    bench.become_ready(at(4));
    bench.core.begin().unwrap();
}

#[test]
fn a_batch_that_was_not_written_raises_nothing() {
    let mut bench = Bench::open(Level::V1);
    let because = Because::Refused(ErrorCode::MessageTooLarge);
    bench.core.handle_batch_failed(because, Fate::NotWritten);
    assert!(bench.core.commit().is_err());
    bench.core.abort().unwrap();
    bench.events();
    assert_eq!(bench.answer(done(None)), [ended(ABORTED, Some(ID))]);
}

#[test]
fn an_invalid_epoch_on_produce_aborts_and_being_fenced_is_fatal() {
    let mut bench = Bench::open(Level::V1);
    let because = Because::Refused(ErrorCode::InvalidProducerEpoch);
    bench.core.handle_batch_failed(because, Fate::NotWritten);
    assert_eq!(bench.state(), State::MustAbort);
    let fatal = Because::Refused(ErrorCode::ProducerFenced);
    bench.core.handle_batch_failed(fatal, Fate::NotWritten);
    assert_eq!(bench.state(), State::Fatal);
}

#[test]
fn below_2_5_a_needed_bump_ends_the_producer_after_the_abort() {
    let mut bench = Bench::open(Level::V1);
    bench
        .core
        .handle_batch_failed(Because::Expired, Fate::MaybeWritten);
    bench.core.abort().unwrap();
    bench.answer(done(None));
    let events = bench.answer(Reply::Unsupported);
    assert_eq!(events, [Event::Fatal(Cause::BumpUnsupported)]);
    assert_eq!(bench.core.poll_call(), None);
}

#[test]
fn below_2_5_an_optional_bump_is_left_out() {
    let mut bench = Bench::ready(Level::V1);
    bench.core.begin().unwrap();
    bench.core.add_partition(part(0)).unwrap();
    bench.answer(Reply::Lost { sent: true });
    bench.pause();
    bench.answer(added(&[(0, ErrorCode::None)]));
    bench.core.commit().unwrap();
    let events = bench.answer(done(None));
    assert_eq!(
        events,
        [ended(COMMITTED, None), Event::Bumping(Bump::LostAdd)]
    );
    let (identity, level) = (ID, Level::V1);
    let ready = Event::Ready { identity, level };
    assert_eq!(bench.answer(Reply::Unsupported), [ready]);
}

#[test]
fn an_expired_producer_id_is_renewed_without_end_txn() {
    for level in [Level::V1, Level::V2] {
        let mut bench = Bench::open(level);
        bench.core.commit().unwrap();
        let events = bench.answer(refused(ErrorCode::InvalidProducerIdMapping));
        assert!(matches!(
            events[..],
            [Event::MustAbort(Cause::Expired { .. })]
        ));
        bench.core.abort().unwrap();
        let expected = [ended(ABORTED, None), Event::Bumping(Bump::Expired)];
        assert_eq!(bench.events(), expected);
        assert_eq!(bench.call().1, raise(Some(ID)));
    }
}

#[test]
fn fenced_at_any_coordinator_is_fatal_and_final() {
    for error in [ErrorCode::ProducerFenced, ErrorCode::InvalidProducerEpoch] {
        let mut bench = Bench::open(Level::V1);
        bench.core.commit().unwrap();
        let cause = fenced(Operation::EndTxn, error);
        let expected = [ended(ABORTED, None), Event::Fatal(cause)];
        assert_eq!(bench.answer(refused(error)), expected);
        assert!(bench.core.init().is_err() && bench.core.begin().is_err());

        let mut bench = Bench::new(Config::default(), Level::V1);
        bench.core.init().unwrap();
        let cause = fenced(Operation::InitProducerId, error);
        assert_eq!(bench.answer(init_refused(error)), [Event::Fatal(cause)]);
    }
}

#[test]
fn abortable_on_commit_is_fatal_on_abort() {
    let error = ErrorCode::TransactionAbortable;
    let operation = Operation::EndTxn;
    let cause = Cause::Refused { operation, error };
    let mut bench = Bench::open(Level::V2);
    bench.core.commit().unwrap();
    assert_eq!(bench.answer(refused(error)), [Event::MustAbort(cause)]);
    bench.core.abort().unwrap();
    assert_eq!(bench.answer(refused(error)), [Event::Fatal(cause)]);
}

#[test]
fn initialising_goes_on_until_there_is_an_answer() {
    let mut bench = Bench::new(Config::default(), Level::V1);
    bench.core.init().unwrap();
    bench.core.handle_deadline();
    for error in [
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::ConcurrentTransactions,
        ErrorCode::NotCoordinator,
    ] {
        bench.answer(init_refused(error));
        bench.pause();
    }
    bench.answer(Reply::Lost { sent: false });
    bench.pause();
    bench.become_ready(ID);
}

#[test]
fn an_unauthorised_transactional_id_is_fatal() {
    let error = ErrorCode::TransactionalIdAuthorizationFailed;
    let mut bench = Bench::new(Config::default(), Level::V1);
    bench.core.init().unwrap();
    let operation = Operation::InitProducerId;
    let cause = Cause::Unauthorized { operation, error };
    assert_eq!(bench.answer(init_refused(error)), [Event::Fatal(cause)]);
}

#[test]
fn misuse_names_the_command_and_the_state() {
    let mut bench = Bench::ready(Level::V1);
    let misuse = bench.core.commit().unwrap_err();
    assert_eq!(misuse.to_string(), "cannot commit: no transaction is open");
    let misuse = bench.core.add_partition(part(0)).unwrap_err();
    assert_eq!(
        misuse.to_string(),
        "cannot send records: no transaction is open"
    );
}
