//! An embedded cluster with the topic `t`, and clients of it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use milena_broker::{Broker, BrokerBuilder, RequestInfo, Verdict as FaultVerdict};
use milena_codec::ApiKey;
use milena_codec::messages::DeleteRecordsRequest;
use milena_codec::messages::DeleteTopicsRequest;
use milena_codec::messages::IncrementalAlterConfigsRequest;
use milena_codec::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use milena_codec::messages::delete_topics_request::DeleteTopicState;
use milena_codec::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use milena_net::{Address, Environment, Lane};
use milena_producer::{
    Ack, Bump, DeliveryError, Hook, Producer, ProducerConfig, ProducerEvent, Receipt, Record,
};
use milena_records::{Batches, CheckedBatch, Decompressor};
use milena_rpc::{Cluster, ClusterConfig, Target, Verdict};

pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) cluster: Cluster,
}

impl World {
    pub(crate) async fn start(nodes: usize, partitions: i32) -> Self {
        Self::build(nodes, partitions, |builder| builder).await
    }

    pub(crate) async fn build(
        nodes: usize,
        partitions: i32,
        change: impl FnOnce(BrokerBuilder) -> BrokerBuilder,
    ) -> Self {
        Self::seeded(0, nodes, partitions, change).await
    }

    pub(crate) async fn seeded(
        seed: u64,
        nodes: usize,
        partitions: i32,
        change: impl FnOnce(BrokerBuilder) -> BrokerBuilder,
    ) -> Self {
        let builder = Broker::builder()
            .nodes(nodes)
            .topic("t", partitions)
            .seed(seed);
        let broker = change(builder).start().await.unwrap();
        let env = Environment::seeded(seed, broker.connector());
        Self::within(broker, env).await
    }

    pub(crate) async fn within(broker: Broker, env: Environment) -> Self {
        let bootstrap = Address::parse_list(&broker.bootstrap()).unwrap();
        let config = ClusterConfig::new(bootstrap);
        let cluster = Cluster::connect(config, env, within(10)).await.unwrap();
        Self { broker, cluster }
    }

    pub(crate) fn producer(&self, config: ProducerConfig) -> Producer {
        Producer::new(self.cluster.clone(), config).unwrap()
    }

    pub(crate) fn batches(&self, partition: i32) -> Vec<CheckedBatch> {
        let log = self.broker.with_model(|model| model.log("t", partition));
        let decode = |bytes| {
            let batch = Batches::new(bytes).next().unwrap().unwrap();
            batch.check(&mut Decompressor::new(), usize::MAX).unwrap()
        };
        log.unwrap().into_iter().map(decode).collect()
    }

    /// The values in a partition's log, read as numbers.
    pub(crate) fn numbers(&self, partition: i32) -> Vec<u64> {
        let batches = self.batches(partition);
        let values = batches.iter().flat_map(|batch| batch.iter());
        values
            .map(|record| {
                let text = str::from_utf8(record.value.unwrap()).unwrap();
                text.split(' ').next().unwrap().parse().unwrap()
            })
            .collect()
    }

