//! Two-phase commit (KIP-939), which brokers offer with a flag.

use std::time::Duration;

use milena_broker::TransactionState;
use milena_producer::{
    BeginError, CommitError, Complete, Record, Token, TransactionConfig, TransactionalProducer,
};
use tokio::time::sleep;

use crate::world::{BOTH, World, attempt, commit, hasty, write};

async fn world(level: i16) -> World {
    let change = |settings: &mut milena_broker::ClusterSettings| settings.two_phase_commit = true;
    World::build(|builder| builder.transaction_version(level).settings(change)).await
}

fn producer(world: &World) -> TransactionalProducer {
    let mut transactions = TransactionConfig::new("id");
    transactions.two_phase_commit = true;
    transactions.transaction_timeout = Duration::from_secs(5);
    world.configured(hasty(), &transactions)
}

async fn prepared(producer: &TransactionalProducer) -> Token {
    let transaction = producer.begin().await.unwrap();
    write(&transaction, "x").await;
    drop(
        transaction
            .send(Record::to("t").value("y").partition(0))
            .await,
    );
    let prepared = transaction.prepare().await.unwrap();
    prepared.leave()
}

#[tokio::test(start_paused = true)]
async fn a_prepared_transaction_is_committed_or_aborted_here() {
    for level in BOTH {
        let world = world(level).await;
        let producer = producer(&world);
        for (value, commits) in [("a", true), ("b", false), ("c", true)] {
            let transaction = producer.begin().await.unwrap();
            write(&transaction, value).await;
            let prepared = transaction.prepare().await.unwrap();
            // It has no end at the broker.
            sleep(Duration::from_secs(3_600)).await;
            if commits {
                prepared.commit().await.unwrap();
            } else {
                prepared.abort().await.unwrap();
            }
        }
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "dropped").await;
        drop(transaction.prepare().await.unwrap());
        commit(&producer, "d").await;
        world.assert_committed(&["a", "c", "d"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_producer_completes_what_was_prepared_by_its_token() {
    for level in BOTH {
        for complete in [Complete::Commit, Complete::Abort] {
            let world = world(level).await;
            let old = producer(&world);
            let token = prepared(&old).await;
            old.close(crate::world::within(5)).await;
            drop(old);
            sleep(Duration::from_secs(600)).await;
            let state = world.transaction("id").state;
            assert_eq!(state, TransactionState::Ongoing, "it was left");
            let new = producer(&world);
            let text = token.to_string().parse().unwrap();
            assert_eq!(new.resume(text, complete).await.unwrap(), complete);
            commit(&new, "z").await;
            sleep(Duration::from_secs(1)).await;
            let expected: &[&str] = match complete {
                Complete::Commit => &["x", "y", "z"],
                Complete::Abort => &["z"],
            };
            assert_eq!(world.committed(0), expected, "version {level}");
        }
    }
}

/// A released broker knows no KeepPreparedTxn: whoever initialises first has aborted it.
#[tokio::test(start_paused = true)]
async fn a_producer_that_begins_instead_aborts_what_was_prepared() {
    for level in BOTH {
        let world = world(level).await;
        let token = prepared(&producer(&world)).await;
        let new = producer(&world);
        commit(&new, "z").await;
        let late = producer(&world);
        let ended = late.resume(token, Complete::Commit).await;
        assert!(!matches!(ended, Ok(Complete::Commit)), "{ended:?}");
        world.assert_committed(&["z"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_without_the_flag_refuses_it_and_others_cannot_prepare() {
    for level in BOTH {
        let world = World::start(level).await;
        let error = producer(&world).begin().await.unwrap_err();
        assert!(matches!(error, BeginError::Fatal(_)), "{error}");
        let plain = world.hasty("plain");
        let transaction = plain.begin().await.unwrap();
        write(&transaction, "x").await;
        let error = transaction.prepare().await.unwrap_err();
        assert!(matches!(error, CommitError::Misuse(_)), "{error}");
        attempt(&plain, 1).await.unwrap();
        world.assert_committed(&["1"]).await;
    }
}
