//! Beginning again at the bootstrap servers. Scenario 57.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use milena_codec::messages::MetadataResponse;
use milena_codec::{ApiKey, ErrorCode};
use milena_net::Address;
use milena_rpc::{
    AutoCreate, Cluster, ClusterConfig, ClusterEvent, ClusterEventHook, MetadataRecovery,
    RebootstrapReason, Target,
};

use crate::scripted::{Peers, Picture, config, within};
use crate::{coordinator_is, group, heartbeat, two_brokers};

type Events = Arc<Mutex<Vec<ClusterEvent>>>;

fn recorded(config: &mut ClusterConfig) -> Events {
    let events = Events::default();
    let seen = Arc::clone(&events);
    let note = move |event: &ClusterEvent| seen.lock().unwrap().push(event.clone());
    config.on_event = Some(ClusterEventHook::new(note));
    events
}

fn rebootstraps(events: &Events) -> Vec<RebootstrapReason> {
    let events = events.lock().unwrap();
    let reasons = events.iter().filter_map(|event| match event {
        ClusterEvent::Rebootstrap { reason } => Some(*reason),
        _ => None,
    });
    reasons.collect()
}

/// A cluster of two behind one bootstrap server, whose picture can be changed.
fn peers() -> (Arc<Peers>, Arc<Mutex<Picture>>) {
    let picture = Arc::new(Mutex::new(two_brokers()));
    let shown = Arc::clone(&picture);
    let peers = Peers::new(&["seed", "one", "two"], move |ask| match ask.key {
        ApiKey::Metadata => shown.lock().unwrap().answer(ask),
        ApiKey::FindCoordinator => {
            let first = shown.lock().unwrap().brokers[0].1;
            coordinator_is(ask, first)
        }
        _ => ask.answer(&milena_codec::messages::HeartbeatResponse::default()),
    });
    (peers, picture)
}

async fn connect(peers: &Arc<Peers>, config: ClusterConfig) -> Cluster {
    Cluster::connect(config, peers.env(), within(10))
        .await
        .unwrap()
}

/// Scenario 57, KIP-899.
#[tokio::test(start_paused = true)]
async fn when_every_broker_has_moved_the_bootstrap_servers_know_where_to_and_it_is_told_once() {
    let (peers, picture) = peers();
    let mut config = config(&["seed"]);
    let events = recorded(&mut config);
    let cluster = connect(&peers, config).await;
    peers.set_hosts(&[]);
    let refreshing = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.refreshed(within(60)).await }
    });
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(rebootstraps(&events), [RebootstrapReason::Unreachable]);
    picture.lock().unwrap().brokers = vec![(7, "seven")];
    peers.set_hosts(&["seed", "seven"]);
    let back = within(0);
    refreshing.await.unwrap().unwrap();
    assert!(within(0) - back < Duration::from_secs(5));
    assert_eq!(
        heartbeat(&cluster, Target::Any, 5)
            .await
            .unwrap()
            .error_code,
        0
    );
    assert_eq!(peers.count(ApiKey::Heartbeat, Some("seven")), 1);
    assert_eq!(rebootstraps(&events).len(), 1);
}

/// Scenario 57.
#[tokio::test(start_paused = true)]
async fn without_recovery_only_the_known_brokers_are_tried() {
    let (peers, _) = peers();
    let mut config = config(&["seed"]);
    config.recovery = MetadataRecovery::None;
    config.rebootstrap_after = Duration::from_secs(5);
    let events = recorded(&mut config);
    let cluster = connect(&peers, config).await;
    let asked = peers.count(ApiKey::Metadata, Some("seed"));
    peers.set_hosts(&["seed"]);
    cluster.refreshed(within(30)).await.unwrap_err();
    assert_eq!(peers.count(ApiKey::Metadata, Some("seed")), asked);
    assert_eq!(rebootstraps(&events), []);
    peers.set_hosts(&["seed", "one", "two"]);
    cluster.refreshed(within(30)).await.unwrap();
}

