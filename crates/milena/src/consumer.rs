//! Building consumers.

use std::sync::Arc;

use milena_rpc::Cluster;
use thiserror::Error;

use crate::settings::{SettingError, Settings, put};

pub use milena_consumer::{
    AssignError, Batch, ConsumeError, Consumer, ConsumerConfig, ConsumerEvent, EventHook,
    IsolationLevel, OutOfRange, OutOfRangePolicy, OwnedRecord, Record as ConsumedRecord, RecordRef,
    SeekError, Start, Stop, TopicPartition,
};

/// Settings of a [`Consumer`] to be, and what it reads.
#[derive(Clone, Debug)]
#[must_use = "a consumer is made by build()"]
pub struct ConsumerBuilder {
    cluster: Cluster,
    settings: Arc<Settings>,
    config: Option<ConsumerConfig>,
    on_event: Option<EventHook>,
    stop_at_end: bool,
    topics: Vec<String>,
    partitions: Vec<(String, i32)>,
    start: Start,
}

/// Why a consumer was not built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildConsumerError {
    /// A setting does not fit.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Settings contradict each other.
    #[error(transparent)]
    Config(#[from] milena_consumer::ConfigError),
    /// A topic or partition cannot be read.
    #[error(transparent)]
    Assign(#[from] AssignError),
}

impl ConsumerBuilder {
    pub(crate) fn new(cluster: Cluster, settings: Arc<Settings>) -> Self {
        Self {
            cluster,
            settings,
            config: None,
            on_event: None,
            stop_at_end: false,
            topics: Vec::new(),
            partitions: Vec::new(),
            start: Start::Beginning,
        }
    }

    /// Takes all settings from `config`, instead of those of the client.
    pub fn config(mut self, config: ConsumerConfig) -> Self {
        self.config = Some(config);
        self
    }

    /// Reads all partitions of these topics.
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Reads these partitions of a topic.
    pub fn partitions(mut self, topic: &str, partitions: impl IntoIterator<Item = i32>) -> Self {
        self.partitions.extend(
            partitions
                .into_iter()
                .map(|partition| (topic.to_owned(), partition)),
        );
        self
    }

    /// Where reading starts in each partition. Default: at the first record there is.
    pub fn from(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Ends once every partition has been read to the end it had when reading began.
    pub fn stop_at_end(mut self, stop: bool) -> Self {
        self.stop_at_end = stop;
        self
    }

    /// Called with every event; it must not block.
    pub fn on_event(mut self, hook: impl Fn(&ConsumerEvent) + Send + Sync + 'static) -> Self {
        self.on_event = Some(EventHook::new(hook));
        self
    }

    /// The consumer, with its partitions assigned and being fetched.
    ///
    /// # Errors
    /// [`BuildConsumerError`], naming the setting, topic or partition.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn build(self) -> Result<Consumer, BuildConsumerError> {
        let mut config = match self.config {
            Some(config) => config,
            None => self.settings.consumer()?,
        };
        config.stop_at_end |= self.stop_at_end;
        put(&mut config.on_event, self.on_event.map(Some));
        let consumer = Consumer::new(self.cluster, config)?;
        for topic in &self.topics {
            consumer.assign_topic(topic, self.start).await?;
        }
        for (topic, partition) in &self.partitions {
            consumer.assign(topic, *partition, self.start).await?;
        }
        Ok(consumer)
    }
}

impl Settings {
    pub(crate) fn consumer(&self) -> Result<ConsumerConfig, SettingError> {
        let mut config = ConsumerConfig::default();
        let bytes = "a number of bytes";
        put(
            &mut config.fetch_min_bytes,
            self.parsed("fetch.min.bytes", bytes)?,
        );
        put(
            &mut config.fetch_max_bytes,
            self.parsed("fetch.max.bytes", bytes)?,
        );
        put(
            &mut config.fetch_max_wait,
            self.millis("fetch.max.wait.ms")?,
        );
        let partition_bytes = self.parsed("max.partition.fetch.bytes", bytes)?;
        put(&mut config.max_partition_fetch_bytes, partition_bytes);
        put(&mut config.check_crcs, self.boolean("check.crcs")?);
        put(&mut config.retry_backoff, self.millis("retry.backoff.ms")?);
        put(
            &mut config.retry_backoff_max,
            self.millis("retry.backoff.max.ms")?,
        );
        if let Some(policy) = self.value("auto.offset.reset") {
            let policy = match policy {
                "none" | "error" => OutOfRange::Error,
                "earliest" | "smallest" | "beginning" => OutOfRange::Earliest,
                "latest" | "largest" | "end" => OutOfRange::Latest,
                _ => return Err(self.invalid("auto.offset.reset", "none, earliest or latest")),
            };
            config.out_of_range = OutOfRangePolicy {
                below: policy,
                above: policy,
            };
        }
        if let Some(level) = self.value("isolation.level") {
            config.isolation_level = match level {
                "read_uncommitted" => IsolationLevel::ReadUncommitted,
                "read_committed" => IsolationLevel::ReadCommitted,
                _ => {
                    let expected = "read_uncommitted or read_committed";
                    return Err(self.invalid("isolation.level", expected));
                }
            };
        }
        Ok(config)
    }
}
