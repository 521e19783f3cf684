use super::*;

#[test]
fn weights_are_those_of_the_java_client() {
    let rows = include_str!("../../vectors/java-weights.txt").lines();
    let mut weights = Weights::new();
    let mut checked = 0;
    for row in rows.filter(|row| !row.starts_with('#')) {
        let (queued, chosen) = row.split_once(" : ").unwrap();
        let queued = (0..).zip(queued.split(' '));
        weights.set(queued.filter_map(|(id, queued)| Some((id, queued.parse().ok()?))));
        for (random, chosen) in (0..).zip(chosen.split(' ')) {
            assert_eq!(weights.pick(random), Some(chosen.parse().unwrap()), "{row}");
            checked += 1;
        }
    }
    assert_eq!(checked, 120 * 40);
}

#[test]
fn without_partitions_there_is_nothing_to_pick() {
    assert_eq!(Weights::new().pick(7), None);
}

#[test]
fn the_longest_queues_do_not_overflow() {
    let mut weights = Weights::new();
    weights.set((0..1_000).map(|id| (id, if id == 0 { u32::MAX } else { 0 })));
    assert_eq!(weights.pick(0), Some(0));
    assert_eq!(weights.pick(999 * (1 << 32)), Some(999));
}
