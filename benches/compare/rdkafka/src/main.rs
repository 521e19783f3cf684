//! librdkafka through rust-rdkafka.
//!
//! `--api base`, the default: a producer polled by the thread that sends. `--api threaded`: one with
//! a thread of its own for callbacks. `--api future`: futures, a window of them.

mod callbacks;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Parser as _;
use common::{Args, Meter, Mode, RING, STALLED, Trips, WARM_UP};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryFuture, FutureProducer, FutureRecord, Producer,
    ThreadedProducer,
};
use rdkafka::{Offset, TopicPartitionList};

use self::callbacks::{Count, Wake};

const BASE: &str = "rdkafka-base";
const THREADED: &str = "rdkafka-threaded";
const FUTURE: &str = "rdkafka-future";
const METADATA: Duration = Duration::from_secs(10);
const FLUSH: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    let args = Args::parse();
    match (args.mode, args.api.as_str()) {
        (Mode::Produce, "" | "base") => produce_base(&args),
        (Mode::Produce, "threaded") => produce_threaded(&args),
        (Mode::Produce, "future") => current_thread()?.block_on(produce_future(&args)),
        (Mode::Latency, "" | "base" | "threaded") => latency_threaded(&args),
        (Mode::Latency, "future") => current_thread()?.block_on(latency_future(&args)),
        (Mode::Consume, _) => consume(&args),
        (Mode::Ring, _) => args.print_ring(),
        _ => args.no_such_way(),
    }
}

fn current_thread() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}

fn config(settings: &[(&str, &str)], args: &Args) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &args.bootstrap);
    let own = args.set.iter().filter(|(name, _)| name.contains('.'));
    let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in settings.iter().copied().chain(own) {
        config.set(name, value);
    }
    config
}

fn producer_config(args: &Args, linger_ms: u64) -> ClientConfig {
    let settings = [
        ("acks", args.acks.as_str()),
        ("enable.idempotence", &args.idempotent().to_string()),
        ("compression.codec", &args.compression),
        ("linger.ms", &linger_ms.to_string()),
        ("batch.size", &args.batch_bytes.to_string()),
        ("batch.num.messages", "100000"),
        ("message.max.bytes", "1048576"),
        ("queue.buffering.max.messages", "500000"),
        ("queue.buffering.max.kbytes", "262144"),
    ];
    config(&settings, args)
}

