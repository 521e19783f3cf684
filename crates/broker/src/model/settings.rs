//! What a cluster is made with.

use milena_codec::Str;

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
    /// Whether a node answers its first InitProducerId with `COORDINATOR_LOAD_IN_PROGRESS`, as
    /// real brokers do. Default false.
    pub cold_start: bool,
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
        }
    }
}

impl ClusterSettings {
    /// The replication factor of topics created without one.
    pub(crate) fn default_replication_factor(&self) -> i16 {
        let nodes = i16::try_from(self.nodes.len()).unwrap_or(i16::MAX);
        self.replication_factor.unwrap_or(nodes.min(3))
    }
}
