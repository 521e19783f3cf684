//! Every future of transactions, dropped at every poll (row R11); closing.

use std::time::Duration;

use milena_producer::{
    BeginError, ConsumedOffset, GroupMetadata, Record, Transaction, TransactionalProducer,
};
use protocol_tests::cancel::{Drop, dropped_after};
use tokio::time::sleep;

use crate::world::{BOTH, World, commit, within, write};

/// Calls `once` with more and more polls until the future in it gets ready, at both levels and with
/// both ways to drop it.
macro_rules! sweep {
    (|$world:ident, $producer:ident, $polls:ident, $how:ident| $once:expr, at least $least:literal polls) => {
        for level in BOTH {
            for $how in Drop::ALL {
                let mut $polls = 0;
                loop {
                    let $world = World::start(level).await;
                    let $producer = $world.hasty("id");
                    if $once.is_some() {
                        break;
                    }
                    $polls += 1;
                    assert!($polls < 100, "it never gets ready");
                }
                assert!($polls >= $least, "{} polls only", $polls);
            }
        }
    };
}

async fn begin_writing(producer: &TransactionalProducer, value: &str) -> Transaction {
    let transaction = producer.begin().await.unwrap();
    write(&transaction, value).await;
    transaction
}

#[tokio::test(start_paused = true)]
async fn a_begin_that_is_dropped_begins_nothing() {
    sweep!(|world, producer, polls, how| {
        let begun = dropped_after(producer.begin(), polls, how).await;
        let ready = begun.map(|begun| drop(begun.unwrap()));
        commit(&producer, "1").await;
        world.assert_committed(&["1"]).await;
        ready
    }, at least 1 polls);
}

#[tokio::test(start_paused = true)]
async fn an_init_that_is_dropped_goes_on() {
    sweep!(|world, producer, polls, how| {
        let ready = dropped_after(producer.init(), polls, how).await;
        commit(&producer, "1").await;
        world.assert_committed(&["1"]).await;
        ready.map(Result::unwrap)
    }, at least 1 polls);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_dropped_goes_on_once_it_was_polled() {
    sweep!(|world, producer, polls, how| {
        let transaction = begin_writing(&producer, "1").await;
        // Lingers, so that the commit has to wait for it.
        drop(transaction.send(Record::to("t").value("2").partition(0)).await.unwrap());
        let ready = dropped_after(transaction.commit(), polls, how).await;
        commit(&producer, "3").await;
        sleep(Duration::from_secs(1)).await;
        let expected: &[&str] = if polls == 0 { &["3"] } else { &["1", "2", "3"] };
        assert_eq!(world.committed(0), expected, "{polls} polls");
        ready.map(Result::unwrap)
    }, at least 1 polls);
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_is_dropped_goes_on() {
    sweep!(|world, producer, polls, how| {
        let transaction = begin_writing(&producer, "1").await;
        let ready = dropped_after(transaction.abort(), polls, how).await;
        commit(&producer, "2").await;
        world.assert_committed(&["2"]).await;
        ready.map(Result::unwrap)
    }, at least 1 polls);
}

#[tokio::test(start_paused = true)]
async fn offsets_whose_future_is_dropped_are_part_of_the_transaction_once_it_was_polled() {
    sweep!(|world, producer, polls, how| {
        commit(&producer, "0").await;
        let transaction = begin_writing(&producer, "1").await;
        let offset = ConsumedOffset::new("t", 0, 7);
        let sent = transaction.send_offsets(GroupMetadata::new("g"), [offset]);
        let ready = dropped_after(sent, polls, how).await;
        transaction.commit().await.unwrap();
        world.assert_committed(&["0", "1"]).await;
        let expected = if polls == 0 { -1 } else { 7 };
        assert_eq!(world.committed_offset("g").await, expected);
        ready.map(Result::unwrap)
    }, at least 1 polls);
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_sends_nothing() {
    sweep!(|world, producer, polls, how| {
        let transaction = producer.begin().await.unwrap();
        let record = Record::to("t").value("1").partition(0);
        let sent = dropped_after(transaction.send(record), polls, how).await;
        let ready = sent.map(|sent| drop(sent.unwrap()));
        transaction.commit().await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.committed(0).len(), usize::from(ready.is_some()));
        ready
    }, at least 1 polls);
}

#[tokio::test(start_paused = true)]
async fn a_prepare_that_is_dropped_aborts() {
    for level in BOTH {
        for how in Drop::ALL {
            for polls in 0..100 {
                let world = World::build(|builder| {
                    builder
                        .transaction_version(level)
                        .settings(|settings| settings.two_phase_commit = true)
                });
                let world = world.await;
                let mut config = milena_producer::TransactionConfig::new("id");
                config.two_phase_commit = true;
                let producer = world.configured(crate::world::hasty(), &config);
                let transaction = begin_writing(&producer, "1").await;
                drop(
                    transaction
                        .send(Record::to("t").value("1").partition(0))
                        .await,
                );
                let prepared = dropped_after(transaction.prepare(), polls, how).await;
                let ready = prepared.map(|prepared| drop(prepared.unwrap()));
                commit(&producer, "2").await;
                world.assert_committed(&["2"]).await;
                if ready.is_some() {
                    break;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_aborts_the_transaction_that_is_open() {
    for level in BOTH {
        for keeps in [true, false] {
            let world = World::start(level).await;
            let producer = world.hasty("id");
            let transaction = begin_writing(&producer, "1").await;
            let kept = keeps.then_some(transaction);
            let begun = tokio::time::Instant::now();
            let report = producer.close(within(5)).await;
            assert!(begun.elapsed() <= Duration::from_secs(5));
            assert!(report.is_success(), "{report:?}");
            let error = producer.begin().await.unwrap_err();
            assert!(matches!(error, BeginError::Closed), "{error}");
            drop(kept);
            commit(&world.hasty("id"), "2").await;
            world.assert_committed(&["2"]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_for_a_commit_that_goes_on() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        let transaction = begin_writing(&producer, "1").await;
        let (committed, _) = tokio::join!(transaction.commit(), producer.close(within(5)));
        committed.unwrap();
        world.assert_committed(&["1"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_dropped_leaves_it_closed_and_aborts() {
    sweep!(|world, producer, polls, how| {
        let transaction = begin_writing(&producer, "1").await;
        drop(transaction);
        let ready = dropped_after(producer.close(within(5)), polls, how).await;
        if polls > 0 {
            let error = producer.begin().await.unwrap_err();
            assert!(matches!(error, BeginError::Closed), "{error}");
        }
        drop(producer);
        commit(&world.hasty("id"), "2").await;
        world.assert_committed(&["2"]).await;
        ready
    }, at least 1 polls);
}

#[tokio::test(start_paused = true)]
async fn a_resume_that_is_dropped_goes_on() {
    use milena_broker::Verdict;
    use milena_codec::ApiKey;
    use milena_producer::{CommitError, Complete};
    sweep!(|world, producer, polls, how| {
        let transaction = begin_writing(&producer, "1").await;
        world.every(ApiKey::EndTxn, Verdict::Disconnect);
        let error = transaction.commit_by(within(2)).await.unwrap_err();
        world.heal();
        let CommitError::Unknown(token) = error else { panic!("{error}") };
        let resumed = producer.resume(token, Complete::Commit);
        let ready = dropped_after(resumed, polls, how).await;
        if polls == 0 {
            producer.abandon().await.unwrap();
        }
        commit(&producer, "2").await;
        let expected: &[&str] = if polls == 0 { &["2"] } else { &["1", "2"] };
        world.assert_committed(expected).await;
        ready.map(Result::unwrap)
    }, at least 1 polls);
}
