//! Coordinators, leaders and topics come and go during transactions.

use std::time::Duration;

use milena_broker::Verdict;
use milena_codec::ApiKey;
use milena_codec::messages::DeleteTopicsRequest;
use milena_codec::messages::delete_topics_request::DeleteTopicState;
use milena_net::Lane;
use milena_producer::{CommitError, ConsumedOffset, GroupMetadata, Record, TransactionCause};
use milena_rpc::Target;
use tokio::time::{Instant, sleep};

use crate::world::{BOTH, World, attempt, commit, within, write};

/// Scenario 28: `switch_coordinator`, `switch_coordinator_refresh`.
#[tokio::test(start_paused = true)]
async fn coordinators_move_at_every_step() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        let mut to = 0;
        let mut switch = || {
            to = to % 3 + 1;
            let moved = world
                .broker
                .with_model(|model| model.move_transaction_coordinator("id", to));
            moved.unwrap();
        };
        for number in 1..=6 {
            switch();
            let transaction = producer.begin().await.unwrap();
            switch();
            write(&transaction, &number.to_string()).await;
            switch();
            let offset = ConsumedOffset::new("t", 0, number);
            let sent = transaction.send_offsets(GroupMetadata::new("g"), [offset]);
            sent.await.unwrap();
            switch();
            if number % 2 == 0 {
                transaction.abort().await.unwrap();
            } else {
                transaction.commit().await.unwrap();
            }
        }
        world.assert_committed(&["1", "3", "5"]).await;
        assert_eq!(world.committed_offset("g").await, 5);
    }
}

/// Scenario 28: `broker_down_in_txn`; 31 in small: each node in turn, killed or stopped.
#[tokio::test(start_paused = true)]
async fn nodes_restart_within_transactions() {
    for level in BOTH {
        for kill in [true, false] {
            let world = World::start(level).await;
            let producer = world.hasty("id");
            let mut expected = Vec::new();
            for number in 1..=6 {
                let node = number % 3 + 1;
                let transaction = producer.begin().await.unwrap();
                write(&transaction, &format!("{number} a")).await;
                let down = world.broker.with_model(|model| match kill {
                    true => model.kill_node(node),
                    false => model.stop_node(node),
                });
                down.unwrap();
                write(&transaction, &format!("{number} b")).await;
                let started = world.broker.with_model(|model| model.start_node(node));
                transaction.commit().await.unwrap();
                started.unwrap();
                expected.extend([format!("{number} a"), format!("{number} b")]);
            }
            sleep(Duration::from_secs(1)).await;
            for partition in 0..2 {
                assert_eq!(world.committed(partition), expected, "version {level}");
            }
        }
    }
}

