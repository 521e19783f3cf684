//! Leaving a broker alone that asks for it (KIP-219). Scenario 62.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use milena_codec::{ApiKey, frame};

use super::peer::{Bench, SECOND, metadata, settle};
use crate::{CallError, ConnectError, Lane, LaneHandle, Limit, Outbox, Outcome, Outgoing, Turn};

/// Always has another request, and is throttled by the first answer.
#[derive(Debug)]
struct Greedy {
    bench: (crate::Pool, crate::Address),
    taken: Mutex<Vec<Instant>>,
    until: Instant,
    patience: std::time::Duration,
    outcomes: Mutex<Vec<Outcome>>,
}

impl Greedy {
    fn attach(
        bench: &Bench,
        until: Instant,
        patience: std::time::Duration,
    ) -> (Arc<Self>, LaneHandle) {
        let outbox = Arc::new(Self {
            bench: (bench.pool.clone(), bench.address.clone()),
            taken: Mutex::default(),
            until,
            patience,
            outcomes: Mutex::default(),
        });
        let lane = bench.pool.lane(&bench.address, Lane::Produce(1)).unwrap();
        lane.attach(Arc::clone(&outbox) as Arc<dyn Outbox>);
        (outbox, lane)
    }
}

impl Outbox for Greedy {
    fn has_work(&self) -> bool {
        true
    }

    fn take(&self, turn: &Turn<'_>) -> Option<Outgoing> {
        let version = turn.versions.range(ApiKey::Metadata)?.max;
        let frame = frame::request(&metadata("t"), version, turn.correlation_id, None).unwrap();
        self.taken.lock().unwrap().push(turn.now);
        Some(Outgoing {
            segments: frame.segments,
            key: ApiKey::Metadata,
            version,
            deadline: turn.now + self.patience,
            expects_answer: true,
            token: 0,
        })
    }

    fn finish(&self, _: u64, outcome: Outcome) {
        let mut outcomes = self.outcomes.lock().unwrap();
        if outcomes.is_empty() {
            let (pool, address) = &self.bench;
            pool.mute(address, Lane::Produce(1), self.until);
        }
        outcomes.push(outcome);
    }

    fn unreachable(&self, _: &ConnectError) {}
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_between_the_answer_that_throttles_and_the_end_of_the_throttle() {
    let mut bench = Bench::new();
    let until = bench.now() + 3 * SECOND;
    let (outbox, _lane) = Greedy::attach(&bench, until, 10 * SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    settle().await;
    assert_eq!(
        outbox.taken.lock().unwrap().len(),
        5,
        "the pipeline is full"
    );
    peer.tell(&header, "x").await;
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(outbox.taken.lock().unwrap().len(), 5);
    tokio::time::sleep(2 * SECOND).await;
    let taken = outbox.taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 6);
    assert!(taken[5] >= until);
    assert_eq!(bench.pool.throttled(&bench.address), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_a_throttle_has_as_much_more_time() {
    let mut bench = Bench::new();
    let begun = bench.now();
    let (outbox, _lane) = Greedy::attach(&bench, begun + 3 * SECOND, 2 * SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    settle().await;
    peer.tell(&header, "x").await;
    tokio::time::sleep(4 * SECOND).await;
    assert_eq!(outbox.outcomes.lock().unwrap().len(), 1, "nothing is late");
    tokio::time::sleep(2 * SECOND).await;
    let outcomes = outbox.outcomes.lock().unwrap();
    assert!(matches!(outcomes[1], Outcome::TimedOut { sent: true }));
}

#[tokio::test(start_paused = true)]
async fn a_call_on_its_way_gets_the_time_of_a_throttle_but_not_beyond_its_deadline() {
    let mut bench = Bench::new();
    let call = |deadline| {
        let (pool, to) = (bench.pool.clone(), bench.address.clone());
        let limit = Limit {
            deadline,
            patience: SECOND,
        };
        tokio::spawn(async move {
            let versions = ApiKey::Metadata.stable_versions();
            pool.call(&to, Lane::Main, versions, |_| metadata("a"), limit)
                .await
        })
    };
    let begun = bench.now();
    let (patient, hurried) = (call(begun + 9 * SECOND), call(begun + 2 * SECOND));
    let mut peer = bench.accept().await;
    let (first, _) = peer.asked().await;
    let (second, _) = peer.asked().await;
    bench
        .pool
        .mute(&bench.address, Lane::Main, begun + 3 * SECOND);
    let error = hurried.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::TimedOut { sent: true, .. }));
    assert_eq!(bench.now(), begun + 2 * SECOND);
    tokio::time::sleep(SECOND * 3 / 2).await;
    peer.tell(&first, "late").await;
    peer.tell(&second, "too late").await;
    let reply = patient.await.unwrap().unwrap();
    assert_eq!(reply.message.cluster_id.as_deref(), Some("late"));
    let silent = bench.ask("b", SECOND);
    peer.asked().await;
    silent.await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_does_not_evade_a_throttle() {
    let mut bench = Bench::new();
    let first = bench.ask("first", SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "x").await;
    first.await.unwrap().unwrap();
    let start = bench.now();
    let until = start + 3 * SECOND;
    bench.pool.mute(&bench.address, Lane::Main, until);
    assert_eq!(
        bench.pool.muted_until(&bench.address, Lane::Main),
        Some(until)
    );
    drop(peer);
    settle().await;
    let second = bench.ask("second", 9 * SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    assert_eq!(bench.now() - start, 3 * SECOND);
    peer.tell(&header, "x").await;
    second.await.unwrap().unwrap();
    assert_eq!(bench.pool.muted_until(&bench.address, Lane::Main), None);
}

#[tokio::test(start_paused = true)]
async fn throttles_that_overlap_on_one_lane_count_once_and_those_of_lanes_add_up() {
    let bench = Bench::new();
    let _lanes = [Lane::Main, Lane::Slow].map(|lane| bench.pool.lane(&bench.address, lane));
    let mute = |lane, seconds: u32| {
        let until = bench.now() + seconds * SECOND;
        bench.pool.mute(&bench.address, lane, until);
    };
    mute(Lane::Main, 3);
    mute(Lane::Main, 2);
    mute(Lane::Main, 4);
    assert_eq!(bench.pool.throttled(&bench.address), 4 * SECOND);
    mute(Lane::Slow, 1);
    assert_eq!(bench.pool.throttled(&bench.address), 5 * SECOND);
    tokio::time::sleep(10 * SECOND).await;
    mute(Lane::Main, 1);
    assert_eq!(bench.pool.throttled(&bench.address), 6 * SECOND);
}
