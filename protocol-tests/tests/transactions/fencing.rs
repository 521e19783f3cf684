//! Another producer has the transactional id, or the coordinator thinks so.

use std::time::Duration;

use milena_broker::TransactionState;
use milena_producer::{
    BeginError, CommitError, ConsumedOffset, ErrorCode, GroupMetadata, OffsetsError, Record,
    SendError, Transaction, TransactionCause, TransactionConfig, TransactionalProducer,
};
use tokio::time::sleep;

use crate::world::{BOTH, World, attempt, commit, hasty, write};

/// A transaction whose producer has been fenced meanwhile by the second one.
async fn fenced(world: &World) -> (TransactionalProducer, Transaction, TransactionalProducer) {
    let old = world.hasty("id");
    let zombie = old.begin().await.unwrap();
    write(&zombie, "zombie").await;
    let new = world.hasty("id");
    new.init().await.unwrap();
    (old, zombie, new)
}

async fn assert_ended(old: &TransactionalProducer) {
    let error = old.begin().await.unwrap_err();
    let BeginError::Fatal(cause) = &error else {
        panic!("{error}");
    };
    assert!(
        matches!(**cause, TransactionCause::Fenced { .. }),
        "{error}"
    );
}

/// Scenario 27: `testFencingOnSend`. INVALID_PRODUCER_EPOCH on Produce only aborts; the abort is
/// what tells that it is fenced.
#[tokio::test(start_paused = true)]
async fn a_zombie_that_sends_is_fenced() {
    for level in BOTH {
        let world = World::start(level).await;
        let (old, zombie, new) = fenced(&world).await;
        let receipt = zombie
            .send(Record::to("t").value("late").partition(0))
            .await;
        receipt.unwrap().await.unwrap_err();
        let error = zombie.commit().await.unwrap_err();
        let fatal = matches!(error, CommitError::NotCommitted(_) | CommitError::Fatal(_));
        assert!(fatal, "{error}");
        assert_ended(&old).await;
        commit(&new, "new").await;
        world.assert_committed(&["new"]).await;
    }
}

/// Scenario 27: `testFencingOnCommit`.
#[tokio::test(start_paused = true)]
async fn a_zombie_that_commits_is_fenced() {
    for level in BOTH {
        let world = World::start(level).await;
        let (old, zombie, new) = fenced(&world).await;
        let error = zombie.commit().await.unwrap_err();
        assert!(matches!(error, CommitError::Fatal(_)), "{error}");
        assert_ended(&old).await;
        commit(&new, "new").await;
        world.assert_committed(&["new"]).await;
    }
}

/// Scenario 28: `fenced_abort`.
#[tokio::test(start_paused = true)]
async fn a_zombie_that_aborts_harms_nobody() {
    for level in BOTH {
        let world = World::start(level).await;
        let (old, zombie, new) = fenced(&world).await;
        let transaction = new.begin().await.unwrap();
        write(&transaction, "new").await;
        // Nothing of it is committed, which is all that it says.
        zombie.abort().await.unwrap();
        assert_ended(&old).await;
        transaction.commit().await.unwrap();
        world.assert_committed(&["new"]).await;
    }
}

/// Scenario 27: `testFencingOnSendOffsets`.
#[tokio::test(start_paused = true)]
async fn a_zombie_that_sends_offsets_is_fenced() {
    for level in BOTH {
        let world = World::start(level).await;
        attempt(&world.hasty("id"), 1).await.unwrap();
        let (old, zombie, new) = fenced(&world).await;
        let offset = ConsumedOffset::new("t", 0, 99);
        let sent = zombie.send_offsets(GroupMetadata::new("g"), [offset]).await;
        assert!(matches!(sent, Err(OffsetsError::Failed(_))), "{sent:?}");
        let error = zombie.commit().await.unwrap_err();
        assert!(matches!(error, CommitError::Fatal(_)), "{error}");
        assert_ended(&old).await;
        attempt(&new, 2).await.unwrap();
        world.assert_committed(&["1", "2"]).await;
        assert_eq!(world.committed_offset("g").await, 2);
    }
}

/// Scenario 27: `testFencingOnAddPartitions`.
#[tokio::test(start_paused = true)]
async fn a_zombie_that_goes_to_another_partition_is_fenced() {
    for level in BOTH {
        let world = World::start(level).await;
        let old = world.hasty("id");
        let zombie = old.begin().await.unwrap();
        let record = Record::to("t").value("zombie").partition(0);
        zombie.send(record).await.unwrap().await.unwrap();
        let new = world.hasty("id");
        new.init().await.unwrap();
        let record = Record::to("t").value("zombie").partition(1);
        zombie.send(record).await.unwrap().await.unwrap_err();
        zombie.commit().await.unwrap_err();
        assert_ended(&old).await;
        commit(&new, "new").await;
        world.assert_committed(&["new"]).await;
    }
}

