//! What brokers, networks and topics do to a reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use milena_broker::{Broker, Verdict};
use milena_codec::{ApiKey, ErrorCode};
use milena_consumer::{Activity, ConsumeError, Start, TopicPartition};
use milena_records::BatchFault;

use crate::world::{TOPIC, Tamper, World, drain, offsets};

/// Answers every second request of `api` with `code`, up to `times`.
fn refuse(world: &World, api: ApiKey, code: ErrorCode, times: usize) {
    let mut asked = 0;
    let mut refused = 0;
    world.broker.faults(move |request| {
        if request.api != api || refused == times {
            return Verdict::Pass;
        }
        asked += 1;
        if asked % 2 == 1 {
            refused += 1;
            Verdict::Error(code)
        } else {
            Verdict::Pass
        }
    });
}

#[tokio::test(start_paused = true)]
async fn no_error_of_a_fetch_that_may_pass_skips_or_repeats_a_record() {
    let codes = [
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::FencedLeaderEpoch,
        ErrorCode::UnknownLeaderEpoch,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::UnknownTopicId,
        ErrorCode::KafkaStorageError,
        ErrorCode::OffsetNotAvailable,
        ErrorCode::UnknownServerError,
        ErrorCode::FetchSessionIdNotFound,
        ErrorCode::InvalidFetchSessionEpoch,
        ErrorCode::FetchSessionTopicIdError,
        ErrorCode::OffsetOutOfRange,
    ];
    for code in codes {
        let world = World::new(2, 2).await;
        world.fill(0, 40, 4).await;
        world.fill(1, 40, 4).await;
        refuse(&world, ApiKey::Fetch, code, 4);
        let mut consumer = world.consumer(|config| {
            config.stop_at_end = true;
            config.max_partition_fetch_bytes = 200;
        });
        consumer
            .assign_topic(TOPIC, Start::Beginning)
            .await
            .unwrap();
        let seen = drain(&mut consumer).await;
        assert_eq!(
            seen.values().map(Vec::len).collect::<Vec<_>>(),
            [40, 40],
            "{code}"
        );
        assert_eq!(world.count("reset"), 0, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_partition_is_an_error_and_stays_where_it_was() {
    for code in [
        ErrorCode::TopicAuthorizationFailed,
        ErrorCode::CorruptMessage,
    ] {
        let world = World::new(1, 1).await;
        world.fill(0, 4, 4).await;
        refuse(&world, ApiKey::Fetch, code, 1);
        let mut consumer = world.reader();
        consumer
            .assign_topic(TOPIC, Start::Beginning)
            .await
            .unwrap();
        let error = consumer.next_batch().await.unwrap_err();
        assert!(matches!(error, ConsumeError::Refused { code: found, .. } if found == code));
        assert_eq!(error.offset(), Some(0));
        let error = consumer.next_batch().await.unwrap_err();
        assert!(matches!(error, ConsumeError::AllFailed { partitions: 1 }));
        consumer.seek(TOPIC, 0, Start::Offset(0)).unwrap();
        assert_eq!(drain(&mut consumer).await[&0].len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_lookup_is_never_taken_for_an_offset() {
    let codes = [
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::LeaderNotAvailable,
        ErrorCode::OffsetNotAvailable,
        ErrorCode::UnknownServerError,
        ErrorCode::UnknownTopicOrPartition,
    ];
    for code in codes {
        let world = World::new(1, 1).await;
        world.fill(0, 9, 3).await;
        refuse(&world, ApiKey::ListOffsets, code, 5);
        let mut consumer = world.reader();
        consumer
            .assign_topic(TOPIC, Start::Beginning)
            .await
            .unwrap();
        assert_eq!(drain(&mut consumer).await[&0].len(), 9, "{code}");
        assert!(world.count("lookup_failed") > 0, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn cut_connections_lose_and_repeat_nothing() {
    for verdict in [Verdict::Disconnect, Verdict::ApplyThenDisconnect] {
        let world = World::new(2, 2).await;
        world.fill(0, 60, 3).await;
        world.fill(1, 60, 3).await;
        let mut asked = 0;
        world.broker.faults(move |request| {
            asked += usize::from(request.api == ApiKey::Fetch);
            if request.api == ApiKey::Fetch && asked % 3 == 0 && asked < 40 {
                verdict
            } else {
                Verdict::Pass
            }
        });
        let mut consumer = world.consumer(|config| {
            config.stop_at_end = true;
            config.max_partition_fetch_bytes = 200;
        });
        consumer
            .assign_topic(TOPIC, Start::Beginning)
            .await
            .unwrap();
        let seen = drain(&mut consumer).await;
        assert_eq!(seen.values().map(Vec::len).collect::<Vec<_>>(), [60, 60]);
        assert!(world.count("fetch_failed") > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn reading_follows_the_leader() {
    let world = World::new(3, 3).await;
    for partition in 0..3 {
        world.fill(partition, 60, 2).await;
    }
    let mut consumer = world.consumer(|config| {
        config.stop_at_end = true;
        config.max_partition_fetch_bytes = 150;
    });
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    let mut seen = [0_i64; 3];
    let mut turn = 0;
    while let Some(batch) = consumer.next_batch().await.unwrap() {
        let next = &mut seen[batch.partition() as usize];
        assert_eq!(batch.first_offset(), *next);
        *next = batch.next_offset();
        turn += 1;
        if turn % 5 == 0 {
            let (partition, to) = (turn / 5 % 3, 1 + turn % 3);
            world.broker.with_model(|model| {
                let moved = model.move_leader(TOPIC, partition, to, None);
                assert!(moved.is_ok(), "{moved:?}");
            });
        }
    }
    assert_eq!(seen, [60; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_delays_only_its_own_partitions() {
    let world = World::new(2, 2).await;
    world.fill(0, 20, 2).await;
    world.fill(1, 20, 2).await;
    let silent = world
        .broker
        .with_model(|model| model.leader(TOPIC, 0).unwrap().0.unwrap());
    world.broker.faults(move |request| {
        let hit = request.api == ApiKey::Fetch && request.node == silent;
        if hit { Verdict::Silence } else { Verdict::Pass }
    });
    let mut consumer = world.consumer(|_| {});
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    let begun = world.now();
    let mut read = 0;
    while read < 20 {
        let batch = consumer.next_batch().await.unwrap().unwrap();
        assert_eq!(batch.partition(), 1);
        read += batch.len();
    }
    assert!(world.now() - begun < Duration::from_secs(1));
    let states = consumer.partitions_state();
    assert_eq!(
        (states[0].activity, states[0].position),
        (Activity::Fetching, Some(0))
    );
    world.broker.faults(|_| Verdict::Pass);
    let batch = consumer.next_batch().await.unwrap().unwrap();
    assert_eq!((batch.partition(), batch.first_offset()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_batch_names_its_offsets_and_stops_only_its_partition() {
    let broker = Broker::builder().topic(TOPIC, 2).start().await.unwrap();
    let tamper = Tamper {
        inner: broker.connector(),
        from: b"POISON",
        to: b"POTION",
    };
    let world = World::through(broker, Arc::new(tamper)).await;
    world.write(0, &["0/0", "0/1"]).await;
    world.write(0, &["POISON", "0/3"]).await;
    world.write(0, &["0/4"]).await;
    world.fill(1, 30, 3).await;
    let mut consumer = world.reader();
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    let mut seen = [0, 0];
    let mut errors = Vec::new();
    loop {
        match consumer.next_batch().await {
            Ok(Some(batch)) => seen[batch.partition() as usize] += batch.len(),
            Ok(None) => break,
            Err(error) => errors.push(error),
        }
    }
    assert_eq!((seen, errors.len()), ([2, 30], 1));
    let ConsumeError::Corrupt {
        partition,
        position,
        base_offset,
        last_offset,
        fault,
    } = &errors[0]
    else {
        panic!("{errors:?}");
    };
    assert_eq!(*partition, TopicPartition::new(TOPIC, 0));
    assert_eq!((*position, *base_offset, *last_offset), (2, 2, 3));
    assert!(matches!(fault, BatchFault::Checksum { .. }));
    assert!(errors[0].to_string().contains("seek to 4 to skip it"));
    assert_eq!(consumer.position(TOPIC, 0), Some(2));
    assert_eq!(consumer.partitions_state()[0].activity, Activity::Failed);
    consumer.seek(TOPIC, 0, Start::Offset(4)).unwrap();
    assert_eq!(offsets(&consumer.next_batch().await.unwrap().unwrap()), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_recreated_topic_is_never_read_on_silently() {
    let world = World::new(1, 1).await;
    world.fill(0, 4, 4).await;
    let mut consumer = world.consumer(|_| {});
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    assert_eq!(consumer.next_batch().await.unwrap().unwrap().len(), 4);
    let deadline = world.now() + Duration::from_secs(10);
    delete(&world, deadline).await;
    world
        .broker
        .with_model(|model| model.create_topic(TOPIC, 1))
        .unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(60), consumer.next_batch()).await;
    let error = stopped.unwrap().unwrap_err();
    let ConsumeError::TopicRecreated {
        old, new, position, ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert!(old != new && !old.is_zero() && !new.is_zero());
    assert_eq!((position, world.count("topic_recreated")), (Some(4), 1));
    consumer.unassign(TOPIC, 0);
    world.write(0, &["0/0"]).await;
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    assert_eq!(offsets(&consumer.next_batch().await.unwrap().unwrap()), [0]);
}

async fn delete(world: &World, deadline: std::time::Instant) {
    use milena_codec::messages::DeleteTopicsRequest;
    let prepare = |_| DeleteTopicsRequest {
        topic_names: vec![milena_codec::Str::from_static(TOPIC)],
        timeout_ms: 1000,
        ..DeleteTopicsRequest::default()
    };
    let versions = milena_codec::VersionRange::new(1, 5);
    let (to, lane) = (milena_rpc::Target::Controller, milena_net::Lane::Slow);
    let cluster = &world.cluster;
    let reply = cluster
        .call_once_within(to, lane, versions, prepare, deadline)
        .await;
    assert_eq!(reply.unwrap().message.responses[0].error_code, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_fetched_ahead_stays_within_the_memory_share() {
    let world = World::new(2, 8).await;
    let value = "x".repeat(1000);
    for partition in 0..8 {
        for _ in 0..40 {
            world.write(partition, &[value.as_str(); 5]).await;
        }
    }
    let mut consumer = world.consumer(|config| {
        config.stop_at_end = true;
        config.fetch_memory = 100_000;
        config.max_partition_fetch_bytes = 20_000;
    });
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut most = 0;
    let mut records = 0;
    while let Some(batch) = consumer.next_batch().await.unwrap() {
        records += batch.len();
        let states = consumer.partitions_state();
        most = most.max(states.iter().map(|state| state.buffered_bytes).sum());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(records, 8 * 40 * 5);
    assert!(most <= 110_000, "{most} bytes were kept");
    assert!(most >= 40_000, "only {most} bytes were fetched ahead");
}

#[tokio::test(start_paused = true)]
async fn paused_partitions_that_hold_all_memory_do_not_starve_the_others() {
    let world = World::new(1, 3).await;
    let value = "x".repeat(1000);
    for partition in 0..3 {
        for _ in 0..20 {
            world.write(partition, &[value.as_str(); 5]).await;
        }
    }
    let mut consumer = world.consumer(|config| {
        config.fetch_memory = 20_000;
        config.max_partition_fetch_bytes = 10_000;
    });
    consumer.assign(TOPIC, 0, Start::Beginning).await.unwrap();
    consumer.assign(TOPIC, 1, Start::Beginning).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    consumer.pause(TOPIC, 0).unwrap();
    consumer.pause(TOPIC, 1).unwrap();
    consumer.assign(TOPIC, 2, Start::Beginning).await.unwrap();
    let mut read = 0;
    while read < 100 {
        let batch = consumer.next_batch().await.unwrap().unwrap();
        assert_eq!(batch.partition(), 2);
        read += batch.len();
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_partition_does_not_wait_for_the_fetch_of_an_idle_one() {
    let world = World::new(1, 2).await;
    let value = "x".repeat(1000);
    for _ in 0..100 {
        world.write(0, &[value.as_str(); 5]).await;
    }
    let fetches = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fetches);
    world.broker.faults(move |request| {
        count.fetch_add(usize::from(request.api == ApiKey::Fetch), Ordering::Relaxed);
        Verdict::Pass
    });
    let mut consumer = world.consumer(|config| config.max_partition_fetch_bytes = 12_000);
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    let begun = world.now();
    let mut read = 0;
    while read < 500 {
        read += consumer.next_batch().await.unwrap().unwrap().len();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = world.now() - begun;
    assert!(took < Duration::from_secs(2), "{took:?}");
    let before = fetches.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let idle = fetches.load(Ordering::Relaxed) - before;
    assert!(idle < 180, "{idle} fetches in an idle minute");
}

#[tokio::test(start_paused = true)]
async fn dropping_a_consumer_waits_for_nothing() {
    let world = World::new(1, 1).await;
    world.broker.faults(|request| match request.api {
        ApiKey::Fetch => Verdict::Silence,
        _ => Verdict::Pass,
    });
    let consumer = world.consumer(|_| {});
    consumer
        .assign_topic(TOPIC, Start::Beginning)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = world.now();
    drop(consumer);
    assert_eq!(world.now(), begun);
}
