//! What is read, from where, and what seeks, pauses and cancellation do to it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use milena_broker::KafkaVersion;
use milena_consumer::{
    Activity, AssignError, ConfigError, ConsumeError, Consumer, ConsumerConfig, IsolationLevel,
    OutOfRange, SeekError, Side, Start, Stop, TopicPartition,
};
use milena_records::Compression;

use crate::world::{TOPIC, World, drain, offsets, text};

#[tokio::test(start_paused = true)]
async fn every_record_is_read_once_and_in_order() {
    let world = World::new(3, 6).await;
    for partition in 0..6 {
        world.fill(partition, 100 * partition as usize, 7).await;
    }
    let mut consumer = world.reader();
    assert_eq!(
        consumer
            .assign_topic(TOPIC, Start::Beginning)
            .await
            .unwrap(),
        6
    );
    let seen = drain(&mut consumer).await;
    for partition in 1..6 {
        let all: Vec<i64> = (0..100 * i64::from(partition)).collect();
        assert_eq!(seen[&partition], all);
        assert_eq!(
            consumer.position(TOPIC, partition),
            Some(100 * i64::from(partition))
        );
    }
    let states = consumer.partitions_state();
    assert!(
        states
            .iter()
            .all(|state| state.activity == Activity::Finished)
    );
    assert!(consumer.next_batch().await.unwrap().is_none(), "and again");
}

#[tokio::test(start_paused = true)]
async fn every_codec_is_read_and_large_batches_too() {
    let world = World::new(1, 5).await;
    let large = "x".repeat(300_000);
    for (partition, codec) in (0..).zip(Compression::ALL) {
        world
            .write_as(codec, partition, &["a", &large, "b", &large])
            .await;
    }
    let mut consumer = world.reader();
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    let mut read = 0;
    while let Some(batch) = consumer.next_batch().await.unwrap() {
        assert_eq!(
            (batch.len(), batch.first_offset(), batch.last_offset()),
            (4, 0, 3)
        );
        assert_eq!((batch.high_watermark(), batch.next_offset()), (4, 4));
        let sizes: Vec<_> = batch
            .iter()
            .map(|record| record.value.unwrap().len())
            .collect();
        assert_eq!(sizes, [1, 300_000, 1, 300_000]);
        read += 1;
    }
    assert_eq!(read, 5);
}

#[tokio::test(start_paused = true)]
async fn a_batch_above_every_fetch_limit_is_delivered() {
    let world = World::new(1, 1).await;
    let large = "x".repeat(500_000);
    world.write(0, &[&large]).await;
    world.write(0, &["small"]).await;
    let mut consumer = world.consumer(|config| {
        config.stop_at_end = true;
        config.fetch_max_bytes = 100;
        config.max_partition_fetch_bytes = 100;
        config.fetch_memory = 100;
    });
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    let mut sizes = Vec::new();
    while let Some(record) = consumer.recv().await.unwrap() {
        sizes.push(record.value().unwrap().len());
    }
    assert_eq!(sizes, [500_000, 5]);
}

