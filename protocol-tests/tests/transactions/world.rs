//! An embedded cluster with the topic `t`, transactional producers on it, and what readers see.

use std::time::{Duration, Instant};

use milena_broker::{Broker, BrokerBuilder, TransactionInfo, Verdict};
use milena_codec::ApiKey;
use milena_codec::messages::OffsetFetchRequest;
use milena_codec::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use milena_net::{Address, Environment, Lane};
use milena_producer::{
    CommitError, ConsumedOffset, ErrorCode, GroupMetadata, ProducerConfig, Record, Transaction,
    TransactionConfig, TransactionalProducer,
};
use milena_rpc::{Cluster, ClusterConfig, CoordinatorKind, Target};

/// The levels of `transaction.version` that differ.
pub(crate) const BOTH: [i16; 2] = [0, 2];

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
        Self::seeded(7, |builder| change(builder.topic("t", 2))).await
    }

    /// Three nodes, whose choices and whose clients' come from the seed.
    pub(crate) async fn seeded(
        seed: u64,
        change: impl FnOnce(BrokerBuilder) -> BrokerBuilder,
    ) -> Self {
        let builder = Broker::builder().nodes(3).seed(seed);
        let broker = change(builder).start().await.unwrap();
        let env = Environment::seeded(seed, broker.connector());
        let bootstrap = Address::parse_list(&broker.bootstrap()).unwrap();
        let config = ClusterConfig::new(bootstrap);
        let cluster = Cluster::connect(config, env, within(10)).await.unwrap();
        Self { broker, cluster }
    }

    pub(crate) fn producer(&self, id: &str) -> TransactionalProducer {
        self.configured(ProducerConfig::default(), &TransactionConfig::new(id))
    }

    /// A producer that gives calls up after 2 s, records after 4 s and waits after 10 s.
    pub(crate) fn hasty(&self, id: &str) -> TransactionalProducer {
        self.configured(hasty(), &TransactionConfig::new(id))
    }

    pub(crate) fn configured(
        &self,
        config: ProducerConfig,
        transactions: &TransactionConfig,
    ) -> TransactionalProducer {
        TransactionalProducer::new(self.cluster.clone(), config, transactions).unwrap()
    }

    /// The values that readers of committed data see in a partition.
    pub(crate) fn committed(&self, partition: i32) -> Vec<String> {
        self.read(partition, true)
    }

    /// The values that are in a partition's log.
    pub(crate) fn written(&self, partition: i32) -> Vec<String> {
        self.read(partition, false)
    }

    /// Waits for the markers, and asserts that committed readers see just these values in both
    /// partitions, and that nothing is left undecided.
    pub(crate) async fn assert_committed(&self, values: &[&str]) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for partition in 0..2 {
            assert_eq!(self.committed(partition), values, "partition {partition}");
        }
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

    /// What the coordinator knows of a transactional id.
    pub(crate) fn transaction(&self, id: &str) -> TransactionInfo {
        let found = self.broker.with_model(|model| model.transaction(id));
        found.expect("the coordinator knows the id")
    }

    pub(crate) fn requests(&self, api: ApiKey) -> usize {
        self.versions(api).len()
    }

    /// The versions of the requests so far.
    pub(crate) fn versions(&self, api: ApiKey) -> Vec<i16> {
        self.broker.with_model(|model| {
            let requests = model.requests().map(|one| &one.request);
            let requests = requests.filter(|request| request.api == api);
            requests.map(|request| request.version).collect()
        })
    }

    /// The next requests of this API get these verdicts.
    pub(crate) fn next(&self, api: ApiKey, verdicts: impl IntoIterator<Item = Verdict>) {
        self.broker.with_model(|model| {
            for verdict in verdicts {
                model.fault_next(api, 1, verdict);
            }
        });
    }

    /// All requests of this API get this verdict, until [`Self::heal`].
    pub(crate) fn every(&self, api: ApiKey, verdict: Verdict) {
        self.broker.faults(move |request| match request.api {
            same if same == api => verdict,
            _ => Verdict::Pass,
        });
    }

    pub(crate) fn heal(&self) {
        self.broker.faults(|_| Verdict::Pass);
    }

    /// The next request of this API is refused with this error.
    pub(crate) fn refuse(&self, api: ApiKey, code: ErrorCode) {
        self.next(api, [Verdict::Error(code)]);
    }

    /// What a group has committed for partition 0 of `t`, once nothing of it is undecided.
    pub(crate) async fn committed_offset(&self, group: &str) -> i64 {
        let prepare = |version| offset_fetch(group, version);
        let to = Target::Coordinator {
            kind: CoordinatorKind::Group,
            key: group.into(),
        };
        let versions = milena_codec::VersionRange::new(5, 9);
        let cluster = &self.cluster;
        let reply = cluster.call_once_within(to, Lane::Main, versions, prepare, within(5));
        let message = reply.await.unwrap().message;
        if let Some(group) = message.groups.first() {
            assert_eq!(group.topics[0].partitions[0].error_code, 0);
            return group.topics[0].partitions[0].committed_offset;
        }
        assert_eq!(message.topics[0].partitions[0].error_code, 0);
        message.topics[0].partitions[0].committed_offset
    }
}

