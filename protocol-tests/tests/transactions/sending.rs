//! Many senders, large batches, and what readers see while a transaction is open.

use std::sync::Arc;
use std::time::Duration;

use milena_codec::ApiKey;
use milena_codec::messages::IncrementalAlterConfigsRequest;
use milena_codec::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use milena_net::Lane;
use milena_producer::{
    CommitError, ConsumedOffset, ErrorCode, Fate, GroupMetadata, Record, TransactionConfig,
};
use milena_rpc::Target;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::world::{BOTH, World, attempt, hasty, within, write};

/// Scenario 28: `concurrent_operations`.
#[tokio::test(start_paused = true)]
async fn many_tasks_send_in_one_transaction() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        for commits in [true, false] {
            let transaction = Arc::new(producer.begin().await.unwrap());
            let mut tasks = JoinSet::new();
            for task in 0..8_i32 {
                let transaction = Arc::clone(&transaction);
                tasks.spawn(async move {
                    for number in 0..20 {
                        let value = format!("{task} {number}");
                        let record = Record::to("t").value(&value).partition(task % 2);
                        drop(transaction.send(record).await.unwrap());
                    }
                    let group = GroupMetadata::new(format!("g{task}"));
                    let offset = ConsumedOffset::new("t", 0, i64::from(task));
                    transaction.send_offsets(group, [offset]).await.unwrap();
                });
            }
            tasks.join_all().await;
            let transaction = Arc::into_inner(transaction).expect("the others are done");
            if commits {
                transaction.commit().await.unwrap();
            } else {
                transaction.abort().await.unwrap();
            }
        }
        sleep(Duration::from_secs(1)).await;
        for partition in 0..2 {
            let values = world.committed(partition);
            assert_eq!(values.len(), 80, "version {level}");
            for task in (0..8).filter(|task| task % 2 == partition) {
                let own = values.iter().filter_map(|value| {
                    value.strip_prefix(&format!("{task} "))?.parse::<i32>().ok()
                });
                assert!(own.eq(0..20), "in the order of each task");
            }
        }
        for task in 0..8 {
            let group = format!("g{task}");
            assert_eq!(world.committed_offset(&group).await, i64::from(task));
        }
    }
}

/// On real threads and in real time, since what races there cannot race on one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn senders_on_other_threads_and_ends_do_not_race() {
    for level in BOTH {
        let world = World::start(level).await;
        let mut config = hasty();
        config.batch_size = 200;
        let producer = world.configured(config, &TransactionConfig::new("id"));
        let mut committed = 0;
        for number in 0..60_usize {
            let transaction = Arc::new(producer.begin().await.unwrap());
            if number % 4 == 3 {
                world.refuse(ApiKey::Produce, ErrorCode::InvalidRecord);
            }
            let mut tasks = JoinSet::new();
            for _ in 0..4 {
                let transaction = Arc::clone(&transaction);
                tasks.spawn(async move {
                    for index in 0..25 {
                        let value = format!("{number}");
                        let record = Record::to("t").value(&value).partition(index % 2);
                        drop(transaction.send(record).await);
                    }
                });
            }
            tasks.join_all().await;
            let transaction = Arc::into_inner(transaction).expect("the others are done");
            match transaction.commit().await {
                Ok(()) => committed += 1,
                Err(error) => {
                    assert!(matches!(error, CommitError::NotCommitted(_)), "{error}");
                }
            }
        }
        assert_eq!(committed, 45);
        sleep(Duration::from_millis(50)).await;
        let seen = world.committed(0).len() + world.committed(1).len();
        assert_eq!(seen, 45 * 100, "version {level}");
    }
}

/// Scenario 28: `concurrent_operations`: one of those who ask at once may begin.
#[tokio::test(start_paused = true)]
async fn only_one_transaction_is_begun_at_a_time() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        let other = producer.clone();
        let (one, two) = tokio::join!(producer.begin(), other.begin());
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        let begun = one.or(two).unwrap();
        write(&begun, "x").await;
        begun.commit().await.unwrap();
        world.assert_committed(&["x"]).await;
    }
}

