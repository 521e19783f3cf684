//! Where connections go, and what the pool knows of how busy brokers are.

use super::peer::{Bench, Mood, SECOND, settle};
use crate::{Address, CallError, Lane, Load, NetConfig};

#[tokio::test(start_paused = true)]
async fn a_mapped_address_is_connected_to_elsewhere_and_keeps_its_name() {
    let mut bench = Bench::with(NetConfig {
        address_map: "broker.test:9092=localhost:19092".parse().unwrap(),
        ..NetConfig::default()
    });
    let asked = bench.ask("a", SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "x").await;
    assert_eq!(asked.await.unwrap().unwrap().address, bench.address);
    assert_eq!(bench.targets(), ["localhost:19092"]);

    bench.pool.forget(&bench.address);
    bench.mood(Mood::Refuse);
    let error = bench.ask("b", SECOND).await.unwrap().unwrap_err();
    let CallError::Connect { address, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(address, bench.address);
}

#[tokio::test(start_paused = true)]
async fn all_connections_can_be_dropped_at_once_and_are_opened_again_when_needed() {
    let mut bench = Bench::new();
    let (main, slow) = (
        bench.ask("a", SECOND),
        bench.ask_on(Lane::Slow, "b", SECOND),
    );
    let (mut one, mut two) = (bench.accept().await, bench.accept().await);
    one.asked().await;
    two.asked().await;
    bench.pool.forget_all();
    for lost in [main, slow] {
        let error = lost.await.unwrap().unwrap_err();
        assert!(
            matches!(error, CallError::Lost { sent: true, .. }),
            "{error}"
        );
    }
    assert!(one.request().await.is_none() && two.request().await.is_none());
    let asked = bench.ask("c", SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "x").await;
    asked.await.unwrap().unwrap();
    assert_eq!(bench.pool.lanes(), 1);
}

fn load(bench: &Bench) -> Load {
    bench.pool.load(&bench.address, Lane::Main)
}

#[tokio::test(start_paused = true)]
async fn the_load_of_a_broker_counts_what_is_unanswered_on_all_its_lanes() {
    let mut bench = Bench::new();
    assert_eq!(load(&bench), Load::default());
    let asked = bench.ask("a", SECOND);
    let beside = bench.ask_on(Lane::Slow, "b", SECOND);
    let (mut peer, mut slow) = (bench.accept().await, bench.accept().await);
    let (header, _) = peer.asked().await;
    let (slow_header, _) = slow.asked().await;
    settle().await;
    let now = load(&bench);
    assert_eq!((now.in_flight, now.is_connected), (2, true));
    assert!(!now.is_busy && !now.is_throttled && !now.is_backing_off);
    tokio::time::sleep(SECOND / 5).await;
    assert!(load(&bench).is_busy, "the oldest is not answered for long");
    peer.tell(&header, "x").await;
    slow.tell(&slow_header, "x").await;
    asked.await.unwrap().unwrap();
    beside.await.unwrap().unwrap();
    settle().await;
    let now = load(&bench);
    assert_eq!((now.in_flight, now.is_busy), (0, false));
    let other = Address::new("other.test", 9092);
    assert_eq!(bench.pool.load(&other, Lane::Main), Load::default());
}

#[tokio::test(start_paused = true)]
async fn the_load_tells_of_a_throttle_and_of_a_pause_after_a_failure() {
    let bench = Bench::new();
    bench.mood(Mood::Refuse);
    bench.ask("a", SECOND).await.unwrap().unwrap_err();
    assert!(load(&bench).is_backing_off);
    tokio::time::sleep(SECOND).await;
    assert!(!load(&bench).is_backing_off);
    let until = bench.now() + SECOND;
    bench.pool.mute(&bench.address, Lane::Main, until);
    assert!(load(&bench).is_throttled);
    tokio::time::sleep(SECOND).await;
    assert!(!load(&bench).is_throttled);
}
