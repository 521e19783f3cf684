//! Memory, deadlines, ends: what happens when a limit is reached.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use milena_broker::{ClusterModel, Verdict};
use milena_codec::ApiKey;
use milena_producer::{
    Acks, DeliveryCause, ErrorCode, Fate, Hook, ProducerConfig, Record, SendError, TrySendError,
};

use crate::world::{World, nth_produce, send, within};

#[tokio::test(start_paused = true)]
async fn a_record_larger_than_a_request_is_refused_with_both_sizes() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    let value = vec![0; 1_048_577];
    let error = producer
        .send(Record::to("t").value(&value))
        .await
        .unwrap_err();
    assert!(
        matches!(error, SendError::RecordTooLarge { size, limit: 1_048_576, .. } if size > 1_048_576)
    );
    assert!(error.to_string().contains("max_request_size"), "{error}");
    let receipt = producer
        .send(Record::to("t").value(&value[..1_040_000]))
        .await;
    assert_eq!(receipt.unwrap().await.unwrap().offset, Some(0));
}

#[tokio::test(start_paused = true)]
async fn without_room_send_waits_and_try_send_says_so() {
    let world = World::start(1, 1).await;
    let mut config = ProducerConfig::default();
    config.buffer_memory = 100_000;
    config.batch_size = 20_000;
    let producer = world.producer(config);
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::Delay(Duration::from_secs(10)),
        _ => Verdict::Pass,
    }));
    let value = |number: u64| format!("{number} {}", "x".repeat(5_000));
    let begun = tokio::time::Instant::now();
    let mut sent = 0;
    loop {
        let text = value(sent);
        match producer.try_send(Record::to("t").value(&text)) {
            Ok(_) => sent += 1,
            Err(TrySendError::MetadataMissing { .. }) => {
                drop(producer.send(Record::to("t").value(&text)).await.unwrap());
                sent += 1;
            }
            Err(TrySendError::Full) => break,
            Err(other) => panic!("{other}"),
        }
    }
    assert!((10..=20).contains(&sent), "{sent}");
    tokio::time::sleep(Duration::from_secs(1)).await;

    let abandoned = "999 abandoned".repeat(500);
    {
        let mut send = pin!(producer.send(Record::to("t").value(&abandoned)));
        let context = &mut Context::from_waker(Waker::noop());
        while tokio::time::Instant::now() < begun + Duration::from_secs(5) {
            assert!(matches!(send.as_mut().poll(context), Poll::Pending));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    let text = value(sent);
    let receipt = producer.send(Record::to("t").value(&text)).await.unwrap();
    receipt.await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(10));
    assert_eq!(world.numbers(0), (0..=sent).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_send_that_waits_for_room_in_vain_says_how_long() {
    let world = World::start(1, 1).await;
    let mut config = ProducerConfig::default();
    config.buffer_memory = 20_000;
    config.batch_size = 20_000;
    config.max_block = Duration::from_secs(7);
    let producer = world.producer(config);
    world.broker.faults(nth_produce(|_| Verdict::Silence));
    let value = [b'0'; 15_000];
    let first = producer.send(Record::to("t").value(&value)).await.unwrap();
    let begun = tokio::time::Instant::now();
    let error = producer
        .send(Record::to("t").value(&value))
        .await
        .unwrap_err();
    assert!(matches!(error, SendError::BufferFull { .. }), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 7);
    assert!(first.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_send_accepts_nothing_and_a_dropped_receipt_cancels_nothing() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    // The topic is not looked up yet: dropped at each poll before it is ready.
    for polls in 0..3 {
        let mut send = pin!(producer.send(Record::to("t").value("9")));
        let context = &mut Context::from_waker(Waker::noop());
        for _ in 0..polls {
            assert!(send.as_mut().poll(context).is_pending());
        }
    }
    drop(producer.send(Record::to("t").value("0")).await.unwrap());
    assert_eq!(producer.flush().await.unwrap().delivered, 1);
    assert_eq!(world.numbers(0), [0]);
}

#[tokio::test(start_paused = true)]
async fn lingering_batches_fill_and_flush_does_not_wait_for_them() {
    let world = World::start(1, 1).await;
    let mut config = ProducerConfig::default();
    config.linger = Duration::from_secs(5).into();
    let producer = world.producer(config);
    let begun = tokio::time::Instant::now();
    let first = producer.send(Record::to("t").value("0")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let second = producer.send(Record::to("t").value("1")).await.unwrap();
    first.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 5);
    second.await.unwrap();
    assert_eq!(world.batches(0).len(), 1);
    drop(producer.send(Record::to("t").value("2")).await.unwrap());
    producer.flush().await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn flush_reports_what_nobody_watched_and_the_hook_sees_it() {
    let world = World::start(1, 1).await;
    let failed = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&failed);
    let mut config = ProducerConfig::default();
    config.on_failed_batch = Some(Hook::new(move |batch| {
        seen.lock().unwrap().push(Arc::clone(batch));
    }));
    let producer = world.producer(config);
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::Error(ErrorCode::TopicAuthorizationFailed),
        _ => Verdict::Pass,
    }));
    for number in ["0", "1"] {
        drop(producer.send(Record::to("t").value(number)).await.unwrap());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let error = producer.flush().await.unwrap_err();
    let report = &error.report;
    assert_eq!(
        (report.delivered, report.not_written, report.maybe_written),
        (1, 1, 0)
    );
    assert!(
        error.to_string().contains("TOPIC_AUTHORIZATION_FAILED"),
        "{error}"
    );
    let batch = Arc::clone(&failed.lock().unwrap()[0]);
    let values: Vec<_> = batch.records().map(|record| record.value).collect();
    assert_eq!(values, [Some(&b"0"[..])]);
    assert!(producer.flush().await.unwrap().is_success());
}

#[tokio::test(start_paused = true)]
async fn close_delivers_what_it_can_and_fails_the_rest_at_its_deadline() {
    let world = World::start(1, 2).await;
    let mut config = ProducerConfig::default();
    config.max_in_flight = 1;
    let producer = world.producer(config);
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::Pass,
        _ => Verdict::Silence,
    }));
    let first = producer
        .send(Record::to("t").value("0").partition(0))
        .await
        .unwrap();
    first.await.unwrap();
    let lost = producer
        .send(Record::to("t").value("1").partition(0))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let unsent = producer
        .send(Record::to("t").value("2").partition(0))
        .await
        .unwrap();
    let begun = tokio::time::Instant::now();
    let report = producer.close(within(3)).await;
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert_eq!(
        (report.delivered, report.not_written, report.maybe_written),
        (1, 1, 1)
    );
    for (receipt, fate) in [(lost, Fate::MaybeWritten), (unsent, Fate::NotWritten)] {
        let error = receipt.await.unwrap_err();
        assert_eq!(error.fate(), fate);
        assert!(matches!(error.cause(), DeliveryCause::Closed { .. }));
    }
    let error = producer.send(Record::to("t").value("3")).await.unwrap_err();
    assert!(matches!(error, SendError::Closed));
    assert_eq!(producer.close(within(3)).await.delivered, 0);
}

