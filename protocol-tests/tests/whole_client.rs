//! The whole client (connections, calls, producer) on the embedded cluster of three nodes, on
//! virtual time, with faults from a seed (rows R2, R5, R10 and R18).
//!
//! Connections are cut at any byte in both directions, or fall silent; requests are refused, delayed
//! beyond every deadline and still executed, executed without an answer, or throttled; leaders move,
//! with and without what was not replicated; nodes stop, die and come back; limits change, topics are
//! deleted and created again, hours pass and brokers forget. Then everything heals.
//!
//! - I1. What was told of each record agrees with the logs, by the promise of its `acks`.
//! - I2. Every receipt resolves, in order where records are acknowledged, and the reports of `flush`
//!   and `close` add up to them.
//! - I3. Once healed, everything is delivered, and all memory comes back.
//! - I4. A seed has one trace.
//!
//! A failure names its seed; `MILENA_SEED=<seed> cargo test -p protocol-tests --test whole_client --
//! replay --nocapture` runs that one again. The full rows:
//! `MILENA_FULL=1 cargo test -p protocol-tests --test whole_client -- --nocapture`, some minutes.

#[path = "producer/fuse.rs"]
mod fuse;
#[path = "whole_client/ledger.rs"]
mod ledger;
#[path = "whole_client/nemesis.rs"]
mod nemesis;
#[path = "whole_client/plan.rs"]
mod plan;
#[path = "whole_client/run.rs"]
mod run;
#[path = "whole_client/verdicts.rs"]
mod verdicts;
#[path = "whole_client/wires.rs"]
mod wires;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use plan::{Load, Plan};
use run::Report;

const SEEDS: u64 = 40;
const FULL_SEEDS: u64 = 3_000;
const FAILING_SEEDS: u64 = 4;
const FULL_FAILING_SEEDS: u64 = 450;

/// Whether the full rows are wanted, not the few seeds of every run.
fn is_full() -> bool {
    std::env::var_os("MILENA_FULL").is_some()
}

fn run(seed: u64, load: Load) -> Report {
    run::run(seed, &Plan::from_seed(seed, load))
}

/// Runs all seeds on all cores.
fn run_all(seeds: u64, load: Load) -> Report {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = |first: usize| -> Vec<(u64, Option<Report>)> {
        let seeds = (first as u64..seeds).step_by(threads);
        let one = |seed| catch_unwind(AssertUnwindSafe(|| run(seed, load))).ok();
        seeds.map(|seed| (seed, one(seed))).collect()
    };
    let results: Vec<_> = thread::scope(|scope| {
        let spawn = |first| scope.spawn(move || share(first));
        let handles: Vec<_> = (0..threads).map(spawn).collect();
        let all = handles.into_iter().map(|handle| handle.join().unwrap());
        all.flatten().collect()
    });
    let mut total = Report::default();
    let mut failed = Vec::new();
    for (seed, report) in results {
        match report {
            Some(report) => total.add(&report),
            None => failed.push(seed),
        }
    }
    failed.sort_unstable();
    if let Some(first) = failed.first() {
        let load = load.name();
        panic!(
            "{} seeds failed: {failed:?}; replay the first: MILENA_SEED={first} MILENA_LOAD={load} \
             cargo test -p protocol-tests --test whole_client -- replay --nocapture",
            failed.len()
        );
    }
    println!("{total:#?}");
    total
}

/// R2 and R10.
#[test]
fn whatever_happens_every_promise_is_kept() {
    if is_full() {
        let total = run_all(FULL_SEEDS, Load::Mixed);
        assert!(total.cuts > 10_000 && total.leader_moves > 1_000 && total.restarts > 200);
        return;
    }
    let total = run_all(SEEDS, Load::Mixed);
    assert!(total.cuts > 200 && total.leader_moves > 50 && total.restarts > 10);
    assert!(total.acknowledged > 5_000 && total.maybe_written > 100 && total.not_written > 100);
    assert!(total.late > 50 && total.splits > 5 && total.recreated > 0);
}

/// R5.
#[test]
fn what_is_told_of_failed_records_is_true() {
    if is_full() {
        let total = run_all(FULL_FAILING_SEEDS, Load::Failing);
        assert!(total.not_written + total.maybe_written > 1_000_000);
        return;
    }
    let total = run_all(FAILING_SEEDS, Load::Failing);
    assert!(total.not_written > 1_000 && total.maybe_written > 1_000);
    assert!(total.maybe_present > 100);
}

/// R18.
#[test]
fn a_seed_has_one_trace() {
    for seed in 0..8 {
        assert_eq!(
            run(seed, Load::Mixed),
            run(seed, Load::Mixed),
            "seed {seed}"
        );
    }
    assert_ne!(run(0, Load::Mixed).trace, run(1, Load::Mixed).trace);
}

#[test]
fn replay() {
    let Ok(seed) = std::env::var("MILENA_SEED") else {
        return;
    };
    let load = Load::named(&std::env::var("MILENA_LOAD").unwrap_or_default());
    let seed = seed.parse().expect("MILENA_SEED is a number");
    println!("{:#?}", Plan::from_seed(seed, load));
    println!("{:#?}", run(seed, load));
}