/// Scenario 28: `broker_down_in_txn`: all of them, for a while.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_away_for_a_while_delays_the_commit() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.producer("id");
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "1").await;
        world.broker.with_model(|model| {
            (1..=3).for_each(|node| model.kill_node(node).unwrap());
        });
        let back = async {
            sleep(Duration::from_secs(20)).await;
            world.broker.with_model(|model| {
                (1..=3).for_each(|node| model.start_node(node).unwrap());
            });
        };
        let (committed, ()) = tokio::join!(transaction.commit(), back);
        committed.unwrap();
        commit(&producer, "2").await;
        world.assert_committed(&["1", "2"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn leaders_move_within_transactions() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        let mut expected = Vec::new();
        for number in 0..10_i32 {
            let transaction = producer.begin().await.unwrap();
            for part in 0..3 {
                let to = (number + part) % 3 + 1;
                world.broker.with_model(|model| {
                    model.move_leader("t", part % 2, to, None).unwrap();
                });
                let value = format!("{number} {part}");
                write(&transaction, &value).await;
                expected.push(value);
            }
            transaction.commit().await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        for partition in 0..2 {
            assert_eq!(world.committed(partition), expected, "version {level}");
        }
    }
}

/// Scenario 28: `commit_after_msg_timeout`; 29: `testTransitionToAbortableErrorOnBatchExpiry`.
#[tokio::test(start_paused = true)]
async fn a_record_that_was_not_delivered_in_time_fails_the_commit() {
    for level in BOTH {
        for verdict in [Verdict::Silence, Verdict::Disconnect] {
            let world = World::start(level).await;
            let producer = world.hasty("id");
            attempt(&producer, 1).await.unwrap();
            let transaction = producer.begin().await.unwrap();
            world.every(ApiKey::Produce, verdict);
            let record = Record::to("t").value("late").partition(0);
            let receipt = transaction.send(record).await.unwrap();
            let begun = Instant::now();
            let error = transaction.commit().await.unwrap_err();
            let CommitError::NotCommitted(cause) = &error else {
                panic!("{error}");
            };
            assert!(matches!(**cause, TransactionCause::Batch(_)), "{cause}");
            assert!(begun.elapsed() < Duration::from_secs(5));
            receipt.await.unwrap_err();
            world.heal();
            attempt(&producer, 2).await.unwrap();
            world.assert_committed(&["1", "2"]).await;
        }
    }
}

/// The deadline of the commit is before that of its records.
#[tokio::test(start_paused = true)]
async fn a_commit_whose_records_are_late_is_not_made() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.producer("id");
        let transaction = producer.begin().await.unwrap();
        world.every(ApiKey::Produce, Verdict::Silence);
        let receipt = transaction
            .send(Record::to("t").value("late"))
            .await
            .unwrap();
        let begun = Instant::now();
        let error = transaction.commit_by(within(3)).await.unwrap_err();
        let CommitError::NotCommitted(cause) = &error else {
            panic!("{error}");
        };
        assert_eq!(**cause, TransactionCause::Deadline);
        assert_eq!(begun.elapsed().as_secs(), 3);
        world.heal();
        attempt(&producer, 1).await.unwrap();
        receipt.await.unwrap_err();
        world.assert_committed(&["1"]).await;
    }
}

/// Scenario 28: `topic_disappears_for_awhile`.
#[tokio::test(start_paused = true)]
async fn a_topic_that_disappears_for_a_while_is_written_to_again() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        attempt(&producer, 1).await.unwrap();
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "gone").await;
        delete_topic(&world).await;
        let receipt = transaction
            .send(Record::to("t").value("x").partition(0))
            .await;
        let back = async {
            sleep(Duration::from_secs(1)).await;
            world.broker.with_model(|model| {
                model.create_topic("t", 2).unwrap();
            });
        };
        let (ended, ()) = tokio::join!(transaction.commit(), back);
        if let Err(error) = ended {
            assert!(matches!(error, CommitError::NotCommitted(_)), "{error}");
        }
        drop(receipt);
        sleep(Duration::from_secs(5)).await;
        let before = world.committed(0);
        assert!(before.is_empty() || before == ["x"], "{before:?}");
        if let Err(error) = attempt(&producer, 2).await {
            // By name a retry may have got into the new topic, with a sequence of the old one.
            assert!(matches!(error, CommitError::NotCommitted(_)), "{error}");
            attempt(&producer, 2).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.committed(1), ["2"]);
        assert_eq!(world.committed(0).last().unwrap(), "2");
    }
}

async fn delete_topic(world: &World) {
    let prepare = |_| DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("t".into()),
            ..DeleteTopicState::default()
        }],
        timeout_ms: 1_000,
        ..DeleteTopicsRequest::default()
    };
    let versions = milena_codec::VersionRange::new(6, 6);
    let reply = world.cluster.call_once_within(
        Target::Controller,
        Lane::Slow,
        versions,
        prepare,
        within(10),
    );
    assert_eq!(reply.await.unwrap().message.responses[0].error_code, 0);
}

/// The producer's state is gone at a leader, as after data loss: scenario 29.
#[tokio::test(start_paused = true)]
async fn a_partition_that_forgot_the_producer_fails_nothing_or_one_transaction() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        attempt(&producer, 1).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        world.broker.with_model(|model| {
            model.forget_producers("t", 0).unwrap();
        });
        let expected: &[&str] = match attempt(&producer, 2).await {
            Ok(()) => &["1", "2", "3"],
            Err(CommitError::NotCommitted(_)) => &["1", "3"],
            Err(error) => panic!("{error}"),
        };
        attempt(&producer, 3).await.unwrap();
        world.assert_committed(expected).await;
    }
}
