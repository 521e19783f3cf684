//! Building producers.

use std::sync::Arc;
use std::time::Duration;

use milena_codec::Str;
use milena_rpc::Cluster;
use thiserror::Error;

use crate::settings::{SettingError, Settings, put};
use crate::transactions::Parts;

pub use milena_producer::{
    Ack, Acks, BatchOutcome, CloseReport, Compression, Counts, DeliveryCause, DeliveryError,
    DeliveryReport, ErrorKind, FailedBatch, Fate, FlushError, Hook, Latencies, Linger,
    MetricsSnapshot, NodeMetrics, OutgoingRecord, Partitioning, Permit, Producer, ProducerConfig,
    ProducerEvent, ProducerInterceptor, Receipt, Record, SendAllError, SendError, SendFuture,
    Suggestion, TimeLedger, Times, TopicHandle, TrySendError, Verdict, verdict,
};

/// Settings of a [`Producer`] to be.
#[derive(Clone, Debug)]
#[must_use = "a producer is made by build()"]
pub struct ProducerBuilder {
    cluster: Cluster,
    settings: Arc<Settings>,
    changes: Vec<Change>,
}

/// Applied in order on top of the client's settings.
#[derive(Clone, Debug)]
enum Change {
    All(Box<ProducerConfig>),
    Acks(Acks),
    Idempotence(bool),
    Compression(Compression),
    CompressionLevel(i32),
    Linger(Linger),
    BatchSize(usize),
    BatchRecords(u32),
    FlushBytes(usize),
    FlushRecords(u32),
    BufferMemory(usize),
    DeliveryTimeout(Duration),
    Partitioner(Partitioning),
    OnFailedBatch(Hook<Arc<FailedBatch>>),
    OnEvent(Hook<ProducerEvent>),
    Interceptor(Arc<dyn ProducerInterceptor>),
}

/// Why a producer was not built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildProducerError {
    /// A setting does not fit.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The settings name a transactional id: such a producer is made by another builder.
    #[error("transactional.id is set; build the producer by transactional_id(), or leave it out")]
    Transactional,
    /// Settings contradict each other.
    #[error(transparent)]
    Config(#[from] milena_producer::ConfigError),
}

impl ProducerBuilder {
    pub(crate) fn new(cluster: Cluster, settings: Arc<Settings>) -> Self {
        Self {
            cluster,
            settings,
            changes: Vec::new(),
        }
    }

