//! Outboxes beside the lane's own calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use milena_codec::{ApiKey, frame};

use super::peer::{Bench, Mood, SECOND, metadata, settle};
use crate::{CallError, ConnectError, Lane, LostCause, Outbox, Outcome, Outgoing, Turn};

/// Sends a number of requests and remembers what became of them.
#[derive(Debug)]
struct Counter {
    name: &'static str,
    left: AtomicU64,
    seen: Mutex<Vec<String>>,
}

impl Counter {
    fn new(name: &'static str, left: u64) -> Arc<Self> {
        Arc::new(Self {
            name,
            left: AtomicU64::new(left),
            seen: Mutex::default(),
        })
    }

    fn note(&self, what: String) {
        self.seen.lock().unwrap().push(what);
    }
}

impl Outbox for Counter {
    fn has_work(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    fn take(&self, turn: &Turn<'_>) -> Option<Outgoing> {
        let left = self.left.load(Ordering::Relaxed);
        let token = left.checked_sub(1)?;
        self.left.store(token, Ordering::Relaxed);
        let version = turn.versions.range(ApiKey::Metadata)?.max;
        let request = metadata(&format!("{}-{token}", self.name));
        let client = turn.client_id.cloned();
        let frame = frame::request(&request, version, turn.correlation_id, client).unwrap();
        Some(Outgoing {
            segments: frame.segments,
            key: ApiKey::Metadata,
            version,
            deadline: turn.now + 5 * SECOND,
            expects_answer: true,
            token,
        })
    }

    fn finish(&self, token: u64, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Answer(_) => "answer".to_owned(),
            Outcome::Lost { sent, .. } => format!("lost, sent: {sent}"),
            Outcome::TimedOut { sent } => format!("timed out, sent: {sent}"),
            other => format!("{other:?}"),
        };
        self.note(format!("{token}: {outcome}"));
    }

    fn unreachable(&self, cause: &ConnectError) {
        assert!(matches!(cause, ConnectError::Refused { .. }));
        self.note("unreachable".to_owned());
    }
}

#[tokio::test(start_paused = true)]
async fn outboxes_take_turns_with_each_other_and_with_calls() {
    let mut bench = Bench::new();
    let (a, b) = (Counter::new("a", 3), Counter::new("b", 3));
    let lane = bench.pool.lane(&bench.address, Lane::Main).unwrap();
    lane.attach(Arc::clone(&a) as Arc<dyn Outbox>);
    lane.attach(Arc::clone(&b) as Arc<dyn Outbox>);
    let mut peer = bench.accept().await;
    let mut order = Vec::new();
    for _ in 0..6 {
        let (header, topic) = peer.asked().await;
        order.push(topic);
        peer.tell(&header, "x").await;
    }
    settle().await;
    assert_eq!(order, ["a-2", "b-2", "a-1", "b-1", "a-0", "b-0"]);
    assert_eq!(
        *a.seen.lock().unwrap(),
        ["2: answer", "1: answer", "0: answer"]
    );
    let call = bench.ask("call", SECOND);
    let (header, topic) = peer.asked().await;
    assert_eq!(topic, "call");
    peer.tell(&header, "x").await;
    call.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_outbox_hears_exactly_once_of_each_request_when_the_connection_ends() {
    let mut bench = Bench::new();
    let outbox = Counter::new("a", 3);
    let lane = bench.pool.lane(&bench.address, Lane::Produce(1)).unwrap();
    lane.attach(Arc::clone(&outbox) as Arc<dyn Outbox>);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "x").await;
    peer.asked().await;
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(
        *outbox.seen.lock().unwrap(),
        [
            "2: answer",
            "1: timed out, sent: true",
            "0: lost, sent: true"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_behind_a_throttled_one_has_its_time_added() {
    let mut bench = Bench::new();
    let outbox = Counter::new("a", 2);
    let lane = bench.pool.lane(&bench.address, Lane::Produce(1)).unwrap();
    lane.attach(Arc::clone(&outbox) as Arc<dyn Outbox>);
    let mut peer = bench.accept().await;
    let (first, _) = peer.asked().await;
    let (second, _) = peer.asked().await;
    peer.tell(&first, "throttled").await;
    settle().await;
    let until = bench.now() + 9 * SECOND;
    bench.pool.mute(&bench.address, Lane::Produce(1), until);
    tokio::time::sleep(13 * SECOND).await;
    peer.tell(&second, "x").await;
    settle().await;
    assert_eq!(*outbox.seen.lock().unwrap(), ["1: answer", "0: answer"]);
}

#[tokio::test(start_paused = true)]
async fn an_outbox_with_work_keeps_the_lane_trying_and_detached_it_stops() {
    let mut bench = Bench::new();
    bench.mood(Mood::Refuse);
    let outbox = Counter::new("a", 1);
    let lane = bench.pool.lane(&bench.address, Lane::Produce(1)).unwrap();
    lane.attach(Arc::clone(&outbox) as Arc<dyn Outbox>);
    tokio::time::sleep(SECOND).await;
    let tried = bench.dials().len();
    assert!((4..=6).contains(&tried), "{tried}");
    assert_eq!(outbox.seen.lock().unwrap().len(), tried);
    bench.mood(Mood::Accept);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "x").await;
    settle().await;
    lane.detach(&(Arc::clone(&outbox) as Arc<dyn Outbox>));
    outbox.left.store(1, Ordering::Relaxed);
    lane.wake();
    let more = tokio::time::timeout(SECOND, peer.asked()).await;
    assert!(more.is_err());
    assert!(!lane.is_ended());
}

/// A bug.
#[derive(Debug)]
struct Broken;

impl Outbox for Broken {
    fn has_work(&self) -> bool {
        false
    }

    fn take(&self, _: &Turn<'_>) -> Option<Outgoing> {
        panic!("planted");
    }

    fn finish(&self, _: u64, _: Outcome) {}

    fn unreachable(&self, _: &ConnectError) {}
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_lane_leaves_nobody_waiting_and_surfaces_at_close() {
    let mut bench = Bench::new();
    let asked = bench.ask("a", 30 * SECOND);
    let mut peer = bench.accept().await;
    peer.asked().await;
    let lane = bench.pool.lane(&bench.address, Lane::Main).unwrap();
    lane.attach(Arc::new(Broken));
    let error = asked.await.unwrap().unwrap_err();
    let cause = LostCause::TaskFailed;
    assert!(matches!(&error, CallError::Lost { sent: true, cause: c, .. } if *c == cause));
    assert!(lane.is_ended());
    let asked = bench.ask("b", SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "b").await;
    asked.await.unwrap().unwrap();
    let (pool, deadline) = (bench.pool.clone(), bench.now() + SECOND);
    let closed = tokio::spawn(async move { pool.close(deadline).await }).await;
    assert!(closed.unwrap_err().is_panic());
}
