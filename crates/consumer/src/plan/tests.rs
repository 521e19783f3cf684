use super::*;

fn config(memory: usize, partition: i32) -> ConsumerConfig {
    ConsumerConfig {
        fetch_memory: memory,
        max_partition_fetch_bytes: partition,
        ..ConsumerConfig::default()
    }
}

#[test]
fn memory_is_shared_among_the_fetchers_and_never_promised_twice() {
    let config = config(1000, 200);
    let mut state = State::default();
    state.fetchers = 2;
    assert_eq!(state.reserve(10, &config), Some(500));
    assert_eq!(state.reserve(1, &config), Some(200));
    assert_eq!(state.reserve(10, &config), Some(300));
    assert_eq!(state.reserve(1, &config), None);
    state.unreserve(500);
    state.buffered = 400;
    assert_eq!(state.reserve(1, &config), None);
    state.buffered = 100;
    assert_eq!(state.reserve(2, &config), Some(400));
}

#[test]
fn full_memory_that_the_user_cannot_free_does_not_stop_fetching() {
    let config = config(1000, 200);
    let mut state = State::default();
    state.buffered = 5000;
    assert_eq!(state.reserve(10, &config), Some(200), "one small fetch");
    assert_eq!(state.reserve(10, &config), None, "at a time");
}

#[test]
fn a_fetch_with_partitions_left_out_is_short_and_grows_while_nobody_reads() {
    let longest = Duration::from_millis(500);
    let mut patience = Patience::new();
    assert_eq!(patience.next(false, 0, longest), longest);
    let waits: Vec<u128> = (0..8)
        .map(|_| patience.next(true, 0, longest).as_millis())
        .collect();
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 500, 500]);
    assert_eq!(
        patience.next(true, 1, longest).as_millis(),
        10,
        "something was read"
    );
    let tiny = Duration::from_millis(3);
    assert_eq!(patience.next(true, 2, tiny), tiny);
}