/// Scenario 27: `testFencingOnTransactionExpiration`.
#[tokio::test(start_paused = true)]
async fn a_transaction_that_was_open_too_long_is_not_committed() {
    for level in BOTH {
        for sends in [true, false] {
            let world = World::start(level).await;
            let mut transactions = TransactionConfig::new("id");
            transactions.transaction_timeout = Duration::from_secs(5);
            let producer = world.configured(hasty(), &transactions);
            let transaction = producer.begin().await.unwrap();
            write(&transaction, "late").await;
            sleep(Duration::from_secs(30)).await;
            let state = world.transaction("id").state;
            assert_eq!(state, TransactionState::CompleteAbort);
            if sends {
                let record = Record::to("t").value("more").partition(0);
                transaction.send(record).await.unwrap().await.unwrap_err();
            }
            let error = transaction.commit().await.unwrap_err();
            assert!(!matches!(error, CommitError::Unknown(_)), "{error}");
            if level == 2 && sends {
                // The abort that follows the refused batch learns the next epoch (KIP-890).
                commit(&producer, "new").await;
            } else {
                assert_ended(&producer).await;
                commit(&world.hasty("id"), "new").await;
            }
            world.assert_committed(&["new"]).await;
        }
    }
}

/// Scenario 27: a producer that has done nothing since it was fenced notices at its next step.
#[tokio::test(start_paused = true)]
async fn an_idle_zombie_is_fenced_by_its_next_transaction() {
    for level in BOTH {
        let world = World::start(level).await;
        let old = world.hasty("id");
        commit(&old, "old").await;
        let new = world.hasty("id");
        commit(&new, "new").await;
        let zombie = old.begin().await.unwrap();
        let record = Record::to("t").value("zombie").partition(0);
        if let Ok(receipt) = zombie.send(record).await {
            receipt.await.unwrap_err();
        }
        zombie.commit().await.unwrap_err();
        assert_ended(&old).await;
        commit(&new, "newer").await;
        world.assert_committed(&["old", "new", "newer"]).await;
    }
}

/// Scenario 33: the coordinator has forgotten the id between transactions: the next one fails, and
/// the one after it works with a new producer id.
#[tokio::test(start_paused = true)]
async fn an_expired_id_fails_one_transaction_and_is_had_anew() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        attempt(&producer, 1).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let before = world.transaction("id").producer_id;
        world.broker.with_model(|model| {
            assert!(model.forget_transactional_id("id"));
        });
        let error = attempt(&producer, 2).await.unwrap_err();
        assert!(matches!(error, CommitError::NotCommitted(_)), "{error}");
        attempt(&producer, 3).await.unwrap();
        assert_ne!(world.transaction("id").producer_id, before);
        world.assert_committed(&["1", "3"]).await;
        assert_eq!(world.committed_offset("g").await, 3);
    }
}

/// Scenario 33, by time: `transactional.id.expiration.ms`.
#[tokio::test(start_paused = true)]
async fn an_id_that_was_idle_for_a_week_is_had_anew() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        attempt(&producer, 1).await.unwrap();
        world.broker.with_model(|model| {
            assert!(model.transaction("id").is_some());
        });
        sleep(Duration::from_secs(8 * 24 * 3_600)).await;
        let mut tries = 0;
        while attempt(&producer, 2).await.is_err() {
            tries += 1;
            assert!(tries < 3);
        }
        world.assert_committed(&["1", "2"]).await;
    }
}

/// Scenario 34 (KIP-447): offsets of a member that the group does not have are refused, and the
/// transaction with them.
#[tokio::test(start_paused = true)]
async fn offsets_of_a_member_that_is_gone_fail_the_transaction() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        attempt(&producer, 1).await.unwrap();
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "zombie").await;
        let group = GroupMetadata::new("g").member("gone", 3);
        let sent = transaction
            .send_offsets(group, [ConsumedOffset::new("t", 0, 7)])
            .await;
        let Err(OffsetsError::Failed(cause)) = sent else {
            panic!("{sent:?}");
        };
        let expected = TransactionCause::CommitFailed(ErrorCode::UnknownMemberId);
        assert_eq!(*cause, expected);
        let sent = transaction.send(Record::to("t").value("more")).await;
        assert!(matches!(sent, Err(SendError::Transaction(_))));
        let error = transaction.commit().await.unwrap_err();
        assert!(matches!(error, CommitError::NotCommitted(_)), "{error}");
        attempt(&producer, 2).await.unwrap();
        world.assert_committed(&["1", "2"]).await;
        assert_eq!(world.committed_offset("g").await, 2);
    }
}
