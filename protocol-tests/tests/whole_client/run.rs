//! One run: cluster, clients and faults from a plan, then peace, then the accounts.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use milena_broker::{Broker, ClusterModel};
use milena_net::{Address, Environment};
use milena_producer::{Hook, Producer, ProducerConfig, ProducerEvent, Record};
use milena_rpc::{Cluster, ClusterConfig};
use milena_sim::{Dice, Trace};
use tokio::time::{Instant, sleep, timeout};

use super::fuse::fused;
use super::ledger::Ledger;
use super::nemesis::{Nemesis, TOPIC};
use super::plan::{Load, Plan};
use super::verdicts::{self, Trouble};
use super::wires::{FaultyConnector, Wires};

/// More readings of a clock than any sound run needs.
const READINGS: u64 = 10_000_000;

/// What a run amounted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) cuts: u64,
    pub(crate) leader_moves: u64,
    /// Leader moves that lost what was not replicated.
    pub(crate) losses: u64,
    pub(crate) restarts: u64,
    /// Topics deleted and created again.
    pub(crate) recreated: u64,
    /// Requests that met a fault.
    pub(crate) faults: u64,
    /// Produce requests executed after their time-out.
    pub(crate) late: u64,
    pub(crate) requests: u64,
    pub(crate) splits: u64,
    pub(crate) bumps: u64,
    pub(crate) acknowledged: u64,
    pub(crate) not_written: u64,
    pub(crate) maybe_written: u64,
    /// Of those, in the log.
    pub(crate) maybe_present: u64,
    /// Records that were not accepted.
    pub(crate) refused: u64,
    /// A hash of all requests, with times and verdicts, of all outcomes and logs.
    pub(crate) trace: u64,
}

impl Report {
    pub(crate) fn add(&mut self, other: &Self) {
        self.cuts += other.cuts;
        self.leader_moves += other.leader_moves;
        self.losses += other.losses;
        self.restarts += other.restarts;
        self.recreated += other.recreated;
        self.faults += other.faults;
        self.late += other.late;
        self.requests += other.requests;
        self.splits += other.splits;
        self.bumps += other.bumps;
        self.acknowledged += other.acknowledged;
        self.not_written += other.not_written;
        self.maybe_written += other.maybe_written;
        self.maybe_present += other.maybe_present;
        self.refused += other.refused;
    }
}

/// Runs it on a runtime of its own.
pub(crate) fn run(seed: u64, plan: &Plan) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let named = Named(seed, plan.load);
    let report = runtime.block_on(async {
        let mut run = Run::start(seed, plan).await;
        run.faults().await;
        run.peace().await;
        run.close().await;
        run.check()
    });
    drop(named);
    report
}

/// Says which seed it was if the test fails.
struct Named(u64, Load);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "MILENA_SEED={} MILENA_LOAD={} cargo test -p protocol-tests --test whole_client -- \
                 replay --nocapture",
                self.0,
                self.1.name()
            );
        }
    }
}

struct Run {
    plan: Plan,
    broker: Broker,
    clusters: Vec<Cluster>,
    wires: Arc<Wires>,
    trouble: Arc<Trouble>,
    nemesis: Nemesis,
    writers: Vec<Writer>,
    seen: Arc<Seen>,
}

/// What events said.
#[derive(Debug, Default)]
struct Seen {
    splits: std::sync::atomic::AtomicU64,
    bumps: std::sync::atomic::AtomicU64,
}

