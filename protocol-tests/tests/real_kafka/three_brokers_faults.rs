//! Rounds of faults under load: brokers are killed, stopped, paused and restarted in turn, leaders
//! elected, or connections cut.
//!
//! By default one short round of some faults. For whole rounds of all of them, of a minute or more
//! for each fault, which comes in the middle third (3 rounds take 20 minutes, 20 take two hours):
//!
//! ```sh
//! MILENA_ROUNDS=3 cargo xtask kafka test rounds_of_faults --nocapture
//! MILENA_TEST_SECONDS=60 cargo xtask kafka test cuts_of_every_connection --nocapture
//! ```

use std::time::Duration;

use crate::faults::Fault;
use crate::outcomes::Tally;
use crate::paced::World;
use crate::world::soon;

/// In seconds.
const SHORT: u64 = 6;
const LONG: u64 = 60;
const CUTTING: u64 = 12;
const SHORT_FAULTS: &[Fault] = &[
    Fault::Kill,
    // More than the hurried producer waits, less than the cluster waits for a broker.
    Fault::Pause(Duration::from_secs(5)),
    Fault::Elections(5),
];
const LONG_FAULTS: &[Fault] = &[
    Fault::Kill,
    Fault::Stop,
    Fault::Pause(Duration::from_secs(20)),
    Fault::Rolling,
    Fault::Elections(25),
];
/// Between two cuts: no multiple of what paces the records, so that each finds another number in
/// flight.
const CUTS: Duration = Duration::from_millis(503);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn the_log_agrees_with_what_was_told_after_rounds_of_faults() {
    let rounds = number("MILENA_ROUNDS");
    let (seconds, faults) = match rounds {
        Some(_) => (LONG, LONG_FAULTS),
        None => (SHORT, SHORT_FAULTS),
    };
    let (length, rounds) = (Duration::from_secs(seconds), rounds.unwrap_or(1));
    let world = World::new().await;
    let mut totals = vec![[Tally::default(); 2]; faults.len()];
    for round in 1..=rounds {
        for (place, fault) in faults.iter().enumerate() {
            let name = format!("round-{round}-{place}");
            let run = world.run(&name, length, Some(*fault)).await;
            println!("round {round} of {rounds}, {fault}: {run}");
            assert_eq!(run.patient.failures(), 0);
            let failures = run.hurried.failures();
            match fault {
                Fault::Kill | Fault::Pause(_) => {
                    assert!(failures > 0, "it does not wait for another leader");
                }
                Fault::Elections(count) => assert!(run.events.moves() > *count),
                _ => {}
            }
            totals[place][0] += run.patient;
            totals[place][1] += run.hurried;
        }
    }
    for (fault, [patient, hurried]) in faults.iter().zip(totals) {
        println!("{rounds} × {fault}: patient: {patient}; hurried: {hurried}");
    }
    world.client.close(soon()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn the_log_agrees_with_what_was_told_after_cuts_of_every_connection() {
    let world = World::new().await;
    let length = Duration::from_secs(number("MILENA_TEST_SECONDS").unwrap_or(CUTTING));
    let run = async {
        tokio::select! {
            biased;
            run = world.run("cuts", length, None) => run,
            never = world.cutting.cut_every(CUTS) => match never {},
        }
    };
    let run = run.await;
    let (retries, cuts) = (run.events.retries(), world.cutting.cuts());
    println!("{cuts} connections cut: {run}");
    assert_eq!(run.patient.failures(), 0);
    assert!(cuts > 0 && retries > cuts, "several batches were in flight");
    world.client.close(soon()).await;
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
    )
}
