//! `milena broker`: the embedded broker as a process.

use crate::args::Broker as Args;
use crate::failure::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::{note, print};

/// Runs until it is interrupted. Prints the bootstrap list, alone, on standard output once it
/// answers there.
pub(crate) async fn run(args: &Args, quiet: bool) -> Result<(), Failure> {
    let broker = milena::broker::Broker::builder()
        .nodes(args.nodes)
        .partitions(args.partitions)
        .listen(args.listen.to_string())
        .start()
        .await
        .map_err(|error| Failure::new(Exit::Failed, error))?;
    let mut interrupt = Interrupt::listen();
    print(&format!("{}\n", broker.bootstrap()))?;
    note(
        quiet,
        "everything is kept in memory only and is gone when this ends, with ^C",
    );
    interrupt.wait().await;
    broker.close().await;
    Ok(())
}
