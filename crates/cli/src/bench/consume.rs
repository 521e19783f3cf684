//! `milena bench consume`: partitions from their beginning, until there are enough records.

use std::time::Duration;

use futures_util::FutureExt as _;
use milena::{Batch, Consumer, Start};

use super::Setup;
use super::meter::Meter;
use crate::args::Load;
use crate::connection::soon;
use crate::failure::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::{print, records};

/// How long nothing may come before that is a failure.
const STALLED: Duration = Duration::from_secs(20);

pub(super) async fn run(setup: Setup, load: Load) -> Result<(), Failure> {
    let mut meter = Meter::start();
    let client = setup.connect(&load, &[]).await?;
    setup.look_up(&client, &load.topic).await?;
    meter.begin();
    let consumer = client
        .consumer()
        .partitions(&load.topic, 0..load.partitions)
        .from(Start::Beginning);
    let mut consumer = consumer.build().await?;
    let mut run = Run {
        left: load.count,
        bytes: 0,
        interrupt: Interrupt::listen(),
    };
    run.all(&mut consumer).await?;
    let line = meter.line("consume", &load, load.count, &[]);
    let expected = u128::from(load.count) * load.size as u128;
    if run.bytes != expected {
        return Err(Failure::failed(format!(
            "the values have {} bytes, not {expected}: topic {} holds records of another size than \
             {}; give their --size",
            run.bytes, load.topic, load.size
        )));
    }
    print(&line)?;
    consumer.close(soon()).await;
    client.close(soon()).await;
    Ok(())
}

struct Run {
    left: u64,
    bytes: u128,
    interrupt: Interrupt,
}

impl Run {
    async fn all(&mut self, consumer: &mut Consumer) -> Result<(), Failure> {
        while self.left > 0 {
            let batch = self.next(consumer).await?;
            self.take(&batch);
        }
        Ok(())
    }

    /// The next batch. There is no timer while there are some.
    async fn next(&mut self, consumer: &mut Consumer) -> Result<Batch, Failure> {
        let next = match consumer.next_batch().now_or_never() {
            Some(ready) => ready?,
            None => tokio::select! {
                biased;
                () = self.interrupt.wait() => {
                    return Err(Failure::new(Exit::Interrupted, "interrupted"));
                }
                next = tokio::time::timeout(STALLED, consumer.next_batch()) => {
                    next.map_err(|_| self.stalled())??
                }
            },
        };
        next.ok_or_else(|| Failure::failed("the consumer was closed"))
    }

    fn stalled(&self) -> Failure {
        let text = format!(
            "nothing came for {STALLED:?}, and {} are missing; give a --count that the topic holds",
            records(self.left)
        );
        Failure::new(Exit::Unreachable, text)
    }

    /// Counts a batch's records, as far as they are wanted.
    fn take(&mut self, batch: &Batch) {
        let mut bytes = 0;
        let mut count = 0;
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        for record in batch.iter().take(wanted) {
            bytes += record.value.map_or(0, <[u8]>::len);
            count += 1;
        }
        self.bytes += bytes as u128;
        self.left -= count;
    }
}
