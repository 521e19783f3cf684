//! What a cluster is made with.

use std::time::Duration;

use milena_codec::{ApiKey, Str, VersionRange};

use super::profile::KafkaVersion;

/// The address of one node as clients are told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// Host name or IP address.
    pub host: Str,
    /// Port.
    pub port: u16,
}

/// What a [`ClusterModel`](super::ClusterModel) is made with.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// Where topic ids, the cluster id and fetch session ids come from. Default 0.
    pub seed: u64,
    /// The nodes' addresses; their ids count from 1. Default one, `node-1.mock:9092`.
    pub nodes: Vec<NodeAddress>,
    /// Kafka's `num.partitions`, for topics created without a number. Default 1.
    pub partitions: i32,
    /// Kafka's `default.replication.factor`. Default 3, or the number of nodes if that is less
    /// (Kafka: 1).
    pub replication_factor: Option<i16>,
    /// Kafka's `auto.create.topics.enable`. Default true.
    pub auto_create_topics: bool,
    /// The wall-clock time, in ms since the epoch, when the cluster starts. Default 0.
    pub start_millis: i64,
    /// How many bytes all logs may hold; a Produce beyond is answered with `KAFKA_STORAGE_ERROR`.
    /// Default 1 GiB.
    pub max_log_bytes: usize,
    /// How many bytes a compressed batch may grow to while it is checked. Default 256 MiB.
    pub max_decompressed: usize,
    /// Kafka's `socket.request.max.bytes`. Default 100 MiB.
    pub max_request_bytes: usize,
    /// The release that the cluster passes for. Default 4.3.1.
    pub version: KafkaVersion,
    /// How many requests are remembered; the oldest go first. Default 10,000.
    pub request_log: usize,
    /// Whether a node answers its first InitProducerId, and a transaction coordinator its first
    /// request after each move, with `COORDINATOR_LOAD_IN_PROGRESS`, as real brokers do. Default
    /// false.
    pub cold_start: bool,
    /// The finalized level of the feature `transaction.version`, 0 to 2 (KIP-890). Default 2;
    /// releases before 4.0 have none. [`ClusterModel::set_transaction_version`] changes it.
    ///
    /// [`ClusterModel::set_transaction_version`]: super::ClusterModel::set_transaction_version
    pub transaction_version: i16,
    /// How long after its decision a transaction's markers are written: so long it is in a
    /// `Prepare…` state and answers `CONCURRENT_TRANSACTIONS`. Zero writes them at once. Default
    /// 5 ms.
    pub marker_delay: Duration,
    /// Kafka's `transaction.max.timeout.ms`. Default 15 min.
    pub transaction_max_timeout_ms: i32,
    /// Kafka's `transaction.abort.timed.out.transaction.cleanup.interval.ms`: timed-out
    /// transactions are aborted at the first multiple of it after their time. Default 10 s, in the
    /// 2.1 profile 60 s.
    pub transaction_cleanup_interval: Option<Duration>,
    /// Kafka's `transactional.id.expiration.ms`. Default 7 days.
    pub transactional_id_expiration: Duration,
    /// Kafka's `transaction.two.phase.commit.enable` with `unstable.api.versions.enable`: offers
    /// InitProducerId version 6 (KIP-939). Default false.
    pub two_phase_commit: bool,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            nodes: vec![NodeAddress {
                host: Str::from_static("node-1.mock"),
                port: 9092,
            }],
            partitions: 1,
            replication_factor: None,
            auto_create_topics: true,
            start_millis: 0,
            max_log_bytes: 1 << 30,
            max_decompressed: 256 << 20,
            max_request_bytes: 100 << 20,
            version: KafkaVersion::default(),
            request_log: 10_000,
            cold_start: false,
            transaction_version: 2,
            marker_delay: Duration::from_millis(5),
            transaction_max_timeout_ms: 900_000,
            transaction_cleanup_interval: None,
            transactional_id_expiration: Duration::from_secs(7 * 24 * 60 * 60),
            two_phase_commit: false,
        }
    }
}

impl ClusterSettings {
    /// The replication factor of topics created without one.
    pub(crate) fn default_replication_factor(&self) -> i16 {
        let nodes = i16::try_from(self.nodes.len()).unwrap_or(i16::MAX);
        self.replication_factor.unwrap_or(nodes.min(3))
    }

    /// How often coordinators look for transactions whose time is up.
    pub(crate) fn transaction_cleanup_interval(&self) -> Duration {
        let default = if self.version >= KafkaVersion::V4_3 {
            Duration::from_secs(10)
        } else {
            Duration::from_secs(60)
        };
        self.transaction_cleanup_interval.unwrap_or(default)
    }

    /// The versions of `api` that are carried out.
    pub(crate) fn range(&self, api: ApiKey) -> Option<VersionRange> {
        let range = self.version.range(api)?;
        let unstable = self.two_phase_commit && self.version >= KafkaVersion::V4_3;
        Some(if unstable && api == ApiKey::InitProducerId {
            api.versions()
        } else {
            range
        })
    }

    /// The versions of `api` as ApiVersions lists them. Produce begins at 0 although 0 to 2 are
    /// gone: older clients of librdkafka want to see it (KIP-896).
    pub(crate) fn advertised(&self, api: ApiKey) -> Option<VersionRange> {
        let range = self.range(api)?;
        Some(if api == ApiKey::Produce {
            VersionRange::new(0, range.max)
        } else {
            range
        })
    }

    /// The transaction version that the coordinators act by.
    pub(crate) fn effective_transaction_version(&self) -> i16 {
        if self.version >= KafkaVersion::V4_3 {
            self.transaction_version
        } else {
            0
        }
    }
}
