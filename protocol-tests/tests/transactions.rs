//! Transactions on the embedded broker, on a paused clock, with both transaction versions.

#[path = "transactions/cancel.rs"]
mod cancel;
#[path = "transactions/chaos.rs"]
mod chaos;
#[path = "transactions/cluster.rs"]
mod cluster;
#[path = "transactions/ending.rs"]
mod ending;
#[path = "transactions/fencing.rs"]
mod fencing;
#[path = "transactions/history.rs"]
mod history;
#[path = "transactions/levels.rs"]
mod levels;
#[path = "transactions/recovering.rs"]
mod recovering;
#[path = "transactions/refused.rs"]
mod refused;
#[path = "transactions/sending.rs"]
mod sending;
#[path = "transactions/trouble.rs"]
mod trouble;
#[path = "transactions/two_phase.rs"]
mod two_phase;
#[path = "transactions/world.rs"]
mod world;

use std::time::Duration;

use milena_broker::Verdict;
use milena_codec::ApiKey;
use milena_producer::{
    BeginError, CommitError, Complete, ConsumedOffset, ErrorCode, GroupMetadata, Record, SendError,
};

use world::{BOTH, World, within, write};

#[tokio::test(start_paused = true)]
async fn committed_records_are_seen_and_aborted_ones_are_not() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.producer("id");
        for round in 0..5 {
            let transaction = producer.begin().await.unwrap();
            write(&transaction, &format!("a{round}")).await;
            assert!(!world.committed(0).contains(&format!("a{round}")));
            transaction.commit().await.unwrap();
            let transaction = producer.begin().await.unwrap();
            write(&transaction, &format!("b{round}")).await;
            transaction.abort().await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        for partition in 0..2 {
            assert_eq!(world.committed(partition), ["a0", "a1", "a2", "a3", "a4"]);
            assert_eq!(world.written(partition).len(), 10, "version {level}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn commit_delivers_what_was_only_accepted() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.producer("id");
        let transaction = producer.begin().await.unwrap();
        let mut receipts = Vec::new();
        for number in 0..100_i32 {
            let value = number.to_string();
            let record = Record::to("t").value(&value).partition(number % 2);
            receipts.push(transaction.send(record).await.unwrap());
        }
        transaction.commit().await.unwrap();
        for receipt in receipts {
            assert!(receipt.outcome().unwrap().is_ok());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.committed(0).len() + world.committed(1).len(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_transaction_asks_the_coordinator_for_nothing() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.producer("id");
        for _ in 0..3 {
            producer.begin().await.unwrap().commit().await.unwrap();
            producer.begin().await.unwrap().abort().await.unwrap();
        }
        assert_eq!(world.requests(ApiKey::EndTxn), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_transaction_is_aborted_before_the_next_begins() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.producer("id");
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "lost").await;
        let unsent = transaction.send(Record::to("t").value("unsent")).await;
        assert!(matches!(
            producer.begin().await.unwrap_err(),
            BeginError::Open
        ));
        drop(transaction);
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "kept").await;
        transaction.commit().await.unwrap();
        drop(unsent);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.committed(0), ["kept"]);
        assert_eq!(world.committed(1), ["kept"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_producer_with_an_id_fences_the_first() {
    for level in BOTH {
        let world = World::start(level).await;
        let old = world.producer("id");
        let zombie = old.begin().await.unwrap();
        write(&zombie, "zombie").await;
        let new = world.producer("id");
        let transaction = new.begin().await.unwrap();
        write(&transaction, "new").await;
        let error = zombie.commit().await.unwrap_err();
        assert!(matches!(error, CommitError::Fatal(_)), "{error}");
        let error = old.begin().await.unwrap_err();
        assert!(matches!(error, BeginError::Fatal(_)), "{error}");
        transaction.commit().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.committed(0), ["new"]);
    }
}

#[tokio::test(start_paused = true)]
async fn offsets_are_committed_with_the_transaction_or_not_at_all() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.producer("id");
        let offsets = |offset| [ConsumedOffset::new("t", 0, offset)];
        let transaction = producer.begin().await.unwrap();
        let group = || GroupMetadata::new("g");
        transaction.send_offsets(group(), offsets(5)).await.unwrap();
        transaction.commit().await.unwrap();
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "x").await;
        transaction.send_offsets(group(), offsets(9)).await.unwrap();
        transaction.abort().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.committed_offset("g").await, 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_makes_the_commit_fail_and_the_next_transaction_works() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.producer("id");
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "first").await;
        world.broker.with_model(|model| {
            model.fault_next(ApiKey::Produce, 1, Verdict::Error(ErrorCode::InvalidRecord));
        });
        let receipt = transaction
            .send(Record::to("t").value("bad"))
            .await
            .unwrap();
        receipt.await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let refused = transaction.send(Record::to("t").value("more")).await;
        assert!(matches!(refused, Err(SendError::Transaction(_))));
        let error = transaction.commit().await.unwrap_err();
        assert!(matches!(error, CommitError::NotCommitted(_)), "{error}");
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "second").await;
        transaction.commit().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.committed(0), ["second"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_commit_is_unknown_and_its_token_resolves_it() {
    for level in BOTH {
        for applied in [true, false] {
            let world = World::start(level).await;
            let producer = world.producer("id");
            let transaction = producer.begin().await.unwrap();
            write(&transaction, "x").await;
            let verdict = if applied {
                Verdict::ApplyThenDisconnect
            } else {
                Verdict::Disconnect
            };
            world.broker.faults(move |request| match request.api {
                ApiKey::EndTxn => verdict,
                _ => Verdict::Pass,
            });
            let error = transaction.commit_by(within(5)).await.unwrap_err();
            let CommitError::Unknown(token) = error else {
                panic!("{error}");
            };
            assert!(matches!(
                producer.begin().await.unwrap_err(),
                BeginError::InDoubt(_)
            ));
            world.broker.faults(|_| Verdict::Pass);
            let token = token.to_string().parse().unwrap();
            let ended = producer.resume(token, Complete::Commit).await.unwrap();
            assert_eq!(ended, Complete::Commit);
            let transaction = producer.begin().await.unwrap();
            write(&transaction, "y").await;
            transaction.commit().await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(world.committed(0), ["x", "y"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_moves_is_followed() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.producer("id");
        for round in 0..12 {
            let transaction = producer.begin().await.unwrap();
            write(&transaction, &round.to_string()).await;
            world
                .broker
                .with_model(|model| model.move_transaction_coordinator("id", round % 3 + 1))
                .unwrap();
            transaction.commit().await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.committed(1).len(), 12);
    }
}
