//! Records that come in blocks of their own, before their answer is whole.

use std::sync::{Arc, Mutex};

use milena_codec::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use milena_codec::messages::{FetchRequest, FetchResponse};
use milena_codec::{ApiKey, Bytes, Str, decode, frame};

use super::peer::{Bench, SECOND, settle};
use crate::{
    BlockPool, ConnectError, FetchBlocks, FetchedPart, Lane, Outbox, Outcome, Outgoing, Turn,
};

const VERSION: i16 = 12;

/// Asks once and notes what comes.
#[derive(Debug)]
struct Asker {
    pool: BlockPool,
    asked: Mutex<bool>,
    parts: Mutex<Vec<FetchedPart>>,
    outcomes: Mutex<Vec<Outcome>>,
}

impl Asker {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            pool: BlockPool::new(1 << 24),
            asked: Mutex::default(),
            parts: Mutex::default(),
            outcomes: Mutex::default(),
        })
    }

    fn sizes(&self) -> Vec<usize> {
        let parts = self.parts.lock().unwrap();
        parts.iter().map(|part| part.records.len()).collect()
    }
}

impl Outbox for Asker {
    fn has_work(&self) -> bool {
        !*self.asked.lock().unwrap()
    }

    fn take(&self, turn: &Turn<'_>) -> Option<Outgoing> {
        if std::mem::replace(&mut *self.asked.lock().unwrap(), true) {
            return None;
        }
        let request = FetchRequest::default();
        let frame = frame::request(&request, VERSION, turn.correlation_id, None).unwrap();
        Some(Outgoing {
            segments: frame.segments,
            key: ApiKey::Fetch,
            version: VERSION,
            deadline: turn.now + 5 * SECOND,
            latest: turn.now + 5 * SECOND,
            expects_answer: true,
            token: 7,
        })
    }

    fn blocks(&self, token: u64) -> Option<FetchBlocks> {
        assert_eq!(token, 7);
        Some(FetchBlocks {
            version: VERSION,
            credit: 1 << 20,
            pool: self.pool.clone(),
        })
    }

    fn part(&self, token: u64, part: FetchedPart) {
        assert_eq!(token, 7);
        self.parts.lock().unwrap().push(part);
    }

    fn finish(&self, token: u64, outcome: Outcome) {
        assert_eq!(token, 7);
        self.outcomes.lock().unwrap().push(outcome);
    }

    fn unreachable(&self, cause: &ConnectError) {
        panic!("{cause}");
    }
}

fn answer(sizes: &[usize], correlation_id: i32) -> Bytes {
    let partitions = sizes.iter().map(|size| PartitionData {
        records: Some(Bytes::from(vec![9; *size])),
        ..PartitionData::default()
    });
    let answer = FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic: Str::from_static("t"),
            partitions: partitions.collect(),
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    };
    let frame = frame::response(&answer, ApiKey::Fetch, VERSION, correlation_id);
    frame.unwrap().into_bytes()
}

#[tokio::test(start_paused = true)]
async fn records_are_handed_over_before_their_answer_is_whole() {
    let mut bench = Bench::new();
    let asker = Asker::new();
    let lane = bench.pool.lane(&bench.address, Lane::Fetch(1)).unwrap();
    lane.attach(Arc::clone(&asker) as Arc<dyn Outbox>);
    let mut peer = bench.accept().await;
    let (header, _) = peer.request().await.unwrap();
    let bytes = answer(&[100_000, 200_000, 0, 50], header.correlation_id);
    peer.send(&bytes[..250_000]).await;
    settle().await;
    assert_eq!(asker.sizes(), [100_000]);
    assert!(asker.outcomes.lock().unwrap().is_empty());
    peer.send(&bytes[250_000..]).await;
    settle().await;
    assert_eq!(asker.sizes(), [100_000, 200_000, 50]);
    let Outcome::Answer(envelope) = asker.outcomes.lock().unwrap().remove(0) else {
        panic!("it was answered");
    };
    assert!(envelope.len() < 500);
    let found: FetchResponse = decode(envelope, VERSION).unwrap();
    assert_eq!(found.responses[0].partitions.len(), 4);
    assert_eq!(asker.pool.lent(), 2, "each in its own block");
    asker.parts.lock().unwrap().remove(0);
    assert_eq!(asker.pool.lent(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_handed_over_when_the_time_is_up() {
    let mut bench = Bench::new();
    let asker = Asker::new();
    let lane = bench.pool.lane(&bench.address, Lane::Fetch(1)).unwrap();
    // An older request, that takes longer and keeps the connection open.
    let older = bench.ask_on(Lane::Fetch(1), "slow", 20 * SECOND);
    let mut peer = bench.accept().await;
    let (first, _) = peer.asked().await;
    lane.attach(Arc::clone(&asker) as Arc<dyn Outbox>);
    let (header, _) = peer.request().await.unwrap();
    tokio::time::sleep(6 * SECOND).await;
    assert!(matches!(
        asker.outcomes.lock().unwrap()[..],
        [Outcome::TimedOut { sent: true }]
    ));
    peer.tell(&first, "x").await;
    older.await.unwrap().unwrap();
    peer.send(&answer(&[100_000], header.correlation_id)).await;
    settle().await;
    assert_eq!(asker.sizes(), [0; 0]);
    assert_eq!(asker.outcomes.lock().unwrap().len(), 1);
    let next = bench.ask_on(Lane::Fetch(1), "next", SECOND);
    let (header, _) = peer.asked().await;
    peer.tell(&header, "y").await;
    next.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn records_in_an_answer_to_another_request_are_not_handed_over() {
    let mut bench = Bench::new();
    let asker = Asker::new();
    let lane = bench.pool.lane(&bench.address, Lane::Fetch(1)).unwrap();
    lane.attach(Arc::clone(&asker) as Arc<dyn Outbox>);
    let mut peer = bench.accept().await;
    let (header, _) = peer.request().await.unwrap();
    peer.send(&answer(&[100_000, 10], header.correlation_id + 1))
        .await;
    settle().await;
    assert_eq!(asker.sizes(), [0; 0]);
    let outcome = asker.outcomes.lock().unwrap().remove(0);
    assert!(
        matches!(outcome, Outcome::Lost { sent: true, .. }),
        "{outcome:?}"
    );
}
