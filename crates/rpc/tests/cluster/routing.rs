//! Which broker is asked when any will do, and how often.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use milena_codec::messages::{
    CreateTopicsRequest, DescribeClusterRequest, FindCoordinatorRequest, HeartbeatResponse,
    InitProducerIdRequest, ListGroupsRequest, ListOffsetsRequest, OffsetFetchRequest,
};
use milena_codec::{ApiKey, ErrorCode, Request};
use milena_net::Lane;
use milena_rpc::{AutoCreate, Cluster, Target, Verdict};

use crate::scripted::{Peers, Picture, config, within};
use crate::{heartbeat, two_brokers};

fn three_brokers() -> Picture {
    Picture {
        brokers: vec![(1, "one"), (2, "two"), (3, "three")],
        ..two_brokers()
    }
}

/// Three brokers behind a bootstrap server of another name; heartbeats are answered as told.
fn peers(throttle_time_ms: i32) -> Arc<Peers> {
    Peers::new(&["seed", "one", "two", "three"], move |ask| match ask.key {
        ApiKey::Metadata => three_brokers().answer(ask),
        _ => ask.answer(&HeartbeatResponse {
            throttle_time_ms,
            ..HeartbeatResponse::default()
        }),
    })
}

fn heartbeats(peers: &Peers) -> [usize; 3] {
    ["one", "two", "three"].map(|host| peers.count(ApiKey::Heartbeat, Some(host)))
}

#[tokio::test(start_paused = true)]
async fn chance_decides_between_brokers_that_are_alike_and_the_connected_one_is_kept() {
    let mut first = BTreeSet::new();
    for seed in 0..20 {
        let asked = [(); 2].map(|()| peers(0));
        let mut counts = Vec::new();
        for peers in &asked {
            let cluster = Cluster::connect(config(&["seed"]), peers.env_of(seed), within(10));
            let cluster = cluster.await.unwrap();
            for _ in 0..10 {
                heartbeat(&cluster, Target::Any, 5).await.unwrap();
            }
            counts.push(heartbeats(peers));
        }
        assert_eq!(
            counts[0], counts[1],
            "the same seed chooses the same brokers"
        );
        let chosen = counts[0].iter().position(|count| *count == 10);
        first.insert(chosen.expect("one broker is kept"));
    }
    assert_eq!(first.len(), 3, "each broker is somebody's first");
}

