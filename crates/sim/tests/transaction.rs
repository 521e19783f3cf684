//! The transactional core under faults (rows R6, R10 and R18).
//!
//! A failure names its seed; `MILENA_SEED=<seed> cargo test -p milena-sim --test transaction -- replay
//! --nocapture` runs that one again and prints its last steps. The full row: `cargo test -p milena-sim
//! --test transaction -- --ignored --nocapture`.

use std::thread;

use milena_sim::Trace;
use milena_sim::transaction::{Plan, Report, Violation, World};

const SEEDS: u64 = 5_000;
const STEPS: u64 = 600;
const FULL_SEEDS: u64 = 20_000;
const FULL_STEPS: u64 = 3_000;

fn run(seed: u64, steps: u64, trace: Trace) -> (Result<Report, Violation>, World) {
    let plan = Plan::from_seed(seed, steps);
    let mut world = World::new(seed, &plan, trace);
    (world.run(), world)
}

/// Runs all seeds on all cores.
fn run_all(seeds: u64, steps: u64) -> Report {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = |first: usize| -> Vec<_> {
        let seeds = (first as u64..seeds).step_by(threads);
        seeds
            .map(|seed| (seed, run(seed, steps, Trace::new()).0))
            .collect()
    };
    let results: Vec<(u64, Result<Report, Violation>)> = thread::scope(|scope| {
        let spawn = |first| scope.spawn(move || share(first));
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
        for (seed, violation) in failed.iter().take(12) {
            println!("seed {seed}: {violation}");
        }
        panic!(
            "{count} seeds failed, the first: {}",
            message(*seed, steps, violation)
        );
    }
    total
}

fn message(seed: u64, steps: u64, violation: &Violation) -> String {
    format!(
        "seed {seed}: {violation}\nreplay: MILENA_SEED={seed} MILENA_STEPS={steps} \
         cargo test -p milena-sim --test transaction -- replay --nocapture"
    )
}

fn expect(seed: u64, steps: u64) -> Report {
    let result = run(seed, steps, Trace::new()).0;
    result.unwrap_or_else(|violation| panic!("{}", message(seed, steps, &violation)))
}

fn add(total: &mut Report, one: &Report) {
    total.cuts += one.cuts;
    total.late += one.late;
    total.moves += one.moves;
    total.takeovers += one.takeovers;
    total.timeouts += one.timeouts;
    total.deadlines += one.deadlines;
    total.bumps += one.bumps;
    total.levels += one.levels;
    total.begun += one.begun;
    total.committed += one.committed;
    total.aborted += one.aborted;
    total.unknown += one.unknown;
    total.resolved += one.resolved;
    total.unknown_committed += one.unknown_committed;
    total.unknown_aborted += one.unknown_aborted;
    total.fatal += one.fatal;
    total.fenced += one.fenced;
    total.offsets += one.offsets;
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().expect(name))
}

/// R6 and R10: nothing torn, leaked, lost, stuck or lied about.
#[test]
fn five_thousand_seeds_tear_no_transaction() {
    let total = run_all(SEEDS, STEPS);
    println!("{total:#?}");
    assert!(total.cuts > 40_000 && total.late > 5_000 && total.moves > 10_000);
    assert!(total.committed > 10_000 && total.aborted > 10_000 && total.offsets > 4_000);
    assert!(total.takeovers > 3_000 && total.timeouts > 300 && total.levels > 5_000);
    assert!(total.deadlines > 5_000 && total.resolved > 2_000 && total.bumps > 3_000);
    assert!(total.unknown_committed > 200 && total.unknown_aborted > 200);
}

#[test]
#[ignore = "the full row"]
fn the_full_row_tears_no_transaction() {
    let total = run_all(FULL_SEEDS, FULL_STEPS);
    println!("{total:#?}");
}

/// R18.
#[test]
fn a_seed_has_one_trace() {
    for seed in 0..300 {
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
        (0..300).map(|seed| expect(seed, STEPS).trace).collect();
    assert_eq!(traces.len(), 300, "different seeds differ");
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