/// Hands a record over; while the queue is full, `wait` lets it drain.
fn hand_over<'a>(
    mut record: BaseRecord<'a, (), [u8]>,
    send: impl Fn(BaseRecord<'a, (), [u8]>) -> Result<(), (KafkaError, BaseRecord<'a, (), [u8]>)>,
    wait: impl Fn(),
) -> Result<()> {
    loop {
        match send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same)) => {
                wait();
                record = same;
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

fn produce_base(args: &Args) -> Result<()> {
    let payloads = args.payloads();
    let count = Count::default();
    let mut meter = Meter::start()?;
    let producer: BaseProducer<Count> =
        producer_config(args, args.linger_ms).create_with_context(count.clone())?;
    producer
        .client()
        .fetch_metadata(Some(&args.topic), METADATA)?;
    let poll_every = args.number("poll_every", 1000)?;
    meter.begin();
    for number in 0..args.count as usize {
        let record = BaseRecord::<(), [u8]>::to(&args.topic).payload(&payloads[number % RING]);
        // `poll` does not return before its time-out, so that is short.
        let wait = || producer.poll(Duration::from_millis(1));
        hand_over(record, |record| producer.send(record), wait)?;
        if number % poll_every == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(FLUSH)?;
    count.check(args.count)?;
    meter.finish(BASE, args)
}

fn produce_threaded(args: &Args) -> Result<()> {
    let payloads = args.payloads();
    let count = Count::default();
    let mut meter = Meter::start()?;
    let producer: ThreadedProducer<Count> =
        producer_config(args, args.linger_ms).create_with_context(count.clone())?;
    producer
        .client()
        .fetch_metadata(Some(&args.topic), METADATA)?;
    meter.begin();
    for number in 0..args.count as usize {
        let record = BaseRecord::<(), [u8]>::to(&args.topic).payload(&payloads[number % RING]);
        let wait = || std::thread::sleep(Duration::from_millis(5));
        hand_over(record, |record| producer.send(record), wait)?;
    }
    producer.flush(FLUSH)?;
    count.check(args.count)?;
    meter.finish(THREADED, args)
}

async fn produce_future(args: &Args) -> Result<()> {
    let payloads = args.payloads();
    let mut meter = Meter::start()?;
    let producer: FutureProducer = producer_config(args, args.linger_ms).create()?;
    producer
        .client()
        .fetch_metadata(Some(&args.topic), METADATA)?;
    meter.begin();
    let window = args.number("window", 20_000)?;
    let mut outstanding = VecDeque::with_capacity(window);
    for number in 0..args.count as usize {
        let mut record =
            FutureRecord::<(), [u8]>::to(&args.topic).payload(&payloads[number % RING]);
        loop {
            match producer.send_result(record) {
                Ok(future) => {
                    outstanding.push_back(future);
                    break;
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same)) => {
                    let oldest = outstanding.pop_front();
                    delivered(oldest.context("the queue is full of nothing")?).await?;
                    record = same;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        if outstanding.len() >= window {
            for future in outstanding.drain(..window.div_ceil(4)) {
                delivered(future).await?;
            }
        }
    }
    for future in outstanding {
        delivered(future).await?;
    }
    meter.finish(FUTURE, args)
}

async fn delivered(future: DeliveryFuture) -> Result<()> {
    future.await?.map_err(|(error, _)| anyhow!(error))?;
    Ok(())
}

/// The callback wakes the thread that sends: a `BaseProducer`'s `poll` always takes the whole time
/// it is given, so it cannot be used to wait for one acknowledgement.
fn latency_threaded(args: &Args) -> Result<()> {
    let payloads = args.payloads();
    let wake = Wake::this_thread();
    let producer: ThreadedProducer<Wake> =
        producer_config(args, 0).create_with_context(wake.clone())?;
    producer
        .client()
        .fetch_metadata(Some(&args.topic), METADATA)?;
    let mut trips = Trips::start()?;
    for number in 0..args.count + WARM_UP {
        let payload = &payloads[number as usize % RING];
        trips.begin();
        let record = BaseRecord::<(), [u8]>::to(&args.topic).payload(payload);
        producer.send(record).map_err(|(error, _)| error)?;
        wake.wait_for(number + 1)?;
        trips.end()?;
    }
    trips.finish(THREADED, args)
}

async fn latency_future(args: &Args) -> Result<()> {
    let payloads = args.payloads();
    let producer: FutureProducer = producer_config(args, 0).create()?;
    producer
        .client()
        .fetch_metadata(Some(&args.topic), METADATA)?;
    let mut trips = Trips::start()?;
    for number in 0..args.count + WARM_UP {
        let payload = &payloads[number as usize % RING];
        trips.begin();
        let record = FutureRecord::<(), [u8]>::to(&args.topic).payload(payload);
        let sent = producer.send_result(record);
        delivered(sent.map_err(|(error, _)| error)?).await?;
        trips.end()?;
    }
    trips.finish(FUTURE, args)
}

fn consume(args: &Args) -> Result<()> {
    let settings = [
        ("group.id", "bench"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "earliest"),
        ("enable.partition.eof", "false"),
        ("fetch.wait.max.ms", "100"),
        ("fetch.message.max.bytes", "1048576"),
        ("fetch.max.bytes", "52428800"),
        ("queued.min.messages", "500000"),
        ("queued.max.messages.kbytes", "65536"),
        ("fetch.queue.backoff.ms", "1"),
    ];
    let mut meter = Meter::start()?;
    let consumer: BaseConsumer = config(&settings, args).create()?;
    consumer.fetch_metadata(Some(&args.topic), METADATA)?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..args.partitions {
        partitions.add_partition_offset(&args.topic, partition, Offset::Beginning)?;
    }
    meter.begin();
    consumer.assign(&partitions)?;
    let (mut read, mut bytes) = (0, 0);
    let mut last = Instant::now();
    while read < args.count {
        match consumer.poll(Duration::from_millis(500)) {
            Some(message) => {
                bytes += message?.payload_len() as u64;
                read += 1;
                if read % 65_536 == 0 {
                    last = Instant::now();
                }
            }
            None => ensure!(last.elapsed() < STALLED, "nothing comes after {read}"),
        }
    }
    args.check_sum(bytes)?;
    meter.finish(BASE, args)?;
    // Its end takes seconds and is not measured.
    std::process::exit(0);
}

/// Whether as many were acknowledged as were sent, and none failed.
fn check(acked: &AtomicU64, failed: &AtomicU64, count: u64) -> Result<()> {
    let (acked, failed) = (
        acked.load(Ordering::Acquire),
        failed.load(Ordering::Acquire),
    );
    ensure!(
        (acked, failed) == (count, 0),
        "{acked} acknowledged, {failed} failed"
    );
    Ok(())
}
