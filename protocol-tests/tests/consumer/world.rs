//! A cluster, a way to fill it, and a consumer whose events are kept.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_broker::{Broker, KafkaVersion};
use milena_codec::messages::ProduceRequest;
use milena_codec::messages::produce_request::{PartitionProduceData, TopicProduceData};
use milena_codec::{ApiKey, Str};
use milena_consumer::{Batch, Consumer, ConsumerConfig, ConsumerEvent, EventHook};
use milena_net::{Address, BoxFuture, BoxedTransport, Connector, Environment, Lane};
use milena_records::{BatchBuilder, Compression, Compressor, Heap, RecordParts, Stamp};
use milena_rpc::caps::{CapContext, cap};
use milena_rpc::{AutoCreate, Cluster, ClusterConfig, Target, Verdict};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) const TOPIC: &str = "orders";

pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) cluster: Cluster,
    pub(crate) events: Arc<Mutex<Vec<ConsumerEvent>>>,
}

impl World {
    pub(crate) async fn new(nodes: usize, partitions: i32) -> Self {
        let broker = Broker::builder().nodes(nodes).topic(TOPIC, partitions);
        Self::over(broker.start().await.unwrap()).await
    }

    pub(crate) async fn as_version(version: KafkaVersion) -> Self {
        let broker = Broker::builder().as_version(version).topic(TOPIC, 2);
        Self::over(broker.start().await.unwrap()).await
    }

    pub(crate) async fn over(broker: Broker) -> Self {
        let connector = broker.connector();
        Self::through(broker, connector).await
    }

    /// With something between the client and the broker.
    pub(crate) async fn through(broker: Broker, connector: Arc<dyn Connector>) -> Self {
        Self::within(broker, Environment::seeded(7, connector)).await
    }

    pub(crate) async fn within(broker: Broker, env: Environment) -> Self {
        let bootstrap = broker.bootstrap();
        let first: Address = bootstrap.split(',').next().unwrap().parse().unwrap();
        let config = ClusterConfig::new(vec![first]);
        let deadline = env.now() + Duration::from_secs(10);
        let cluster = Cluster::connect(config, env, deadline).await.unwrap();
        Self {
            broker,
            cluster,
            events: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.cluster.env().now()
    }

    /// Writes `values` as one batch, with the timestamps 1000, 1001, ….
    pub(crate) async fn write(&self, partition: i32, values: &[&str]) {
        self.write_as(Compression::None, partition, values).await;
    }

    pub(crate) async fn write_as(&self, compression: Compression, partition: i32, values: &[&str]) {
        let mut builder = BatchBuilder::default();
        for (timestamp, value) in (1000..).zip(values) {
            let value = Some(value.as_bytes());
            let parts = RecordParts {
                timestamp,
                value,
                ..RecordParts::default()
            };
            builder.append(&parts).unwrap();
        }
        let sealed = builder
            .seal(&mut Compressor::new(compression), &mut Heap)
            .unwrap();
        self.produce(partition, sealed.to_bytes(Stamp::NONE)).await;
    }

    async fn produce(&self, partition: i32, records: Bytes) {
        let deadline = self.now() + Duration::from_secs(30);
        self.cluster
            .topic(TOPIC, AutoCreate::Never, deadline)
            .await
            .unwrap();
        let prepare = |_| ProduceRequest {
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![TopicProduceData {
                name: Str::from_static(TOPIC),
                partition_data: vec![PartitionProduceData {
                    index: partition,
                    records: Some(records.clone()),
                    ..PartitionProduceData::default()
                }],
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        };
        let names = CapContext {
            topic_id_unknown: true,
            ..CapContext::default()
        };
        let versions = cap(ApiKey::Produce, names);
        let to = Target::Leader {
            topic: Str::from_static(TOPIC),
            partition,
        };
        let judge = |answer: &milena_codec::messages::ProduceResponse| {
            Verdict::of(answer.responses[0].partition_responses[0].error_code.into())
        };
        let lane = Lane::Produce(1);
        let reply = self
            .cluster
            .call_within(to, lane, versions, prepare, judge, deadline)
            .await;
        let answer = reply.unwrap().message;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }

    /// Writes `count` records named after partition and offset, in batches of `batch`.
    pub(crate) async fn fill(&self, partition: i32, count: usize, batch: usize) {
        let names: Vec<String> = (0..count).map(|at| format!("{partition}/{at}")).collect();
        for names in names.chunks(batch) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            self.write(partition, &names).await;
        }
    }

    pub(crate) fn consumer(&self, change: impl FnOnce(&mut ConsumerConfig)) -> Consumer {
        let mut config = ConsumerConfig::default();
        let events = Arc::clone(&self.events);
        let keep = move |event: &ConsumerEvent| events.lock().unwrap().push(event.clone());
        config.on_event = Some(EventHook::new(keep));
        change(&mut config);
        Consumer::new(self.cluster.clone(), config).unwrap()
    }

    pub(crate) fn reader(&self) -> Consumer {
        self.consumer(|config| config.stop_at_end = true)
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        let events = self.events.lock().unwrap();
        events.iter().filter(|event| event.name() == name).count()
    }
}

pub(crate) fn text(value: Option<&[u8]>) -> String {
    String::from_utf8(value.unwrap().to_vec()).unwrap()
}

pub(crate) fn offsets(batch: &Batch) -> Vec<i64> {
    batch.iter().map(|record| record.offset).collect()
}

/// Reads all there is, checking that each partition's records come in order, each once and with
/// the value that [`World::fill`] wrote.
pub(crate) async fn drain(consumer: &mut Consumer) -> std::collections::BTreeMap<i32, Vec<i64>> {
    let mut seen = std::collections::BTreeMap::<i32, Vec<i64>>::new();
    while let Some(batch) = consumer.next_batch().await.unwrap() {
        let partition = batch.partition();
        for record in &batch {
            assert_eq!(text(record.value), format!("{partition}/{}", record.offset));
            seen.entry(partition).or_default().push(record.offset);
        }
    }
    seen
}

/// Replaces `from` by `to` in what the broker sends, once for each connection and occurrence.
#[derive(Debug)]
pub(crate) struct Tamper {
    pub(crate) inner: Arc<dyn Connector>,
    pub(crate) from: &'static [u8],
    pub(crate) to: &'static [u8],
}

impl Connector for Tamper {
    fn connect(
        &self,
        address: &Address,
        deadline: Instant,
    ) -> BoxFuture<'static, io::Result<BoxedTransport>> {
        let inner = self.inner.connect(address, deadline);
        let (from, to) = (self.from, self.to);
        Box::pin(async move {
            let inner = inner.await?;
            Ok(Box::new(Tampered { inner, from, to }) as BoxedTransport)
        })
    }
}

struct Tampered {
    inner: BoxedTransport,
    from: &'static [u8],
    to: &'static [u8],
}

impl AsyncRead for Tampered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, into);
        let (from, to) = (self.from, self.to);
        let fresh = &mut into.filled_mut()[before..];
        for at in 0..fresh.len().saturating_sub(from.len() - 1) {
            if fresh[at..].starts_with(from) {
                fresh[at..at + to.len()].copy_from_slice(to);
            }
        }
        polled
    }
}

impl AsyncWrite for Tampered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