impl Run {
    async fn start(seed: u64, plan: &Plan) -> Self {
        let wires = Wires::new(seed, plan);
        let env = |of: u64| {
            let connector = Arc::new(FaultyConnector(wires.clone()));
            fused(Environment::seeded(seed ^ of, connector), READINGS)
        };
        let trouble = Arc::new(Trouble::default());
        let broker = Broker::builder()
            .nodes(3)
            .topic(TOPIC, plan.partitions)
            .seed(seed)
            .clock(env(0).clock)
            .settings(|settings| {
                settings.auto_create_topics = false;
                settings.cold_start = plan.cold_start;
                settings.request_log = usize::MAX;
            })
            .faults(verdicts::judge(seed, plan, trouble.clone()))
            .start()
            .await
            .unwrap();
        wires.lead_to(broker.connector());
        let seen = Arc::new(Seen::default());
        let mut clusters = Vec::new();
        let mut writers = Vec::new();
        for number in 0..plan.producers {
            if clusters.is_empty() || !plan.shared {
                clusters.push(connect(&broker, env(number)).await);
            }
            let cluster = clusters.last().unwrap().clone();
            let config = heard(plan.config(), &seen);
            writers.push(Writer {
                producer: Producer::new(cluster, config).unwrap(),
                ledger: Ledger::new(number, usize::try_from(plan.partitions).unwrap()),
                dice: Dice::new(seed).fork(10 + number),
                number,
                plan: plan.clone(),
                refused: 0,
            });
        }
        Self {
            plan: plan.clone(),
            nemesis: Nemesis::new(seed, plan),
            broker,
            clusters,
            wires,
            trouble,
            writers,
            seen,
        }
    }

    /// All phases, with hours of peace between them.
    async fn faults(&mut self) {
        for phase in 0..self.plan.phases {
            if phase > 0 {
                sleep(Duration::from_secs(2 * 60 * 60)).await;
                self.nemesis.forget_producers(&self.broker);
            }
            self.set_calm(false);
            let writing = join_all(self.writers.iter_mut().map(Writer::write));
            tokio::select! {
                biased;
                _ = writing => {}
                () = self.nemesis.rage(&self.broker, &self.wires) => {}
            }
            self.set_calm(true);
            self.nemesis.heal(&self.broker);
        }
    }

    /// Once everything is healed, everything is delivered.
    async fn peace(&mut self) {
        // Requests that were delayed before still hold up their connections, or end them.
        sleep(Duration::from_secs(12)).await;
        let writing = join_all(self.writers.iter_mut().map(Writer::write_in_peace));
        writing.await;
    }

    async fn close(&mut self) {
        let closing = join_all(self.writers.iter_mut().map(Writer::close));
        closing.await;
        for cluster in &self.clusters {
            cluster
                .close((Instant::now() + Duration::from_secs(10)).into_std())
                .await;
        }
        // What was given up may still be executed.
        sleep(Duration::from_secs(60 * 60)).await;
    }

    fn check(&self) -> Report {
        let logs = self.nemesis.logs(&self.broker);
        let mut report = Report {
            cuts: self.wires.cuts(),
            leader_moves: self.nemesis.leader_moves,
            losses: self.nemesis.losses,
            restarts: self.nemesis.restarts,
            recreated: self.nemesis.recreated,
            faults: self.trouble.faults.load(Ordering::Relaxed),
            late: self.trouble.late.load(Ordering::Relaxed),
            splits: self.seen.splits.load(Ordering::Relaxed),
            bumps: self.seen.bumps.load(Ordering::Relaxed),
            ..Report::default()
        };
        let mut trace = Trace::new();
        for writer in &self.writers {
            let (summary, hash) = writer.ledger.check(&logs, self.plan.promise());
            report.acknowledged += summary.acknowledged;
            report.not_written += summary.not_written;
            report.maybe_written += summary.maybe_absent + summary.maybe_present;
            report.maybe_present += summary.maybe_present;
            report.refused += writer.refused;
            trace.note("told", &[hash.cast_signed()]);
        }
        for place in logs.iter().flatten() {
            trace.note(
                "log",
                &[place.producer.cast_signed(), place.number.cast_signed()],
            );
        }
        self.broker.with_model(|model| {
            report.requests = note_requests(model, &mut trace);
        });
        report.trace = trace.hash();
        report
    }

    fn set_calm(&self, calm: bool) {
        self.trouble.calm.store(calm, Ordering::Relaxed);
        self.wires.set_calm(calm);
    }
}

fn note_requests(model: &mut ClusterModel, trace: &mut Trace) -> u64 {
    let mut count = 0;
    for request in model.requests() {
        let mut hasher = DefaultHasher::new();
        format!("{request:?}").hash(&mut hasher);
        trace.note("request", &[hasher.finish().cast_signed()]);
        count += 1;
    }
    count
}

