//! An embedded cluster with the topic `t`, and clients of it.

use std::time::{Duration, Instant};

use milena_broker::{Broker, BrokerBuilder, RequestInfo, Verdict as FaultVerdict};
use milena_codec::ApiKey;
use milena_codec::messages::DeleteTopicsRequest;
use milena_codec::messages::IncrementalAlterConfigsRequest;
use milena_codec::messages::delete_topics_request::DeleteTopicState;
use milena_codec::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use milena_net::{Address, Environment, Lane};
use milena_producer::{Producer, ProducerConfig};
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

/// So many seconds from now.
pub(crate) fn within(seconds: u64) -> Instant {
    tokio::time::Instant::now().into_std() + Duration::from_secs(seconds)
}
