use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_codec::ApiKey;

use super::{Expiry, Pipeline, Sent};
use crate::wire::WireError;

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    pipeline: Pipeline,
    start: Instant,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn new(max: usize) -> Self {
        Self {
            pipeline: Pipeline::new(7, max),
            start: Instant::now(),
        }
    }

    fn at(&self, seconds: u32) -> Instant {
        self.start + SECOND * seconds
    }

    fn send(&mut self, at: u32, deadline: u32) -> Sent {
        let (now, deadline) = (self.at(at), self.at(deadline));
        self.pipeline
            .handle_sent(ApiKey::Heartbeat, 0, true, now, deadline)
    }

    fn answer(&mut self, id: i32, at: u32) -> Result<bool, WireError> {
        let mut frame = id.to_be_bytes().to_vec();
        frame.extend_from_slice(b"body");
        let now = self.at(at);
        let answer = self.pipeline.handle_frame(frame.into(), now)?;
        assert_eq!(answer.body, b"body"[..]);
        assert_eq!(answer.request.correlation_id, id);
        Ok(answer.abandoned)
    }
}

#[test]
fn answers_are_accepted_in_the_order_of_the_requests_only() {
    let mut bench = Bench::new(5);
    assert_eq!(bench.send(0, 10).correlation_id, 7);
    assert_eq!(bench.send(0, 10).correlation_id, 8);
    let wrong = bench.answer(8, 1).unwrap_err();
    assert!(
        matches!(
            wrong,
            WireError::Correlation {
                expected: 7,
                found: 8,
                ..
            }
        ),
        "{wrong}"
    );
    assert_eq!(bench.answer(7, 1), Ok(false));
    assert_eq!(bench.answer(8, 1), Ok(false));
    assert_eq!(bench.answer(9, 1), Err(WireError::Unexpected));
}

#[test]
fn an_answer_too_short_for_its_header_is_malformed() {
    let mut bench = Bench::new(5);
    bench.send(0, 10);
    let now = bench.at(1);
    let error = bench
        .pipeline
        .handle_frame(Bytes::from_static(&[0, 0]), now);
    assert!(matches!(error, Err(WireError::Malformed(_))));
}

#[test]
fn correlation_ids_wrap_to_zero() {
    let mut bench = Bench::new(5);
    bench.pipeline = Pipeline::new(i32::MAX, 5);
    assert_eq!(bench.send(0, 10).correlation_id, i32::MAX);
    assert_eq!(bench.send(0, 10).correlation_id, 0);
}

#[test]
fn room_ends_with_the_limit_and_requests_without_answer_take_none() {
    let mut bench = Bench::new(2);
    let (now, deadline) = (bench.at(0), bench.at(9));
    for _ in 0..10 {
        bench
            .pipeline
            .handle_sent(ApiKey::Produce, 9, false, now, deadline);
    }
    assert!(bench.pipeline.is_empty());
    bench.send(0, 9);
    assert!(bench.pipeline.has_room(now));
    bench.send(0, 9);
    assert!(!bench.pipeline.has_room(now));
}

#[test]
fn a_deadline_behind_an_older_request_abandons_only_its_call() {
    let mut bench = Bench::new(5);
    bench.send(0, 30);
    let second = bench.send(0, 5);
    assert_eq!(bench.pipeline.poll_timeout(), Some(bench.at(5)));
    assert_eq!(bench.pipeline.handle_timeout(bench.at(4)), None);
    assert_eq!(
        bench.pipeline.handle_timeout(bench.at(5)),
        Some(Expiry::Abandon(second))
    );
    assert_eq!(bench.pipeline.handle_timeout(bench.at(5)), None);
    assert_eq!(bench.answer(7, 6), Ok(false));
    assert_eq!(
        bench.answer(8, 6),
        Ok(true),
        "the late answer is recognized"
    );
}

#[test]
fn a_deadline_of_the_oldest_request_closes_the_connection() {
    let mut bench = Bench::new(5);
    let first = bench.send(0, 5);
    let second = bench.send(0, 5);
    assert_eq!(
        bench.pipeline.handle_timeout(bench.at(5)),
        Some(Expiry::Close(first))
    );
    assert_eq!(bench.pipeline.poll_lost(), Some((first, true)));
    assert_eq!(bench.pipeline.poll_lost(), Some((second, true)));
    assert_eq!(bench.pipeline.poll_lost(), None);
}

#[test]
fn an_abandoned_request_that_becomes_the_oldest_gets_its_time_once_more() {
    let mut bench = Bench::new(5);
    bench.send(0, 30);
    let second = bench.send(0, 5);
    assert_eq!(
        bench.pipeline.handle_timeout(bench.at(5)),
        Some(Expiry::Abandon(second))
    );
    bench.answer(7, 20).unwrap();
    assert_eq!(bench.pipeline.handle_timeout(bench.at(20)), None);
    assert_eq!(bench.pipeline.poll_timeout(), Some(bench.at(25)));
    assert_eq!(
        bench.pipeline.handle_timeout(bench.at(25)),
        Some(Expiry::Close(second))
    );
    assert_eq!(
        bench.pipeline.poll_lost(),
        Some((second, false)),
        "nobody waits for it"
    );
}

/// Scenario 62.
#[test]
fn a_throttle_stops_sending_and_moves_the_deadlines_of_what_was_sent() {
    let mut bench = Bench::new(5);
    let first = bench.send(0, 5);
    bench.pipeline.mute(bench.at(1), bench.at(11));
    assert!(!bench.pipeline.has_room(bench.at(10)));
    assert!(bench.pipeline.has_room(bench.at(11)));
    assert_eq!(bench.pipeline.handle_timeout(bench.at(14)), None);
    assert_eq!(
        bench.pipeline.handle_timeout(bench.at(15)),
        Some(Expiry::Close(first))
    );
}

#[test]
fn overlapping_throttles_count_once() {
    let mut bench = Bench::new(5);
    let first = bench.send(0, 5);
    bench.pipeline.mute(bench.at(1), bench.at(11));
    bench.pipeline.mute(bench.at(2), bench.at(11));
    bench.pipeline.mute(bench.at(2), bench.at(6));
    assert_eq!(bench.pipeline.handle_timeout(bench.at(14)), None);
    assert_eq!(
        bench.pipeline.handle_timeout(bench.at(15)),
        Some(Expiry::Close(first))
    );
}

#[test]
fn a_throttle_does_not_bring_back_a_call_that_was_given_up() {
    let mut bench = Bench::new(5);
    let first = bench.send(0, 9);
    let second = bench.send(0, 5);
    assert_eq!(
        bench.pipeline.handle_timeout(bench.at(5)),
        Some(Expiry::Abandon(second))
    );
    bench.pipeline.mute(bench.at(6), bench.at(16));
    assert_eq!(bench.pipeline.handle_timeout(bench.at(18)), None);
    assert_eq!(
        bench.pipeline.handle_timeout(bench.at(19)),
        Some(Expiry::Close(first))
    );
}
