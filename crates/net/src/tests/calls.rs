//! Calls on a connection that works, mostly.

use milena_codec::messages::{HeartbeatRequest, ProduceRequest};
use milena_codec::{ApiKey, VersionRange};

use super::peer::{Bench, SECOND, metadata, settle};
use crate::{CallError, Lane, LostCause, NetConfig};

#[tokio::test(start_paused = true)]
async fn a_call_opens_the_connection_and_gets_its_answer() {
    let mut bench = Bench::new();
    let asked = bench.ask("orders", SECOND);
    let mut peer = bench.accept().await;
    let (header, topic) = peer.asked().await;
    assert_eq!(topic, "orders");
    assert_eq!(header.client_id.as_deref(), Some("milena"));
    peer.tell(&header, "one").await;
    let reply = asked.await.unwrap().unwrap();
    assert_eq!(reply.message.cluster_id.as_deref(), Some("one"));
    assert_eq!((reply.version, reply.address), (13, bench.address.clone()));
}

#[tokio::test(start_paused = true)]
async fn calls_are_pipelined_up_to_the_limit_and_answered_in_order() {
    let mut bench = Bench::with(NetConfig {
        max_in_flight: 3,
        ..NetConfig::default()
    });
    let mut asked = Vec::new();
    for n in 0..5 {
        asked.push(bench.ask(&format!("topic-{n}"), 10 * SECOND));
        settle().await;
    }
    let mut peer = bench.accept().await;
    let mut headers = Vec::new();
    for n in 0..3 {
        let (header, topic) = peer.asked().await;
        assert_eq!(topic, format!("topic-{n}"));
        headers.push(header);
    }
    let fourth = tokio::time::timeout(SECOND, peer.asked()).await;
    assert!(fourth.is_err(), "only three may be unanswered");
    for (n, header) in headers.iter().enumerate() {
        peer.tell(header, &format!("cluster-{n}")).await;
    }
    for n in 3..5 {
        let (header, topic) = peer.asked().await;
        assert_eq!(topic, format!("topic-{n}"));
        peer.tell(&header, &format!("cluster-{n}")).await;
    }
    for (n, call) in asked.into_iter().enumerate() {
        let cluster = call.await.unwrap().unwrap().message.cluster_id;
        assert_eq!(cluster.as_deref(), Some(&*format!("cluster-{n}")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_callers_wait_and_fails_them_at_their_deadline() {
    let mut bench = Bench::with(NetConfig {
        max_in_flight: 1,
        max_queued: 1,
        ..NetConfig::default()
    });
    let _first = bench.ask("first", 60 * SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    let second = bench.ask("second", 60 * SECOND);
    settle().await;
    let third = bench.ask("third", 2 * SECOND);
    let error = third.await.unwrap().unwrap_err();
    let CallError::TimedOut { sent, ledger, .. } = error else {
        panic!("{error}");
    };
    assert!(!sent);
    assert_eq!(ledger.queue, 2 * SECOND);
    peer.tell(&header, "x").await;
    let (header, topic) = peer.asked().await;
    assert_eq!(topic, "second");
    peer.tell(&header, "y").await;
    assert!(second.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_call_fails_at_its_deadline_and_closes_the_connection() {
    let mut bench = Bench::new();
    let first = bench.ask("first", 5 * SECOND);
    let second = bench.ask("second", 30 * SECOND);
    let mut peer = bench.accept().await;
    peer.asked().await;
    peer.asked().await;
    let start = bench.now();
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(bench.now() - start, 5 * SECOND);
    let CallError::TimedOut { sent, ledger, .. } = &error else {
        panic!("{error}");
    };
    assert!(*sent);
    assert_eq!(ledger.in_flight, 5 * SECOND);
    assert!(error.to_string().contains("5.000 s in flight"), "{error}");
    let error = second.await.unwrap().unwrap_err();
    assert!(matches!(
        &error,
        CallError::Lost {
            sent: true,
            cause: LostCause::Unanswered {
                api: ApiKey::Metadata
            },
            ..
        }
    ));
    assert!(peer.request().await.is_none(), "the connection is closed");
}

/// Scenario 59: 0093.
#[tokio::test(start_paused = true)]
async fn a_deadline_behind_an_older_call_spares_the_connection() {
    let mut bench = Bench::new();
    let first = bench.ask("first", 30 * SECOND);
    let mut peer = bench.accept().await;
    let (one, _) = peer.asked().await;
    let second = bench.ask("second", 3 * SECOND);
    let (two, _) = peer.asked().await;
    assert!(matches!(
        second.await.unwrap(),
        Err(CallError::TimedOut { sent: true, .. })
    ));
    peer.tell(&one, "first").await;
    assert!(first.await.unwrap().is_ok());
    peer.tell(&two, "late, and dropped").await;
    let third = bench.ask("third", 3 * SECOND);
    let (three, _) = peer.asked().await;
    peer.tell(&three, "third").await;
    let reply = third.await.unwrap().unwrap();
    assert_eq!(reply.message.cluster_id.as_deref(), Some("third"));
    assert_eq!(bench.dials().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_leaves_the_connection_sound() {
    let mut bench = Bench::with(NetConfig {
        max_in_flight: 1,
        ..NetConfig::default()
    });
    let sent = bench.ask("sent", 30 * SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    let queued = bench.ask("queued", 30 * SECOND);
    settle().await;
    sent.abort();
    queued.abort();
    settle().await;
    let next = bench.ask("next", 30 * SECOND);
    peer.tell(&header, "for nobody").await;
    let (header, topic) = peer.asked().await;
    assert_eq!(topic, "next", "what was only queued is never sent");
    peer.tell(&header, "next").await;
    assert!(next.await.unwrap().is_ok());
    assert_eq!(bench.dials().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_point_leaves_the_connection_sound() {
    let mut bench = Bench::new();
    let warm = bench.ask("warm", SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "warm").await;
    warm.await.unwrap().unwrap();
    tokio::spawn(async move {
        while let Some((header, _)) = peer.request().await {
            peer.tell(&header, "answer").await;
        }
    });
    for polls in 0..20 {
        let deadline = bench.now() + SECOND;
        let versions = ApiKey::Metadata.stable_versions();
        let (pool, to) = (&bench.pool, &bench.address);
        let mut call = Box::pin(pool.call(to, Lane::Main, versions, |_| metadata("a"), deadline));
        for _ in 0..polls {
            let waker = std::task::Waker::noop();
            let mut cx = std::task::Context::from_waker(waker);
            if call.as_mut().poll(&mut cx).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(call);
        let after = bench.ask("after", SECOND).await.unwrap();
        assert!(after.is_ok(), "{polls}: {after:?}");
    }
    assert_eq!(bench.dials().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_tells_sent_from_unsent() {
    let mut bench = Bench::with_buffer(NetConfig::default(), 256);
    let small = bench.ask("small", 30 * SECOND);
    let mut peer = bench.accept().await;
    peer.asked().await;
    let large = bench.ask(&"x".repeat(10_000), 30 * SECOND);
    settle().await;
    drop(peer);
    let small = small.await.unwrap().unwrap_err();
    assert!(
        matches!(small, CallError::Lost { sent: true, .. }),
        "{small:?}"
    );
    let large = large.await.unwrap().unwrap_err();
    assert!(
        matches!(large, CallError::Lost { sent: false, .. }),
        "{large:?}"
    );
    assert!(!large.was_sent() && large.is_retriable());
}

/// Scenario 59: 0047.
#[tokio::test(start_paused = true)]
async fn a_transport_that_carries_one_byte_at_a_time_carries_everything() {
    let mut bench = Bench::with_buffer(NetConfig::default(), 1);
    let topic = "t".repeat(3_000);
    let asked = bench.ask(&topic, SECOND);
    let mut peer = bench.accept().await;
    let (header, asked_for) = peer.asked().await;
    assert_eq!(asked_for, topic);
    peer.tell(&header, &"c".repeat(20_000)).await;
    let reply = asked.await.unwrap().unwrap();
    assert_eq!(reply.message.cluster_id.unwrap().len(), 20_000);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_replaced_broker_no_longer_offers_is_lost_unsent() {
    let mut bench = Bench::with(NetConfig {
        max_in_flight: 1,
        ..NetConfig::default()
    });
    let first = bench.ask("first", 30 * SECOND);
    let mut peer = bench.accept().await;
    peer.asked().await;
    let second = bench.ask("second", 30 * SECOND);
    settle().await;
    drop(peer);
    first.await.unwrap().unwrap_err();
    let mut peer = bench.accept_raw().await;
    let (header, _) = peer.request().await.unwrap();
    let mut older = super::peer::everything();
    for api in &mut older.api_keys {
        api.max_version = api.max_version.min(7);
    }
    peer.answer(&header, &older).await;
    let error = second.await.unwrap().unwrap_err();
    let cause = LostCause::VersionGone;
    assert!(matches!(&error, CallError::Lost { sent: false, cause: c, .. } if *c == cause));
    assert!(error.is_retriable());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_came_before_the_end_counts_although_writing_failed_first() {
    let mut bench = Bench::new();
    let first = bench.ask("first", 30 * SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    let large: Vec<_> = (0..4)
        .map(|_| bench.ask(&"x".repeat(30_000), 30 * SECOND))
        .collect();
    settle().await;
    peer.tell(&header, &"y".repeat(30_000)).await;
    drop(peer);
    assert!(first.await.unwrap().is_ok());
    let mut sent = Vec::new();
    for call in large {
        sent.push(call.await.unwrap().unwrap_err().was_sent());
    }
    assert_eq!(sent, [true, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn versions_without_overlap_name_both_sides() {
    let mut bench = Bench::new();
    let (pool, to) = (bench.pool.clone(), bench.address.clone());
    let deadline = bench.now() + SECOND;
    let call = tokio::spawn(async move {
        let cap = VersionRange::new(90, 99);
        pool.call(
            &to,
            Lane::Main,
            cap,
            |_| HeartbeatRequest::default(),
            deadline,
        )
        .await
    });
    let _peer = bench.accept().await;
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(
        error,
        CallError::Unsupported {
            theirs: Some(_),
            ..
        }
    ));
    let shown = error.to_string();
    assert!(
        shown.contains("90 to 99") && shown.contains("0 to 4"),
        "{shown}"
    );
    assert!(error.is_fatal() && !error.was_sent());
}

#[tokio::test(start_paused = true)]
async fn a_request_without_answer_is_done_when_written() {
    let mut bench = Bench::new();
    let (pool, to) = (bench.pool.clone(), bench.address.clone());
    let deadline = bench.now() + SECOND;
    let call = tokio::spawn(async move {
        let versions = ApiKey::Produce.stable_versions();
        let prepare = |_| ProduceRequest::default();
        pool.send_only(&to, Lane::Unacknowledged(1), versions, prepare, deadline)
            .await
    });
    let mut peer = bench.accept().await;
    peer.expect::<ProduceRequest>().await;
    call.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_without_answer_that_cannot_be_written_fails_as_unsent() {
    let mut bench = Bench::with_buffer(NetConfig::default(), 64);
    let (pool, to) = (bench.pool.clone(), bench.address.clone());
    let deadline = bench.now() + SECOND;
    let call = tokio::spawn(async move {
        let versions = ApiKey::Metadata.stable_versions();
        let prepare = |_| metadata(&"x".repeat(1_000));
        pool.send_only(&to, Lane::Unacknowledged(1), versions, prepare, deadline)
            .await
    });
    let mut peer = bench.accept().await;
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(
        error,
        CallError::TimedOut { .. } | CallError::Lost { .. }
    ));
    assert!(
        peer.request().await.is_none(),
        "the stuck connection is closed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_throttled_lane_is_silent_until_the_throttle_ends() {
    let mut bench = Bench::new();
    let first = bench.ask("first", SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "throttled").await;
    first.await.unwrap().unwrap();
    let start = bench.now();
    bench
        .pool
        .mute(&bench.address, Lane::Main, start + 3 * SECOND);
    let second = bench.ask("second", 10 * SECOND);
    let (header, _) = peer.asked().await;
    assert_eq!(bench.now() - start, 3 * SECOND);
    peer.tell(&header, "second").await;
    assert!(second.await.unwrap().is_ok());
}

#[test]
fn futures_of_the_pool_may_move_between_threads() {
    fn check<T: Send>(_: &T) {}
    let bench = Bench::new();
    let (pool, to) = (&bench.pool, &bench.address);
    let versions = ApiKey::Metadata.stable_versions();
    check(&pool.call(to, Lane::Main, versions, |_| metadata("a"), bench.now()));
    check(&pool.versions(to, Lane::Main, bench.now()));
    check(&pool.close(bench.now()));
}
