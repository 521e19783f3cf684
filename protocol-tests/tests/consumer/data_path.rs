//! How bytes get from the socket to the user: ahead of need, each partition apart, nothing lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use milena_broker::{Broker, Verdict};
use milena_codec::ApiKey;
use milena_consumer::Start;
use milena_net::{Environment, Offload};
use milena_records::Compression;

use crate::world::{TOPIC, World};

/// A value that no codec makes much smaller.
fn noise(size: usize, seed: u32) -> String {
    let mut random = seed;
    let letters = (0..size).map(|_| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b' ' + (random >> 24) as u8 % 95)
    });
    letters.collect()
}

/// Counts the Fetch requests.
fn fetches(world: &World) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    world.broker.faults(move |request| {
        counted.fetch_add(usize::from(request.api == ApiKey::Fetch), Ordering::Relaxed);
        Verdict::Pass
    });
    count
}

#[tokio::test(start_paused = true)]
async fn the_next_fetch_goes_out_while_the_user_holds_a_batch() {
    let world = World::new(1, 1).await;
    let value = noise(1000, 1);
    for _ in 0..30 {
        world.write(0, &[value.as_str(); 5]).await;
    }
    let fetches = fetches(&world);
    let mut consumer = world.consumer(|config| config.max_partition_fetch_bytes = 30_000);
    consumer
        .assign_topic(TOPIC, Start::Offset(0))
        .await
        .unwrap();
    let held = consumer.next_batch().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(fetches.load(Ordering::Relaxed), 2, "and no third one");
    let buffered = consumer.partitions_state()[0].buffered_bytes;
    assert!((50_000..=60_000).contains(&buffered), "{buffered}");
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_served_by_fetches_of_several_partitions() {
    let world = World::new(1, 6).await;
    let value = noise(1000, 3);
    for _ in 0..40 {
        for partition in 0..6 {
            world.write(partition, &[value.as_str(); 5]).await;
        }
    }
    let fetches = fetches(&world);
    let mut consumer = world.consumer(|config| {
        config.max_partition_fetch_bytes = 21_000;
        config.stop_at_end = true;
    });
    consumer
        .assign_topic(TOPIC, Start::Offset(0))
        .await
        .unwrap();
    let mut read = 0;
    while let Some(batch) = consumer.next_batch().await.unwrap() {
        read += batch.len();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(read, 40 * 6 * 5);
    // Four batches of a partition come at a time.
    let fetches = fetches.load(Ordering::Relaxed);
    assert!((10..=25).contains(&fetches), "{fetches} fetches");
}

#[tokio::test(start_paused = true)]
async fn a_record_is_there_as_soon_as_it_is_written() {
    let world = World::new(1, 1).await;
    let mut consumer = world.consumer(|_| {});
    consumer
        .assign_topic(TOPIC, Start::Offset(0))
        .await
        .unwrap();
    let idle = tokio::time::timeout(Duration::from_millis(1250), consumer.next_batch()).await;
    assert!(idle.is_err());
    world.write(0, &["now"]).await;
    let begun = world.now();
    consumer.next_batch().await.unwrap().unwrap();
    assert!(world.now() - begun < Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn blocks_are_used_again_and_a_held_record_keeps_only_its_own() {
    let world = World::new(1, 2).await;
    let value = noise(5000, 2);
    for _ in 0..60 {
        for partition in 0..2 {
            world.write(partition, &[value.as_str(); 4]).await;
        }
    }
    let mut consumer = world.consumer(|config| {
        config.max_partition_fetch_bytes = 45_000;
        config.stop_at_end = true;
    });
    consumer
        .assign_topic(TOPIC, Start::Offset(0))
        .await
        .unwrap();
    let mut blocks = BTreeSet::new();
    let mut held = None;
    let mut read = 0;
    while let Some(batch) = consumer.next_batch().await.unwrap() {
        let record = batch.iter().next().unwrap();
        let at = record.value.unwrap().as_ptr() as usize;
        match &held {
            None => held = Some((record.pin(), at)),
            Some((_, theirs)) => assert_ne!(at, *theirs, "the held record's memory"),
        }
        blocks.insert(at);
        read += batch.len();
    }
    let (held, _) = held.unwrap();
    assert_eq!(read, 480);
    // Each chunk holds two batches; two answers a partition may wait, and one be read.
    assert!(blocks.len() <= 20, "{} places in memory", blocks.len());
    assert_eq!(held.value(), Some(value.as_bytes()));
}

/// Runs each job some time later.
#[derive(Debug)]
struct Later(Arc<AtomicUsize>);

impl Offload for Later {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        let jobs = self.0.fetch_add(1, Ordering::Relaxed);
        let pause = Duration::from_millis(3 + jobs as u64 % 3);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            job();
        });
    }

    fn spare(&self) -> usize {
        3
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_reads_lose_no_check_that_runs_elsewhere_and_the_order_is_kept() {
    let broker = Broker::builder().topic(TOPIC, 3).start().await.unwrap();
    let jobs = Arc::new(AtomicUsize::new(0));
    let mut env = Environment::seeded(7, broker.connector());
    env.offload = Arc::new(Later(Arc::clone(&jobs)));
    let world = World::within(broker, env).await;
    for partition in 0..3 {
        for batch in 0..40 {
            let values: Vec<String> = (0..3)
                .map(|at| format!("{partition}/{}", batch * 3 + at) + &noise(8000, batch * 3 + at))
                .collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            world.write_as(Compression::Lz4, partition, &values).await;
        }
    }
    let mut consumer = world.consumer(|config| config.stop_at_end = true);
    consumer
        .assign_topic(TOPIC, Start::Offset(0))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut seen, mut dropped) = ([0_i64; 3], 0);
    loop {
        let read = tokio::time::timeout(Duration::from_millis(1), consumer.next_batch());
        let batch = match read.await {
            Err(_) => {
                dropped += 1;
                continue;
            }
            Ok(batch) => batch.unwrap(),
        };
        let Some(batch) = batch else { break };
        for record in &batch {
            let next = &mut seen[batch.partition() as usize];
            assert_eq!(record.offset, *next);
            let name = format!("{}/{next}", batch.partition());
            assert!(record.value.unwrap().starts_with(name.as_bytes()));
            *next += 1;
        }
    }
    assert_eq!(seen, [120; 3]);
    let jobs = jobs.load(Ordering::Relaxed);
    assert!(jobs >= 5 && dropped >= 5, "{jobs} jobs, {dropped} drops");
}

#[tokio::test(start_paused = true)]
async fn a_seek_while_checks_run_elsewhere_hands_out_nothing_from_before() {
    let broker = Broker::builder().topic(TOPIC, 1).start().await.unwrap();
    let mut env = Environment::seeded(7, broker.connector());
    env.offload = Arc::new(Later(Arc::default()));
    let world = World::within(broker, env).await;
    for batch in 0..60 {
        let value = noise(8000, batch);
        world
            .write_as(Compression::Lz4, 0, &[value.as_str(); 3])
            .await;
    }
    let mut consumer = world.consumer(|config| config.stop_at_end = true);
    consumer
        .assign_topic(TOPIC, Start::Offset(0))
        .await
        .unwrap();
    for _ in 0..20 {
        consumer.next_batch().await.unwrap().unwrap();
    }
    consumer.seek(TOPIC, 0, Start::Offset(6)).unwrap();
    let mut next = 6;
    while let Some(batch) = consumer.next_batch().await.unwrap() {
        assert_eq!(batch.first_offset(), next);
        next = batch.next_offset();
    }
    assert_eq!(next, 180);
}
