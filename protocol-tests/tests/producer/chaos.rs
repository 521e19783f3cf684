//! Seeded trouble: whatever happens, acknowledged records are there once and in order, those said
//! not to be written are not there, and every receipt resolves.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use milena_broker::{ClusterModel, Verdict};
use milena_producer::{ErrorCode, Fate, Hook, LastError, ProducerConfig, ProducerEvent, Record};

use crate::world::{World, nth_produce};

const SEEDS: u64 = 150;
const RECORDS: u64 = 200;
const PARTITIONS: u64 = 3;

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// One seed instead of all: `MILENA_SEED=7 cargo test -p protocol-tests --test producer chaos`.
#[test]
fn nothing_is_lost_duplicated_reordered_or_lied_about() {
    if let Ok(seed) = std::env::var("MILENA_SEED") {
        println!(
            "{:?}",
            replay(seed.parse().expect("MILENA_SEED is a number"))
        );
        return;
    }
    let mut sum = Run::default();
    for seed in 0..SEEDS {
        let run = replay(seed);
        sum.delivered += run.delivered;
        sum.failed += run.failed;
        sum.out_of_order += run.out_of_order;
    }
    assert!(sum.delivered > 20_000 && sum.failed > 500, "{sum:?}");
    assert!(sum.out_of_order > 100, "several are in flight: {sum:?}");
}

#[test]
fn a_seed_replays_the_same_requests_and_outcomes() {
    for seed in 0..20 {
        assert_eq!(replay(seed), replay(seed), "seed {seed}");
    }
    assert_ne!(replay(0).trace, replay(1).trace);
}

/// What happened.
#[derive(Debug, Default, PartialEq, Eq)]
struct Run {
    delivered: u64,
    failed: u64,
    /// Batches refused since one before them was: they were in flight together.
    out_of_order: u64,
    /// A hash of all requests that the brokers received, with times and verdicts, and of all
    /// outcomes and logs.
    trace: u64,
}

#[derive(Default)]
struct Trace(DefaultHasher);

impl Trace {
    fn add(&mut self, what: &impl Debug) {
        format!("{what:?}").hash(&mut self.0);
    }
}

fn replay(seed: u64) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let named = Named(seed);
    let run = runtime.block_on(run(seed));
    drop(named);
    run
}

/// Says which seed it was if the test fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("MILENA_SEED={seed} cargo test -p protocol-tests --test producer chaos");
        }
    }
}

async fn run(seed: u64) -> Run {
    let world = World::seeded(seed, 3, PARTITIONS as i32, |builder| builder).await;
    let mut dice = Dice(seed);
    let mut trouble = Dice(seed ^ 0xfeed);
    // Some seeds are so bad that deadlines pass.
    let odds = [2, 4, 8, 30][dice.below(4) as usize];
    world.broker.faults(nth_produce(move |_| {
        if trouble.below(odds) != 0 {
            return Verdict::Pass;
        }
        match trouble.below(8) {
            0 => Verdict::ApplyThenDisconnect,
            1 => Verdict::Disconnect,
            2 => Verdict::Silence,
            3 => Verdict::Error(ErrorCode::NotEnoughReplicas),
            4 => Verdict::Error(ErrorCode::NotLeaderOrFollower),
            5 => Verdict::ApplyThenError(ErrorCode::RequestTimedOut),
            6 => Verdict::ApplyThenError(ErrorCode::NotLeaderOrFollower),
            _ => Verdict::Delay(Duration::from_millis(trouble.below(3_000))),
        }
    }));
    let mut config = ProducerConfig::default();
    config.batch_size = [1, 90, 300][dice.below(3) as usize];
    config.request_timeout = Duration::from_secs(2);
    config.delivery_timeout = Duration::from_secs(3);
    let out_of_order = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&out_of_order);
    config.on_event = Some(Hook::new(move |event| {
        let code = ErrorCode::OutOfOrderSequenceNumber;
        if let ProducerEvent::Retry { cause, .. } = event
            && matches!(cause, LastError::Answer(answer) if *answer == code)
        {
            seen.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let producer = world.producer(config);
    let mut receipts = Vec::new();
    for number in 0..RECORDS {
        if dice.below(10) == 0 {
            let (partition, to) = (dice.below(PARTITIONS) as i32, 1 + dice.below(3) as i32);
            let moved = world
                .broker
                .with_model(|model| model.move_leader("t", partition, to, None));
            moved.unwrap();
        }
        let value = number.to_string();
        let partition = (number % PARTITIONS) as i32;
        let record = Record::to("t").value(&value).partition(partition);
        receipts.push(producer.send(record).await.unwrap());
        if dice.below(3) == 0 {
            tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
        }
    }
    let (mut delivered, mut failed) = (0, 0);
    let mut trace = Trace::default();
    let logs: Vec<_> = {
        let mut outcomes = Vec::new();
        for receipt in receipts {
            let outcome = receipt.await;
            trace.add(&outcome);
            outcomes.push(outcome);
        }
        // What was given up may still be executed.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let logs: Vec<_> = (0..PARTITIONS).map(|p| world.numbers(p as i32)).collect();
        for (outcome, number) in outcomes.into_iter().zip(0_u64..) {
            let log = &logs[(number % PARTITIONS) as usize];
            let times = log.iter().filter(|logged| **logged == number).count();
            match outcome {
                Ok(ack) => {
                    delivered += 1;
                    assert_eq!(times, 1, "seed {seed}: acknowledged record {number}");
                    let offset = ack.offset.unwrap() as usize;
                    assert_eq!(log[offset], number, "seed {seed}: offset {offset}");
                }
                Err(error) => {
                    failed += 1;
                    let most = usize::from(error.fate() == Fate::MaybeWritten);
                    assert!(times <= most, "seed {seed}: record {number}: {error}");
                }
            }
        }
        logs
    };
    for log in logs {
        assert!(log.is_sorted(), "seed {seed}: {log:?}");
        trace.add(&log);
    }
    let model = |model: &mut ClusterModel| model.requests().for_each(|one| trace.add(one));
    world.broker.with_model(model);
    Run {
        delivered,
        failed,
        out_of_order: out_of_order.load(Ordering::Relaxed),
        trace: trace.0.finish(),
    }
}
