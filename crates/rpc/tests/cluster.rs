//! The cluster handle against scripted brokers, under virtual time.

#[path = "cluster/recovery.rs"]
mod recovery;
#[path = "cluster/routing.rs"]
mod routing;
mod scripted;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use milena_codec::messages::find_coordinator_response::Coordinator;
use milena_codec::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use milena_codec::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse,
    ListOffsetsRequest, ListOffsetsResponse, MetadataResponse,
};
use milena_codec::{ApiKey, ErrorCode};
use milena_net::Lane;
use milena_rpc::{
    AutoCreate, CallError, Cluster, ConnectClusterError, CoordinatorKind, Isolation, OffsetQuery,
    OffsetSpec, Target, TopicError, Verdict, list_offsets,
};
use scripted::{Ask, Peers, Picture, config, within};

fn two_brokers() -> Picture {
    Picture {
        brokers: vec![(1, "one"), (2, "two")],
        topics: vec![("orders", vec![(1, 0), (2, 0), (1, 0)])],
        cluster_id: "scripted",
    }
}

async fn heartbeat(
    cluster: &Cluster,
    to: Target,
    seconds: u64,
) -> Result<HeartbeatResponse, CallError> {
    let prepare = |_| HeartbeatRequest::default();
    let judge = |answer: &HeartbeatResponse| Verdict::of(answer.error_code.into());
    let call = cluster.call(to, Lane::Main, prepare, judge, within(seconds));
    call.await.map(|reply| reply.message)
}

fn group() -> Target {
    Target::Coordinator {
        kind: CoordinatorKind::Group,
        key: "billing".into(),
    }
}

fn coordinator_is(ask: &Ask, host: &str) -> Option<milena_codec::Bytes> {
    let request: FindCoordinatorRequest = ask.request();
    let found = request.coordinator_keys.into_iter().map(|key| Coordinator {
        key,
        host: host.into(),
        port: 9092,
        ..Coordinator::default()
    });
    ask.answer(&FindCoordinatorResponse {
        coordinators: found.collect(),
        ..FindCoordinatorResponse::default()
    })
}

#[tokio::test(start_paused = true)]
async fn connecting_tries_every_bootstrap_address() {
    let peers = Peers::new(&["one", "two"], |ask| two_brokers().answer(ask));
    let cluster = peers.connect(&["gone", "also-gone", "two"]).await;
    assert_eq!(cluster.snapshot().brokers().len(), 2);
    assert_eq!(cluster.snapshot().cluster_id().unwrap(), "scripted");
}

#[tokio::test(start_paused = true)]
async fn a_failed_connect_ends_in_time_and_names_each_address_with_its_cause() {
    let peers = Peers::new(&["silent"], |_| None);
    let deadline = within(10);
    let connect = Cluster::connect(config(&["gone", "silent"]), peers.env(), deadline);
    let error = connect.await.unwrap_err();
    assert!(within(0) <= deadline);
    let ConnectClusterError::Unreachable { failures } = &error else {
        panic!("{error}");
    };
    assert_eq!(failures.len(), 2);
    let text = error.to_string();
    assert!(text.contains("gone:9092: connection refused"), "{text}");
    assert!(
        text.contains("silent:9092") && text.contains("Metadata"),
        "{text}"
    );
    let none = Cluster::connect(config(&[]), peers.env(), within(1)).await;
    assert!(matches!(none, Err(ConnectClusterError::NoAddress)));
}

