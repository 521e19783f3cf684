//! Seeded trouble for several producers of two transactional ids, zombies among them (row R6, R10,
//! R18): what was told to be committed is seen whole, once and in order, what was told not to be is
//! not seen, and what was left unknown is whole or nothing. Every seed heals and ends.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use milena_broker::{ClusterModel, KafkaVersion};
use milena_producer::{
    AbortError, BeginError, CommitError, Complete, ConsumedOffset, GroupMetadata, ProducerConfig,
    Record, Token, Transaction, TransactionConfig, TransactionalProducer,
};
use protocol_tests::dice::XorShift;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::history::{History, PARTITIONS, Told};
use crate::trouble::{self, IDS};
use crate::world::{World, within};

const SEEDS: u64 = 100;
/// Of each transactional id.
const TRANSACTIONS: usize = 10;
/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(60);
/// In virtual time; more is never.
const END: Duration = Duration::from_secs(3_600);

/// `MILENA_SEEDS=5000` runs more; one alone, to replay it:
/// `MILENA_SEED=7 cargo test -p protocol-tests --test transactions chaos`.
#[test]
fn no_transaction_is_torn_lost_or_lied_about() {
    if let Some(seed) = number("MILENA_SEED") {
        println!("{:?}", replay(seed));
        return;
    }
    let mut sum = Run::default();
    let seeds = number("MILENA_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        let run = replay(seed);
        sum.committed += run.committed;
        sum.not_committed += run.not_committed;
        sum.unknown += run.unknown;
        sum.unknown_committed += run.unknown_committed;
    }
    println!("{seeds} seeds: {sum:?}");
    let enough = sum.committed > seeds * 6 && sum.not_committed > seeds * 2;
    assert!(enough && sum.unknown > 0, "{sum:?}");
}

#[test]
fn a_seed_replays_the_same_requests_and_outcomes() {
    for seed in 0..8 {
        assert_eq!(replay(seed), replay(seed), "seed {seed}");
    }
    assert_ne!(replay(0).trace, replay(2).trace);
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("seeds are numbers"))
}

/// What happened.
#[derive(Debug, Default, PartialEq, Eq)]
struct Run {
    committed: u64,
    not_committed: u64,
    unknown: u64,
    /// Of the unknown, those that readers see.
    unknown_committed: u64,
    /// A hash of all requests that the brokers received, with times and verdicts, of what was told
    /// and of the logs.
    trace: u64,
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
            eprintln!("MILENA_SEED={seed} cargo test -p protocol-tests --test transactions chaos");
        }
    }
}

/// What the tasks share.
struct Shared {
    world: World,
    history: Mutex<History>,
    config: ProducerConfig,
}

async fn run(seed: u64) -> Run {
    let mut dice = XorShift::new(seed);
    let level = 2 * (seed % 2) as i16;
    let markers = [0, 5, 400][dice.below(3)];
    let cold = dice.below(2) == 0;
    let old = seed % 7 == 4;
    let world = World::seeded(seed, |builder| {
        let builder = builder.topic("t", PARTITIONS as i32);
        let builder = match old {
            true => builder.as_version(KafkaVersion::V2_1),
            false => builder,
        };
        builder.transaction_version(level).settings(|settings| {
            settings.marker_delay = Duration::from_millis(markers);
            settings.cold_start = cold;
            settings.request_log = usize::MAX;
        })
    });
    let shared = Arc::new(Shared {
        world: world.await,
        history: Mutex::default(),
        config: config(&mut dice),
    });
    trouble::faults(&shared.world, seed, [4, 8, 16, 40][dice.below(4)], !old);
    let mut tasks = JoinSet::new();
    for (index, id) in IDS.into_iter().enumerate() {
        let dice = XorShift::new(seed ^ ((index as u64 + 1) << 32));
        tasks.spawn(work(Arc::clone(&shared), id, dice));
    }
    let mixed = seed.is_multiple_of(3);
    let events = trouble::events(&shared.world, seed, mixed);
    let _ = timeout(TROUBLE, events).await;
    trouble::heal(&shared.world);
    let ended = timeout(END, tasks.join_all()).await;
    ended.unwrap_or_else(|_| panic!("seed {seed} is stuck")); // R10
    finish(&shared).await
}

