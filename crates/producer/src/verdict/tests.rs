use super::*;

const MILLIS: fn(u64) -> Duration = Duration::from_millis;

/// A node over one second: milliseconds full, busy and throttled.
fn node(id: i32, full: u64, busy: u64, throttled: u64) -> (i32, NodeMetrics) {
    let metrics = NodeMetrics {
        requests: 100,
        bytes: 1_000_000,
        answered: 100,
        round_trips: MILLIS(1_000),
        busy: MILLIS(busy),
        full: MILLIS(full),
        throttled: MILLIS(throttled),
        in_flight: 0,
    };
    (id, metrics)
}

/// A second, with milliseconds of compressing and of waiting for memory.
fn window(compressing: u64, held_up: u64, nodes: &[(i32, NodeMetrics)]) -> Window {
    let busy = nodes.iter().map(|(_, node)| node.busy).max();
    Window {
        elapsed: MILLIS(1_000),
        busy: busy.unwrap_or_default(),
        compressing: MILLIS(compressing),
        held_up: MILLIS(held_up),
        waited: MILLIS(held_up * 3),
        buffer: 1_000_000,
        nodes: nodes.to_vec(),
    }
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Starved { .. } => "starved",
        Verdict::LocalBuffer { .. } => "buffer",
        Verdict::RoundTrip {
            saturated: true, ..
        } => "saturated",
        Verdict::RoundTrip { .. } => "waiting",
        Verdict::Throttle { .. } => "throttle",
        Verdict::HotLeader { .. } => "hot",
        Verdict::CompressionCpu { .. } => "compression",
    }
}

/// Milliseconds of compressing and of waiting for memory, the nodes, the verdict and its share.
type Row<'a> = (u64, u64, &'a [(i32, NodeMetrics)], &'a str, f64);

#[test]
fn every_rule_decides_over_its_rows_of_numbers() {
    let rows: &[Row<'_>] = &[
        // Rule 8: nothing, or little, or lingering.
        (0, 0, &[], "starved", 1.0),
        (0, 0, &[node(1, 0, 100, 0)], "starved", 0.9),
        (0, 99, &[node(1, 0, 490, 0)], "starved", 0.51),
        (490, 0, &[node(1, 0, 400, 0)], "starved", 0.6),
        // Rule 7: something in flight, but never all that may be.
        (0, 0, &[node(1, 0, 500, 0)], "waiting", 0.5),
        (0, 99, &[node(1, 490, 1_000, 0)], "waiting", 1.0),
        // Rule 6: memory is short though little is in flight.
        (0, 100, &[node(1, 0, 400, 0)], "buffer", 0.1),
        (0, 900, &[], "buffer", 0.9),
        // Rule 5: full, or busy while senders wait for memory.
        (0, 0, &[node(1, 500, 900, 0)], "saturated", 0.5),
        (0, 800, &[node(1, 0, 900, 0)], "saturated", 0.9),
        (
            0,
            800,
            &[node(1, 900, 1_000, 0), node(2, 450, 1_000, 0)],
            "saturated",
            1.0,
        ),
        (900, 800, &[node(1, 500, 700, 0)], "saturated", 0.7),
        // Rule 4: one of several.
        (
            0,
            0,
            &[node(1, 300, 600, 0), node(2, 800, 900, 0)],
            "hot",
            0.8,
        ),
        (
            0,
            0,
            &[node(1, 400, 600, 0), node(2, 800, 900, 0)],
            "saturated",
            0.8,
        ),
        (
            0,
            500,
            &[node(1, 0, 300, 0), node(2, 0, 900, 0)],
            "hot",
            0.9,
        ),
        // Rule 2: compressing, with room at the brokers.
        (500, 0, &[node(1, 0, 900, 0)], "compression", 0.5),
        (900, 900, &[node(1, 490, 900, 0)], "compression", 0.9),
        // Rule 1: before all others.
        (
            900,
            900,
            &[node(1, 900, 900, 10), node(2, 0, 0, 200)],
            "throttle",
            0.2,
        ),
        (0, 0, &[node(1, 0, 100, 199)], "starved", 0.9),
    ];
    for (row, (compressing, held_up, nodes, expected, share)) in rows.iter().enumerate() {
        let verdict = window(*compressing, *held_up, nodes).judge();
        assert_eq!(name(verdict), *expected, "row {row}: {verdict:?}");
        assert!(
            (verdict.share() - share).abs() < 0.001,
            "row {row}: {verdict:?}"
        );
    }
}

/// Rule 3.
#[test]
fn a_buffer_that_is_all_in_flight_is_too_small_and_one_that_queues_is_not() {
    let mut busy = node(1, 0, 1_000, 0);
    busy.1.bytes = 2_500_000;
    busy.1.round_trips = MILLIS(10_000);
    // 2.5 MB/s with 100 ms each: 250 kB of 1 MB in flight.
    assert_eq!(name(window(0, 800, &[busy]).judge()), "buffer");
    busy.1.bytes -= 20_000;
    assert_eq!(name(window(0, 800, &[busy]).judge()), "saturated");
    busy.1.bytes = 2_500_000;
    busy.1.full = MILLIS(500);
    assert_eq!(name(window(0, 800, &[busy]).judge()), "saturated");
    busy.1.full = MILLIS(0);
    assert_eq!(name(window(0, 99, &[busy]).judge()), "waiting");
}

#[test]
fn numbers_of_a_verdict_are_those_of_its_window() {
    let saturated = window(0, 0, &[node(1, 900, 1_000, 0)]).judge();
    let expected = Verdict::RoundTrip {
        share: 0.9,
        round_trip: MILLIS(10),
        bdp: 10_000,
        saturated: true,
    };
    assert_eq!(saturated, expected);
    let hot = window(0, 0, &[node(1, 900, 1_000, 0), node(2, 0, 10, 0)]).judge();
    let Verdict::HotLeader { node: 1, bytes, .. } = hot else {
        panic!("{hot:?}");
    };
    assert!((bytes - 0.5).abs() < 0.001);
    let throttled = window(0, 0, &[node(3, 0, 10, 400)]).judge();
    let expected = Verdict::Throttle {
        node: 3,
        share: 0.4,
        throttled: MILLIS(400),
    };
    assert_eq!(throttled, expected);
}

#[test]
fn every_verdict_says_how_much_and_what_to_change() {
    let windows = [
        window(0, 0, &[]),
        window(0, 900, &[]),
        window(0, 0, &[node(1, 900, 900, 0)]),
        window(0, 0, &[node(1, 0, 900, 0)]),
        window(0, 0, &[node(1, 0, 0, 500)]),
        window(0, 0, &[node(1, 900, 900, 0), node(2, 0, 0, 0)]),
        window(900, 0, &[]),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for window in windows {
        let verdict = window.judge();
        let text = verdict.to_string();
        assert!(text.contains(" % "), "{text}");
        assert!(text.contains(verdict.suggestion().setting), "{text}");
        assert!(seen.insert(text.clone()), "twice: {text}");
    }
}