#[tokio::test(start_paused = true)]
async fn abort_buffered_leaves_what_was_tried_and_fails_what_waits_for_a_leader() {
    let world = World::build(2, 2, |builder| {
        builder.settings(|settings| settings.replication_factor = Some(1))
    })
    .await;
    let producer = world.producer(ProducerConfig::default());
    for partition in 0..2 {
        send(&producer, partition, 0).await.await.unwrap();
    }
    let down = |model: &mut ClusterModel| {
        let node = model.leader("t", 1).unwrap().0.unwrap();
        model.kill_node(node).unwrap();
        node
    };
    let node = world.broker.with_model(down);
    world.cluster.refreshed(within(10)).await.unwrap();
    world.broker.faults(nth_produce(|_| {
        Verdict::Error(ErrorCode::NotEnoughReplicas)
    }));
    let tried = send(&producer, 0, 1).await;
    let waits = send(&producer, 1, 1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(producer.abort_buffered(), 1);
    let error = waits.await.unwrap_err();
    assert_eq!((error.fate(), error.attempts()), (Fate::NotWritten, 0));
    assert!(matches!(error.cause(), DeliveryCause::Aborted));
    assert!(tried.outcome().is_none());
    world.broker.faults(|_| Verdict::Pass);
    assert_eq!(tried.await.unwrap().offset, Some(1));
    let up = |model: &mut ClusterModel| model.start_node(node);
    world.broker.with_model(up).unwrap();
    assert_eq!(send(&producer, 1, 2).await.await.unwrap().offset, Some(1));
}

/// In whatever state: it ends by its deadline, and every receipt resolves.
#[tokio::test(start_paused = true)]
async fn close_ends_by_its_deadline_whatever_the_producer_waits_for() {
    for (api, verdict) in [
        (ApiKey::Metadata, Verdict::Silence),
        (ApiKey::InitProducerId, Verdict::Silence),
        (ApiKey::Produce, Verdict::Silence),
        (ApiKey::Produce, Verdict::Throttle(Duration::from_secs(60))),
        (
            ApiKey::Produce,
            Verdict::Error(ErrorCode::NotLeaderOrFollower),
        ),
    ] {
        for acks in [Acks::None, Acks::Leader, Acks::All] {
            let world = World::start(1, 1).await;
            let mut config = ProducerConfig::default();
            config.acks = acks;
            let producer = world.producer(config);
            producer.topic("t").await.unwrap();
            world.broker.faults(move |request| match request.api {
                asked if asked == api => verdict,
                _ => Verdict::Pass,
            });
            let mut receipts = Vec::new();
            for number in 0..3 {
                receipts.push(send(&producer, 0, number).await);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let other = producer.clone();
            // Metadata stands behind the producer id on the only broker's connection.
            let waits =
                api == ApiKey::Metadata || (api, acks) == (ApiKey::InitProducerId, Acks::All);
            let unknown = tokio::spawn(async move {
                let sent = other.send(Record::to("u").value("0")).await;
                matches!(sent, Err(SendError::Closed))
            });
            tokio::time::sleep(Duration::from_secs(1)).await;
            let begun = tokio::time::Instant::now();
            let report = producer.close(within(2)).await;
            assert!(begun.elapsed() <= Duration::from_secs(2));
            for receipt in &receipts {
                assert!(receipt.outcome().is_some(), "{api:?} {verdict:?} {acks:?}");
            }
            let told = report.delivered + report.not_written + report.maybe_written;
            assert!(told >= 3, "{report:?}");
            assert_eq!(
                unknown.await.unwrap(),
                waits,
                "{api:?} {verdict:?} {acks:?}"
            );
            assert!(begun.elapsed() <= Duration::from_secs(2));
            assert!(matches!(
                producer.send(Record::to("t").value("9")).await,
                Err(SendError::Closed)
            ));
        }
    }
}

/// Else they would wait for `max_block` for what cannot help them any more.
#[tokio::test(start_paused = true)]
async fn close_tells_those_who_wait_for_room_at_once() {
    let world = World::start(1, 1).await;
    let mut config = ProducerConfig::default();
    config.buffer_memory = 20_000;
    config.batch_size = 20_000;
    let producer = world.producer(config);
    producer.topic("t").await.unwrap();
    world.broker.faults(nth_produce(|_| Verdict::Silence));
    let value = [b'0'; 15_000];
    drop(producer.try_send(Record::to("t").value(&value)).unwrap());
    let mut waiting = Vec::new();
    for reserves in [false, true] {
        let producer = producer.clone();
        waiting.push(tokio::spawn(async move {
            let error = if reserves {
                producer.reserve(15_000).await.unwrap_err()
            } else {
                let record = Record::to("t").value(&value);
                producer.send(record).await.unwrap_err()
            };
            (error, tokio::time::Instant::now())
        }));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let begun = tokio::time::Instant::now();
    producer.close(within(3)).await;
    for waited in waiting {
        let (error, at) = waited.await.unwrap();
        assert!(matches!(error, SendError::Closed), "{error}");
        assert_eq!(at, begun);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_producer_still_delivers_what_it_accepted() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    let receipt = producer.send(Record::to("t").value("0")).await.unwrap();
    drop(producer);
    assert_eq!(receipt.await.unwrap().offset, Some(0));
}

#[test]
fn the_end_of_the_runtime_resolves_what_is_left() {
    let failed = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&failed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let receipts = runtime.block_on(async {
        let world = World::start(1, 1).await;
        world.broker.faults(nth_produce(|_| Verdict::Silence));
        let mut config = ProducerConfig::default();
        config.on_failed_batch = Some(Hook::new(move |batch: &Arc<_>| {
            let batch: &milena_producer::FailedBatch = batch;
            seen.fetch_add(u64::from(batch.len()), Ordering::Relaxed);
        }));
        let producer = world.producer(config);
        let receipt = producer.send(Record::to("t").value("0")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        [receipt]
    });
    drop(runtime);
    assert_eq!(
        receipts[0].outcome().unwrap().unwrap_err().fate(),
        Fate::MaybeWritten
    );
    assert_eq!(failed.load(Ordering::Relaxed), 1);
}
