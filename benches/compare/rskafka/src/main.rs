//! rskafka, which has no idempotence, acks=all only, and one connection a broker.
//!
//! `--api partition`, the default: batches collected by hand, `--set inflight=N` of them at a time to
//! each partition, in no order: a lower bound rather than an equal. `--api batch`: its batching
//! producer, and a window of futures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser as _;
use common::{Args, Meter, Mode, RING, STALLED, Trips, WARM_UP};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rskafka::chrono::DateTime;
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::producer::BatchProducerBuilder;
use rskafka::client::producer::aggregator::RecordAggregator;
use rskafka::record::Record;

const PARTITION: &str = "rskafka-partition";
const BATCH: &str = "rskafka-batch";
/// What a record takes besides its value, at most, as the other clients count it.
const OVERHEAD: usize = 12;

fn main() -> Result<()> {
    let args = Args::parse();
    args.runtime()?.block_on(async {
        match (args.mode, args.api.as_str()) {
            (Mode::Produce, "" | "partition") => produce_partition(&args).await,
            (Mode::Produce, "batch") => produce_batch(&args).await,
            (Mode::Consume, _) => consume(&args).await,
            (Mode::Latency, _) => latency(&args).await,
            (Mode::Ring, _) => args.print_ring(),
            _ => args.no_such_way(),
        }
    })
}

fn compression(args: &Args) -> Result<Compression> {
    Ok(match args.compression.as_str() {
        "none" => Compression::NoCompression,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        other => bail!("unknown compression {other}"),
    })
}

fn record(value: &[u8]) -> Result<Record> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let timestamp = DateTime::from_timestamp_millis(i64::try_from(now.as_millis())?);
    Ok(Record {
        key: None,
        value: Some(value.to_vec()),
        headers: BTreeMap::new(),
        timestamp: timestamp.context("the time is out of range")?,
    })
}

async fn partitions(args: &Args) -> Result<Vec<Arc<PartitionClient>>> {
    let client = ClientBuilder::new(vec![args.bootstrap.clone()])
        .build()
        .await?;
    let mut partitions = Vec::new();
    for partition in 0..args.partitions {
        let topic = args.topic.clone();
        let one = client.partition_client(topic, partition, UnknownTopicHandling::Retry);
        partitions.push(Arc::new(one.await?));
    }
    Ok(partitions)
}

async fn produce_partition(args: &Args) -> Result<()> {
    let payloads = args.payloads();
    let mut meter = Meter::start()?;
    let partitions = partitions(args).await?;
    let compression = compression(args)?;
    meter.begin();
    let in_flight = args.number("inflight", 2)? * partitions.len();
    let per_batch = (args.batch_bytes / (args.size + OVERHEAD)).max(1) as u64;
    let mut tasks = FuturesUnordered::new();
    let (mut sent, mut acked) = (0, 0);
    for partition in partitions.iter().cycle() {
        if sent == args.count {
            break;
        }
        let end = args.count.min(sent + per_batch);
        let batch = (sent..end).map(|number| record(&payloads[number as usize % RING]));
        let batch: Vec<Record> = batch.collect::<Result<_>>()?;
        sent = end;
        let partition = Arc::clone(partition);
        let task = async move { partition.produce(batch, compression).await };
        tasks.push(tokio::spawn(task));
        while tasks.len() >= in_flight {
            acked += tasks.next().await.context("no task")???.len() as u64;
        }
    }
    while let Some(offsets) = tasks.next().await {
        acked += offsets??.len() as u64;
    }
    ensure!(acked == args.count, "{acked} acknowledged");
    meter.finish(PARTITION, args)
}

async fn produce_batch(args: &Args) -> Result<()> {
    let payloads = args.payloads();
    let mut meter = Meter::start()?;
    let partitions = partitions(args).await?;
    let compression = compression(args)?;
    // The aggregator counts values only.
    let per_batch = (args.batch_bytes / (args.size + OVERHEAD)).max(1);
    let producers: Vec<_> = partitions
        .into_iter()
        .map(|partition| {
            BatchProducerBuilder::new(partition)
                .with_linger(Duration::from_millis(args.linger_ms))
                .with_compression(compression)
                .build(RecordAggregator::new(per_batch * args.size))
        })
        .collect();
    meter.begin();
    let window = args.number("window", 20_000)?;
    let mut outstanding = FuturesUnordered::new();
    for number in 0..args.count as usize {
        let producer = &producers[number / per_batch % producers.len()];
        outstanding.push(producer.produce(record(&payloads[number % RING])?));
        if outstanding.len() >= window {
            for _ in 0..window.div_ceil(4) {
                outstanding.next().await.context("no future")??;
            }
        }
    }
    while let Some(offset) = outstanding.next().await {
        offset?;
    }
    meter.finish(BATCH, args)
}

async fn latency(args: &Args) -> Result<()> {
    let payloads = args.payloads();
    let partitions = partitions(args).await?;
    let compression = compression(args)?;
    let mut trips = Trips::start()?;
    for number in 0..(args.count + WARM_UP) as usize {
        trips.begin();
        let batch = vec![record(&payloads[number % RING])?];
        let partition = &partitions[number % partitions.len()];
        partition.produce(batch, compression).await?;
        trips.end()?;
    }
    trips.finish(PARTITION, args)
}

/// Records and bytes read so far, by all partitions' tasks.
#[derive(Default)]
struct Sum {
    records: AtomicU64,
    bytes: AtomicU64,
}

async fn consume(args: &Args) -> Result<()> {
    let mut meter = Meter::start()?;
    let partitions = partitions(args).await?;
    let max = i32::try_from(args.number("max_bytes", 1 << 20)?)?;
    meter.begin();
    let sum = Arc::new(Sum::default());
    let mut tasks = Vec::new();
    for partition in partitions {
        tasks.push(tokio::spawn(read(
            partition,
            Arc::clone(&sum),
            args.count,
            max,
        )));
    }
    for task in tasks {
        task.await??;
    }
    let read = sum.records.load(Ordering::Acquire);
    ensure!(read >= args.count, "there were {read} records");
    args.check_sum(sum.bytes.load(Ordering::Acquire))?;
    meter.finish(PARTITION, args)
}

/// Reads a partition until all of them together have given `count` records, or it has ended.
async fn read(partition: Arc<PartitionClient>, sum: Arc<Sum>, count: u64, max: i32) -> Result<()> {
    let mut offset = 0;
    let mut last = Instant::now();
    while sum.records.load(Ordering::Acquire) < count {
        let (records, end) = partition.fetch_records(offset, 1..max, 100).await?;
        let Some(newest) = records.last() else {
            if offset >= end {
                return Ok(());
            }
            ensure!(last.elapsed() < STALLED, "nothing comes after {offset}");
            continue;
        };
        last = Instant::now();
        offset = newest.offset + 1;
        let before = sum
            .records
            .fetch_add(records.len() as u64, Ordering::AcqRel);
        let wanted = count.saturating_sub(before) as usize;
        let values = records.iter().take(wanted);
        let bytes = values.map(|one| one.record.value.as_ref().map_or(0, Vec::len) as u64);
        sum.bytes.fetch_add(bytes.sum(), Ordering::AcqRel);
    }
    Ok(())
}
