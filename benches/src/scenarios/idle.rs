//! A client that has nothing to do.

use anyhow::Result;
use milena::broker::Broker;
use milena::{Record, Start};

use super::{Cluster, Line, Options, SIZE, Watch, send};
use crate::embedded::soon;

const TOPIC: &str = "load";
const PARTITIONS: i32 = 6;

/// A producer that has sent, and a consumer that waits, before and after all leaders have moved.
pub(super) async fn idle(options: Options) -> Result<Vec<Line>> {
    let broker = Broker::builder().nodes(2).topic(TOPIC, PARTITIONS);
    let cluster = Cluster::start(broker)?;
    let client = cluster.client().await?;
    let producer = client.producer().build().await?;
    let consumer = client.consumer().topics([TOPIC]).from(Start::End);
    let mut consumer = consumer.build().await?;
    let value = [b'v'; SIZE];
    let record = |number: u64| {
        let partition = (number % u64::from(PARTITIONS.unsigned_abs())) as i32;
        Record::to(TOPIC).value(&value).partition(partition)
    };
    let mut lines = Vec::new();
    for name in ["idle", "idle-after-election"] {
        // Whoever was asked last has to find the new leaders.
        send(&producer, 60, 60, record).await?;
        for _ in 0..60 {
            consumer.recv().await?;
        }
        let watch = Watch::start();
        tokio::time::sleep(options.idle).await;
        lines.push(Line {
            name,
            figure: format!(
                "{:.3} % of a core over {:.0} s",
                watch.cpu_seconds() / watch.seconds() * 100.0,
                watch.seconds()
            ),
            ratio: None,
            target: "at most 0.1 %",
        });
        move_leaders(&cluster)?;
    }
    producer.close(soon()).await;
    consumer.close(soon()).await;
    client.close(soon()).await;
    Ok(lines)
}

fn move_leaders(cluster: &Cluster) -> Result<()> {
    for partition in 0..PARTITIONS {
        cluster.broker.with_model(|model| {
            let (leader, _) = model.leader(TOPIC, partition)?;
            let other = if leader == Some(1) { 2 } else { 1 };
            model.move_leader(TOPIC, partition, other, None)
        })?;
    }
    Ok(())
}
