//! krafka: `enqueue` and a window of delivery handles; a consumer without a group.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use clap::Parser as _;
use common::{Args, Meter, Mode, RING, STALLED, Trips, WARM_UP};
use krafka::consumer::AutoOffsetReset;
use krafka::producer::{Acks, Producer};
use krafka::{Compression, Kafka, Record};

const PEER: &str = "krafka";

fn main() -> Result<()> {
    let args = Args::parse();
    args.runtime()?.block_on(async {
        match args.mode {
            Mode::Produce => produce(&args).await,
            Mode::Consume => consume(&args).await,
            Mode::Latency => latency(&args).await,
            Mode::Ring => args.print_ring(),
        }
    })
}

async fn producer(args: &Args, linger: Duration) -> Result<Producer> {
    let kafka = Kafka::builder(args.bootstrap.clone())
        .client_id("bench")
        .connect()
        .await?;
    let acks = match args.acks.as_str() {
        "all" => Acks::All,
        _ => Acks::Leader,
    };
    let producer = kafka
        .producer()
        .acks(acks)
        .idempotent(args.idempotent())
        .compression(compression(args)?)
        .linger(linger)
        .batch_size(args.batch_bytes)
        .buffer_memory(args.number("buffer_memory", 256 << 20)?)
        .metrics_push(false)
        .build()
        .await?;
    producer.partitions_for(&args.topic).await?;
    Ok(producer)
}

fn compression(args: &Args) -> Result<Compression> {
    Ok(match args.compression.as_str() {
        "none" => Compression::None,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        other => bail!("unknown compression {other}"),
    })
}

fn payloads(args: &Args) -> Vec<Bytes> {
    args.payloads().into_iter().map(Bytes::from).collect()
}

async fn produce(args: &Args) -> Result<()> {
    let payloads = payloads(args);
    let mut meter = Meter::start()?;
    let producer = producer(args, Duration::from_millis(args.linger_ms)).await?;
    meter.begin();
    let window = args.number("window", 200_000)?;
    let mut outstanding = VecDeque::with_capacity(window);
    let mut acked = 0;
    for number in 0..args.count {
        let payload = payloads[number as usize % RING].clone();
        let record = Record::new(args.topic.as_str(), payload);
        outstanding.push_back(producer.enqueue(record).await?);
        if outstanding.len() >= window {
            for handle in outstanding.drain(..window.div_ceil(4)) {
                let _ = handle.await?;
                acked += 1;
            }
        }
    }
    producer.flush().await?;
    for handle in outstanding {
        let _ = handle.await?;
        acked += 1;
    }
    ensure!(acked == args.count, "{acked} acknowledged");
    meter.finish(PEER, args)?;
    producer.close().await?;
    Ok(())
}

async fn latency(args: &Args) -> Result<()> {
    let payloads = payloads(args);
    let producer = producer(args, Duration::ZERO).await?;
    let mut trips = Trips::start()?;
    for number in 0..args.count + WARM_UP {
        trips.begin();
        let payload = payloads[number as usize % RING].clone();
        let _ = producer
            .send(Record::new(args.topic.as_str(), payload))
            .await?;
        trips.end()?;
    }
    trips.finish(PEER, args)
}

async fn consume(args: &Args) -> Result<()> {
    let mut meter = Meter::start()?;
    let kafka = Kafka::builder(args.bootstrap.clone())
        .client_id("bench")
        .connect()
        .await?;
    let fetch = args.number("fetch_max_bytes", 50 << 20)?;
    let partition = args.number("max_partition_fetch_bytes", 1 << 20)?;
    let consumer = kafka
        .consumer_without_group()
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .enable_auto_commit(false)
        .fetch_max_wait(Duration::from_millis(100))
        .fetch_max_bytes(i32::try_from(fetch)?)
        .max_partition_fetch_bytes(i32::try_from(partition)?)
        .max_poll_records(args.number("max_poll_records", 1000)?.try_into()?)
        .max_buffered_records(args.number("max_buffered_records", 20_000)?.try_into()?)
        .metrics_push(false)
        .build()
        .await?;
    meter.begin();
    let partitions = (0..args.partitions).collect();
    consumer.assign(&args.topic, partitions).await?;
    let (mut read, mut bytes) = (0, 0);
    let mut last = Instant::now();
    while read < args.count {
        let records = consumer.poll(Duration::from_millis(500)).await?;
        if records.is_empty() {
            ensure!(last.elapsed() < STALLED, "nothing comes after {read}");
            continue;
        }
        last = Instant::now();
        let wanted = (args.count - read) as usize;
        for record in records.iter().take(wanted) {
            bytes += record.value.as_ref().map_or(0, |value| value.len()) as u64;
            read += 1;
        }
    }
    args.check_sum(bytes)?;
    meter.finish(PEER, args)
}
