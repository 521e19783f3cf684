//! Against what the original clients did: see `vectors/generate/README.md`.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use crate::{Chooser, Keyed, Partitioning, Partitions};

const KEYS: &str = include_str!("../vectors/keys.txt");

/// Checks all partitioners in `vectors` and returns the number of rows that each of them has.
fn check(vectors: &str) -> Vec<(&str, usize)> {
    let keys: Vec<Option<Vec<u8>>> = KEYS.lines().map(key).collect();
    let mut lines = vectors.lines().skip_while(|line| line.starts_with('#'));
    let counts = lines.next().unwrap().strip_prefix("counts ").unwrap();
    let counts: Vec<NonZeroU32> = counts.split(' ').map(|n| n.parse().unwrap()).collect();
    let mut checked = Vec::new();
    while let Some(name) = lines.next() {
        let name = name.strip_prefix("partitioner ").unwrap();
        let partitioning: Partitioning = name.parse().unwrap();
        let mut rows = 0;
        for key in &keys {
            let row: Vec<&str> = lines.next().unwrap().split(' ').collect();
            assert_eq!(row.len(), counts.len());
            let varies = row.contains(&"*");
            for (&count, &expected) in counts.iter().zip(&row) {
                let chosen = choices(&partitioning, key.as_deref(), count);
                let what = format!("{name} of {key:02x?} with {count} partitions");
                if varies {
                    assert!(chosen.len() > 1 || count.get() == 1, "{what}");
                } else {
                    let expected = expected.parse().unwrap();
                    assert_eq!(chosen, BTreeSet::from([expected]), "{what}");
                }
                rows += 1;
            }
        }
        checked.push((name, rows));
    }
    checked
}

fn key(line: &str) -> Option<Vec<u8>> {
    (line != "null").then(|| {
        let bytes = line.as_bytes().chunks(2);
        let byte = |hex| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap();
        bytes.map(byte).collect()
    })
}

/// What several choosers choose for several records each.
fn choices(partitioning: &Partitioning, key: Option<&[u8]>, count: NonZeroU32) -> BTreeSet<i32> {
    let record = Keyed {
        topic: "orders",
        key,
        value: None,
    };
    let partitions = Partitions::new(count, &[]);
    let mut chosen = BTreeSet::new();
    for random in 0..3 {
        let chooser = Chooser::new(partitioning, false, 1);
        for _ in 0..6 {
            let choice = chooser.choose(record, partitions, || random, || None);
            chosen.insert(choice.partition);
        }
    }
    chosen
}

fn assert_checked(vectors: &str, names: &[&str]) {
    let expected: Vec<_> = names.iter().map(|name| (*name, 3_020)).collect();
    assert_eq!(check(vectors), expected);
}

#[test]
fn keys_go_where_the_java_client_puts_them() {
    assert_checked(include_str!("../vectors/java.txt"), &["java"]);
}

#[test]
fn keys_go_where_librdkafka_puts_them() {
    assert_checked(
        include_str!("../vectors/librdkafka.txt"),
        &[
            "consistent_random",
            "consistent",
            "random",
            "murmur2",
            "murmur2_random",
            "fnv1a",
            "fnv1a_random",
        ],
    );
}

#[test]
fn keys_go_where_sarama_puts_them() {
    assert_checked(
        include_str!("../vectors/sarama.txt"),
        &[
            "sarama_hash",
            "sarama_reference_hash",
            "sarama_consistent_crc",
            "sarama_murmur2",
            "sarama_random",
            "sarama_manual",
            "round_robin",
        ],
    );
}

#[test]
fn keys_go_where_kafkajs_puts_them() {
    assert_checked(
        include_str!("../vectors/kafkajs.txt"),
        &["kafkajs_default", "kafkajs_legacy"],
    );
}

#[test]
fn keys_go_where_franz_go_puts_them() {
    assert_checked(
        include_str!("../vectors/franz-go.txt"),
        &[
            "franz_sticky_key",
            "franz_sticky",
            "franz_sarama_compat",
            "franz_sarama_hasher",
        ],
    );
}
