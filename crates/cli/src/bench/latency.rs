//! `milena bench latency`: a record, its acknowledgement, the next record.

use std::time::Instant;

use milena::Record;

use super::meter::Meter;
use super::produce::not_accepted;
use super::{Setup, ring};
use crate::args::Load;
use crate::connection::soon;
use crate::failure::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::print;

/// Trips before those that count.
const WARM_UP: u64 = 200;

pub(super) async fn run(setup: Setup, load: Load) -> Result<(), Failure> {
    if load.count == 0 {
        return Err(Failure::usage("--count 0: a round trip is the least"));
    }
    let total = load.count.saturating_add(WARM_UP);
    let payloads = ring::payloads(load.size, total);
    let client = setup.connect(&load, &[("linger.ms", "0")]).await?;
    let producer = client.producer().build().await.map_err(Failure::usage)?;
    let topic = producer.topic(&load.topic).await.map_err(not_accepted)?;
    let interrupt = Interrupt::listen();
    let mut meter = Meter::start();
    let mut trips = Vec::new();
    for (number, payload) in (0..total).zip(payloads.iter().cycle()) {
        if number == WARM_UP {
            meter = Meter::start();
        }
        if interrupt.happened() {
            return Err(Failure::new(Exit::Interrupted, "interrupted"));
        }
        let began = Instant::now();
        let record = Record::to(&topic).value(payload);
        let receipt = producer.send(record).await.map_err(Failure::failed)?;
        receipt.await.map_err(Failure::failed)?;
        if number >= WARM_UP {
            trips.push(began.elapsed());
        }
    }
    print(&meter.trips(&load, trips))?;
    producer.close(soon()).await;
    client.close(soon()).await;
    Ok(())
}
