//! When something happens at all: lingering, flushing, idling, being throttled. Counted in requests
//! and wake-ups, not in time.
//!
//! Scenarios 6, 7; note 20 (throttle).

use std::time::Duration;

use milena_broker::Verdict;
use milena_codec::ApiKey;
use milena_producer::{ErrorCode, Linger, ProducerConfig, Record};
use tokio::time::{Instant, sleep};

use crate::world::{World, millis, nth_produce, offsets, send, send_each};

/// How often the runtime went to sleep, and so was woken.
fn wake_ups() -> u64 {
    tokio::runtime::Handle::current()
        .metrics()
        .worker_park_count(0)
}

#[tokio::test(start_paused = true)]
async fn an_idle_producer_wakes_a_few_times_a_minute() {
    for linger in [Linger::Adaptive, millis(5).into()] {
        let world = World::start(1, 8).await;
        let mut config = ProducerConfig::default();
        config.linger = linger;
        let producer = world.producer(config);
        for partition in 0..8 {
            send(&producer, partition, 0).await.await.unwrap();
        }
        sleep(Duration::from_secs(600)).await;
        let before = wake_ups();
        sleep(Duration::from_secs(3_600)).await;
        let woken = wake_ups() - before;
        assert!(woken <= 400, "{woken} in an idle hour");
    }
}

/// Whatever is missing is asked for at the pace of the backoff, and nobody spins meanwhile: on a
/// paused clock that would never end.
#[tokio::test(start_paused = true)]
async fn while_something_is_missing_the_producer_waits_for_it_quietly() {
    let loading = Verdict::Error(ErrorCode::CoordinatorLoadInProgress);
    for (api, verdict) in [
        (ApiKey::InitProducerId, Verdict::Silence),
        (ApiKey::InitProducerId, Verdict::Disconnect),
        (ApiKey::InitProducerId, loading),
        (ApiKey::Produce, Verdict::Silence),
        (ApiKey::Produce, Verdict::Disconnect),
        (
            ApiKey::Produce,
            Verdict::Error(ErrorCode::NotLeaderOrFollower),
        ),
        (
            ApiKey::Produce,
            Verdict::Error(ErrorCode::NotEnoughReplicas),
        ),
        (ApiKey::Metadata, Verdict::Silence),
    ] {
        for linger in [Linger::Adaptive, Duration::ZERO.into(), millis(50).into()] {
            let world = World::start(1, 4).await;
            let mut config = ProducerConfig::default();
            config.linger = linger;
            config.request_timeout = millis(3_000);
            let producer = world.producer(config);
            producer.topic("t").await.unwrap();
            world.broker.faults(move |request| match request.api {
                asked if asked == api => verdict,
                _ => Verdict::Pass,
            });
            if api == ApiKey::Metadata {
                world.broker.with_model(|model| model.kill_node(1)).unwrap();
                world
                    .broker
                    .with_model(|model| model.start_node(1))
                    .unwrap();
            }
            for partition in 0..4 {
                drop(send(&producer, partition, 0).await);
            }
            sleep(millis(3_000)).await;
            let before = wake_ups();
            sleep(Duration::from_secs(100)).await;
            let woken = wake_ups() - before;
            let most = 100 * 60;
            assert!(woken < most, "{woken}: {api:?} {verdict:?} {linger:?}");
            world.broker.faults(|_| Verdict::Pass);
            let report = producer.flush().await;
            assert_eq!(report.unwrap().delivered, 4, "{api:?} {verdict:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lingering_batch_makes_one_request_and_few_wake_ups() {
    let world = World::start(1, 4).await;
    let mut config = ProducerConfig::default();
    config.linger = millis(100).into();
    let producer = world.producer(config);
    producer.topic("t").await.unwrap();
    let records = 5_000;
    let before = wake_ups();
    for _ in 0..records {
        sleep(millis(1)).await;
    }
    let own = wake_ups() - before;
    let (before, begun) = (wake_ups(), Instant::now());
    for number in 0..records {
        let partition = i32::try_from(number % 4).unwrap();
        drop(send(&producer, partition, number).await);
        sleep(millis(1)).await;
    }
    let woken = wake_ups() - before - own;
    assert_eq!(begun.elapsed(), millis(records));
    // One of each partition in 100 ms, mostly in one request: those of the four begin together.
    let requests = world.requests(ApiKey::Produce);
    assert!((45..=4 * 51).contains(&requests), "{requests}");
    assert!(
        woken <= 8 * requests as u64,
        "{woken} for {requests} requests"
    );
    assert_eq!(producer.flush().await.unwrap().delivered, records);
}

#[tokio::test(start_paused = true)]
async fn without_lingering_each_record_goes_and_is_answered_at_once() {
    let world = World::start(1, 1).await;
    let mut config = ProducerConfig::default();
    config.linger = Duration::ZERO.into();
    let producer = world.producer(config);
    let begun = Instant::now();
    for number in 0..50 {
        send(&producer, 0, number).await.await.unwrap();
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(world.requests(ApiKey::Produce), 50);
}

/// kfake ProduceSyncUnlinger.
#[tokio::test(start_paused = true)]
async fn the_first_flush_of_a_new_producer_is_immediate() {
    let world = World::start(1, 1).await;
    let mut config = ProducerConfig::default();
    config.linger = Duration::from_secs(60).into();
    let producer = world.producer(config);
    let begun = Instant::now();
    producer.flush().await.unwrap();
    let receipts = send_each(&producer, 0..10).await;
    assert_eq!(producer.flush().await.unwrap().delivered, 10);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(world.requests(ApiKey::Produce), 1);
    assert_eq!(offsets(receipts).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_during_a_flush_does_not_prolong_it() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    world
        .broker
        .faults(nth_produce(|_| Verdict::Delay(millis(1_000))));
    drop(send(&producer, 0, 0).await);
    let other = producer.clone();
    let sender = tokio::spawn(async move {
        for number in 1..100 {
            drop(send(&other, 0, number).await);
            sleep(millis(100)).await;
        }
    });
    let begun = Instant::now();
    producer.flush().await.unwrap();
    assert!(begun.elapsed() <= millis(1_500), "{:?}", begun.elapsed());
    sender.await.unwrap();
    producer.flush().await.unwrap();
    assert_eq!(world.numbers(0), (0..100).collect::<Vec<_>>());
}

/// Scenario 62 for a producer: nothing is sent to a node while it asks to be left alone, and the
/// others go on.
#[tokio::test(start_paused = true)]
async fn a_throttled_node_gets_no_produce_while_others_do() {
    let world = World::start(2, 2).await;
    for partition in 0..2 {
        world.broker.with_model(|model| {
            let node = 1 + partition;
            if model.leader("t", partition).unwrap().0 != Some(node) {
                model.move_leader("t", partition, node, None).unwrap();
            }
        });
    }
    let producer = world.producer(ProducerConfig::default());
    let mut throttled = false;
    world.broker.faults(move |request| match request.api {
        ApiKey::Produce if request.node == 1 && !std::mem::replace(&mut throttled, true) => {
            Verdict::Throttle(millis(5_000))
        }
        _ => Verdict::Pass,
    });
    let begun = Instant::now();
    // It is answered at once, and then waits.
    send(&producer, 0, 0).await.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let waits = send(&producer, 0, 1).await;
    for number in 0..20 {
        send(&producer, 1, number).await.await.unwrap();
        sleep(millis(100)).await;
    }
    assert!(waits.outcome().is_none());
    waits.await.unwrap();
    assert_eq!(begun.elapsed(), millis(5_000));
    let times = world.broker.with_model(|model| {
        let requests = model.requests().map(|one| one.request.clone());
        let produces = requests.filter(|one| one.api == ApiKey::Produce && one.node == 1);
        produces.map(|one| one.at).collect::<Vec<_>>()
    });
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] >= millis(5_000), "{times:?}");
}

/// A throttle is no way past the deadline.
#[tokio::test(start_paused = true)]
async fn a_throttle_longer_than_the_delivery_timeout_fails_records_on_time() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::Throttle(Duration::from_secs(1_000)),
        _ => Verdict::Pass,
    }));
    send(&producer, 0, 0).await.await.unwrap();
    let begun = Instant::now();
    let error = send(&producer, 0, 1).await.await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_secs(120));
    assert_eq!(error.attempts(), 0, "{error}");
}

