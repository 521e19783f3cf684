//! The idempotent core under faults (rows R1, R10 and R18).
//!
//! A failure names its seed; `MILENA_SEED=<seed> cargo test -p milena-sim --test sequencer -- replay
//! --nocapture` runs that one again and prints its last steps. The full row, with more than two
//! million cuts: `cargo test -p milena-sim --test sequencer -- --ignored --nocapture`.

use std::thread;

use milena_sim::history::Violation;
use milena_sim::world::{Report, World};
use milena_sim::{Plan, Trace};

const SEEDS: u64 = 20_000;
const STEPS: u64 = 800;
const FULL_STEPS: u64 = 3_000;

fn run(seed: u64, steps: u64, trace: Trace) -> (Result<Report, Violation>, World) {
    let plan = Plan::from_seed(seed, steps);
    let mut world = World::new(seed, &plan, trace);
    (world.run(), world)
}

/// Runs all seeds on all cores.
fn run_all(seeds: u64, steps: u64) -> Report {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = |first: usize| {
        let seeds = (first as u64..seeds).step_by(threads);
        seeds
            .map(|seed| (seed, run(seed, steps, Trace::new()).0))
            .collect()
    };
    let results: Vec<(u64, Result<Report, Violation>)> = thread::scope(|scope| {
        let spawn = |first| scope.spawn(move || -> Vec<_> { share(first) });
        let handles: Vec<_> = (0..threads).map(spawn).collect();
        let join = |handle: thread::ScopedJoinHandle<'_, Vec<_>>| handle.join().unwrap();
        handles.into_iter().flat_map(join).collect()
    });
    let mut total = Report::default();
    let mut failed = Vec::new();
    for (seed, result) in results {
        match result {
            Ok(report) => add(&mut total, &report),
            Err(violation) => failed.push((seed, violation)),
        }
    }
    if let Some((seed, violation)) = failed.iter().min_by_key(|(seed, _)| *seed) {
        let count = failed.len();
        panic!(
            "{count} seeds failed, the first: {}",
            message(*seed, steps, violation)
        );
    }
    total
}

fn expect(seed: u64, steps: u64) -> Report {
    let result = run(seed, steps, Trace::new()).0;
    result.unwrap_or_else(|violation| panic!("{}", message(seed, steps, &violation)))
}

fn message(seed: u64, steps: u64, violation: &Violation) -> String {
    format!(
        "seed {seed}: {violation}\nreplay: MILENA_SEED={seed} MILENA_STEPS={steps} \
         cargo test -p milena-sim --test sequencer -- replay --nocapture"
    )
}

fn add(total: &mut Report, one: &Report) {
    total.cuts += one.cuts;
    total.leader_moves += one.leader_moves;
    total.late += one.late;
    total.expiries += one.expiries;
    total.bumps += one.bumps;
    total.exhausted += one.exhausted;
    total.splits += one.splits;
    total.most_in_flight = total.most_in_flight.max(one.most_in_flight);
    total.ends.add(&one.ends);
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().expect(name))
}

/// R1 and R10: nothing lost, duplicated, reordered, stuck or lied about.
#[test]
fn twenty_thousand_seeds_keep_every_promise() {
    let total = run_all(SEEDS, STEPS);
    println!("{total:#?}");
    assert!(total.cuts > 500_000 && total.leader_moves > 100_000 && total.late > 200_000);
    assert!(total.expiries > 20_000 && total.exhausted > 1_000 && total.most_in_flight == 5);
    assert!(total.splits > 20_000);
    assert!(total.ends.maybe_present > 10_000 && total.ends.maybe_absent > 10_000);
}

#[test]
#[ignore = "a quarter of a minute on two cores: the full row"]
fn the_full_row_has_two_million_cuts() {
    let total = run_all(SEEDS, FULL_STEPS);
    println!("{total:#?}");
    assert!(total.cuts > 2_000_000);
}

/// R18.
#[test]
fn a_seed_has_one_trace() {
    for seed in 0..500 {
        let (first, second) = (expect(seed, STEPS), expect(seed, STEPS));
        assert_eq!(first, second, "seed {seed}");
        let (kept, _) = run(seed, STEPS, Trace::keeping(10));
        assert_eq!(
            kept,
            Ok(first),
            "seed {seed}: keeping lines changes nothing"
        );
    }
    let traces: std::collections::BTreeSet<_> =
        (0..500).map(|seed| expect(seed, STEPS).trace).collect();
    assert_eq!(traces.len(), 500, "different seeds differ");
}

/// One seed as text, or with `MILENA_SEEDS` so many of them.
#[test]
fn replay() {
    if let Some(seeds) = number("MILENA_SEEDS") {
        run_all(seeds, STEPS);
        return;
    }
    let Some(seed) = number("MILENA_SEED") else {
        return;
    };
    let lines = usize::try_from(number("MILENA_LINES").unwrap_or(120)).unwrap();
    let steps = number("MILENA_STEPS").unwrap_or(STEPS);
    let (result, world) = run(seed, steps, Trace::keeping(lines));
    println!("{:#?}", Plan::from_seed(seed, steps));
    for line in world.trace().lines() {
        println!("{line}");
    }
    println!(
        "{:#?}",
        result.unwrap_or_else(|violation| panic!("seed {seed}: {violation}"))
    );
}
