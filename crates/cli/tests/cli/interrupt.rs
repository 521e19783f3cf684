//! ^C: what was accepted is flushed and reported.

use crate::support::{Broker, milena};

#[test]
fn produce_flushes_what_lingers_and_reports_it() {
    let broker = Broker::start();
    milena(&["topic", "create", "t"]).on(&broker).run().ok();
    let args = ["produce", "t", "--linger-ms", "60000"];
    let mut producing = milena(&args).on(&broker).start_typing();
    // More than a pipe and a batch hold, so that the first batch shows that lines are being read.
    for _ in 0..15 {
        producing.write(&[b"x".repeat(100_000), b"\n".to_vec()].concat());
    }
    milena(&["consume", "t", "-n", "9"]).on(&broker).run().ok();
    producing.interrupt();
    let run = producing.finish().fails(130, &["interrupted"]);
    let written = broker.consume("t", &["--format", "%p"]).len();
    let report = format!("milena: {written} records sent, {written} acknowledged\n");
    assert!((14..=15).contains(&written), "{written}: {}", run.err);
    assert!(run.err.ends_with(&report), "{report}: {}", run.err);
}

#[test]
fn consume_prints_what_it_has_and_reports_how_much() {
    let broker = Broker::start();
    broker.produce("t", "a\nb\n");
    let mut consuming = milena(&["consume", "t"]).on(&broker).start();
    consuming.wait_for_out("b\n");
    consuming.interrupt();
    let run = consuming
        .finish()
        .fails(130, &["interrupted", "2 records read"]);
    assert_eq!(run.out, b"a\nb\n");
}

#[test]
fn a_broker_ends_in_order() {
    let mut broker = milena(&["broker", "--listen", "127.0.0.1:0"]).start();
    let bootstrap = broker.wait_for_out("\n");
    broker.interrupt();
    assert_eq!(broker.finish().text(), bootstrap);
}
