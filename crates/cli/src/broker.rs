//! `milena broker`: the embedded broker as a process.

use std::io::Write;

use crate::args::Broker as Args;
use crate::failure::{Exit, Failure};
use crate::interrupt::Interrupt;

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
    let mut stdout = std::io::stdout().lock();
    let printed = writeln!(stdout, "{}", broker.bootstrap()).and_then(|()| stdout.flush());
    drop(stdout);
    printed
        .map_err(|error| Failure::failed(format!("cannot write to standard output: {error}")))?;
    if !quiet {
        eprintln!(
            "milena: {} node(s); everything is kept in memory only; ^C ends it",
            args.nodes
        );
    }
    Interrupt::listen().wait().await;
    broker.close().await;
    Ok(())
}
