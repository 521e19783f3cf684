//! Two producers at once that write keyed records at a steady pace to topics of three brokers,
//! replicated to all and writable with two, and what the log holds afterwards.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use milena::admin::NewTopic;
use milena::{
    Ack, Client, Compression, DeliveryError, Environment, Hook, Linger, ProducerConfig,
    ProducerEvent, Receipt, Record,
};
use protocol_tests::real_kafka::{tool, variable};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::cutting::Cutting;
use crate::faults::Fault;
use crate::outcomes::{Logged, Tally};
use crate::world::{assert_same, client, create, lines, read_as, soon, text, unique};

pub(crate) const PARTITIONS: i32 = 6;
/// Several a partition.
const KEYS: usize = 30;
/// Of each producer, all at once, so that partitions have five batches in flight.
const BURST: usize = 60;
const PERIOD: Duration = Duration::from_millis(100);
/// Two records, of which each value is padded to this length.
const BATCH: usize = 256;
const VALUE: usize = 64;
/// Less than a crash takes the leader away.
const HURRY: Duration = Duration::from_secs(2);
/// How much longer than paced a run may take: a broker's return, and what waited for it.
const PATIENCE: Duration = Duration::from_secs(600);
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";

type Outcomes = Vec<Result<Ack, DeliveryError>>;

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) cutting: Cutting,
}

/// What one run came to.
pub(crate) struct Run {
    seconds: f64,
    /// When the fault began, and when all was well again.
    fault: Option<(f64, f64)>,
    pub(crate) events: Arc<Events>,
    /// Of the producer that keeps trying.
    pub(crate) patient: Tally,
    /// Of the one that soon gives up.
    pub(crate) hurried: Tally,
}

impl World {
    pub(crate) async fn new() -> Self {
        let cutting = Cutting::default();
        let environment = Environment::system().with_connector(Arc::new(cutting.clone()));
        let client = Client::builder().bootstrap(variable("MILENA_TEST_KAFKA_3"));
        Self {
            client: client.environment(environment).connect().await.unwrap(),
            cutting,
        }
    }

    /// Writes for at least `length`, with the fault in the middle third, and checks the log.
    pub(crate) async fn run(&self, name: &str, length: Duration, fault: Option<Fault>) -> Run {
        let topics = [format!("{name}-patient"), format!("{name}-hurried")];
        let topics = topics.map(|topic| unique(&topic));
        for topic in &topics {
            self.create(topic).await;
        }
        let (begun, over) = (Instant::now(), AtomicBool::new(false));
        let events = Arc::<Events>::default();
        let [patient, hurried] = [ProducerConfig::default(), hurried()];
        let patient = self.produce(&topics[0], configured(patient, &events), &over);
        let hurried = self.produce(&topics[1], configured(hurried, &events), &over);
        let faults = async {
            sleep(length / 3).await;
            let mut happened = None;
            if let Some(fault) = fault {
                let from = begun.elapsed().as_secs_f64();
                fault.happen(&self.client, &topics[0]).await;
                happened = Some((from, begun.elapsed().as_secs_f64()));
            }
            let rest = length.saturating_sub(begun.elapsed());
            sleep(rest.max(length / 3)).await;
            over.store(true, Ordering::Relaxed);
            happened
        };
        let produced = async { tokio::join!(patient, hurried, faults) };
        let produced = timeout(length + PATIENCE, produced).await;
        let (patient, hurried, fault) = produced.expect("every receipt resolves");
        Run {
            seconds: begun.elapsed().as_secs_f64(),
            fault,
            events,
            patient: check(&topics[0], &patient).await,
            hurried: check(&topics[1], &hurried).await,
        }
    }

    async fn create(&self, topic: &str) {
        let new = NewTopic::new(topic)
            .partitions(PARTITIONS)
            .replication_factor(3)
            .config("min.insync.replicas", "2");
        create(&self.client, new).await;
    }

    /// Writes bursts until it is over, and waits for what became of each record.
    async fn produce(&self, topic: &str, config: ProducerConfig, over: &AtomicBool) -> Outcomes {
        let producer = self.client.producer().config(config).build();
        let producer = producer.await.unwrap();
        let mut ticks = interval(PERIOD);
        let mut receipts: Vec<Receipt> = Vec::new();
        while !over.load(Ordering::Relaxed) {
            ticks.tick().await;
            for number in receipts.len()..receipts.len() + BURST {
                let (key, value) = (key(number), format!("{number:VALUE$}"));
                let record = Record::to(topic).key(&key).value(&value);
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
}

fn key(number: usize) -> String {
    format!("key {}", number % KEYS)
}

fn configured(mut config: ProducerConfig, events: &Arc<Events>) -> ProducerConfig {
    config.compression = Compression::Lz4;
    config.linger = Linger::Fixed(Duration::ZERO);
    config.batch_size = BATCH;
    config.on_event = Some(events.hook());
    config
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
    let log = read_as(&client, topic, |record| Logged {
        key: text(record.key),
        number: text(record.value).trim_start().parse().unwrap(),
    });
    let log = log.await;
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
    Tally::check(outcomes, key, &log)
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s, ", self.seconds)?;
        if let Some((from, to)) = self.fault {
            write!(f, "fault from {from:.1} s to {to:.1} s, ")?;
        }
        let (patient, hurried) = (&self.patient, &self.hurried);
        write!(f, "{}; patient: {patient}; hurried: {hurried}", self.events)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Events {
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

    pub(crate) fn retries(&self) -> usize {
        self.retries.load(Ordering::Relaxed)
    }

    pub(crate) fn moves(&self) -> usize {
        self.moves.load(Ordering::Relaxed)
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