    fn with(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// Takes all settings from `config`, instead of those of the client.
    pub fn config(self, config: ProducerConfig) -> Self {
        self.with(Change::All(Box::new(config)))
    }

    /// `acks`: who must have a record before it is acknowledged. Default all.
    pub fn acks(self, acks: Acks) -> Self {
        self.with(Change::Acks(acks))
    }

    /// `enable.idempotence`: retries never duplicate or reorder. Default: on with acks all.
    pub fn idempotence(self, on: bool) -> Self {
        self.with(Change::Idempotence(on))
    }

    /// `compression.type`. Default none.
    pub fn compression(self, compression: Compression) -> Self {
        self.with(Change::Compression(compression))
    }

    /// `compression.*.level` (KIP-390). Default: the codec's own.
    pub fn compression_level(self, level: i32) -> Self {
        self.with(Change::CompressionLevel(level))
    }

    /// `linger.ms`: how long a batch waits for more records: a time, or a [`Linger`]. Default
    /// adaptive.
    pub fn linger(self, linger: impl Into<Linger>) -> Self {
        self.with(Change::Linger(linger.into()))
    }

    /// `batch.size`, in bytes before compression.
    pub fn batch_size(self, bytes: usize) -> Self {
        self.with(Change::BatchSize(bytes))
    }

    /// librdkafka's `batch.num.messages`: a batch's largest number of records. Default no limit.
    pub fn batch_records(self, records: u32) -> Self {
        self.with(Change::BatchRecords(records))
    }

    /// A batch of this many bytes does not linger for more. Default never.
    pub fn flush_bytes(self, bytes: usize) -> Self {
        self.with(Change::FlushBytes(bytes))
    }

    /// A batch of this many records does not linger for more. Default never.
    pub fn flush_records(self, records: u32) -> Self {
        self.with(Change::FlushRecords(records))
    }

    /// `buffer.memory`, in bytes: beyond it, `send` waits.
    pub fn buffer_memory(self, bytes: usize) -> Self {
        self.with(Change::BufferMemory(bytes))
    }

    /// `delivery.timeout.ms`: after which a record that is not acknowledged has failed.
    pub fn delivery_timeout(self, timeout: Duration) -> Self {
        self.with(Change::DeliveryTimeout(timeout))
    }

    /// `partitioner.class`: how the partition of a record is chosen that names none: a
    /// [`Partitioning`], or one's own [`Partitioner`](crate::partitioner::Partitioner) by
    /// [`Partitioning::custom`]. Default as the Java client.
    pub fn partitioner(self, partitioning: Partitioning) -> Self {
        self.with(Change::Partitioner(partitioning))
    }

    /// Adds to `interceptor.classes`: called with every record and every batch's outcome, after
    /// those added before; it must not block.
    pub fn interceptor(self, interceptor: impl ProducerInterceptor + 'static) -> Self {
        self.with(Change::Interceptor(Arc::new(interceptor)))
    }

    /// Called with every batch that fails; it must not block.
    pub fn on_failed_batch(self, hook: impl Fn(&Arc<FailedBatch>) + Send + Sync + 'static) -> Self {
        self.with(Change::OnFailedBatch(Hook::new(hook)))
    }

    /// Called with every event; it must not block.
    pub fn on_event(self, hook: impl Fn(&ProducerEvent) + Send + Sync + 'static) -> Self {
        self.with(Change::OnEvent(Hook::new(hook)))
    }

    /// The producer.
    ///
    /// # Errors
    /// [`BuildProducerError`], naming the setting or the pair of settings.
    ///
    /// # Cancel safety
    /// It does not wait for anything yet; dropping the future leaves nothing behind.
    #[allow(clippy::unused_async)]
    pub async fn build(self) -> Result<Producer, BuildProducerError> {
        let (cluster, settings, config) = self.into_parts()?;
        if settings.value("transactional.id").is_some() {
            return Err(BuildProducerError::Transactional);
        }
        Ok(Producer::new(cluster, config)?)
    }

    pub(crate) fn into_parts(self) -> Result<Parts, BuildProducerError> {
        let mut config = self.settings.producer()?;
        for change in self.changes {
            match change {
                Change::All(all) => config = *all,
                Change::Acks(acks) => config.acks = acks,
                Change::Idempotence(on) => config.enable_idempotence = Some(on),
                Change::Compression(compression) => config.compression = compression,
                Change::CompressionLevel(level) => config.compression_level = Some(level),
                Change::Linger(linger) => config.linger = linger,
                Change::BatchSize(bytes) => config.batch_size = bytes,
                Change::BatchRecords(records) => config.batch_records = Some(records),
                Change::FlushBytes(bytes) => config.flush_bytes = Some(bytes),
                Change::FlushRecords(records) => config.flush_records = Some(records),
                Change::Interceptor(interceptor) => config.interceptors.push(interceptor),
                Change::BufferMemory(bytes) => config.buffer_memory = bytes,
                Change::DeliveryTimeout(timeout) => config.delivery_timeout = timeout,
                Change::Partitioner(partitioning) => config.partitioner = partitioning,
                Change::OnFailedBatch(hook) => config.on_failed_batch = Some(hook),
                Change::OnEvent(hook) => config.on_event = Some(hook),
            }
        }
        Ok((self.cluster, self.settings, config))
    }
}

impl Settings {
    pub(crate) fn producer(&self) -> Result<ProducerConfig, SettingError> {
        let mut config = ProducerConfig::default();
        if let Some(acks) = self.value("acks") {
            config.acks = match acks {
                "0" => Acks::None,
                "1" => Acks::Leader,
                "all" | "-1" => Acks::All,
                _ => return Err(self.invalid("acks", "0, 1 or all")),
            };
        }
        config.enable_idempotence = self.boolean("enable.idempotence")?;
        let codecs = "none, gzip, snappy, lz4 or zstd";
        put(
            &mut config.compression,
            self.parsed("compression.type", codecs)?,
        );
        let level = match config.compression {
            Compression::Gzip => Some("compression.gzip.level"),
            Compression::Lz4 => Some("compression.lz4.level"),
            Compression::Zstd => Some("compression.zstd.level"),
            _ => None,
        };
        if let Some(level) = level {
            config.compression_level = self.parsed(level, "a number")?;
        }
        let bytes = "a number of bytes";
        if self.value("linger.ms") != Some("adaptive") {
            put(
                &mut config.linger,
                self.millis("linger.ms")?.map(Linger::Fixed),
            );
        }
        put(&mut config.batch_size, self.parsed("batch.size", bytes)?);
        config.batch_records = self.parsed("batch.num.messages", "a number of records")?;
        put(
            &mut config.buffer_memory,
            self.parsed("buffer.memory", bytes)?,
        );
        put(
            &mut config.max_request_size,
            self.parsed("max.request.size", bytes)?,
        );
        put(
            &mut config.delivery_timeout,
            self.millis("delivery.timeout.ms")?,
        );
        put(
            &mut config.request_timeout,
            self.millis("request.timeout.ms")?,
        );
        put(&mut config.max_block, self.millis("max.block.ms")?);
        self.partitioner(&mut config)?;
        put(&mut config.retry_backoff, self.millis("retry.backoff.ms")?);
        put(
            &mut config.retry_backoff_max,
            self.millis("retry.backoff.max.ms")?,
        );
        Ok(config)
    }

    fn partitioner(&self, config: &mut ProducerConfig) -> Result<(), SettingError> {
        put(
            &mut config.partitioner,
            self.parsed("partitioner.class", Partitioning::EXPECTED)?,
        );
        put(
            &mut config.partitioner_ignore_keys,
            self.boolean("partitioner.ignore.keys")?,
        );
        put(
            &mut config.partitioner_adaptive,
            self.boolean("partitioner.adaptive.partitioning.enable")?,
        );
        put(
            &mut config.partitioner_availability_timeout,
            self.millis("partitioner.availability.timeout.ms")?,
        );
        put(
            &mut config.partitioner_rack_aware,
            self.boolean("partitioner.rack.aware")?,
        );
        config.client_rack = self.value("client.rack").map(Str::from);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