#[tokio::test(start_paused = true)]
async fn each_start_begins_where_it_says() {
    let world = World::new(1, 1).await;
    world.fill(0, 10, 5).await;
    let table = [
        (Start::Beginning, 0),
        (Start::Offset(7), 7),
        (Start::Offset(10), 10),
        (Start::End, 10),
        (Start::Timestamp(0), 0),
        (Start::Timestamp(1003), 3),
        (Start::Timestamp(5000), 10),
    ];
    for (start, first) in table {
        let mut consumer = world.reader();
        consumer.assign(TOPIC, 0, start).await.unwrap();
        let seen = drain(&mut consumer).await;
        let expected: Vec<i64> = (first..10).collect();
        assert_eq!(
            seen.get(&0).cloned().unwrap_or_default(),
            expected,
            "{start:?}"
        );
        assert_eq!(consumer.position(TOPIC, 0), Some(10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_within_a_batch_is_kept_to_the_record() {
    let world = World::new(1, 1).await;
    world.fill(0, 10, 5).await;
    for by_record in [true, false] {
        let mut consumer = world.consumer(|_| {});
        let (from, to) = (Start::Offset(3), Stop::At(8));
        consumer.assign_until(TOPIC, 0, from, to).await.unwrap();
        let mut seen = Vec::new();
        if by_record {
            while let Some(record) = consumer.recv().await.unwrap() {
                seen.push(record.offset());
            }
        } else {
            seen = drain(&mut consumer).await.remove(&0).unwrap();
        }
        assert_eq!(seen, [3, 4, 5, 6, 7]);
        assert_eq!(consumer.position(TOPIC, 0), Some(8));
    }
}

#[tokio::test(start_paused = true)]
async fn offsets_can_be_asked_for_without_an_assignment() {
    let world = World::new(2, 2).await;
    world.fill(1, 4, 2).await;
    let consumer = world.reader();
    let both = [TopicPartition::new(TOPIC, 0), TopicPartition::new(TOPIC, 1)];
    let ends = consumer.end_offsets(&both).await.unwrap();
    assert_eq!(ends.values().copied().collect::<Vec<_>>(), [0, 4]);
    let beginnings = consumer.beginning_offsets(&both).await.unwrap();
    assert_eq!(beginnings.values().copied().collect::<Vec<_>>(), [0, 0]);
    let times = both.map(|name| (name, 1001));
    let times = consumer.offsets_for_times(&times).await.unwrap();
    assert_eq!(times.values().copied().collect::<Vec<_>>(), [None, Some(1)]);
}

#[tokio::test(start_paused = true)]
async fn an_old_broker_is_read_by_topic_names() {
    let world = World::as_version(KafkaVersion::V2_1).await;
    world.fill(0, 10, 3).await;
    world.fill(1, 10, 3).await;
    let mut consumer = world.reader();
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    let seen = drain(&mut consumer).await;
    assert_eq!(seen.values().map(Vec::len).collect::<Vec<_>>(), [10, 10]);
}

#[tokio::test(start_paused = true)]
async fn records_one_by_one_then_the_rest_as_a_batch() {
    let world = World::new(1, 1).await;
    world.fill(0, 5, 5).await;
    let mut consumer = world.reader();
    consumer
        .assign_topic(TOPIC, Start::Offset(1))
        .await
        .unwrap();
    let record = consumer.recv().await.unwrap().unwrap();
    assert_eq!((record.offset(), record.timestamp()), (1, 1001));
    assert_eq!((record.topic(), record.partition()), (TOPIC, 0));
    assert_eq!(text(record.value()), "0/1");
    assert_eq!(record.key(), None);
    assert_eq!(record.value_bytes().unwrap(), "0/1");
    assert_eq!(consumer.position(TOPIC, 0), Some(2));
    let batch = consumer.next_batch().await.unwrap().unwrap();
    assert_eq!((offsets(&batch), batch.len()), (vec![2, 3, 4], 3));
    let owned = batch.iter().next().unwrap().to_owned();
    assert_eq!(owned, batch.records().next().unwrap().to_owned());
    assert!(consumer.recv().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_gives_all_records_and_ends() {
    let world = World::new(1, 2).await;
    world.fill(0, 5, 2).await;
    world.fill(1, 5, 2).await;
    let mut consumer = world.reader();
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    let records: Vec<_> = consumer.stream().collect().await;
    assert_eq!(records.iter().filter(|record| record.is_ok()).count(), 10);
    assert_eq!(records.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn new_records_arrive_while_waiting() {
    let world = World::new(1, 1).await;
    let mut consumer = world.consumer(|_| {});
    consumer.assign_topic(TOPIC, Start::End).await.unwrap();
    while consumer.position(TOPIC, 0).is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begun = world.now();
    let (batch, ()) = tokio::join!(consumer.next_batch(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.write(0, &["0/0"]).await;
    });
    assert_eq!(offsets(&batch.unwrap().unwrap()), [0]);
    assert!(
        world.now() - begun < Duration::from_millis(400),
        "it wakes the parked fetch"
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_seek_nothing_from_before_is_handed_out() {
    let world = World::new(1, 1).await;
    world.fill(0, 50, 5).await;
    let mut consumer = world.reader();
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    assert_eq!(consumer.recv().await.unwrap().unwrap().offset(), 0);
    consumer.seek(TOPIC, 0, Start::Offset(31)).unwrap();
    assert_eq!(consumer.position(TOPIC, 0), Some(31));
    assert_eq!(consumer.recv().await.unwrap().unwrap().offset(), 31);
    consumer.seek(TOPIC, 0, Start::Beginning).unwrap();
    assert_eq!(
        drain(&mut consumer).await[&0],
        (0..50).collect::<Vec<i64>>()
    );
    let unknown = consumer.seek(TOPIC, 1, Start::End);
    assert!(matches!(unknown, Err(SeekError::NotAssigned(_))));
    let negative = consumer.seek(TOPIC, 0, Start::Offset(-1));
    assert!(matches!(negative, Err(SeekError::InvalidStart { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_paused_partition_keeps_its_place() {
    let world = World::new(1, 2).await;
    world.fill(0, 20, 5).await;
    world.fill(1, 20, 5).await;
    let mut consumer = world.reader();
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    let first = consumer.recv().await.unwrap().unwrap();
    let (paused, other) = (first.partition(), 1 - first.partition());
    consumer.pause(TOPIC, paused).unwrap();
    for offset in 0..20 {
        let record = consumer.recv().await.unwrap().unwrap();
        assert_eq!((record.partition(), record.offset()), (other, offset));
    }
    let idle = tokio::time::timeout(Duration::from_secs(5), consumer.recv()).await;
    assert!(idle.is_err(), "the paused partition has nothing to give");
    assert_eq!(consumer.position(TOPIC, paused), Some(1));
    consumer.resume(TOPIC, paused).unwrap();
    for offset in 1..20 {
        let record = consumer.recv().await.unwrap().unwrap();
        assert_eq!((record.partition(), record.offset()), (paused, offset));
    }
    assert!(consumer.recv().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn unassigning_stops_and_assigning_again_starts_afresh() {
    let world = World::new(1, 1).await;
    world.fill(0, 10, 2).await;
    let mut consumer = world.reader();
    let nothing = consumer.next_batch().await;
    assert!(matches!(nothing, Err(ConsumeError::NothingAssigned)));
    consumer.assign(TOPIC, 0, Start::Beginning).await.unwrap();
    let twice = consumer.assign(TOPIC, 0, Start::Beginning).await;
    assert!(matches!(twice, Err(AssignError::AlreadyAssigned(_))));
    assert_eq!(consumer.recv().await.unwrap().unwrap().offset(), 0);
    assert!(consumer.unassign(TOPIC, 0));
    assert!(matches!(
        consumer.recv().await,
        Err(ConsumeError::NothingAssigned)
    ));
    consumer.assign(TOPIC, 0, Start::Offset(8)).await.unwrap();
    assert_eq!(drain(&mut consumer).await[&0], [8, 9]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_assigned_says_why() {
    let world = World::new(1, 2).await;
    let consumer = world.reader();
    let error = consumer.assign(TOPIC, 2, Start::End).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "topic orders has no partition 2; it has 2, counted from 0"
    );
    let error = consumer.assign("order", 0, Start::End).await.unwrap_err();
    assert!(matches!(error, AssignError::Topic(_)), "{error}");
    let error = consumer
        .assign(TOPIC, 0, Start::Timestamp(-1))
        .await
        .unwrap_err();
    assert!(matches!(error, AssignError::InvalidStart { .. }));
    assert!(consumer.assignment().is_empty());
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_be_kept_are_refused() {
    let world = World::new(1, 1).await;
    let refused = |change: fn(&mut ConsumerConfig)| {
        let mut config = ConsumerConfig::default();
        change(&mut config);
        Consumer::new(world.cluster.clone(), config).unwrap_err()
    };
    let error = refused(|config| config.isolation_level = IsolationLevel::ReadCommitted);
    assert_eq!(error, ConfigError::ReadCommitted);
    assert_eq!(
        refused(|config| config.check_crcs = false),
        ConfigError::UncheckedCrcs
    );
    let error = refused(|config| config.max_partition_fetch_bytes = 0);
    assert_eq!(
        error.to_string(),
        "max.partition.fetch.bytes must be at least 1"
    );
    let error = refused(|config| config.fetch_max_wait = Duration::from_secs(30));
    assert!(matches!(error, ConfigError::WaitTooLong { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_position_outside_the_log_is_an_error_by_default() {
    let world = World::new(1, 2).await;
    world.fill(0, 5, 5).await;
    world.fill(1, 5, 5).await;
    let mut consumer = world.consumer(|_| {});
    consumer.assign(TOPIC, 0, Start::Offset(99)).await.unwrap();
    consumer.assign(TOPIC, 1, Start::Beginning).await.unwrap();
    let mut read = 0;
    let mut faults = Vec::new();
    while read < 1 || faults.is_empty() {
        match consumer.next_batch().await {
            Ok(batch) => read += batch.map_or(0, |_| 1),
            Err(error) => faults.push(error),
        }
    }
    let error = faults.pop().unwrap();
    assert_eq!(
        (error.side(), error.offset()),
        (Some(Side::Above), Some(99))
    );
    assert!(
        error
            .to_string()
            .contains("orders-0: offset 99 is outside the log, which is 0 to 5")
    );
    assert_eq!(
        consumer.position(TOPIC, 0),
        Some(99),
        "it rests where it was"
    );
    consumer.seek(TOPIC, 0, Start::Offset(4)).unwrap();
    assert_eq!(offsets(&consumer.next_batch().await.unwrap().unwrap()), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_may_reset_and_says_so() {
    let world = World::new(1, 1).await;
    world.fill(0, 5, 5).await;
    for (policy, first) in [(OutOfRange::Earliest, 0), (OutOfRange::Latest, 5)] {
        world.events.lock().unwrap().clear();
        let mut consumer = world.consumer(|config| {
            config.stop_at_end = true;
            config.out_of_range.above = policy;
        });
        consumer.assign(TOPIC, 0, Start::Offset(99)).await.unwrap();
        let seen = drain(&mut consumer).await;
        assert_eq!(seen.get(&0).map_or(0, Vec::len), 5 - first);
        assert_eq!(world.count("reset"), 1);
    }
}

/// Polls a future `polls` times, letting the rest of the world go on in between, then drops it.
async fn poll_times<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        if let std::task::Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn dropping_a_read_at_any_poll_loses_nothing() {
    for polls in 1..6 {
        let world = World::new(2, 3).await;
        for partition in 0..3 {
            world.fill(partition, 30, 4).await;
        }
        let mut consumer = world.reader();
        consumer
            .assign_topic(TOPIC, Start::Beginning)
            .await
            .unwrap();
        let mut seen = [0_i64; 3];
        let mut turn = 0;
        loop {
            turn += 1;
            if turn % 2 == 0 {
                match poll_times(consumer.recv(), polls).await {
                    Some(Ok(Some(record))) => {
                        let next = &mut seen[record.partition() as usize];
                        assert_eq!(record.offset(), *next);
                        *next += 1;
                    }
                    Some(end) => break assert!(end.unwrap().is_none()),
                    None => {}
                }
            } else {
                match poll_times(consumer.next_batch(), polls).await {
                    Some(Ok(Some(batch))) => {
                        let next = &mut seen[batch.partition() as usize];
                        assert_eq!(batch.first_offset(), *next);
                        *next += batch.len() as i64;
                    }
                    Some(end) => break assert!(end.unwrap().is_none()),
                    None => {}
                }
            }
        }
        assert_eq!(seen, [30; 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn closing_ends_reading_and_reports_where_it_stood() {
    let world = World::new(1, 1).await;
    world.fill(0, 10, 5).await;
    let mut consumer = world.consumer(|_| {});
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    assert!(consumer.recv().await.unwrap().is_some());
    let begun = world.now();
    let report = consumer.close(begun + Duration::from_secs(5)).await;
    assert!(report.in_time);
    assert!(
        world.now() - begun < Duration::from_millis(100),
        "no wait for a parked fetch"
    );
    assert_eq!(report.positions[&TopicPartition::new(TOPIC, 0)], Some(1));
    assert!(consumer.next_batch().await.unwrap().is_none());
    assert!(consumer.recv().await.unwrap().is_none());
    assert!(matches!(
        consumer.assign(TOPIC, 0, Start::End).await,
        Err(AssignError::Closed)
    ));
}
