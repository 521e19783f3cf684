use std::cell::Cell;
use std::num::NonZeroU32;

use super::*;
use crate::{FranzGo, KafkaJs, Librdkafka, Sarama, Weights};

const KEYLESS: Keyed<'_> = Keyed {
    topic: "orders",
    key: None,
    value: None,
};
const KEYED: Keyed<'_> = Keyed {
    key: Some(b"customer-42"),
    ..KEYLESS
};
const ALL: [i32; 6] = [0, 1, 2, 3, 4, 5];

fn six(available: &[i32]) -> Partitions<'_> {
    Partitions::new(NonZeroU32::new(6).unwrap(), available)
}

fn java(switch_after: u32) -> Chooser {
    Chooser::new(&Partitioning::Java, false, switch_after)
}

/// A generator for tests.
fn seeded(seed: u64) -> impl Fn() -> u64 {
    let state = Cell::new(seed);
    move || {
        state.set(state.get().wrapping_add(1));
        mix(state.get())
    }
}

/// Sends records of 100 bytes, and returns how many each of the six partitions got.
fn spread(
    chooser: &Chooser,
    (record, available): (Keyed<'_>, &[i32]),
    records: u32,
    weights: Option<&Weights>,
) -> [u32; 6] {
    let random = seeded(1);
    let mut got = [0; 6];
    for _ in 0..records {
        let weighted = || weights.and_then(|weights| weights.pick(random()));
        let chosen = chooser.choose(record, six(available), &random, weighted);
        got[usize::try_from(chosen.partition).unwrap()] += 1;
        if chosen.is_sticky {
            chooser.handle_produced(100, true);
        }
    }
    got
}

fn assert_even(got: [u32; 6], share: u32) {
    let within = share - share / 20..=share + share / 20;
    assert!(got.iter().all(|got| within.contains(got)), "{got:?}");
}

#[test]
fn a_million_records_without_key_are_spread_evenly() {
    let (chooser, records) = (java(1_000), 1_200_000);
    assert_even(spread(&chooser, (KEYLESS, &ALL), records, None), 200_000);
    for even in [
        Partitioning::RoundRobin,
        Partitioning::Librdkafka(Librdkafka::ConsistentRandom),
        Partitioning::Sarama(Sarama::Hash),
        Partitioning::Sarama(Sarama::Random),
        Partitioning::KafkaJs(KafkaJs::Default),
        Partitioning::FranzGo(FranzGo::Sticky),
    ] {
        let chooser = Chooser::new(&even, false, 1_000);
        assert_even(spread(&chooser, (KEYLESS, &ALL), 300_000, None), 50_000);
    }
}

#[test]
fn idle_partitions_get_more_than_those_with_a_queue() {
    let mut weights = Weights::new();
    weights.set([(0, 0), (1, 9), (2, 0), (3, 9), (4, 9), (5, 4)]);
    let got = spread(&java(1_000), (KEYLESS, &ALL), 340_000, Some(&weights));
    for (partition, weight) in [10, 1, 10, 1, 1, 6].into_iter().enumerate() {
        let share = 340_000 * weight / 29;
        let within = share - share / 5..=share + share / 5;
        assert!(within.contains(&got[partition]), "{got:?}");
    }
}

#[test]
fn partitions_that_the_weights_leave_out_get_nothing() {
    let mut weights = Weights::new();
    weights.set([(1, 3), (2, 3)]);
    let got = spread(&java(1_000), (KEYLESS, &ALL), 100_000, Some(&weights));
    assert_eq!(got[0] + got[3] + got[4] + got[5], 0, "{got:?}");
}

#[test]
fn only_available_partitions_are_chosen_while_there_are_any() {
    for partitioning in [
        Partitioning::Java,
        Partitioning::RoundRobin,
        Partitioning::Sarama(Sarama::Random),
        Partitioning::KafkaJs(KafkaJs::Legacy),
    ] {
        let chooser = Chooser::new(&partitioning, false, 1_000);
        let mut weights = Weights::new();
        weights.set(ALL.map(|partition| (partition, 0)));
        let got = spread(&chooser, (KEYLESS, &[1, 4]), 10_000, Some(&weights));
        assert_eq!(got[1] + got[4], 10_000, "{partitioning:?}: {got:?}");
        assert!(got[1] > 3_000 && got[4] > 3_000);
        assert!(spread(&chooser, (KEYLESS, &[]), 10_000, None)[0] > 0);
    }
}

#[test]
fn a_sticky_partition_that_loses_its_leader_is_left_at_once() {
    let chooser = java(1_000_000);
    let first = chooser.choose(KEYLESS, six(&ALL), || 2, || None);
    assert_eq!(first.partition, 2);
    let second = chooser.choose(KEYLESS, six(&[1, 4]), || 0, || None);
    assert_eq!(second.partition, 1);
}

#[test]
fn a_partition_that_no_longer_exists_is_left_and_not_chosen_for_its_weight() {
    let chooser = java(1_000_000);
    assert_eq!(
        chooser.choose(KEYLESS, six(&ALL), || 5, || None).partition,
        5
    );
    for led in [&[][..], &[0, 1]] {
        let two = Partitions::new(NonZeroU32::new(2).unwrap(), led);
        let chosen = chooser.choose(KEYLESS, two, || 1, || Some(5));
        assert_eq!(chosen.partition, 1);
    }
}

#[test]
fn weights_and_chance_are_asked_only_when_a_switch_is_due() {
    let chooser = java(1_000);
    let chosen = chooser.choose(KEYLESS, six(&ALL), || panic!("no chance"), || Some(3));
    assert_eq!(chosen.partition, 3);
    chooser.handle_produced(999, true);
    let none = || panic!("no switch is due");
    assert_eq!(chooser.choose(KEYLESS, six(&ALL), || 0, none), chosen);
}

#[test]
fn any_random_number_gives_a_partition_of_the_topic() {
    for random in [0, 1, 5, 6, 0x7fff_ffff, 0x8000_0000, u64::MAX] {
        for partitioning in [Partitioning::Java, Partitioning::RoundRobin] {
            let chooser = Chooser::new(&partitioning, false, 1);
            let chosen = chooser.choose(KEYLESS, six(&[]), || random, || None);
            assert!((0..6).contains(&chosen.partition));
        }
    }
}

#[test]
fn round_robin_takes_every_partition_in_turn_with_and_without_key() {
    let chooser = Chooser::new(&Partitioning::RoundRobin, false, 1_000);
    let next = |record| chooser.choose(record, six(&ALL), || 3, || None).partition;
    let turn: Vec<_> = [KEYLESS, KEYED]
        .into_iter()
        .cycle()
        .take(8)
        .map(next)
        .collect();
    assert_eq!(turn, [2, 3, 4, 5, 0, 1, 2, 3]);
}

#[test]
fn keys_count_for_nothing_where_they_are_ignored() {
    let chooser = Chooser::new(&Partitioning::Java, true, 1_000);
    assert_even(spread(&chooser, (KEYED, &ALL), 600_000, None), 100_000);
    let keyed = java(1_000).choose(KEYED, six(&ALL), || 0, || None);
    assert!(!keyed.is_sticky);
}

#[test]
fn handles_of_several_threads_choose_each_for_itself() {
    let chooser = java(1_000);
    let counts: Vec<[u32; 6]> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let own = chooser.fresh();
                scope.spawn(move || spread(&own, (KEYLESS, &ALL), 100_000, None))
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    // Each sees the same as if it were alone.
    let alone = spread(&java(1_000), (KEYLESS, &ALL), 100_000, None);
    assert_eq!(counts, [alone; 4]);
}

#[test]
fn threads_that_share_one_still_spread_evenly() {
    let chooser = java(1_000);
    let mut got = [0; 6];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| spread(&chooser, (KEYLESS, &ALL), 150_000, None)))
            .collect();
        for thread in threads {
            for (sum, got) in got.iter_mut().zip(thread.join().unwrap()) {
                *sum += got;
            }
        }
    });
    assert_eq!(got.iter().sum::<u32>(), 600_000);
    assert!(got.iter().all(|&got| got > 50_000), "{got:?}");
}