fn heard(mut config: ProducerConfig, seen: &Arc<Seen>) -> ProducerConfig {
    let seen = Arc::clone(seen);
    config.on_event = Some(Hook::new(move |event| {
        let count = match event {
            ProducerEvent::BatchSplit { .. } => &seen.splits,
            ProducerEvent::EpochBump { .. } => &seen.bumps,
            _ => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }));
    config
}

/// Connects, however often it takes.
async fn connect(broker: &Broker, env: Environment) -> Cluster {
    for _ in 0..200 {
        let mut config = ClusterConfig::new(Address::parse_list(&broker.bootstrap()).unwrap());
        config.net.request_timeout = Duration::from_secs(2);
        config.unknown_topic_timeout = Duration::from_secs(3);
        let deadline = env.now() + Duration::from_secs(10);
        if let Ok(cluster) = Cluster::connect(config, env.clone(), deadline).await {
            return cluster;
        }
    }
    panic!("no connection in 200 attempts");
}

/// One producer and who uses it.
struct Writer {
    producer: Producer,
    ledger: Ledger,
    dice: Dice,
    number: u64,
    plan: Plan,
    refused: u64,
}

impl Writer {
    /// Sends records, and waits until each has its end.
    async fn write(&mut self) {
        for _ in 0..self.plan.records {
            self.send_one().await;
            self.ledger.look();
            if self.dice.one_in(3) {
                let pause = self.dice.below(self.plan.pause);
                sleep(Duration::from_millis(pause)).await;
            }
            if self.dice.one_in(60) {
                self.flush().await;
            }
        }
        let longest = self.plan.delivery_timeout + Duration::from_secs(1);
        self.settle(longest, "among faults").await;
    }

    /// Sends until nothing fails any more, and then more, of which nothing may fail.
    async fn write_in_peace(&mut self) {
        let healed = Instant::now();
        loop {
            let failed = self.ledger.failed() + self.refused;
            for partition in 0..self.plan.partitions {
                self.send_to(Some(partition)).await;
            }
            let longest = self.plan.delivery_timeout + Duration::from_secs(1);
            self.settle(longest, "after faults").await;
            if self.ledger.failed() + self.refused == failed {
                break;
            }
            assert!(healed.elapsed().as_secs() < 120, "it does not heal");
        }
        let failed = self.ledger.failed() + self.refused;
        for _ in 0..20 {
            self.send_one().await;
        }
        self.settle(Duration::from_secs(3), "in peace").await;
        assert_eq!(self.ledger.failed() + self.refused, failed, "in peace");
    }

    async fn send_one(&mut self) {
        let partition = self
            .dice
            .below(2 * self.plan.partitions.unsigned_abs() as u64);
        let partition = i32::try_from(partition).unwrap();
        self.send_to((partition < self.plan.partitions).then_some(partition))
            .await;
    }

    async fn send_to(&mut self, partition: Option<i32>) {
        let number = self.ledger.next();
        let mut value = format!("{} {number} ", self.number);
        let size = self.dice.below(self.plan.value);
        value.extend((0..size).map(|_| char::from(b'0' + self.dice.below(10) as u8)));
        let key = self.dice.below(20).to_string();
        let mut record = Record::to(TOPIC).value(&value);
        if let Some(partition) = partition {
            record = record.partition(partition);
        } else if self.dice.one_in(2) {
            record = record.key(&key);
        }
        match self.producer.send(record).await {
            Ok(receipt) => self.ledger.accept(receipt),
            Err(_) => self.refused += 1,
        }
    }

    /// Waits for a flush, or gives up waiting: what it would have reported, another report has.
    async fn flush(&mut self) {
        let longest = Duration::from_millis(self.dice.below(6_000));
        match timeout(longest, self.producer.flush()).await {
            Ok(Ok(report)) => self.ledger.report(&report),
            Ok(Err(error)) => self.ledger.report(&error.report),
            Err(_) => {}
        }
    }

    /// Every receipt resolves within this time.
    async fn settle(&mut self, longest: Duration, when: &str) {
        let begun = Instant::now();
        loop {
            self.ledger.look();
            if self.ledger.is_settled() {
                return;
            }
            assert!(
                begun.elapsed() < longest,
                "receipts do not resolve {when}: {:?}",
                self.ledger.open()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn close(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        let report = self.producer.close(deadline.into_std()).await;
        self.ledger.report(&report);
        assert_eq!(self.producer.buffered_bytes(), 0, "memory comes back");
    }
}
