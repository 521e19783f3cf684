//! What a broker said it can do.

use milena_codec::messages::ApiVersionsResponse;
use milena_codec::{ApiKey, Str, VersionRange};

/// The API versions and feature levels of one broker, as negotiated on one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerVersions {
    /// By ascending key, each once, none empty.
    ranges: Vec<(i16, VersionRange)>,
    features_epoch: i64,
    finalized: Vec<(Str, i16)>,
}

impl BrokerVersions {
    /// The broker's own range for `key`; `None` if it does not offer it.
    pub fn range(&self, key: ApiKey) -> Option<VersionRange> {
        let at = self
            .ranges
            .binary_search_by_key(&key.code(), |(key, _)| *key)
            .ok()?;
        self.ranges.get(at).map(|(_, range)| *range)
    }

    /// The newest version of `key` that is in both `ours` and the broker's range.
    pub fn newest(&self, key: ApiKey, ours: VersionRange) -> Option<i16> {
        Some(self.range(key)?.intersect(ours)?.max)
    }

    /// The finalized level of a cluster feature such as `transaction.version` (KIP-584); `None` if
    /// it is not finalized.
    pub fn finalized(&self, feature: &str) -> Option<i16> {
        let found = self.finalized.iter().find(|(name, _)| name == feature);
        found.map(|(_, level)| *level)
    }

    /// The epoch of the finalized features, -1 if the broker knows none. Where brokers disagree,
    /// the highest epoch is right.
    pub fn features_epoch(&self) -> i64 {
        self.features_epoch
    }

    /// The table for a broker that offers exactly `ranges`, for tests and embedded brokers.
    pub fn of(ranges: impl IntoIterator<Item = (ApiKey, VersionRange)>) -> Self {
        let ranges = ranges.into_iter().map(|(key, range)| (key.code(), range));
        Self {
            ranges: ordered(ranges.collect()),
            features_epoch: -1,
            finalized: Vec::new(),
        }
    }
}

impl From<ApiVersionsResponse> for BrokerVersions {
    fn from(answer: ApiVersionsResponse) -> Self {
        let ranges = answer.api_keys.iter().map(|api| {
            let range = VersionRange::new(api.min_version, api.max_version);
            (api.api_key, range)
        });
        let finalized = answer.finalized_features.into_iter();
        Self {
            ranges: ordered(ranges.collect()),
            features_epoch: answer.finalized_features_epoch,
            finalized: finalized
                .map(|feature| (Str::from(&*feature.name), feature.max_version_level))
                .collect(),
        }
    }
}

fn ordered(mut ranges: Vec<(i16, VersionRange)>) -> Vec<(i16, VersionRange)> {
    ranges.retain(|(_, range)| range.min <= range.max);
    ranges.sort_by_key(|(key, _)| *key);
    ranges.dedup_by_key(|(key, _)| *key);
    ranges
}