fn offset_fetch(group: &str, version: i16) -> OffsetFetchRequest {
    let (name, partition_indexes) = ("t".into(), vec![0]);
    if version < 8 {
        return OffsetFetchRequest {
            group_id: group.into(),
            topics: Some(vec![OffsetFetchRequestTopic {
                name,
                partition_indexes,
                ..OffsetFetchRequestTopic::default()
            }]),
            require_stable: version >= 7,
            ..OffsetFetchRequest::default()
        };
    }
    OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.into(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name,
                partition_indexes,
                ..OffsetFetchRequestTopics::default()
            }]),
            ..OffsetFetchRequestGroup::default()
        }],
        require_stable: true,
        ..OffsetFetchRequest::default()
    }
}

pub(crate) fn hasty() -> ProducerConfig {
    let mut config = ProducerConfig::default();
    config.request_timeout = Duration::from_secs(2);
    config.delivery_timeout = Duration::from_secs(4);
    config.max_block = Duration::from_secs(10);
    config
}

/// Sends a value to each partition, and waits until it is written.
pub(crate) async fn write(transaction: &Transaction, value: &str) {
    for partition in 0..2 {
        let record = Record::to("t").value(value).partition(partition);
        let receipt = transaction.send(record).await.unwrap();
        receipt.await.unwrap();
    }
}

/// One transaction that writes the value to each partition.
pub(crate) async fn commit(producer: &TransactionalProducer, value: &str) {
    let transaction = producer.begin().await.unwrap();
    write(&transaction, value).await;
    transaction.commit().await.unwrap();
}

/// One transaction that writes its number to each partition and commits it as an offset of the
/// group `g`, as far as it gets.
pub(crate) async fn attempt(
    producer: &TransactionalProducer,
    number: i64,
) -> Result<(), CommitError> {
    let transaction = producer.begin().await.unwrap();
    let value = number.to_string();
    for partition in 0..2 {
        let record = Record::to("t").value(&value).partition(partition);
        match transaction.send(record).await {
            Ok(receipt) => drop(receipt.await),
            Err(_) => break,
        }
    }
    let offset = ConsumedOffset::new("t", 0, number);
    // An error here is also one of the commit.
    drop(
        transaction
            .send_offsets(GroupMetadata::new("g"), [offset])
            .await,
    );
    transaction.commit().await
}

/// The APIs that a transaction of [`attempt`] calls at this level, besides InitProducerId.
pub(crate) fn apis(level: i16) -> &'static [ApiKey] {
    match level {
        2 => &[ApiKey::Produce, ApiKey::TxnOffsetCommit, ApiKey::EndTxn],
        _ => &[
            ApiKey::AddPartitionsToTxn,
            ApiKey::Produce,
            ApiKey::AddOffsetsToTxn,
            ApiKey::TxnOffsetCommit,
            ApiKey::EndTxn,
        ],
    }
}

/// So many seconds from now.
pub(crate) fn within(seconds: u64) -> Instant {
    tokio::time::Instant::now().into_std() + Duration::from_secs(seconds)
}
