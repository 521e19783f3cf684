use super::*;

const INITIAL: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(1);

/// A small generator, so that a failure replays from its seed.
fn random(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state ^ (*state >> 33)
}

#[test]
fn without_jitter_waits_double_up_to_the_maximum() {
    let mut backoff = Backoff::new(INITIAL, MAX);
    // This value lies in the middle of the spread: factor 1.0.
    let waits: Vec<_> = (0..6).map(|_| backoff.next(JITTER).as_millis()).collect();
    assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
}

#[test]
fn a_wait_is_within_twenty_percent_of_the_doubled_one_and_never_above_the_maximum() {
    for seed in 0..2_000 {
        let mut state = seed;
        let mut backoff = Backoff::new(INITIAL, MAX);
        for failure in 0..40 {
            let wait = backoff.next(random(&mut state));
            let base = INITIAL.as_millis() << failure.min(20);
            let low = Duration::from_millis((base * 8 / 10) as u64).min(MAX);
            let high = Duration::from_millis((base * 12 / 10) as u64).min(MAX);
            assert!(
                low <= wait && wait <= high,
                "seed {seed} failure {failure}: {wait:?}"
            );
        }
    }
}

#[test]
fn jitter_uses_the_whole_spread() {
    let mut state = 7;
    let waits: Vec<_> = (0..10_000)
        .map(|_| Backoff::new(INITIAL, MAX).next(random(&mut state)))
        .collect();
    assert!(waits.iter().min().unwrap() < &Duration::from_micros(80_100));
    assert!(waits.iter().max().unwrap() > &Duration::from_micros(119_900));
}

#[test]
fn the_same_randomness_gives_the_same_waits() {
    let run = || {
        let (mut state, mut backoff) = (42, Backoff::new(INITIAL, MAX));
        (0..10)
            .map(|_| backoff.next(random(&mut state)))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn success_starts_over() {
    let mut backoff = Backoff::new(INITIAL, MAX);
    for _ in 0..5 {
        let _ = backoff.next(0);
    }
    assert_eq!(backoff.failures(), 5);
    backoff.reset();
    assert_eq!(backoff.failures(), 0);
    assert_eq!(backoff.next(JITTER), INITIAL);
}

#[test]
fn absurd_durations_and_failure_counts_do_not_overflow() {
    let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
    for _ in 0..100 {
        assert_eq!(backoff.next(u64::MAX), Duration::MAX);
    }
    let mut zero = Backoff::new(Duration::ZERO, MAX);
    for _ in 0..100 {
        assert_eq!(zero.next(u64::MAX), Duration::ZERO);
    }
}
