//! One broker is late: the other one's partitions must not notice.

use std::time::Duration;

use anyhow::{Context as _, Result};
use milena::broker::{Broker, RequestInfo, Verdict};
use milena::{Client, Record, Start};
use milena_codec::ApiKey;

use super::{Cluster, Line, Options, SIZE, Watch, in_turns, send};
use crate::embedded::soon;

const TOPIC: &str = "load";
const PARTITIONS: i32 = 6;
const LATE_NODE: i32 = 1;
const PROMPT_NODE: i32 = 2;
const LATE: Duration = Duration::from_millis(500);

/// Records on their way to the late broker: far less than the producer's memory, which both share.
const LATE_WINDOW: usize = 10_000;
const WINDOW: usize = 100_000;

pub(super) async fn produce(options: Options) -> Result<Line> {
    let (alone, beside) = in_turns(
        async || produce_once(options.records, false).await,
        async || produce_once(options.records, true).await,
    )
    .await?;
    Ok(line("late-produce", alone, beside))
}

/// Records a second to the prompt broker, while as many as can be go to the late one, or none.
async fn produce_once(records: u64, with_late: bool) -> Result<f64> {
    let cluster = start()?;
    cluster.broker.faults(late);
    let (late, prompt) = sides(&cluster)?;
    let client = cluster.client().await?;
    let producer = client.producer().build().await?;
    let topic = producer.topic(TOPIC).await?;
    let payloads = crate::payloads(SIZE);
    let to = |partitions: &[i32], number: u64| {
        let number = number as usize;
        // A batch's worth to one partition after the other.
        let partition = partitions[number / 1000 % partitions.len()];
        Record::to(&topic)
            .value(&payloads[number % payloads.len()])
            .partition(partition)
    };
    let to_late = send(&producer, u64::MAX, LATE_WINDOW, |n| to(&late, n));
    let to_prompt = send(&producer, records, WINDOW, |n| to(&prompt, n));
    // Connecting is no part of it.
    send(&producer, 1, 1, |n| to(&prompt, n)).await?;
    let watch = Watch::start();
    tokio::select! {
        biased;
        sent = to_prompt => sent?,
        sent = to_late, if with_late => sent?,
    }
    let rate = records as f64 / watch.seconds();
    producer.close(soon() + LATE).await;
    client.close(soon()).await;
    Ok(rate)
}

pub(super) async fn consume(options: Options) -> Result<Line> {
    let cluster = start()?;
    let (late, prompt) = sides(&cluster)?;
    let client = cluster.client().await?;
    let producer = client.producer().build().await?;
    let payloads = crate::payloads(SIZE);
    send(&producer, options.records, WINDOW, |number| {
        let number = number as usize;
        let partition = (number / 1000 % PARTITIONS as usize) as i32;
        Record::to(TOPIC)
            .value(&payloads[number % payloads.len()])
            .partition(partition)
    })
    .await?;
    producer.close(soon()).await;
    cluster.broker.faults(self::late);
    let all: Vec<i32> = prompt.iter().chain(&late).copied().collect();
    let (alone, beside) = in_turns(
        async || consume_once(&client, &cluster.broker, &prompt, &prompt).await,
        async || consume_once(&client, &cluster.broker, &all, &prompt).await,
    )
    .await?;
    client.close(soon()).await;
    Ok(line("late-consume", alone, beside))
}

/// Records a second of the `counted` partitions, while all that are `read` are.
async fn consume_once(
    client: &Client,
    broker: &Broker,
    read: &[i32],
    counted: &[i32],
) -> Result<f64> {
    let mut left = 0;
    for partition in counted {
        left += end(broker, *partition)?;
    }
    let expected = left as f64;
    let watch = Watch::start();
    let consumer = client.consumer().from(Start::Beginning);
    let consumer = consumer.partitions(TOPIC, read.iter().copied());
    let mut consumer = consumer.build().await?;
    while left > 0 {
        let batch = consumer.next_batch().await?.context("it was closed")?;
        if counted.contains(&batch.partition()) {
            left -= batch.len() as u64;
        }
    }
    let rate = expected / watch.seconds();
    consumer.close(soon()).await;
    Ok(rate)
}

/// How many records a partition has.
fn end(broker: &Broker, partition: i32) -> Result<u64> {
    let log = broker.with_model(|model| model.log(TOPIC, partition))?;
    let batches = log.iter();
    let counts = batches.map(|batch| {
        let header = milena_records::BatchHeader::read(batch);
        header.map_or(0, |header| u64::from(header.record_count.unsigned_abs()))
    });
    Ok(counts.sum())
}

fn late(request: &RequestInfo) -> Verdict {
    let delayed = matches!(request.api, ApiKey::Produce | ApiKey::Fetch);
    if delayed && request.node == LATE_NODE {
        Verdict::Delay(LATE)
    } else {
        Verdict::Pass
    }
}

fn start() -> Result<Cluster> {
    Cluster::start(Broker::builder().nodes(2).topic(TOPIC, PARTITIONS))
}

/// The partitions of the late and of the prompt broker.
fn sides(cluster: &Cluster) -> Result<(Vec<i32>, Vec<i32>)> {
    let led = |node| cluster.led_by(node, TOPIC, PARTITIONS);
    let (late, prompt) = (led(LATE_NODE)?, led(PROMPT_NODE)?);
    let both = !late.is_empty() && !prompt.is_empty();
    anyhow::ensure!(both, "one node leads all partitions");
    Ok((late.into_iter().collect(), prompt.into_iter().collect()))
}

fn line(name: &'static str, alone: f64, beside: f64) -> Line {
    Line {
        name,
        figure: format!(
            "{:.2} M records/s beside a broker that is 500 ms late, {:.2} without it",
            beside / 1e6,
            alone / 1e6
        ),
        ratio: Some(beside / alone),
        target: "about 1 is wanted",
    }
}