/// Scenario 25: who sticks fairly still uses what comes back.
#[tokio::test(start_paused = true)]
async fn sticky_records_keep_away_from_a_dead_leader_and_return_to_it() {
    let world = World::build(3, 6, |builder| {
        builder.settings(|settings| settings.replication_factor = Some(1))
    })
    .await;
    let mut config = ProducerConfig::default();
    config.batch_size = 300;
    let producer = world.producer(config);
    let sends = async |count: u64| {
        let mut partitions = [0_usize; 6];
        for number in 0..count {
            let value = format!("{number:<50}");
            let receipt = producer.send(Record::to("t").value(&value)).await.unwrap();
            partitions[usize::try_from(receipt.partition()).unwrap()] += 1;
            sleep(millis(1)).await;
        }
        partitions
    };
    let used = sends(1_800).await;
    let mean = 300;
    let fair = |count: &usize| (mean / 2..mean * 2).contains(count);
    assert!(used.iter().all(fair), "{used:?}");

    let dead = world.broker.with_model(|model| {
        model.kill_node(2).unwrap();
        let led = |partition| model.leader("t", partition).unwrap().0.is_some();
        (0..6_i32).filter(|p| !led(*p)).collect::<Vec<_>>()
    });
    assert_eq!(dead.len(), 2);
    world
        .cluster
        .refreshed(crate::world::within(10))
        .await
        .unwrap();
    sends(200).await; // turns that had begun there
    let used = sends(1_000).await;
    for partition in &dead {
        assert_eq!(used[usize::try_from(*partition).unwrap()], 0, "{used:?}");
    }
    world
        .broker
        .with_model(|model| model.start_node(2))
        .unwrap();
    world
        .cluster
        .refreshed(crate::world::within(10))
        .await
        .unwrap();
    let used = sends(1_800).await;
    assert!(used.iter().all(fair), "{used:?}");
    producer.flush().await.unwrap();
}
