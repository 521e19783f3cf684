//! Every fuzz target takes its seeds and mutations of them. A fuzzer does more: `fuzz/README.md`.

use std::collections::BTreeSet;
use std::fs;

use protocol_tests::fuzz::TARGETS;
use protocol_tests::mutate::{run, seeds_dir};
use protocol_tests::seeds;

#[test]
fn requests_take_mutated_seeds() {
    run("requests", 20_000);
}

#[test]
fn responses_take_mutated_seeds() {
    run("responses", 20_000);
}

#[test]
fn data_messages_take_mutated_seeds() {
    run("data_messages", 20_000);
}

#[test]
fn frames_take_mutated_seeds() {
    run("frames", 20_000);
}

#[test]
fn fetch_answers_take_mutated_seeds() {
    run("fetch_answers", 20_000);
}

#[test]
fn record_batches_take_mutated_seeds() {
    run("record_batches", 5_000);
}

#[test]
fn the_batch_builder_takes_mutated_seeds() {
    run("batch_builder", 1_000);
}

#[test]
fn sasl_takes_mutated_seeds() {
    run("sasl", 2_000);
}

#[test]
fn each_target_is_a_program_and_the_other_way_round() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let programs: BTreeSet<String> = fs::read_dir(protocol_tests::file("../fuzz/fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(programs, targets);
    let manifest = fs::read_to_string(protocol_tests::file("../fuzz/Cargo.toml")).unwrap();
    for target in targets {
        assert!(
            manifest.contains(&format!("name = \"{target}\"")),
            "{target}"
        );
    }
}

#[test]
fn the_committed_seeds_are_the_generated_ones() {
    let mut expected = BTreeSet::new();
    for seed in seeds::all() {
        let path = seeds_dir(seed.target).join(&seed.name);
        let committed = fs::read(&path).unwrap_or_default();
        assert!(
            committed == seed.bytes,
            "{} is not as generated: cargo run -p protocol-tests --bin seeds",
            path.display()
        );
        expected.insert(path);
    }
    let directories = TARGETS.iter().map(|(target, _)| seeds_dir(target));
    let files = directories.flat_map(|dir| fs::read_dir(dir).unwrap());
    // Inputs that failed once stay as seeds; they are named so.
    let others = files
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_name().to_str().unwrap().starts_with("once-"))
        .filter(|entry| !expected.contains(&entry.path()));
    assert_eq!(others.count(), 0);
}