/// Partition 7 for keys, which may not exist; its own choice without.
#[derive(Debug)]
struct Seven;

impl Partitioner for Seven {
    fn partition(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        partitions: &Partitions<'_>,
    ) -> Option<i32> {
        assert_eq!((topic, value), ("orders", None));
        assert_eq!(partitions.count().get(), 6);
        assert_eq!(partitions.available(), ALL);
        key.map(|_| 7)
    }
}

#[test]
fn the_users_own_choice_is_taken_as_it_is_or_left_to_the_sticky_one() {
    let chooser = Chooser::new(&Partitioning::custom(Seven), true, 1_000);
    let chosen = chooser.choose(KEYED, six(&ALL), || 0, || None);
    assert_eq!(chosen.partition, 7);
    assert!(!chosen.is_sticky);
    let sticky = chooser.choose(KEYLESS, six(&ALL), || 4, || None);
    assert_eq!(sticky.partition, 4);
    assert!(sticky.is_sticky);
    assert_eq!(
        chooser.fresh().choose(KEYED, six(&ALL), || 0, || None),
        chosen
    );
}

#[test]
fn names_are_read_as_javas_classes_and_other_clients_names() {
    let parse = |name: &str| format!("{:?}", name.parse::<Partitioning>());
    let class = "org.apache.kafka.clients.producer.";
    assert_eq!(
        parse(&format!("{class}RoundRobinPartitioner")),
        "Ok(RoundRobin)"
    );
    assert_eq!(
        parse(&format!("{class}UniformStickyPartitioner")),
        "Ok(FranzGo(Sticky))"
    );
    assert_eq!(
        parse(&format!("{class}internals.DefaultPartitioner")),
        "Ok(Java)"
    );
    assert_eq!(parse("fnv1a_random"), "Ok(Librdkafka(Fnv1aRandom))");
    assert_eq!(parse("com.example.Mine"), "Err(UnknownPartitioning)");
}
