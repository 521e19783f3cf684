use super::{Clock, Random, SeededRandom, SystemClock, TEST_EPOCH_MILLIS};

#[test]
fn a_seed_always_gives_the_same_numbers() {
    let (one, two) = (SeededRandom::new(7), SeededRandom::new(7));
    let mut bytes = [[0; 11]; 2];
    one.fill(&mut bytes[0]);
    two.fill(&mut bytes[1]);
    assert_eq!(bytes[0], bytes[1]);
    assert_eq!(one.next_u64(), two.next_u64());
    assert_ne!(
        SeededRandom::new(8).next_u64(),
        SeededRandom::new(7).next_u64()
    );
}

#[tokio::test(start_paused = true)]
async fn the_monotonic_clock_follows_a_paused_runtime() {
    let before = SystemClock.now();
    tokio::time::advance(std::time::Duration::from_secs(3600)).await;
    assert_eq!((SystemClock.now() - before).as_secs(), 3600);
    assert!(SystemClock.wall_millis() > TEST_EPOCH_MILLIS);
}
