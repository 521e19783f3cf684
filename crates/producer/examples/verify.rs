//! Sends records to a real cluster and reads them back: is each there exactly once, and in order?
//!
//! `cargo run --release -p milena-producer --example verify -- [BOOTSTRAP] [RECORDS] [PARTITIONS]`

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use milena_codec::messages::create_topics_request::CreatableTopic;
use milena_codec::messages::delete_topics_request::DeleteTopicState;
use milena_codec::messages::fetch_request::{FetchPartition, FetchTopic};
use milena_codec::messages::{CreateTopicsRequest, DeleteTopicsRequest, FetchRequest};
use milena_codec::{ErrorCode, Str, VersionRange};
use milena_net::{Address, Environment, Lane};
use milena_producer::{Acks, Compression, Producer, ProducerConfig, Record};
use milena_records::{Batches, Decompressor};
use milena_rpc::{Cluster, ClusterConfig, Target, Verdict};

const SIZE: usize = 100;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let bootstrap = arguments.next().unwrap_or("127.0.0.1:19092".into());
    let records: u64 = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let partitions: i32 = arguments.next().map_or(Ok(6), |text| text.parse())?;
    let config = ClusterConfig::new(Address::parse_list(&bootstrap)?);
    let cluster = Cluster::connect(config, Environment::system(), soon()).await?;
    for compression in Compression::ALL {
        run(&cluster, Acks::All, compression, records, partitions).await?;
    }
    for acks in [Acks::Leader, Acks::None] {
        run(&cluster, acks, Compression::None, records, partitions).await?;
    }
    cluster.close(soon()).await;
    Ok(())
}

async fn run(
    cluster: &Cluster,
    acks: Acks,
    compression: Compression,
    records: u64,
    partitions: i32,
) -> Result<()> {
    let topic = format!(
        "verify-{}-{compression}-{}",
        acks.code(),
        std::process::id()
    );
    create(cluster, &topic, partitions).await?;
    for partition in 0..partitions {
        // Until its leader has heard of a new topic it refuses batches, with acks 0 silently.
        fetch(cluster, &topic, partition, 0).await?;
    }
    let mut config = ProducerConfig::default();
    config.acks = acks;
    config.compression = compression;
    let producer = Producer::new(cluster.clone(), config)?;
    let begun = now();
    let mut last = None;
    for number in 0..records {
        let mut value = [b'x'; SIZE];
        value[..8].copy_from_slice(&number.to_be_bytes());
        let partition = (number % u64::try_from(partitions)?) as i32;
        let record = Record::to(&topic).value(&value).partition(partition);
        last = Some(producer.send(record).await?);
    }
    let report = producer.flush().await?;
    let took = begun.elapsed();
    ensure!(report.delivered == records, "{report:?}");
    let last = last.context("no records")?.await?;
    let closed = producer.close(soon()).await;
    ensure!(closed.is_success(), "{closed:?}");
    let mut seen = 0;
    for partition in 0..partitions {
        seen += read(cluster, &topic, partition, partitions, records).await?;
    }
    ensure!(seen == records, "{seen} of {records} records arrived");
    println!(
        "acks {:>2} {compression:<6}: {records} records exactly once, in order; {:.2} s, {:.0} records/s; last offset {:?}",
        acks.code(),
        took.as_secs_f64(),
        records as f64 / took.as_secs_f64(),
        last.offset,
    );
    delete(cluster, &topic).await
}

/// Reads a partition and checks that it has each of its numbers once and in order.
async fn read(
    cluster: &Cluster,
    topic: &str,
    partition: i32,
    partitions: i32,
    records: u64,
) -> Result<u64> {
    let mut decompressor = Decompressor::new();
    let (mut offset, mut seen) = (0, 0);
    let step = u64::try_from(partitions)?;
    let mut expected = u64::try_from(partition)?;
    while expected < records {
        let bytes = fetch(cluster, topic, partition, offset).await?;
        let before = seen;
        for batch in Batches::new(bytes) {
            let batch = batch?.check(&mut decompressor, 1 << 30)?;
            let from = offset;
            for record in batch.iter().filter(|record| record.offset >= from) {
                let value = record.value.context("null")?;
                ensure!(value.len() == SIZE);
                let number = u64::from_be_bytes(value[..8].try_into()?);
                ensure!(
                    number == expected,
                    "partition {partition} has {number} at offset {}, not {expected}",
                    record.offset
                );
                ensure!(record.offset == offset);
                expected += step;
                offset += 1;
                seen += 1;
            }
        }
        ensure!(
            seen > before,
            "partition {partition} ends before {expected}"
        );
    }
    ensure!(fetch(cluster, topic, partition, offset).await?.is_empty());
    Ok(seen)
}

async fn fetch(
    cluster: &Cluster,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<milena_codec::Bytes> {
    let prepare = |_| FetchRequest {
        replica_id: -1,
        max_wait_ms: 300,
        min_bytes: 1,
        max_bytes: 8 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: Str::from(topic),
            partitions: vec![FetchPartition {
                partition,
                fetch_offset: offset,
                partition_max_bytes: 8 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let to = Target::Leader {
        topic: Str::from(topic),
        partition,
    };
    let names_only = VersionRange::new(4, 12);
    let reply = cluster.call_within(
        to,
        Lane::Fetch(1),
        names_only,
        prepare,
        |answer| {
            let code = answer.responses.first().and_then(|t| t.partitions.first());
            Verdict::of(code.map_or(ErrorCode::None, |part| part.error_code.into()))
        },
        soon(),
    );
    let answer = reply.await?.message;
    let mut parts = answer.responses.into_iter().flat_map(|t| t.partitions);
    let part = parts.next().context("no partition in the answer")?;
    ErrorCode::from(part.error_code).check()?;
    Ok(part.records.unwrap_or_default())
}

async fn create(cluster: &Cluster, topic: &str, partitions: i32) -> Result<()> {
    let prepare = |_| CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: Str::from(topic),
            num_partitions: partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        timeout_ms: 10_000,
        ..CreateTopicsRequest::default()
    };
    let done = |_: &_| Verdict::Done;
    let reply = cluster.call(Target::Controller, Lane::Slow, prepare, done, soon());
    match reply.await?.message.topics.first() {
        Some(topic) if topic.error_code == 0 => Ok(()),
        other => bail!("topic not created: {other:?}"),
    }
}

async fn delete(cluster: &Cluster, topic: &str) -> Result<()> {
    let prepare = |_| DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some(Str::from(topic)),
            ..DeleteTopicState::default()
        }],
        topic_names: vec![],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    let done = |_: &_| Verdict::Done;
    let reply = cluster.call_within(
        Target::Controller,
        Lane::Slow,
        VersionRange::new(6, 6),
        prepare,
        done,
        soon(),
    );
    reply.await?;
    Ok(())
}

fn soon() -> Instant {
    now() + Duration::from_secs(30)
}

#[expect(clippy::disallowed_methods, reason = "an example measures real time")]
fn now() -> Instant {
    Instant::now()
}
