//! Reads a topic to its end and prints what came, partition by partition:
//! `read HOST:PORT TOPIC [beginning|end|offset=N|timestamp=MS] [records]`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milena_consumer::{Consumer, ConsumerConfig, EventHook, Start, TopicPartition};
use milena_net::{Address, Environment};
use milena_rpc::{Cluster, ClusterConfig};

type Failure = Box<dyn std::error::Error>;

#[derive(Default)]
struct Seen {
    records: u64,
    bytes: u64,
    first: Option<i64>,
    next: i64,
    gaps: u64,
}

impl Seen {
    fn add(&mut self, offset: i64, bytes: usize) {
        self.records += 1;
        self.bytes += bytes as u64;
        if *self.first.get_or_insert(offset) != offset && offset != self.next {
            self.gaps += 1;
        }
        assert!(
            offset >= self.next,
            "offset {offset} after {}",
            self.next - 1
        );
        self.next = offset + 1;
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, broker, topic, rest @ ..] = arguments.as_slice() else {
        return Err("usage: read HOST:PORT TOPIC [START] [records]".into());
    };
    let env = Environment::system();
    let deadline = env.now() + Duration::from_secs(20);
    let bootstrap = vec![broker.parse::<Address>()?];
    let cluster = Cluster::connect(ClusterConfig::new(bootstrap), env.clone(), deadline).await?;
    let mut config = ConsumerConfig::default();
    config.stop_at_end = true;
    config.on_event = Some(EventHook::new(|event| eprintln!("event {event:?}")));
    let mut consumer = Consumer::new(cluster, config)?;
    let start = start(rest.first().map_or("beginning", String::as_str))?;
    let begun = env.now();
    consumer.assign_topic(topic, start).await?;
    let by_record = rest.get(1).is_some_and(|mode| mode == "records");
    let seen = if by_record {
        records(&mut consumer).await?
    } else {
        batches(&mut consumer).await?
    };
    report(&consumer, &seen, env.now() - begun);
    let names: Vec<TopicPartition> = consumer.assignment();
    println!(
        "beginnings {:?}",
        consumer.beginning_offsets(&names).await?.values()
    );
    println!("ends {:?}", consumer.end_offsets(&names).await?.values());
    let closing: Instant = env.now();
    println!(
        "{:?}",
        consumer.close(closing + Duration::from_secs(5)).await
    );
    Ok(())
}

fn start(text: &str) -> Result<Start, Failure> {
    Ok(match text.split_once('=') {
        Some(("offset", number)) => Start::Offset(number.parse()?),
        Some(("timestamp", number)) => Start::Timestamp(number.parse()?),
        _ if text == "end" => Start::End,
        _ => Start::Beginning,
    })
}

async fn batches(consumer: &mut Consumer) -> Result<BTreeMap<i32, Seen>, Failure> {
    let mut seen: BTreeMap<i32, Seen> = BTreeMap::new();
    while let Some(batch) = consumer.next_batch().await? {
        let partition = seen.entry(batch.partition()).or_default();
        for record in &batch {
            partition.add(record.offset, record.value.map_or(0, <[u8]>::len));
        }
        assert_eq!(
            consumer.position(batch.topic(), batch.partition()),
            Some(batch.next_offset())
        );
    }
    Ok(seen)
}

async fn records(consumer: &mut Consumer) -> Result<BTreeMap<i32, Seen>, Failure> {
    let mut seen: BTreeMap<i32, Seen> = BTreeMap::new();
    while let Some(record) = consumer.recv().await? {
        let partition = seen.entry(record.partition()).or_default();
        partition.add(record.offset(), record.value().map_or(0, <[u8]>::len));
    }
    Ok(seen)
}

fn report(consumer: &Consumer, seen: &BTreeMap<i32, Seen>, took: Duration) {
    for state in consumer.partitions_state() {
        println!(
            "{} {:?} position {:?}",
            state.partition, state.activity, state.position
        );
    }
    let mut total = 0;
    for (index, partition) in seen {
        let Seen {
            records,
            bytes,
            first,
            next,
            gaps,
        } = partition;
        println!(
            "partition {index}: {records} records, {bytes} bytes, {first:?} to {next}, {gaps} gaps"
        );
        total += records;
    }
    println!("{total} records in {took:?}");
}
