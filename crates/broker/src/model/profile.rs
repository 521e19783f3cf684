//! What this broker offers: the APIs it has, in the version ranges of a Kafka release.

use milena_codec::{ApiKey, VersionRange};

/// The Kafka release that a cluster passes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KafkaVersion {
    /// Apache Kafka 2.1.1.
    V2_1,
    /// Apache Kafka 4.3.1.
    #[default]
    V4_3,
}

/// The APIs that this broker carries out. What is not here is neither advertised nor answered.
pub(crate) const SERVED: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DeleteRecords,
    ApiKey::InitProducerId,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::EndTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::CreatePartitions,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::DescribeCluster,
    ApiKey::DescribeProducers,
    ApiKey::DescribeTransactions,
    ApiKey::ListTransactions,
    ApiKey::DescribeTopicPartitions,
];

impl KafkaVersion {
    /// The versions of `api` that are carried out, or `None` if the release lacks the API or this
    /// broker does.
    pub fn range(self, api: ApiKey) -> Option<VersionRange> {
        let ours = SERVED.contains(&api).then(|| api.stable_versions())?;
        match self {
            Self::V4_3 => Some(ours),
            Self::V2_1 => ours.intersect(VersionRange::new(0, newest_in_2_1(api)?)),
        }
    }
}

fn newest_in_2_1(api: ApiKey) -> Option<i16> {
    Some(match api {
        ApiKey::Produce | ApiKey::Metadata => 7,
        ApiKey::Fetch => 10,
        ApiKey::ListOffsets => 4,
        ApiKey::OffsetCommit => 6,
        ApiKey::OffsetFetch => 5,
        ApiKey::ApiVersions
        | ApiKey::FindCoordinator
        | ApiKey::TxnOffsetCommit
        | ApiKey::OffsetForLeaderEpoch
        | ApiKey::DescribeConfigs => 2,
        ApiKey::CreateTopics | ApiKey::DeleteTopics => 3,
        ApiKey::DeleteRecords
        | ApiKey::InitProducerId
        | ApiKey::AddPartitionsToTxn
        | ApiKey::AddOffsetsToTxn
        | ApiKey::EndTxn
        | ApiKey::AlterConfigs
        | ApiKey::CreatePartitions => 1,
        _ => return None,
    })
}
