//! An embedded cluster with the topic `t`, transactional producers on it, and what readers see.

use std::time::{Duration, Instant};

use milena_broker::{Broker, BrokerBuilder};
use milena_net::{Address, Environment};
use milena_producer::{
    ProducerConfig, Record, Transaction, TransactionConfig, TransactionalProducer,
};
use milena_rpc::{Cluster, ClusterConfig};

pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) cluster: Cluster,
}

impl World {
    /// Three nodes and two partitions, at this level of `transaction.version`.
    pub(crate) async fn start(level: i16) -> Self {
        Self::build(|builder| builder.transaction_version(level)).await
    }

    pub(crate) async fn build(change: impl FnOnce(BrokerBuilder) -> BrokerBuilder) -> Self {
        let builder = Broker::builder().nodes(3).topic("t", 2);
        let broker = change(builder).start().await.unwrap();
        let env = Environment::seeded(7, broker.connector());
        let bootstrap = Address::parse_list(&broker.bootstrap()).unwrap();
        let config = ClusterConfig::new(bootstrap);
        let cluster = Cluster::connect(config, env, within(10)).await.unwrap();
        Self { broker, cluster }
    }

    pub(crate) fn producer(&self, id: &str) -> TransactionalProducer {
        self.configured(ProducerConfig::default(), TransactionConfig::new(id))
    }

    pub(crate) fn configured(
        &self,
        config: ProducerConfig,
        transactions: TransactionConfig,
    ) -> TransactionalProducer {
        TransactionalProducer::new(self.cluster.clone(), config, &transactions).unwrap()
    }

    /// The values that readers of committed data see in a partition.
    pub(crate) fn committed(&self, partition: i32) -> Vec<String> {
        self.read(partition, true)
    }

    /// The values that are in a partition's log.
    pub(crate) fn written(&self, partition: i32) -> Vec<String> {
        self.read(partition, false)
    }

    fn read(&self, partition: i32, committed: bool) -> Vec<String> {
        let records = self
            .broker
            .with_model(|model| model.records("t", partition, committed));
        let text = |value: Option<milena_codec::Bytes>| {
            String::from_utf8(value.unwrap().to_vec()).unwrap()
        };
        let values = records.unwrap().into_iter();
        values.map(|record| text(record.value)).collect()
    }
}

/// Sends a value to each partition, and waits until it is written.
pub(crate) async fn write(transaction: &Transaction, value: &str) {
    for partition in 0..2 {
        let record = Record::to("t").value(value).partition(partition);
        let receipt = transaction.send(record).await.unwrap();
        receipt.await.unwrap();
    }
}

/// So many seconds from now.
pub(crate) fn within(seconds: u64) -> Instant {
    tokio::time::Instant::now().into_std() + Duration::from_secs(seconds)
}
