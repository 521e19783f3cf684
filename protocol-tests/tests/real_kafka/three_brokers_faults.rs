//! A paced produce to three brokers, replicated to all and writable with two, while brokers crash
//! or connections break, and what the log holds afterwards.
//!
//! Each test paces its records over 12 s, or over `MILENA_TEST_SECONDS`, and prints a line of what
//! happened:
//!
//! ```sh
//! MILENA_TEST_SECONDS=60 cargo xtask kafka test three_brokers_faults --nocapture
//! ```

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use milena::admin::NewTopic;
use milena::{
    Ack, Client, DeliveryError, Environment, Hook, Linger, ProducerConfig, ProducerEvent, Receipt,
    Record,
};
use protocol_tests::real_kafka::{tool, variable};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::cutting::Cutting;
use crate::outcomes::Tally;
use crate::world::{
    AWAY, assert_same, client, create, leader_of_first, lines, read, restart, soon, unique,
};

const PARTITIONS: i32 = 6;
/// Of each producer, all at once, so that each partition has five batches in flight.
const BURST: usize = 60;
const PERIOD: Duration = Duration::from_millis(100);
/// Two records, of which each value is padded to this length.
const BATCH: usize = 256;
const VALUE: usize = 64;
/// Between two cuts: no multiple of the above, so that each finds another number in flight.
const CUTS: Duration = Duration::from_millis(503);
/// Less than a crash takes the leader away.
const HURRY: Duration = Duration::from_secs(2);
/// How much longer than paced a run may take: a broker's return, and what waited for it.
const PATIENCE: Duration = Duration::from_secs(120);
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";