/// Scenario 62: `leastLoadedNode` skips throttled brokers.
#[tokio::test(start_paused = true)]
async fn a_throttled_broker_is_avoided_while_another_will_do() {
    let peers = peers(1_000);
    let cluster = peers.connect(&["seed"]).await;
    let begun = within(0);
    for _ in 0..3 {
        heartbeat(&cluster, Target::Any, 5).await.unwrap();
    }
    assert_eq!(heartbeats(&peers), [1, 1, 1]);
    assert!(within(0) - begun < Duration::from_millis(100));
    heartbeat(&cluster, Target::Any, 5).await.unwrap();
    assert!(
        within(0) - begun >= Duration::from_secs(1),
        "all asked for rest"
    );
    assert_eq!(peers.count(ApiKey::Heartbeat, Some("seed")), 0);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_has_failed_is_avoided_while_another_will_do() {
    let peers = peers(0);
    let cluster = peers.connect(&["seed"]).await;
    peers.set_hosts(&["seed", "three"]);
    for node in [1, 2] {
        heartbeat(&cluster, Target::Node(node), 1)
            .await
            .unwrap_err();
    }
    let before = peers.count(ApiKey::Heartbeat, None);
    for _ in 0..10 {
        heartbeat(&cluster, Target::Any, 1).await.unwrap();
    }
    assert_eq!(heartbeats(&peers)[2], before + 10);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_sits_on_a_request_is_avoided_while_another_will_do() {
    let stuck = Arc::new(AtomicBool::new(true));
    let sits = Arc::clone(&stuck);
    let peers = Peers::new(&["one", "two"], move |ask| match ask.key {
        ApiKey::Metadata => two_brokers().answer(ask),
        _ if &*ask.host == "one" && sits.load(Ordering::SeqCst) => None,
        _ => ask.answer(&HeartbeatResponse::default()),
    });
    let cluster = peers.connect(&["one"]).await;
    let waiting = cluster.clone();
    let waiting = tokio::spawn(async move { heartbeat(&waiting, Target::Node(1), 20).await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    for _ in 0..10 {
        heartbeat(&cluster, Target::Any, 1).await.unwrap();
    }
    assert_eq!(peers.count(ApiKey::Heartbeat, Some("two")), 10);
    waiting.abort();
}

/// The pauses between requests, the first being the one after the first request.
fn pauses(times: &[Instant]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// 100 ms, doubled each time up to 1 s, each 20 % shorter or longer at most.
fn assert_exponential(pauses: &[Duration], what: &str) {
    assert!(pauses.len() >= 8, "{what}: {pauses:?}");
    let expected = [100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000].map(Duration::from_millis);
    for (pause, expected) in pauses.iter().zip(expected) {
        let most = expected.mul_f64(1.2).min(Duration::from_secs(1));
        let range = expected.mul_f64(0.799)..=most + Duration::from_millis(2);
        assert!(range.contains(pause), "{what}: {pauses:?}");
    }
}

async fn refused<R: Request>(cluster: &Cluster, peers: &Peers) -> Vec<Duration> {
    let judge = |_: &R::Response| Verdict::Retry(ErrorCode::RequestTimedOut);
    let prepare = |_| R::default();
    let call = cluster.call(Target::Node(1), Lane::Main, prepare, judge, within(20));
    call.await.unwrap_err();
    let pauses = pauses(&peers.times(R::KEY, None));
    assert_exponential(&pauses, R::KEY.name());
    pauses
}

/// Scenario 58.
#[tokio::test(start_paused = true)]
async fn every_api_is_tried_again_after_pauses_that_double_and_vary_by_a_fifth() {
    let peers = Peers::new(&["one", "two"], |ask| {
        macro_rules! defaults {
            ($($api:ident $response:ident,)*) => {
                match ask.key {
                    ApiKey::Metadata => two_brokers().answer(ask),
                    $(ApiKey::$api => {
                        ask.answer(&milena_codec::messages::$response::default())
                    })*
                    _ => None,
                }
            };
        }
        defaults!(
            CreateTopics CreateTopicsResponse,
            DescribeCluster DescribeClusterResponse,
            FindCoordinator FindCoordinatorResponse,
            InitProducerId InitProducerIdResponse,
            ListGroups ListGroupsResponse,
            ListOffsets ListOffsetsResponse,
            OffsetFetch OffsetFetchResponse,
        )
    });
    let cluster = peers.connect(&["one"]).await;
    let mut all = BTreeSet::new();
    all.extend(refused::<CreateTopicsRequest>(&cluster, &peers).await);
    all.extend(refused::<DescribeClusterRequest>(&cluster, &peers).await);
    all.extend(refused::<FindCoordinatorRequest>(&cluster, &peers).await);
    all.extend(refused::<InitProducerIdRequest>(&cluster, &peers).await);
    all.extend(refused::<ListGroupsRequest>(&cluster, &peers).await);
    all.extend(refused::<ListOffsetsRequest>(&cluster, &peers).await);
    all.extend(refused::<OffsetFetchRequest>(&cluster, &peers).await);
    assert!(all.len() > 20, "the pauses vary");
}

/// Scenario 58: the fast leader query.
#[tokio::test(start_paused = true)]
async fn a_partition_without_a_leader_is_asked_for_at_once_and_then_after_growing_pauses() {
    let leaderless = Picture {
        topics: vec![("orders", vec![(-1, 0)])],
        ..two_brokers()
    };
    let peers = Peers::new(&["one", "two"], move |ask| leaderless.answer(ask));
    let cluster = peers.connect(&["one"]).await;
    let deadline = within(20);
    let begun = within(0);
    let to = Target::Leader {
        topic: "orders".into(),
        partition: 0,
    };
    cluster.route(&to, Lane::Main, deadline).await.unwrap_err();
    let times = peers.times(ApiKey::Metadata, None);
    assert_eq!(times[1], begun, "the second, after the one to connect");
    assert_exponential(&pauses(&times[1..]), "Metadata");
    let found = cluster.topic("orders", AutoCreate::Never, within(1)).await;
    found.unwrap_err();
}