    /// Sets a setting of the topic.
    pub(crate) async fn configure(&self, name: &str, value: &str) {
        let prepare = |_| IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: 2,
                resource_name: "t".into(),
                configs: vec![AlterableConfig {
                    name: name.into(),
                    config_operation: 0,
                    value: Some(value.into()),
                    ..AlterableConfig::default()
                }],
                ..AlterConfigsResource::default()
            }],
            ..IncrementalAlterConfigsRequest::default()
        };
        let to = Target::Controller;
        let reply = self
            .cluster
            .call(to, Lane::Slow, prepare, |_| Verdict::Done, within(10));
        assert_eq!(reply.await.unwrap().message.responses[0].error_code, 0);
    }

    pub(crate) async fn delete_topic(&self) {
        let prepare = |version| {
            let names = vec!["t".into()];
            let state = |name| DeleteTopicState {
                name: Some(name),
                ..DeleteTopicState::default()
            };
            let (old, new) = if version < 6 {
                (names, vec![])
            } else {
                (vec![], names)
            };
            DeleteTopicsRequest {
                topic_names: old,
                topics: new.into_iter().map(state).collect(),
                timeout_ms: 1_000,
                ..DeleteTopicsRequest::default()
            }
        };
        let to = Target::Controller;
        let reply = self
            .cluster
            .call(to, Lane::Slow, prepare, |_| Verdict::Done, within(10));
        assert_eq!(reply.await.unwrap().message.responses[0].error_code, 0);
    }

    /// Removes the records below an offset, as retention does.
    pub(crate) async fn delete_records(&self, partition: i32, before: i64) {
        let prepare = |_| DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: "t".into(),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: partition,
                    offset: before,
                    ..DeleteRecordsPartition::default()
                }],
                ..DeleteRecordsTopic::default()
            }],
            timeout_ms: 1_000,
            ..DeleteRecordsRequest::default()
        };
        let to = Target::Any;
        let reply = self
            .cluster
            .call(to, Lane::Slow, prepare, |_| Verdict::Done, within(10));
        let answer = reply.await.unwrap().message;
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }

    /// The stamp of each batch in a partition's log: epoch, first sequence, records.
    pub(crate) fn stamps(&self, partition: i32) -> Vec<(i16, i32, i32)> {
        let batches = self.batches(partition);
        let headers = batches.iter().map(CheckedBatch::header);
        headers
            .map(|header| {
                let stamp = (header.producer_epoch, header.base_sequence);
                (stamp.0, stamp.1, header.record_count)
            })
            .collect()
    }

    pub(crate) fn move_leader(&self, to: i32) {
        let moved = self
            .broker
            .with_model(|model| model.move_leader("t", 0, to, None));
        moved.unwrap();
    }

    /// The nodes that Produce requests went to, in order.
    pub(crate) fn produced_to(&self) -> Vec<i32> {
        self.broker.with_model(|model| {
            let requests = model.requests().map(|one| &one.request);
            let produces = requests.filter(|request| request.api == ApiKey::Produce);
            produces.map(|request| request.node).collect()
        })
    }

    pub(crate) fn requests(&self, api: ApiKey) -> usize {
        self.broker.with_model(|model| {
            let requests = model.requests();
            requests
                .filter(|request| request.request.api == api)
                .count()
        })
    }
}

/// A fault plan for Produce requests, by their number from 0.
pub(crate) fn nth_produce(
    mut plan: impl FnMut(u64) -> FaultVerdict + Send + 'static,
) -> impl FnMut(&RequestInfo) -> FaultVerdict + Send + 'static {
    let mut next = 0;
    move |request| {
        if request.api != ApiKey::Produce {
            return FaultVerdict::Pass;
        }
        next += 1;
        plan(next - 1)
    }
}

/// What a producer told its hook.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<ProducerEvent>>>);

impl Events {
    pub(crate) fn of(config: &mut ProducerConfig) -> Self {
        let events = Self::default();
        let seen = Arc::clone(&events.0);
        config.on_event = Some(Hook::new(move |event: &ProducerEvent| {
            seen.lock().unwrap().push(event.clone());
        }));
        events
    }

    pub(crate) fn bumps(&self) -> Vec<Bump> {
        let events = self.0.lock().unwrap();
        let bumps = events.iter().filter_map(|event| match event {
            ProducerEvent::EpochBump { bump, .. } => Some(*bump),
            _ => None,
        });
        bumps.collect()
    }

    /// From which node to which the partition went.
    pub(crate) fn moves(&self) -> Vec<(i32, i32)> {
        let events = self.0.lock().unwrap();
        let moves = events.iter().filter_map(|event| match event {
            ProducerEvent::LeaderChanged { from, to, .. } => Some((*from, *to)),
            _ => None,
        });
        moves.collect()
    }
}

/// A record of its own batch: the settings say so.
pub(crate) fn one_a_batch() -> ProducerConfig {
    let mut config = ProducerConfig::default();
    config.batch_size = 1;
    config
}

/// Sends a number to a partition.
pub(crate) async fn send(producer: &Producer, partition: i32, number: u64) -> Receipt {
    let value = number.to_string();
    let record = Record::to("t").value(&value).partition(partition);
    producer.send(record).await.unwrap()
}

/// Sends numbers to partition 0.
pub(crate) async fn send_each(
    producer: &Producer,
    numbers: impl IntoIterator<Item = u64>,
) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for number in numbers {
        receipts.push(send(producer, 0, number).await);
    }
    receipts
}

pub(crate) async fn outcomes(
    receipts: impl IntoIterator<Item = Receipt>,
) -> Vec<Result<Ack, DeliveryError>> {
    let mut outcomes = Vec::new();
    for receipt in receipts {
        outcomes.push(receipt.await);
    }
    outcomes
}

/// The offsets that all of them got.
pub(crate) async fn offsets(receipts: impl IntoIterator<Item = Receipt>) -> Vec<i64> {
    let acks = outcomes(receipts).await.into_iter();
    acks.map(|ack| ack.unwrap().offset.unwrap()).collect()
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// So many seconds from now.
pub(crate) fn within(seconds: u64) -> Instant {
    tokio::time::Instant::now().into_std() + Duration::from_secs(seconds)
}