type Outcomes = Vec<Result<Ack, DeliveryError>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn the_log_agrees_with_what_was_told_after_crashes() {
    let world = World::new().await;
    let crashes = u32::try_from(length().as_secs() / 20).unwrap().max(1);
    let [patient, hurried] = world.run("crashes", crashes, None).await;
    assert_eq!(patient.failures(), 0);
    assert!(
        hurried.failures() > 0,
        "it does not wait for another leader"
    );
    world.client.close(soon()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn the_log_agrees_with_what_was_told_after_cuts_of_every_connection() {
    let world = World::new().await;
    let [patient, _] = world.run("cuts", 0, Some(CUTS)).await;
    assert_eq!(patient.failures(), 0);
    let (retries, cuts) = (world.events.retries(), world.cutting.cuts());
    assert!(cuts > 0 && retries > cuts, "several batches were in flight");
    world.client.close(soon()).await;
}

fn length() -> Duration {
    let seconds = std::env::var("MILENA_TEST_SECONDS");
    Duration::from_secs(seconds.map_or(12, |it| it.parse().unwrap()))
}

struct World {
    client: Client,
    cutting: Cutting,
    events: Arc<Events>,
    /// Whether all crashes have happened.
    over: AtomicBool,
}

impl World {
    async fn new() -> Self {
        let cutting = Cutting::default();
        let environment = Environment::system().with_connector(Arc::new(cutting.clone()));
        let client = Client::builder().bootstrap(variable("MILENA_TEST_KAFKA_3"));
        Self {
            client: client.environment(environment).connect().await.unwrap(),
            cutting,
            events: Arc::default(),
            over: AtomicBool::new(false),
        }
    }

    /// What became of the records of a producer that keeps trying, and of one that soon gives up.
    async fn run(&self, name: &str, crashes: u32, cuts: Option<Duration>) -> [Tally; 2] {
        let length = length();
        let topics = [format!("{name}-patient"), format!("{name}-hurried")];
        let topics = topics.map(|topic| unique(&topic));
        for topic in &topics {
            self.create(topic).await;
        }
        let begun = Instant::now();
        let produced = async {
            let patient = self.produce(&topics[0], length, ProducerConfig::default());
            let hurried = self.produce(&topics[1], length, hurried());
            let crash = self.crash(&topics[0], length, crashes);
            let (patient, hurried, ()) = tokio::join!(patient, hurried, crash);
            [patient, hurried]
        };
        let produced = async {
            tokio::select! {
                biased;
                produced = produced => produced,
                never = self.cut(cuts) => match never {},
            }
        };
        let produced = timeout(length + PATIENCE, produced).await;
        let produced = produced.expect("it ends by itself");
        let seconds = begun.elapsed().as_secs_f64();

        let mut tallies = [Tally::default(); 2];
        for ((tally, topic), outcomes) in tallies.iter_mut().zip(&topics).zip(&produced) {
            *tally = check(topic, outcomes).await;
        }
        let ([patient, hurried], events) = (&tallies, &self.events);
        let cuts = self.cutting.cuts();
        println!(
            "{name}: {seconds:.1} s, {crashes} kills, {cuts} connections cut, {events}; \
             patient: {patient}; hurried: {hurried}"
        );
        tallies
    }

    async fn create(&self, topic: &str) {
        let new = NewTopic::new(topic)
            .partitions(PARTITIONS)
            .replication_factor(3)
            .config("min.insync.replicas", "2");
        create(&self.client, new).await;
    }

    /// Writes bursts for so long, and until all crashes have happened.
    async fn produce(&self, topic: &str, length: Duration, config: ProducerConfig) -> Outcomes {
        let mut config = config;
        config.linger = Linger::Fixed(Duration::ZERO);
        config.batch_size = BATCH;
        config.on_event = Some(self.events.hook());
        let producer = self.client.producer().config(config).build();
        let producer = producer.await.unwrap();
        let (mut ticks, begun) = (interval(PERIOD), Instant::now());
        let mut receipts: Vec<Receipt> = Vec::new();
        while begun.elapsed() < length || !self.over.load(Ordering::Relaxed) {
            ticks.tick().await;
            for number in receipts.len()..receipts.len() + BURST {
                let partition = i32::try_from(number).unwrap() % PARTITIONS;
                let value = format!("{number:VALUE$}");
                let record = Record::to(topic).partition(partition).value(&value);
                receipts.push(producer.send(record).await.unwrap());
            }
        }
        let mut outcomes = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            outcomes.push(receipt.await);
        }
        producer.close(soon()).await;
        outcomes
    }

    /// SIGKILL to a leader and its start, spread over the time.
    async fn crash(&self, topic: &str, length: Duration, crashes: u32) {
        for _ in 0..crashes {
            // The first soon: a broker needs about as long to come back as the shortest run takes.
            sleep(length / (crashes * 6)).await;
            let leader = leader_of_first(&self.client, topic).await;
            let crash = move || {
                let _away = AWAY.lock().unwrap();
                restart("kill", leader);
            };
            spawn_blocking(crash).await.unwrap();
        }
        self.over.store(true, Ordering::Relaxed);
    }

    async fn cut(&self, period: Option<Duration>) -> Infallible {
        match period {
            Some(period) => self.cutting.cut_every(period).await,
            None => pending().await,
        }
    }
}

fn hurried() -> ProducerConfig {
    let mut config = ProducerConfig::default();
    config.request_timeout = HURRY / 2;
    config.delivery_timeout = HURRY;
    config
}

/// Reads the log with another client, and has Kafka's own tool count it.
async fn check(topic: &str, outcomes: &Outcomes) -> Tally {
    let client = client("MILENA_TEST_KAFKA_3").await;
    let log = read(&client, topic).await;
    client.close(soon()).await;
    let name = topic.to_owned();
    let counted = spawn_blocking(move || {
        let bootstrap = variable("MILENA_TEST_KAFKA_3");
        let of = ["--bootstrap-server", &bootstrap, "--topic", &name];
        tool(OFFSETS, &of, "")
    });
    let ends = (0..).zip(&log);
    let ends = ends.map(|(partition, log)| format!("{topic}:{partition}:{}", log.len()));
    assert_same(lines(&counted.await.unwrap()), ends);
    Tally::check(outcomes, &log)
}

#[derive(Debug, Default)]
struct Events {
    retries: AtomicUsize,
    bumps: AtomicUsize,
    moves: AtomicUsize,
}

impl Events {
    fn hook(self: &Arc<Self>) -> Hook<ProducerEvent> {
        let events = Arc::clone(self);
        Hook::new(move |event| {
            let count = match event {
                ProducerEvent::Retry { .. } => &events.retries,
                ProducerEvent::EpochBump { .. } => &events.bumps,
                ProducerEvent::LeaderChanged { .. } => &events.moves,
                _ => return,
            };
            count.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn retries(&self) -> usize {
        self.retries.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [retries, bumps, moves] = [&self.retries, &self.bumps, &self.moves];
        let [retries, bumps, moves] = [retries, bumps, moves].map(|it| it.load(Ordering::Relaxed));
        write!(
            f,
            "{retries} retries, {bumps} epoch bumps, {moves} leader moves"
        )
    }
}