/// Scenario 57: every name leads to something that swallows all bytes, as after a network was moved.
#[tokio::test(start_paused = true)]
async fn a_large_cluster_that_is_silent_does_not_keep_the_bootstrap_servers_from_being_asked() {
    const HOSTS: [&str; 30] = [
        "h00", "h01", "h02", "h03", "h04", "h05", "h06", "h07", "h08", "h09", "h10", "h11", "h12",
        "h13", "h14", "h15", "h16", "h17", "h18", "h19", "h20", "h21", "h22", "h23", "h24", "h25",
        "h26", "h27", "h28", "h29",
    ];
    let peers = Peers::new(&[&["seed"], &HOSTS[..]].concat(), |ask| {
        let hosts = (1..).zip(HOSTS).collect();
        let picture = Picture {
            brokers: hosts,
            ..two_brokers()
        };
        (*ask.host == *"seed").then(|| picture.answer(ask))?
    });
    let cluster = connect(&peers, config(&["seed"])).await;
    let begun = within(0);
    cluster.refreshed(within(60)).await.unwrap();
    assert!(within(0) - begun < Duration::from_secs(13));
}

/// Scenario 57, KIP-1102: brokers that take connections and answer nothing are not unreachable.
#[tokio::test(start_paused = true)]
async fn brokers_that_give_no_metadata_are_left_after_the_time_for_that() {
    let silent = Arc::new(AtomicBool::new(false));
    let says_nothing = Arc::clone(&silent);
    let peers = Peers::new(&["seed", "one", "two"], move |ask| {
        let silent = says_nothing.load(Ordering::SeqCst);
        (!silent).then(|| two_brokers().answer(ask))?
    });
    let mut config = config(&["seed"]);
    config.rebootstrap_after = Duration::from_secs(100);
    let events = recorded(&mut config);
    let cluster = connect(&peers, config).await;
    let connections = peers.opened("one");
    silent.store(true, Ordering::SeqCst);
    let begun = within(0);
    let waiting = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.refreshed(begun + Duration::from_secs(300)).await }
    });
    tokio::time::sleep(Duration::from_secs(95)).await;
    assert_eq!(rebootstraps(&events), []);
    tokio::time::sleep(Duration::from_secs(65)).await;
    assert!(
        matches!(
            rebootstraps(&events)[..],
            [RebootstrapReason::NoMetadata { silence }] if silence >= Duration::from_secs(100)
        ),
        "{events:?}"
    );
    assert!(peers.opened("one") > connections);
    silent.store(false, Ordering::SeqCst);
    waiting.await.unwrap().unwrap();
}

/// Scenario 57, KIP-1102.
#[tokio::test(start_paused = true)]
async fn a_broker_that_asks_for_a_new_start_ends_the_connections_to_all() {
    let refuse = Arc::new(AtomicBool::new(false));
    let refused = Arc::clone(&refuse);
    let peers = Peers::new(&["seed", "one", "two"], move |ask| {
        if ask.key != ApiKey::Metadata {
            return ask.answer(&milena_codec::messages::HeartbeatResponse::default());
        }
        if &*ask.host != "seed" && refused.load(Ordering::SeqCst) {
            return ask.answer(&MetadataResponse {
                error_code: ErrorCode::RebootstrapRequired.code(),
                ..MetadataResponse::default()
            });
        }
        two_brokers().answer(ask)
    });
    let mut config = config(&["seed"]);
    let events = recorded(&mut config);
    let cluster = connect(&peers, config).await;
    heartbeat(&cluster, Target::Node(1), 5).await.unwrap();
    heartbeat(&cluster, Target::Node(2), 5).await.unwrap();
    let (one, two) = (peers.opened("one"), peers.opened("two"));
    refuse.store(true, Ordering::SeqCst);
    cluster.refreshed(within(30)).await.unwrap();
    assert_eq!(rebootstraps(&events), [RebootstrapReason::Required]);
    heartbeat(&cluster, Target::Node(1), 5).await.unwrap();
    heartbeat(&cluster, Target::Node(2), 5).await.unwrap();
    assert_eq!(
        (peers.opened("one"), peers.opened("two")),
        (one + 1, two + 1)
    );
}

