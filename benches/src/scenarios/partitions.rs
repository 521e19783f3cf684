//! Many partitions: what a record costs must hardly depend on how many there are.

use anyhow::{Context as _, Result};
use milena::broker::Broker;
use milena::{Record, Start};

use super::{Cluster, Line, Options, SIZE, Watch, in_turns, send};
use crate::embedded::soon;

const TOPIC: &str = "load";
const FEW: i32 = 6;
const BACKLOGGED: i32 = 50;
const MANY: i32 = 10_000;
const WINDOW: usize = 100_000;

/// CPU per record of a consumer that has partitions full of records to read.
pub(super) async fn backlog(options: Options) -> Result<Line> {
    let (few, many) = in_turns(
        async || read(options.records, FEW).await,
        async || read(options.records, BACKLOGGED).await,
    )
    .await?;
    Ok(line(
        "backlog",
        BACKLOGGED,
        (few, many),
        "about 1 is wanted",
    ))
}

async fn read(records: u64, partitions: i32) -> Result<f64> {
    let cluster = Cluster::start(Broker::builder().topic(TOPIC, partitions))?;
    let client = cluster.client().await?;
    let producer = client.producer().build().await?;
    let payloads = crate::payloads(SIZE);
    send(&producer, records, WINDOW, |number| {
        let partition = (number / 1000 % u64::from(partitions.unsigned_abs())) as i32;
        Record::to(TOPIC)
            .value(&payloads[number as usize % payloads.len()])
            .partition(partition)
    })
    .await?;
    producer.close(soon()).await;
    let watch = Watch::start();
    let consumer = client.consumer().topics([TOPIC]).from(Start::Beginning);
    let mut consumer = consumer.build().await?;
    let mut left = records;
    while left > 0 {
        let batch = consumer.next_batch().await?.context("it was closed")?;
        left -= batch.iter().count() as u64;
    }
    let each = watch.cpu_seconds() / records as f64;
    consumer.close(soon()).await;
    client.close(soon()).await;
    Ok(each)
}

/// CPU per record of a producer that chooses among partitions.
pub(super) async fn many(options: Options, keyed: bool) -> Result<Line> {
    let (few, many) = in_turns(
        async || write(options.records, FEW, keyed).await,
        async || write(options.records, MANY, keyed).await,
    )
    .await?;
    Ok(match keyed {
        true => line("keyed", MANY, (few, many), "no target"),
        false => line("keyless", MANY, (few, many), "at most 1.5"),
    })
}

async fn write(records: u64, partitions: i32, keyed: bool) -> Result<f64> {
    let cluster = Cluster::start(Broker::builder().topic(TOPIC, partitions))?;
    let client = cluster.client().await?;
    let producer = client.producer().build().await?;
    let payloads = crate::payloads(SIZE);
    let topic = producer.topic(TOPIC).await?;
    let keys: Vec<_> = (0..1_000_000_u32).map(u32::to_be_bytes).collect();
    let record = |number: u64| {
        let record = Record::to(&topic).value(&payloads[number as usize % payloads.len()]);
        match keyed {
            true => record.key(&keys[number as usize % keys.len()]),
            false => record,
        }
    };
    // Connecting is no cost of a record's.
    send(&producer, 1, 1, record).await?;
    let watch = Watch::start();
    send(&producer, records, WINDOW, record).await?;
    let each = watch.cpu_seconds() / records as f64;
    producer.close(soon()).await;
    client.close(soon()).await;
    Ok(each)
}

fn line(name: &'static str, count: i32, (few, many): (f64, f64), target: &'static str) -> Line {
    Line {
        name,
        figure: format!(
            "{:.3} µs of CPU a record with {count} partitions, {:.3} with {FEW}",
            many * 1e6,
            few * 1e6
        ),
        ratio: Some(many / few),
        target,
    }
}
