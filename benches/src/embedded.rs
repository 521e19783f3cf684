//! A client on the embedded broker, in one process and without sockets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use milena::broker::Broker;
use milena::{Client, Environment, Producer, Record, Start};

const TOPIC: &str = "load";
const PARTITIONS: i32 = 6;

/// A broker, a client, and the payloads for its records.
#[derive(Debug)]
pub struct Embedded {
    broker: Broker,
    client: Client,
    payloads: Vec<Vec<u8>>,
}

impl Embedded {
    /// A broker with an empty topic of six partitions.
    ///
    /// # Errors
    /// The client does not come to be.
    pub async fn start(size: usize) -> Result<Self> {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let broker = Broker::shared(&format!("benches-{number}"));
        broker.with_model(|model| model.create_topic(TOPIC, PARTITIONS))?;
        let client = Client::builder()
            .bootstrap(format!("mock://benches-{number}"))
            .environment(Environment::system())
            .connect()
            .await?;
        Ok(Self {
            broker,
            client,
            payloads: crate::payloads(size),
        })
    }

    /// A producer whose batches are always full, so that there is as much to do each time.
    ///
    /// # Errors
    /// The settings do not fit together.
    pub async fn producer(&self, idempotent: bool) -> Result<Producer> {
        let producer = self.client.producer().idempotence(idempotent);
        let producer = producer.linger(Duration::from_secs(10)).batch_size(100_000);
        Ok(producer.build().await?)
    }

    /// Sends records, and waits until all are acknowledged.
    ///
    /// # Errors
    /// One of them is not.
    pub async fn send(&self, producer: &Producer, records: u64) -> Result<()> {
        let topic = producer.topic(TOPIC).await?;
        let payloads = self.payloads.iter().cycle();
        for (_, payload) in (0..records).zip(payloads) {
            // The flush below has the outcome.
            drop(producer.send(Record::to(&topic).value(payload)).await?);
        }
        producer.flush().await?;
        Ok(())
    }

    /// Reads all partitions from their beginning until there were so many records.
    ///
    /// # Errors
    /// There are fewer.
    pub async fn receive(&self, records: u64) -> Result<()> {
        let consumer = self.client.consumer().topics([TOPIC]);
        let consumer = consumer.from(Start::Beginning).stop_at_end(true);
        let mut consumer = consumer.build().await?;
        let mut left = records;
        while left > 0 {
            let batch = consumer.next_batch().await?.context("too few records")?;
            for record in &batch {
                ensure!(record.value.is_some_and(|value| !value.is_empty()));
                left = left.saturating_sub(1);
            }
        }
        consumer.close(soon()).await;
        Ok(())
    }

    /// Ends it all.
    pub async fn close(self) {
        self.client.close(soon()).await;
        self.broker.close().await;
    }
}

/// When closing what has nothing left to do is over at the latest.
#[allow(clippy::disallowed_methods, reason = "a program has the real clock")]
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}