/// Scenario 4: `testTransactionalSplitBatchAndSend`.
#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_is_divided_within_the_transaction() {
    for level in BOTH {
        let world = World::start(level).await;
        limit_batches(&world, 5_000).await;
        let mut config = hasty();
        config.linger = Duration::from_millis(50).into();
        let producer = world.configured(config, &TransactionConfig::new("id"));
        let mut expected = Vec::new();
        for round in 0..3 {
            let transaction = producer.begin().await.unwrap();
            for number in 0..60 {
                let value = format!("{round} {number} {}", "x".repeat(400));
                let record = Record::to("t").value(&value).partition(0);
                drop(transaction.send(record).await.unwrap());
                if round != 1 {
                    expected.push(value);
                }
            }
            if round == 1 {
                transaction.abort().await.unwrap();
            } else {
                transaction.commit().await.unwrap();
            }
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.committed(0), expected, "version {level}");
    }
}

async fn limit_batches(world: &World, bytes: usize) {
    let prepare = |_| IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 2,
            resource_name: "t".into(),
            configs: vec![AlterableConfig {
                name: "max.message.bytes".into(),
                config_operation: 0,
                value: Some(bytes.to_string().into()),
                ..AlterableConfig::default()
            }],
            ..AlterConfigsResource::default()
        }],
        ..IncrementalAlterConfigsRequest::default()
    };
    let versions = milena_codec::VersionRange::new(0, 1);
    let to = Target::Controller;
    let cluster = &world.cluster;
    let reply = cluster.call_once_within(to, Lane::Slow, versions, prepare, within(10));
    assert_eq!(reply.await.unwrap().message.responses[0].error_code, 0);
}

/// Scenario 26: `testReadCommittedConsumerShouldNotSeeUndecidedData`: one transaction holds back
/// what others committed after it.
#[tokio::test(start_paused = true)]
async fn an_open_transaction_holds_back_what_comes_after_it() {
    for level in BOTH {
        let world = World::start(level).await;
        let (first, second) = (world.hasty("one"), world.hasty("two"));
        let open = first.begin().await.unwrap();
        write(&open, "open").await;
        attempt(&second, 1).await.unwrap();
        world.assert_committed(&[]).await;
        open.commit().await.unwrap();
        world.assert_committed(&["open", "1"]).await;
    }
}

/// Scenario 26: `testSendOffsetsWithGroupMetadata`; 28: `unstable_offset_commit`. Of several offsets
/// for one partition the last counts.
#[tokio::test(start_paused = true)]
async fn offsets_sent_several_times_count_in_order() {
    for level in BOTH {
        let world = World::start(level).await;
        let producer = world.hasty("id");
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "x").await;
        for offset in 1..=5 {
            let mut offset = ConsumedOffset::new("t", 0, offset);
            offset.leader_epoch = Some(0);
            offset.metadata = Some("note".into());
            let sent = transaction.send_offsets(GroupMetadata::new("g"), [offset]);
            sent.await.unwrap();
        }
        transaction
            .send_offsets(GroupMetadata::new("g"), [])
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        world.assert_committed(&["x"]).await;
        assert_eq!(world.committed_offset("g").await, 5);
    }
}

/// Scenario 29: `testDisallowCommitOnProduceFailure`; a receipt whose record never was sent says so.
#[tokio::test(start_paused = true)]
async fn an_abort_fails_what_was_not_sent_and_delivers_nothing() {
    for level in BOTH {
        let world = World::start(level).await;
        let mut config = hasty();
        config.linger = Duration::from_secs(1).into();
        let producer = world.configured(config, &TransactionConfig::new("id"));
        let transaction = producer.begin().await.unwrap();
        let record = Record::to("t").value("unsent").partition(0);
        let receipt = transaction.send(record).await.unwrap();
        transaction.abort().await.unwrap();
        let error = receipt.await.unwrap_err();
        assert_eq!(error.fate(), Fate::NotWritten);
        assert!(world.written(0).is_empty());
        attempt(&producer, 1).await.unwrap();
        world.assert_committed(&["1"]).await;
    }
}