#[tokio::test(start_paused = true)]
async fn callers_that_wait_for_the_same_topic_share_one_look_up() {
    let peers = Peers::new(&["one", "two"], |ask| two_brokers().answer(ask));
    let cluster = peers.connect(&["one"]).await;
    let waiting = (0..50).map(|_| cluster.topic("orders", AutoCreate::Never, within(5)));
    for topic in join_all(waiting).await {
        assert_eq!(topic.unwrap().partitions.len(), 3);
    }
    assert_eq!(
        peers.count(ApiKey::Metadata, None),
        2,
        "one to connect, one for the topic"
    );
    cluster
        .topic("orders", AutoCreate::Never, within(5))
        .await
        .unwrap();
    assert_eq!(
        peers.count(ApiKey::Metadata, None),
        2,
        "known topics are not looked up"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_is_an_error_that_names_similar_ones_and_is_asked_for_sparingly() {
    let peers = Peers::new(&["one", "two"], |ask| two_brokers().answer(ask));
    let cluster = peers.connect(&["one"]).await;
    cluster
        .topic("orders", AutoCreate::Never, within(5))
        .await
        .unwrap();
    let begun = within(0);
    let error = cluster
        .topic("order", AutoCreate::Never, within(60))
        .await
        .unwrap_err();
    let TopicError::Unknown { name, similar } = error else {
        panic!("{error}");
    };
    assert_eq!((&*name, similar), ("order", vec!["orders".into()]));
    assert!(within(0) - begun < Duration::from_secs(7));
    assert!(
        peers.count(ApiKey::Metadata, None) < 14,
        "pauses grow to a second"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_follows_a_partition_to_its_new_leader() {
    let picture = Arc::new(Mutex::new(two_brokers()));
    let shown = Arc::clone(&picture);
    let peers = Peers::new(&["one", "two"], move |ask| match ask.key {
        ApiKey::Metadata => shown.lock().unwrap().answer(ask),
        _ => {
            let moved = &*ask.host == "one";
            let error = if moved {
                ErrorCode::NotLeaderOrFollower
            } else {
                ErrorCode::None
            };
            ask.answer(&HeartbeatResponse {
                error_code: error.code(),
                ..HeartbeatResponse::default()
            })
        }
    });
    let cluster = peers.connect(&["one"]).await;
    cluster
        .topic("orders", AutoCreate::Never, within(5))
        .await
        .unwrap();
    picture.lock().unwrap().topics = vec![("orders", vec![(2, 1), (2, 0), (1, 0)])];
    let to = Target::Leader {
        topic: "orders".into(),
        partition: 0,
    };
    let answer = heartbeat(&cluster, to, 10).await.unwrap();
    assert_eq!(answer.error_code, 0);
    assert_eq!(peers.count(ApiKey::Heartbeat, Some("two")), 1);
    assert_eq!(cluster.snapshot().leader("orders", 0).unwrap().broker.id, 2);
}

#[tokio::test(start_paused = true)]
async fn when_all_known_brokers_are_gone_the_bootstrap_servers_are_asked_again() {
    let picture = Arc::new(Mutex::new(two_brokers()));
    let shown = Arc::clone(&picture);
    let peers = Peers::new(&["seed", "one", "two"], move |ask| {
        shown.lock().unwrap().answer(ask)
    });
    let cluster = peers.connect(&["seed"]).await;
    picture.lock().unwrap().brokers = vec![(7, "seven")];
    peers.set_hosts(&["seed", "seven"]);
    let begun = within(0);
    let snapshot = cluster.refreshed(within(30)).await.unwrap();
    assert_eq!(snapshot.brokers().next().unwrap().id, 7);
    assert!(within(0) - begun < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_broker_can_ask_for_a_new_start_at_the_bootstrap_servers() {
    let refuse = Arc::new(AtomicUsize::new(0));
    let refused = Arc::clone(&refuse);
    let peers = Peers::new(&["seed", "one", "two"], move |ask| {
        if &*ask.host != "seed" && refused.load(Ordering::SeqCst) == 1 {
            return ask.answer(&MetadataResponse {
                error_code: ErrorCode::RebootstrapRequired.code(),
                ..MetadataResponse::default()
            });
        }
        two_brokers().answer(ask)
    });
    let cluster = peers.connect(&["seed"]).await;
    refuse.store(1, Ordering::SeqCst);
    cluster.refreshed(within(30)).await.unwrap();
    assert_eq!(peers.count(ApiKey::Metadata, Some("seed")), 2);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_is_found_once_and_again_when_it_has_moved() {
    let moved = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&moved);
    let peers = Peers::new(&["one", "two"], move |ask| {
        let at = ["one", "two"][now.load(Ordering::SeqCst)];
        match ask.key {
            ApiKey::Metadata => two_brokers().answer(ask),
            ApiKey::FindCoordinator => coordinator_is(ask, at),
            _ => {
                let here = *ask.host == *at;
                let error = if here {
                    ErrorCode::None
                } else {
                    ErrorCode::NotCoordinator
                };
                ask.answer(&HeartbeatResponse {
                    error_code: error.code(),
                    ..HeartbeatResponse::default()
                })
            }
        }
    });
    let cluster = peers.connect(&["one"]).await;
    heartbeat(&cluster, group(), 5).await.unwrap();
    heartbeat(&cluster, group(), 5).await.unwrap();
    assert_eq!(peers.count(ApiKey::FindCoordinator, None), 1);
    moved.store(1, Ordering::SeqCst);
    assert_eq!(heartbeat(&cluster, group(), 5).await.unwrap().error_code, 0);
    assert_eq!(peers.count(ApiKey::FindCoordinator, None), 2);
    assert_eq!(peers.count(ApiKey::Heartbeat, Some("two")), 1);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_cannot_be_found_is_an_error_with_the_brokers_reason() {
    let peers = Peers::new(&["one", "two"], |ask| match ask.key {
        ApiKey::Metadata => two_brokers().answer(ask),
        _ => {
            let coordinator = Coordinator {
                key: "billing".into(),
                error_code: ErrorCode::GroupAuthorizationFailed.code(),
                ..Coordinator::default()
            };
            ask.answer(&FindCoordinatorResponse {
                coordinators: vec![coordinator],
                ..FindCoordinatorResponse::default()
            })
        }
    });
    let cluster = peers.connect(&["one"]).await;
    let error = heartbeat(&cluster, group(), 5).await.unwrap_err();
    assert!(!error.is_retriable());
    let text = error.to_string();
    assert!(text.starts_with("the coordinator of group \"billing\" cannot be found: GROUP_"));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_connection_is_left_alone_and_others_are_not() {
    let peers = Peers::new(&["one", "two"], |ask| match ask.key {
        ApiKey::Metadata => two_brokers().answer(ask),
        _ => ask.answer(&HeartbeatResponse {
            throttle_time_ms: 800,
            ..HeartbeatResponse::default()
        }),
    });
    let cluster = peers.connect(&["one"]).await;
    let begun = within(0);
    heartbeat(&cluster, Target::Node(1), 5).await.unwrap();
    heartbeat(&cluster, Target::Node(2), 5).await.unwrap();
    assert!(within(0) - begun < Duration::from_millis(100));
    heartbeat(&cluster, Target::Node(1), 5).await.unwrap();
    assert!(within(0) - begun >= Duration::from_millis(800));
    let error = heartbeat(&cluster, Target::Node(1), 0).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_runs_out_of_time_tells_where_it_went_and_the_last_answer() {
    let peers = Peers::new(&["one", "two"], |ask| match ask.key {
        ApiKey::Metadata => two_brokers().answer(ask),
        _ => ask.answer(&HeartbeatResponse {
            error_code: ErrorCode::CoordinatorLoadInProgress.code(),
            ..HeartbeatResponse::default()
        }),
    });
    let cluster = peers.connect(&["one"]).await;
    let deadline = within(5);
    let error = heartbeat(&cluster, Target::Any, 5).await.unwrap_err();
    assert!(within(0) <= deadline + Duration::from_millis(1));
    let CallError::TimedOut(error) = error else {
        panic!("{error}");
    };
    assert!(error.spent.backoff > Duration::from_secs(4));
    assert_eq!(
        error.last_answer,
        Some(ErrorCode::CoordinatorLoadInProgress)
    );
    assert!((6..12).contains(&error.attempts), "{}", error.attempts);
    peers.set_hosts(&[]);
    let text = heartbeat(&cluster, Target::Node(1), 3)
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("Heartbeat timed out after 3.0 s"), "{text}");
    assert!(text.contains("one:9092: connection refused"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn offsets_are_asked_for_once_per_leader_and_again_only_for_partitions_that_failed() {
    let failing = Arc::new(AtomicUsize::new(1));
    let fails = Arc::clone(&failing);
    let peers = Peers::new(&["one", "two"], move |ask| {
        if ask.key == ApiKey::Metadata {
            return two_brokers().answer(ask);
        }
        let request: ListOffsetsRequest = ask.request();
        let asked = request.topics[0].partitions.iter();
        let partitions = asked.map(|partition| {
            let index = partition.partition_index;
            let fail = index == 2 && fails.swap(0, Ordering::SeqCst) == 1;
            let error = if fail {
                ErrorCode::NotLeaderOrFollower
            } else {
                ErrorCode::None
            };
            ListOffsetsPartitionResponse {
                partition_index: index,
                error_code: error.code(),
                offset: i64::from(index) * 10,
                ..ListOffsetsPartitionResponse::default()
            }
        });
        let topic = ListOffsetsTopicResponse {
            name: "orders".into(),
            partitions: partitions.collect(),
            ..ListOffsetsTopicResponse::default()
        };
        ask.answer(&ListOffsetsResponse {
            topics: vec![topic],
            ..ListOffsetsResponse::default()
        })
    });
    let cluster = peers.connect(&["one"]).await;
    let query = |partition| OffsetQuery {
        topic: "orders".into(),
        partition,
        at: OffsetSpec::Latest,
    };
    let queries = [query(0), query(1), query(2), query(5)];
    let found = list_offsets(&cluster, &queries, Isolation::default(), within(5)).await;
    let offsets: Vec<_> = found[..3]
        .iter()
        .map(|answer| answer.result.clone())
        .collect();
    let offsets: Vec<_> = offsets
        .into_iter()
        .map(|found| found.unwrap().offset)
        .collect();
    assert_eq!(offsets, [Some(0), Some(10), Some(20)]);
    assert!(found[3].result.is_err());
    assert_eq!(peers.count(ApiKey::ListOffsets, Some("one")), 2);
    assert_eq!(peers.count(ApiKey::ListOffsets, Some("two")), 1);
}

#[tokio::test(start_paused = true)]
async fn a_closed_handle_refuses_everything_at_once() {
    let peers = Peers::new(&["one", "two"], |ask| two_brokers().answer(ask));
    let cluster = peers.connect(&["one"]).await;
    let waiting = cluster.clone();
    let waiter = tokio::spawn(async move {
        waiting
            .topic("missing", AutoCreate::Never, within(60))
            .await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    cluster.close(within(1)).await;
    assert!(matches!(waiter.await.unwrap(), Err(TopicError::Closed)));
    let error = heartbeat(&cluster, Target::Any, 5).await.unwrap_err();
    assert!(matches!(error, CallError::Closed));
    assert!(matches!(
        cluster.refreshed(within(5)).await,
        Err(CallError::Closed)
    ));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(peers.open_connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_the_background_task_and_the_connections() {
    let peers = Peers::new(&["one", "two"], |ask| two_brokers().answer(ask));
    let cluster = peers.connect(&["one"]).await;
    cluster
        .topic("orders", AutoCreate::Never, within(5))
        .await
        .unwrap();
    let other = cluster.clone();
    drop(cluster);
    other.refreshed(within(5)).await.unwrap();
    assert!(peers.open_connections() > 0);
    drop(other);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(peers.open_connections(), 0);
    let asked = peers.count(ApiKey::Metadata, None);
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert_eq!(peers.count(ApiKey::Metadata, None), asked);
}

#[tokio::test(start_paused = true)]
async fn a_leader_hint_is_taken_over_if_it_is_newer() {
    let peers = Peers::new(&["one", "two"], |ask| two_brokers().answer(ask));
    let cluster = peers.connect(&["one"]).await;
    cluster
        .topic("orders", AutoCreate::Never, within(5))
        .await
        .unwrap();
    assert!(cluster.leader_changed("orders", 0, (2, 5), None));
    assert_eq!(cluster.snapshot().leader("orders", 0).unwrap().broker.id, 2);
    assert!(!cluster.leader_changed("orders", 0, (1, 5), None));
    cluster.refreshed(within(5)).await.unwrap();
    let leader = cluster.snapshot().leader("orders", 0).unwrap().broker.id;
    assert_eq!(
        leader, 2,
        "metadata with an older epoch does not undo the hint"
    );
}