fn config(dice: &mut XorShift) -> ProducerConfig {
    let mut config = ProducerConfig::default();
    config.batch_size = [1, 90, 300][dice.below(3)];
    config.request_timeout = Duration::from_secs(2);
    config.delivery_timeout = Duration::from_secs(4);
    config.max_block = Duration::from_secs(6);
    config
}

/// After one more transaction of each id nothing is undecided, and the logs agree.
async fn finish(shared: &Shared) -> Run {
    for id in IDS {
        let producer = shared.producer(id);
        let transaction = producer.begin().await.unwrap();
        let number = lock(shared).begin(id);
        send(shared, &transaction, number, 0).await;
        transaction.commit().await.unwrap();
        lock(shared).tell(number, Told::Committed);
    }
    // What was given up may still be executed.
    sleep(Duration::from_secs(60)).await;
    let world = &shared.world;
    let open = |model: &mut ClusterModel| {
        (0..PARTITIONS as i32).find(|index| {
            let stable = model.last_stable_offset("t", *index).unwrap();
            let batches = model.log("t", *index).unwrap();
            let end = batches.last().map_or(0, end_of);
            stable != end
        })
    };
    assert_eq!(world.broker.with_model(open), None, "a transaction hangs");
    let history = std::mem::take(&mut *lock(shared));
    let unknown_committed = history.check(world).await;
    let mut trace = Trace::default();
    trace.add(&history);
    (0..PARTITIONS as i32).for_each(|index| trace.add(&world.written(index)));
    let requests = |model: &mut ClusterModel| model.requests().for_each(|one| trace.add(one));
    world.broker.with_model(requests);
    Run {
        committed: history.count(Told::Committed),
        not_committed: history.count(Told::NotCommitted),
        unknown: history.count(Told::Unknown),
        unknown_committed,
        trace: trace.0.finish(),
    }
}

fn end_of(batch: &milena_codec::Bytes) -> i64 {
    let header = milena_records::BatchHeader::read(batch).expect("a batch");
    header.last_offset() + 1
}

#[derive(Default)]
struct Trace(DefaultHasher);

impl Trace {
    fn add(&mut self, what: &impl Debug) {
        format!("{what:?}").hash(&mut self.0);
    }
}

