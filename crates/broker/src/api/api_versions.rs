//! ApiVersions: what the cluster offers (KIP-35, KIP-511, KIP-584).

use milena_codec::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use milena_codec::messages::{ApiVersionsRequest, ApiVersionsResponse};
use milena_codec::{ApiKey, Bytes, ErrorCode, Str};

use super::{Call, Reply, with};
use crate::model::ClusterModel;
use crate::model::profile::KafkaVersion;
use crate::model::settings::ClusterSettings;

/// The `metadata.version` levels of Kafka 4.3.1. Features of groups and share groups are absent as
/// long as this broker lacks their APIs.
const METADATA_VERSION: (i16, i16) = (7, 30);
/// The `transaction.version` levels of Kafka 4.3.1 (KIP-890).
const TRANSACTION_VERSION: (i16, i16) = (0, 2);
/// Features whose lowest level is 0 are shown from this version on.
const LEVEL_0_FROM: i16 = 4;

pub(super) fn handle(model: &ClusterModel, call: &Call, body: Bytes) -> Reply {
    let offered = model.settings.range(ApiKey::ApiVersions);
    if !offered.is_some_and(|range| range.contains(call.version)) {
        return too_new(&model.settings, call);
    }
    with(call, body, |request: ApiVersionsRequest| {
        let named = call.version < 3
            || is_name(&request.client_software_name) && is_name(&request.client_software_version);
        let answer = if named {
            offers(model, call.version)
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
fn too_new(settings: &ClusterSettings, call: &Call) -> Reply {
    let listed =
        (settings.version >= KafkaVersion::V4_3).then(|| listed(settings, ApiKey::ApiVersions));
    let answer = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: listed.flatten().into_iter().collect(),
        ..ApiVersionsResponse::default()
    };
    call.answer_in(&answer, 0)
}

fn offers(model: &ClusterModel, version: i16) -> ApiVersionsResponse {
    let settings = &model.settings;
    let api_keys = ApiKey::ALL
        .iter()
        .filter_map(|api| listed(settings, *api))
        .collect();
    let mut answer = ApiVersionsResponse {
        api_keys,
        ..ApiVersionsResponse::default()
    };
    if version >= 3 {
        let features = [
            ("metadata.version", METADATA_VERSION, METADATA_VERSION.1),
            (
                "transaction.version",
                TRANSACTION_VERSION,
                settings.effective_transaction_version(),
            ),
        ];
        let shown = |(_, (min, _), _): &&(_, (i16, i16), _)| *min > 0 || version >= LEVEL_0_FROM;
        let supported = features.iter().filter(shown);
        answer.supported_features = supported
            .map(|(name, range, _)| supports(name, *range))
            .collect();
        answer.finalized_features_epoch = model.features_epoch;
        let finalized = features.iter().filter(|(_, _, level)| *level > 0);
        answer.finalized_features = finalized
            .map(|(name, _, level)| finalized_at(name, *level))
            .collect();
    }
    answer
}

fn supports(name: &'static str, (min_version, max_version): (i16, i16)) -> SupportedFeatureKey {
    SupportedFeatureKey {
        name: Str::from_static(name),
        min_version,
        max_version,
        ..SupportedFeatureKey::default()
    }
}

fn finalized_at(name: &'static str, level: i16) -> FinalizedFeatureKey {
    FinalizedFeatureKey {
        name: Str::from_static(name),
        max_version_level: level,
        min_version_level: level,
        ..FinalizedFeatureKey::default()
    }
}

fn listed(settings: &ClusterSettings, api: ApiKey) -> Option<ApiVersion> {
    let range = settings.advertised(api)?;
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
