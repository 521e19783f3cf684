use std::time::{Duration, Instant};

use super::flow::{Flow, Span};
use super::*;

fn start() -> Instant {
    #[allow(clippy::disallowed_methods)]
    Instant::now()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_span_counts_time_once_however_many_overlap() {
    let start = start();
    let mut span = Span::default();
    span.begin(start);
    span.begin(start + SECOND);
    span.end(start + 2 * SECOND);
    assert_eq!(span.total(start + 3 * SECOND), 3 * SECOND);
    span.end(start + 4 * SECOND);
    assert_eq!(span.total(start + 9 * SECOND), 4 * SECOND);
    span.begin(start + 9 * SECOND);
    assert_eq!(span.total(start + 10 * SECOND), 5 * SECOND);
}

#[test]
fn a_node_is_full_while_it_has_all_the_requests_it_may_have() {
    let start = start();
    let mut flow = Flow::default();
    flow.sent(1, 10, 2, start);
    flow.sent(1, 20, 2, start + SECOND);
    flow.ended(1, Some(3 * SECOND), 2, start + 3 * SECOND);
    flow.ended(1, None, 2, start + 7 * SECOND);
    let node = flow.nodes(start + 9 * SECOND)[&1];
    let expected = NodeMetrics {
        requests: 2,
        bytes: 30,
        answered: 1,
        round_trips: 3 * SECOND,
        busy: 7 * SECOND,
        full: 2 * SECOND,
        throttled: Duration::ZERO,
        in_flight: 0,
    };
    assert_eq!(node, expected);
    assert_eq!(flow.busy.total(start + 9 * SECOND), 7 * SECOND);
}

#[test]
fn overlapping_throttles_count_once_and_only_as_far_as_they_have_passed() {
    let start = start();
    let mut flow = Flow::default();
    flow.throttled(1, 4 * SECOND, start);
    flow.throttled(1, SECOND, start + SECOND);
    flow.throttled(1, 5 * SECOND, start + 2 * SECOND);
    let throttled = |flow: &Flow, at| flow.nodes(start + at * SECOND)[&1].throttled;
    assert_eq!(throttled(&flow, 3), 3 * SECOND);
    assert_eq!(throttled(&flow, 20), 7 * SECOND);
    let muted = flow.sent(1, 1, 5, start + 8 * SECOND);
    assert_eq!(muted, Some((start, start + 7 * SECOND)));
    flow.throttled(1, SECOND, start + 10 * SECOND);
    assert_eq!(throttled(&flow, 20), 8 * SECOND);
}