/// Scenario 57.
#[tokio::test(start_paused = true)]
async fn another_cluster_at_the_same_addresses_is_told_and_nothing_of_the_old_one_stays() {
    let (peers, picture) = peers();
    let mut config = config(&["seed"]);
    let events = recorded(&mut config);
    let cluster = connect(&peers, config).await;
    let topic = |name| cluster.topic(name, AutoCreate::Never, within(5));
    topic("orders").await.unwrap();
    heartbeat(&cluster, group(), 5).await.unwrap();
    let found = peers.count(ApiKey::FindCoordinator, None);
    *picture.lock().unwrap() = Picture {
        topics: vec![("orders", vec![(2, 0)])],
        cluster_id: "another",
        ..two_brokers()
    };
    cluster.refreshed(within(5)).await.unwrap();
    assert_eq!(topic("orders").await.unwrap().partitions.len(), 1);
    let changed = ClusterEvent::ClusterChanged {
        before: "scripted".into(),
        now: "another".into(),
    };
    let told = events
        .lock()
        .unwrap()
        .iter()
        .filter(|e| **e == changed)
        .count();
    assert_eq!(told, 1);
    heartbeat(&cluster, group(), 5).await.unwrap();
    assert_eq!(peers.count(ApiKey::FindCoordinator, None), found + 1);
}

/// Scenario 57.
#[tokio::test(start_paused = true)]
async fn brokers_that_come_go_and_move_are_told() {
    let (peers, picture) = peers();
    let mut config = config(&["seed"]);
    let events = recorded(&mut config);
    let cluster = connect(&peers, config).await;
    peers.set_hosts(&["seed", "one", "two", "three", "four"]);
    events.lock().unwrap().clear();
    let address = |host: &'static str| Address::new(host, 9092);
    let joined = |node, host| ClusterEvent::BrokerJoined {
        node,
        address: address(host),
    };
    let left = |node, host| ClusterEvent::BrokerLeft {
        node,
        address: address(host),
    };
    let steps: [(Vec<_>, Vec<_>); 3] = [
        (
            vec![(1, "one"), (2, "two"), (3, "three")],
            vec![joined(3, "three")],
        ),
        (vec![(1, "one"), (3, "three")], vec![left(2, "two")]),
        (
            vec![(1, "four"), (3, "three")],
            vec![left(1, "one"), joined(1, "four")],
        ),
    ];
    for (brokers, expected) in steps {
        picture.lock().unwrap().brokers = brokers;
        cluster.refreshed(within(5)).await.unwrap();
        assert_eq!(std::mem::take(&mut *events.lock().unwrap()), expected);
    }
    heartbeat(&cluster, Target::Node(1), 5).await.unwrap();
    assert_eq!(peers.count(ApiKey::Heartbeat, Some("four")), 1);
}

/// Scenario 69: all brokers down, and up again.
#[tokio::test(start_paused = true)]
async fn a_call_outlasts_the_time_in_which_all_brokers_are_down() {
    let (peers, _) = peers();
    let cluster = connect(&peers, config(&["seed"])).await;
    peers.set_hosts(&[]);
    let calling = tokio::spawn(async move { heartbeat(&cluster, Target::Node(2), 120).await });
    tokio::time::sleep(Duration::from_secs(60)).await;
    peers.set_hosts(&["seed", "one", "two"]);
    let back = within(0);
    assert_eq!(calling.await.unwrap().unwrap().error_code, 0);
    assert!(within(0) - back < Duration::from_secs(3));
}
