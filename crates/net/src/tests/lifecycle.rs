//! How connections come and go.

use milena_codec::ApiKey;

use super::peer::{Bench, Mood, SECOND, settle};
use crate::{CallError, ConnectError, Lane, LostCause, NetConfig};

#[tokio::test(start_paused = true)]
async fn lanes_have_sockets_of_their_own_and_share_nothing() {
    let mut bench = Bench::new();
    let slow = bench.ask_on(Lane::Slow, "slow", 30 * SECOND);
    let mut slow_peer = bench.accept().await;
    slow_peer.asked().await;
    let main = bench.ask_on(Lane::Main, "main", SECOND);
    let mut main_peer = bench.accept().await;
    let (header, _) = main_peer.asked().await;
    main_peer.tell(&header, "main").await;
    assert!(main.await.unwrap().is_ok());
    slow.abort();
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_opened_again_when_needed() {
    let mut bench = Bench::new();
    let start = bench.now();
    let asked = bench.ask("a", SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "a").await;
    asked.await.unwrap().unwrap();
    assert!(peer.request().await.is_none());
    let idle = bench.now() - start;
    assert!(idle >= 180 * SECOND && idle < 181 * SECOND, "{idle:?}");
    let asked = bench.ask("b", SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "b").await;
    asked.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn lanes_without_users_leave_the_pool() {
    let mut bench = Bench::new();
    for id in 0..10 {
        let asked = bench.ask_on(Lane::Produce(id), "a", SECOND);
        let mut peer = bench.accept().await;
        let (header, _) = peer.asked().await;
        peer.tell(&header, "a").await;
        asked.await.unwrap().unwrap();
    }
    assert_eq!(bench.pool.lanes(), 10);
    tokio::time::sleep(1_000 * SECOND).await;
    assert_eq!(bench.pool.lanes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_broker_closes_while_idle_is_replaced_without_an_error() {
    let mut bench = Bench::new();
    let asked = bench.ask("a", SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "a").await;
    asked.await.unwrap().unwrap();
    drop(peer);
    settle().await;
    let asked = bench.ask("b", SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "b").await;
    asked.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_fails_the_call_at_once_with_address_and_reason() {
    let bench = Bench::new();
    bench.mood(Mood::Refuse);
    let start = bench.now();
    let error = bench.ask("a", 30 * SECOND).await.unwrap().unwrap_err();
    assert_eq!(bench.now(), start);
    assert!(matches!(
        &error,
        CallError::Connect {
            cause: ConnectError::Refused { .. },
            ..
        }
    ));
    assert!(error.is_retriable() && !error.was_sent());
    let shown = error.to_string();
    assert!(
        shown.contains("broker.test:9092") && shown.contains("refused"),
        "{shown}"
    );
}

/// Scenario 58: 0143.
#[tokio::test(start_paused = true)]
async fn attempts_back_off_exponentially_with_jitter_up_to_the_maximum() {
    let bench = Bench::new();
    bench.mood(Mood::Refuse);
    for _ in 0..12 {
        bench.ask("a", 30 * SECOND).await.unwrap().unwrap_err();
    }
    let dials = bench.dials();
    assert_eq!(dials.len(), 12);
    let mut expected = 50.0;
    for pair in dials.windows(2) {
        let waited = (pair[1] - pair[0]).as_secs_f64() * 1_000.0;
        assert!(
            (expected * 0.8 - 1.0..=expected * 1.2 + 1.0).contains(&waited),
            "{waited} is not about {expected}"
        );
        expected = f64::min(expected * 2.0, 1_000.0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_backoff_is_shared_by_the_lanes_of_an_address() {
    let bench = Bench::new();
    bench.mood(Mood::Refuse);
    bench.ask("a", 30 * SECOND).await.unwrap().unwrap_err();
    let other = bench.ask_on(Lane::Slow, "a", 30 * SECOND);
    other.await.unwrap().unwrap_err();
    let dials = bench.dials();
    assert!((dials[1] - dials[0]).as_millis() >= 40);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_deadline_is_within_the_backoff_reports_the_last_failure() {
    let bench = Bench::new();
    bench.mood(Mood::Refuse);
    for _ in 0..6 {
        bench.ask("a", 30 * SECOND).await.unwrap().unwrap_err();
    }
    let start = bench.now();
    let error = bench.ask("a", SECOND / 10).await.unwrap().unwrap_err();
    assert_eq!(bench.now() - start, SECOND / 10);
    assert!(matches!(
        error,
        CallError::Connect {
            cause: ConnectError::Refused { .. },
            ..
        }
    ));
}

/// Scenario 60: 0131, testConnectionSetupTimeout; KIP-601.
#[tokio::test(start_paused = true)]
async fn the_setup_timeout_grows_with_each_failure_in_a_row() {
    let bench = Bench::new();
    bench.mood(Mood::Hang);
    let mut lasted = Vec::new();
    for _ in 0..4 {
        let error = bench.ask("a", 100 * SECOND).await.unwrap().unwrap_err();
        let CallError::Connect {
            cause: ConnectError::TimedOut { after, .. },
            ..
        } = error
        else {
            panic!("{error}");
        };
        lasted.push(after.as_secs_f64());
    }
    for (lasted, expected) in lasted.into_iter().zip([10.0, 20.0, 30.0, 30.0]) {
        assert!(
            (expected * 0.8..=expected * 1.2).contains(&lasted) && lasted < 30.1,
            "{lasted}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_closes_at_the_first_request_probably_asks_for_a_login() {
    let mut bench = Bench::new();
    let cause = |error| match error {
        CallError::Lost { cause, .. } => cause,
        other => panic!("{other}"),
    };
    let asked = bench.ask("a", 30 * SECOND);
    let mut peer = bench.accept().await;
    peer.asked().await;
    drop(peer);
    let error = asked.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("SASL"), "{error}");
    assert_eq!(cause(error), LostCause::ClosedUnanswered);

    let asked = bench.ask("a", 30 * SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "a").await;
    asked.await.unwrap().unwrap();
    let asked = bench.ask("a", 30 * SECOND);
    peer.asked().await;
    drop(peer);
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!(cause(error), LostCause::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_address_loses_its_calls_and_may_be_used_again() {
    let mut bench = Bench::new();
    let asked = bench.ask("a", 30 * SECOND);
    let mut peer = bench.accept().await;
    peer.asked().await;
    bench.pool.forget(&bench.address);
    let error = asked.await.unwrap().unwrap_err();
    assert!(matches!(
        error,
        CallError::Lost {
            sent: true,
            cause: LostCause::Forgotten,
            ..
        }
    ));
    assert!(peer.request().await.is_none());
    let asked = bench.ask("b", SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "b").await;
    asked.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_finishes_what_is_in_flight_and_refuses_the_rest() {
    let mut bench = Bench::new();
    let asked = bench.ask("a", 30 * SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    let (pool, deadline) = (bench.pool.clone(), bench.now() + 10 * SECOND);
    let closing = tokio::spawn(async move { pool.close(deadline).await });
    settle().await;
    let late = bench.ask("late", SECOND).await.unwrap();
    assert_eq!(late.unwrap_err(), CallError::Closed);
    tokio::time::sleep(SECOND).await;
    peer.tell(&header, "a").await;
    assert!(asked.await.unwrap().is_ok());
    let start = bench.now();
    closing.await.unwrap();
    assert_eq!(bench.now(), start);
    assert!(peer.request().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_by_its_deadline_and_leaves_nobody_waiting() {
    let mut bench = Bench::new();
    let asked = bench.ask("a", 300 * SECOND);
    let mut peer = bench.accept().await;
    peer.asked().await;
    bench.mood(Mood::Hang);
    let connecting = bench.ask_on(Lane::Slow, "b", 300 * SECOND);
    settle().await;
    let start = bench.now();
    bench.pool.close(start + 2 * SECOND).await;
    assert_eq!(bench.now() - start, 2 * SECOND);
    let error = asked.await.unwrap().unwrap_err();
    assert!(error.was_sent(), "{error}");
    assert_eq!(connecting.await.unwrap().unwrap_err(), CallError::Closed);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_pool_closes_its_connections() {
    let mut bench = Bench::new();
    let (pool, to) = (bench.pool.clone(), bench.address.clone());
    let deadline = bench.now() + SECOND;
    let asked = tokio::spawn(async move { pool.versions(&to, Lane::Main, deadline).await });
    let mut peer = bench.accept().await;
    assert!(
        asked
            .await
            .unwrap()
            .unwrap()
            .range(ApiKey::Metadata)
            .is_some()
    );
    drop(bench);
    assert!(peer.request().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_answers_backs_off_before_the_next() {
    let mut bench = Bench::with(NetConfig::default());
    for _ in 0..3 {
        let asked = bench.ask("a", 30 * SECOND);
        let mut peer = bench.accept().await;
        peer.asked().await;
        drop(peer);
        asked.await.unwrap().unwrap_err();
    }
    let dials = bench.dials();
    assert!(dials[1] > dials[0] && dials[2] > dials[1], "{dials:?}");
}
