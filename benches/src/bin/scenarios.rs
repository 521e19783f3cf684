//! Situations in which a client easily does worse than it should: `scenarios [NAME]…`, all unless
//! some are named. A line each, with the figure and its ratio to that without the difficulty.

#![forbid(unsafe_code)]

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum as _};
use milena_benches::scenarios::{Options, Scenario};

#[derive(Parser)]
#[command(about)]
struct Cli {
    /// Which ones
    scenarios: Vec<Scenario>,
    /// Records in a measurement at full speed
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    records: u64,
    /// How many seconds nothing is done, in `idle`
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    idle: u64,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let options = Options {
        records: cli.records,
        idle: Duration::from_secs(cli.idle),
    };
    let all = Scenario::value_variants().to_vec();
    let chosen = if cli.scenarios.is_empty() {
        all
    } else {
        cli.scenarios
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    for scenario in chosen {
        for line in runtime.block_on(scenario.run(options))? {
            println!("{line}");
        }
    }
    Ok(())
}
