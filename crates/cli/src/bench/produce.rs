//! `milena bench produce`: as fast as it goes, or at a rate.

use milena::{Fate, Producer, Record, SendError, TopicHandle};

use super::meter::Meter;
use super::pace::Pace;
use super::window::Window;
use super::{Setup, ring};
use crate::args::Load;
use crate::connection::soon;
use crate::failure::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::{print, records};

/// After how many records a loop at full speed looks whether it was interrupted.
const LOOK: u64 = 1024;

pub(super) async fn run(setup: Setup, load: Load, rate: Option<u64>) -> Result<(), Failure> {
    let payloads = ring::payloads(load.size, load.count);
    let mut meter = Meter::start();
    let client = setup.connect(&load, &[]).await?;
    let producer = client.producer().build().await.map_err(Failure::usage)?;
    let topic = producer.topic(&load.topic).await.map_err(not_accepted)?;
    meter.begin();
    let mut run = Run {
        producer: &producer,
        topic: &topic,
        load: &load,
        payloads: &payloads,
        pace: rate.map(|rate| Pace::new(meter.began(), rate)),
        window: Window::new(setup.knobs.window(load.size)),
        interrupt: Interrupt::listen(),
        sent: 0,
    };
    let ended = run.all().await;
    // The receipts say what became of the records; flushing ends the lingering.
    let _ = producer.flush().await;
    run.window.drain().await;
    let Run { sent, window, .. } = run;
    let counts = [
        ("sent", sent),
        ("acked", window.acked),
        ("failed", window.failed()),
    ];
    print(&meter.line("produce", &load, window.acked, &counts))?;
    producer.close(soon()).await;
    client.close(soon()).await;
    match (ended, failed(&window)) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(failure)) => Err(failure),
        (Err(failure), failed) => Err(Failure {
            more: failed.into_iter().map(|failed| failed.message).collect(),
            ..failure
        }),
    }
}

struct Run<'a> {
    producer: &'a Producer,
    topic: &'a TopicHandle,
    load: &'a Load,
    payloads: &'a [Vec<u8>],
    pace: Option<Pace>,
    window: Window,
    interrupt: Interrupt,
    sent: u64,
}

impl Run<'_> {
    /// Sends all records, or those before an interrupt or a record that was not accepted.
    async fn all(&mut self) -> Result<(), Failure> {
        let payloads = self.payloads.iter().cycle();
        for (number, payload) in (0..self.load.count).zip(payloads) {
            if number % LOOK == 0 && self.interrupt.happened() {
                return Err(interrupted());
            }
            self.wait(number).await?;
            let record = Record::to(self.topic).value(payload);
            let receipt = self.producer.send(record).await.map_err(not_accepted)?;
            self.sent += 1;
            self.window.push(receipt).await;
        }
        Ok(())
    }

    /// Waits until the record of this number is due.
    async fn wait(&mut self, number: u64) -> Result<(), Failure> {
        let Some(pace) = self.pace else {
            return Ok(());
        };
        tokio::select! {
            biased;
            () = self.interrupt.wait() => Err(interrupted()),
            () = pace.due(number) => Ok(()),
        }
    }
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted")
}

pub(super) fn not_accepted(error: SendError) -> Failure {
    match error {
        SendError::Topic(error) => error.into(),
        SendError::BufferFull { .. } => Failure::new(Exit::Unreachable, error),
        other => Failure::failed(other),
    }
}

/// What to say if not every record that was sent has been acknowledged.
fn failed(window: &Window) -> Option<Failure> {
    let first = window.first_failure.as_ref()?;
    let fate = match first.fate() {
        Fate::NotWritten => "not written",
        Fate::MaybeWritten => "perhaps written",
    };
    Some(Failure::failed(format!(
        "{} not written, {} perhaps written; the first was {fate}: {first}",
        records(window.not_written),
        window.maybe_written
    )))
}
