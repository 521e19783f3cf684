//! `replay messages|batches FILE`: holds the codec to a file of Apache Kafka's own bytes.
//!
//! Exit 0 when all passed, 1 when any failed or there was nothing, 2 when the file cannot be read.

use std::env;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::process::ExitCode;

use protocol_tests::replay::{self, Report};

const USAGE: &str = "usage: replay messages|batches FILE";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let fields: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [what @ ("messages" | "batches"), path] = fields[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(what, path) {
        Ok(report) if report.is_success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot replay {path}: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(what: &str, path: &str) -> io::Result<Report> {
    let input = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut out = io::stdout().lock();
    let report = match what {
        "messages" => replay::messages(input, &mut out),
        _ => replay::batches(input, &mut out),
    }?;
    writeln!(out, "{report}")?;
    Ok(report)
}