impl Shared {
    fn producer(&self, id: &str) -> TransactionalProducer {
        let mut transactions = TransactionConfig::new(id);
        transactions.transaction_timeout = Duration::from_secs(20);
        self.world.configured(self.config.clone(), &transactions)
    }
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, History> {
    shared
        .history
        .lock()
        .expect("nothing panics while it is held")
}

/// The transactions of one transactional id, by one producer after the other.
async fn work(shared: Arc<Shared>, id: &'static str, mut dice: XorShift) {
    let mut producer = shared.producer(id);
    let mut zombies = JoinSet::new();
    // The last one's number, if its outcome is unknown.
    let mut doubted = None;
    let mut begun = 0;
    while begun < TRANSACTIONS {
        let transaction = match producer.begin().await {
            Ok(transaction) => transaction,
            Err(BeginError::InDoubt(token)) => {
                resolve(&shared, &mut producer, (id, doubted, token), &mut dice).await;
                continue;
            }
            Err(BeginError::Fatal(_)) => {
                producer = shared.producer(id);
                continue;
            }
            Err(BeginError::TimedOut { .. } | BeginError::Call(_)) => continue,
            Err(error) => panic!("{id} cannot begin: {error}"),
        };
        begun += 1;
        let number = lock(&shared).begin(id);
        doubted = Some(number);
        send(&shared, &transaction, number, dice.below(6)).await;
        if dice.below(3) == 0 {
            send_offsets(&shared, &transaction, number).await;
        }
        if dice.below(12) == 0 {
            // Longer than its coordinator allows.
            sleep(Duration::from_secs(40)).await;
        }
        if dice.below(8) == 0 {
            let old = std::mem::replace(&mut producer, shared.producer(id));
            let after = Duration::from_millis(dice.below(8_000) as u64);
            zombies.spawn(haunt(Arc::clone(&shared), old, transaction, number, after));
            continue;
        }
        let told = end(transaction, &mut dice).await;
        lock(&shared).tell(number, told);
    }
    zombies.join_all().await;
}

/// Sends records until one is not accepted; those that are, are part of the transaction.
async fn send(shared: &Shared, transaction: &Transaction, number: u64, more: usize) {
    for index in 0..=more {
        let partition = (number as usize + index * index) % PARTITIONS;
        let value = format!("{number} {index}");
        let record = Record::to("t").value(&value).partition(partition as i32);
        let Ok(receipt) = transaction.send(record).await else {
            return;
        };
        lock(shared).of(number).values[partition].push(value);
        if index % 3 == 1 {
            let _ = receipt.await;
        }
    }
}

/// In the group that has the id's name.
async fn send_offsets(shared: &Shared, transaction: &Transaction, number: u64) {
    let group = GroupMetadata::new(lock(shared).of(number).id);
    lock(shared).of(number).offsets = true;
    let offset = ConsumedOffset::new("t", 0, number as i64);
    // If they are not confirmed, neither is the transaction.
    let _ = transaction.send_offsets(group, [offset]).await;
}

/// A producer that does not know that there is another.
async fn haunt(
    shared: Arc<Shared>,
    producer: TransactionalProducer,
    transaction: Transaction,
    number: u64,
    after: Duration,
) {
    sleep(after).await;
    send(&shared, &transaction, number, 0).await;
    let told = committed(transaction.commit().await.as_ref());
    lock(&shared).tell(number, told);
    // By then it is fenced, unless the other one has not begun yet.
    if let Ok(transaction) = producer.begin().await {
        let id = lock(&shared).of(number).id;
        let number = lock(&shared).begin(id);
        send(&shared, &transaction, number, 0).await;
        let told = committed(transaction.commit().await.as_ref());
        lock(&shared).tell(number, told);
    }
}

async fn end(transaction: Transaction, dice: &mut XorShift) -> Told {
    match dice.below(12) {
        0 => {
            drop(transaction);
            Told::NotCommitted
        }
        1 | 2 => match transaction.abort().await {
            Ok(()) | Err(AbortError::Pending { .. } | AbortError::Fatal(_)) => Told::NotCommitted,
            Err(error) => panic!("{error}"),
        },
        3 => {
            let waits = Duration::from_millis(dice.below(200) as u64);
            match timeout(waits, transaction.commit()).await {
                Ok(result) => committed(result.as_ref()),
                Err(_) => Told::Unknown,
            }
        }
        4 => committed(transaction.commit_by(within(1)).await.as_ref()),
        _ => committed(transaction.commit().await.as_ref()),
    }
}

fn committed(result: Result<&(), &CommitError>) -> Told {
    match result {
        Ok(()) => Told::Committed,
        Err(CommitError::NotCommitted(_) | CommitError::Fatal(_)) => Told::NotCommitted,
        Err(CommitError::Unknown(_)) => Told::Unknown,
        Err(error) => panic!("{error}"),
    }
}

/// Finds out what became of the last transaction, or does without.
async fn resolve(
    shared: &Shared,
    producer: &mut TransactionalProducer,
    (id, number, token): (&'static str, Option<u64>, Token),
    dice: &mut XorShift,
) {
    let number = number.expect("a transaction was begun");
    let complete = match dice.below(4) {
        0 => {
            // Whatever it says: the next `begin` says more.
            let _ = producer.abandon().await;
            return;
        }
        1 => Complete::Abort,
        _ => Complete::Commit,
    };
    if dice.below(3) == 0 {
        *producer = shared.producer(id);
    }
    let token = token.to_string().parse().expect("it is a token's text");
    match producer.resume(token, complete).await {
        Ok(Complete::Commit) => lock(shared).tell(number, Told::Committed),
        Ok(Complete::Abort) => lock(shared).tell(number, Told::NotCommitted),
        Err(BeginError::Misuse(_)) => {
            // What was to be aborted cannot be committed, and some commits cannot be aborted.
            let text = token.to_string();
            let only = text.contains("abort") || text.contains("commit-only");
            assert!(only, "{token} refuses {complete:?}");
        }
        Err(_) => {}
    }
}
