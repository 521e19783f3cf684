//! ApiVersions: what the cluster offers (KIP-35, KIP-511, KIP-584).

use milena_codec::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use milena_codec::messages::{ApiVersionsRequest, ApiVersionsResponse};
use milena_codec::{ApiKey, Bytes, ErrorCode, Str};

use super::{Call, Reply, with};
use crate::model::ClusterModel;
use crate::model::profile::KafkaVersion;

/// The `metadata.version` levels of Kafka 4.3.1. Features of groups, transactions and share groups
/// are absent as long as this broker lacks their APIs.
const METADATA_VERSION: (i16, i16) = (7, 30);

pub(super) fn handle(model: &ClusterModel, call: &Call, body: Bytes) -> Reply {
    let profile = model.settings.version;
    let offered = profile.range(ApiKey::ApiVersions);
    if !offered.is_some_and(|range| range.contains(call.version)) {
        return too_new(profile, call);
    }
    with(call, body, |request: ApiVersionsRequest| {
        let named = call.version < 3
            || is_name(&request.client_software_name) && is_name(&request.client_software_version);
        let answer = if named {
            offers(profile, call.version)
        } else {
            let error_code = ErrorCode::InvalidRequest.code();
            ApiVersionsResponse {
                error_code,
                ..ApiVersionsResponse::default()
            }
        };
        call.answer(&answer)
    })
}

/// The answer to a version that is not offered, in the form of version 0: the error, and the
/// versions of this API alone (before Kafka 2.4 an empty list).
fn too_new(profile: KafkaVersion, call: &Call) -> Reply {
    let listed = (profile >= KafkaVersion::V4_3).then(|| listed(profile, ApiKey::ApiVersions));
    let answer = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: listed.flatten().into_iter().collect(),
        ..ApiVersionsResponse::default()
    };
    call.answer_in(&answer, 0)
}

fn offers(profile: KafkaVersion, version: i16) -> ApiVersionsResponse {
    let api_keys = ApiKey::ALL
        .iter()
        .filter_map(|api| listed(profile, *api))
        .collect();
    let mut answer = ApiVersionsResponse {
        api_keys,
        ..ApiVersionsResponse::default()
    };
    if version >= 3 {
        let name = Str::from_static("metadata.version");
        let (min_version, max_version) = METADATA_VERSION;
        answer.supported_features = vec![SupportedFeatureKey {
            name: name.clone(),
            min_version,
            max_version,
            ..SupportedFeatureKey::default()
        }];
        answer.finalized_features_epoch = 1;
        answer.finalized_features = vec![FinalizedFeatureKey {
            name,
            max_version_level: max_version,
            min_version_level: max_version,
            ..FinalizedFeatureKey::default()
        }];
    }
    answer
}

fn listed(profile: KafkaVersion, api: ApiKey) -> Option<ApiVersion> {
    let range = profile.advertised(api)?;
    Some(ApiVersion {
        api_key: api.code(),
        min_version: range.min,
        max_version: range.max,
        ..ApiVersion::default()
    })
}

/// Letters and digits, and inside also dots and dashes.
fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    outer(name.chars().next()) && outer(name.chars().next_back()) && name.chars().all(inner)
}
