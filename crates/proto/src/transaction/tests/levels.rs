use super::*;

#[test]
fn an_upgrade_waits_for_the_transaction_and_for_init_producer_id() {
    let mut bench = Bench::open(Level::V1);
    bench.core.handle_level(Level::V2);
    assert_eq!(bench.core.level(), Level::V1);
    bench.core.commit().unwrap();
    let (id, call) = bench.call();
    assert_eq!(call, end_txn(ID, Complete::Commit, Level::V1));
    let events = bench.reply(id, done(None));
    assert_eq!(
        events,
        [ended(COMMITTED, None), Event::Bumping(Bump::Level)]
    );
    assert_eq!(bench.core.level(), Level::V1);
    bench.become_ready(at(4));
    assert_eq!(bench.core.level(), Level::V2);
}

#[test]
fn an_upgrade_between_transactions_raises_the_epoch_at_once() {
    let mut bench = Bench::ready(Level::V1);
    bench.core.handle_level(Level::V2);
    assert_eq!(bench.events(), [Event::Bumping(Bump::Level)]);
    bench.become_ready(at(4));
}

#[test]
fn a_downgrade_needs_no_call() {
    let mut bench = Bench::open(Level::V2);
    bench.core.handle_level(Level::V1);
    bench.core.commit().unwrap();
    let (id, call) = bench.call();
    assert_eq!(call, end_txn(ID, Complete::Commit, Level::V2));
    let events = bench.reply(id, done(Some(at(4))));
    assert_eq!(events, [ended(COMMITTED, Some(at(4)))]);
    assert_eq!(bench.core.level(), Level::V1);
}

#[test]
fn a_level_that_changes_back_in_time_changes_nothing() {
    let mut bench = Bench::open(Level::V1);
    bench.core.handle_level(Level::V2);
    bench.core.handle_level(Level::V1);
    bench.core.commit().unwrap();
    assert_eq!(bench.answer(done(None)), [ended(COMMITTED, Some(ID))]);
}
