//! Negotiation, as brokers of several ages do it.

use milena_codec::messages::{ApiVersionsRequest, ApiVersionsResponse, MetadataRequest};
use milena_codec::{ApiKey, ErrorCode, VersionRange};

use super::peer::{Bench, SECOND, listed};
use crate::{CallError, Lane, Stage};

/// A broker that answers ApiVersions up to `newest`, and below with `apis`.
async fn negotiated_with(
    newest: i16,
    lists_itself: bool,
    apis: &[(ApiKey, i16, i16)],
) -> (Bench, i16) {
    let mut bench = Bench::new();
    let (pool, to) = (bench.pool.clone(), bench.address.clone());
    let deadline = bench.now() + SECOND;
    let asked = tokio::spawn(async move { pool.versions(&to, Lane::Main, deadline).await });
    let mut peer = bench.accept_raw().await;
    let (mut header, _) = peer.request().await.unwrap();
    assert_eq!(header.request_api_version, 4);
    if newest < 4 {
        let mut itself = listed(ApiKey::ApiVersions);
        itself.max_version = newest;
        header.request_api_version = 0;
        let refusal = ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            api_keys: if lists_itself {
                vec![itself]
            } else {
                Vec::new()
            },
            ..ApiVersionsResponse::default()
        };
        peer.answer(&header, &refusal).await;
        let (next, _) = peer.expect::<ApiVersionsRequest>().await;
        header = next;
    }
    let mut answer = ApiVersionsResponse::default();
    for (key, min, max) in apis {
        let mut api = listed(*key);
        (api.min_version, api.max_version) = (*min, *max);
        answer.api_keys.push(api);
    }
    peer.answer(&header, &answer).await;
    let versions = asked.await.unwrap().unwrap();
    for (key, min, max) in apis {
        assert_eq!(versions.range(*key), Some(VersionRange::new(*min, *max)));
    }
    let call = bench.ask("a", SECOND);
    let (header, _) = peer.expect::<MetadataRequest>().await;
    peer.tell(&header, "x").await;
    let version = call.await.unwrap().unwrap().version;
    assert_eq!(bench.dials().len(), 1, "the same connection goes on");
    (bench, version)
}

#[tokio::test(start_paused = true)]
async fn a_broker_like_4_3_1_is_spoken_to_in_the_newest_versions() {
    let apis = [(ApiKey::Metadata, 0, 13), (ApiKey::Produce, 3, 13)];
    assert_eq!(negotiated_with(4, true, &apis).await.1, 13);
}

/// Scenario 61: testUnsupportedApiVersionsRequestWithVersionProvidedByTheBroker.
#[tokio::test(start_paused = true)]
async fn a_broker_that_lists_only_apiversions_in_its_refusal_is_asked_again_in_its_version() {
    let apis = [(ApiKey::Metadata, 0, 12)];
    assert_eq!(negotiated_with(3, true, &apis).await.1, 12);
}

/// Scenario 61: testUnsupportedApiVersionsRequestWithoutVersionProvidedByTheBroker, 0035.
#[tokio::test(start_paused = true)]
async fn a_broker_like_2_1_with_an_empty_refusal_is_asked_again_in_version_0() {
    let apis = [(ApiKey::Metadata, 0, 7), (ApiKey::ApiVersions, 0, 2)];
    assert_eq!(negotiated_with(2, false, &apis).await.1, 7);
}

#[tokio::test(start_paused = true)]
async fn a_broker_without_the_api_is_named_so() {
    let (bench, _) = negotiated_with(4, true, &[(ApiKey::Metadata, 0, 13)]).await;
    let deadline = bench.now() + SECOND;
    let error = bench
        .pool
        .call(
            &bench.address,
            Lane::Main,
            ApiKey::Heartbeat.stable_versions(),
            |_| milena_codec::messages::HeartbeatRequest::default(),
            deadline,
        )
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Unsupported { theirs: None, .. }));
    assert!(error.to_string().contains("offers none"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_opening_says_where_it_stalls() {
    let mut bench = Bench::new();
    let asked = bench.ask("a", 2 * SECOND);
    let mut peer = bench.accept_raw().await;
    peer.request().await;
    let error = asked.await.unwrap().unwrap_err();
    let CallError::TimedOut { ledger, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(ledger.stage, Some(Stage::ApiVersions));
    assert!(error.to_string().contains("now at ApiVersions"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_lane_share_its_connection() {
    let mut bench = Bench::new();
    let calls: Vec<_> = (0..4).map(|n| bench.ask(&format!("{n}"), SECOND)).collect();
    let mut peer = bench.accept().await;
    for _ in 0..4 {
        let (header, _) = peer.asked().await;
        peer.tell(&header, "x").await;
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(bench.dials().len(), 1);
}
