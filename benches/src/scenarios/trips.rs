//! Round trips, one after the other.

use anyhow::Result;
use milena::broker::Broker;
use milena::{Client, Producer, Record, Start};

use super::{Cluster, Line, Options, SIZE, Watch, in_turns, median};
use crate::embedded::soon;

const TOPIC: &str = "load";
const QUIET: &str = "quiet";
const WARM_UP: u64 = 200;

/// The consumer waits at the broker for records that never come.
pub(super) async fn beside_a_consumer(options: Options) -> Result<Line> {
    let broker = Broker::builder().topic(TOPIC, 6).topic(QUIET, 6);
    let cluster = Cluster::start(broker)?;
    let client = cluster.client().await?;
    let producer = client.producer().build().await?;
    let count = options.records / 100;
    let (alone, beside) = in_turns(
        async || trips(&producer, count).await,
        async || beside(&client, &producer, count).await,
    )
    .await?;
    producer.close(soon()).await;
    client.close(soon()).await;
    Ok(Line {
        name: "beside",
        figure: format!(
            "median round trip of {beside:.0} µs beside an idle consumer, {alone:.0} µs without it"
        ),
        ratio: Some(beside / alone),
        target: "about 1 is wanted",
    })
}

async fn beside(client: &Client, producer: &Producer, count: u64) -> Result<f64> {
    let consumer = client.consumer().topics([QUIET]).from(Start::End);
    let mut consumer = consumer.build().await?;
    let took = tokio::select! {
        biased;
        took = trips(producer, count) => took?,
        batch = consumer.next_batch() => anyhow::bail!("{QUIET} is not: {batch:?}"),
    };
    consumer.close(soon()).await;
    Ok(took)
}

/// The median, in microseconds.
async fn trips(producer: &Producer, count: u64) -> Result<f64> {
    let value = [b'v'; SIZE];
    let mut took = Vec::new();
    for number in 0..count + WARM_UP {
        let watch = Watch::start();
        producer
            .send(Record::to(TOPIC).value(&value))
            .await?
            .await?;
        if number >= WARM_UP {
            took.push(watch.seconds() * 1e6);
        }
    }
    Ok(median(took))
}
