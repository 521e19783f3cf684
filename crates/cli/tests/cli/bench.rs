//! `milena bench`, on the embedded broker and with few records: the figures are there, not good.

use crate::support::{Broker, Run, milena};

const FLAGS: [&str; 12] = [
    "--topic",
    "load",
    "--count",
    "3_000",
    "--compression",
    "lz4",
    "--acks",
    "all",
    "--linger-ms",
    "5",
    "--batch-bytes",
    "100_000",
];

fn bench(broker: &Broker, mode: &str, flags: &[&str]) -> Run {
    let args = [&["bench", mode][..], &FLAGS, flags].concat();
    milena(&args).on(broker).run()
}

/// The object on the only line of a run that succeeded.
#[track_caller]
fn figures(run: Run) -> serde_json::Value {
    let text = run.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[track_caller]
fn above_zero(figures: &serde_json::Value, names: &[&str]) {
    for name in names {
        let figure = figures[name].as_f64();
        assert!(figure > Some(0.0), "{name} in {figures}");
    }
}

#[test]
fn what_a_load_has_written_another_one_reads() {
    let broker = Broker::with(&["--partitions", "6"]);
    for runtime in ["rt=current", "rt=multi"] {
        let flags = ["--set", runtime, "--set", "window=100", "--size", "1_024"];
        let written = figures(bench(&broker, "produce", &flags));
        above_zero(
            &written,
            &["wall_s", "msgs_per_s", "mb_per_s", "cpu_us_per_msg"],
        );
        assert_eq!(written["peer"], "milena");
        assert_eq!(written["mode"], "produce");
        assert_eq!(written["size"], 1024);
        for (name, count) in [
            ("count", 3000),
            ("sent", 3000),
            ("acked", 3000),
            ("failed", 0),
        ] {
            assert_eq!(written[name], count, "{name}");
        }
        let read = figures(bench(&broker, "consume", &flags));
        above_zero(&read, &["wall_s", "msgs_per_s", "cpu_us_per_msg"]);
        assert_eq!(
            (&read["mode"], &read["count"]),
            (&"consume".into(), &3000.into())
        );
    }
}

#[test]
fn round_trips_are_timed_one_by_one() {
    let broker = Broker::start();
    let trips = figures(bench(&broker, "latency", &["--count", "50"]));
    let names = [
        "mean_us",
        "p50_us",
        "p90_us",
        "p99_us",
        "p999_us",
        "max_us",
        "cpu_us_per_msg",
    ];
    above_zero(&trips, &names);
    assert_eq!(trips["count"], 50);
    assert!(trips["p50_us"].as_f64() <= trips["max_us"].as_f64());
}

#[test]
fn a_rate_is_kept() {
    let broker = Broker::start();
    let flags = ["--count", "500", "--rate", "1_000", "--set", "linger.ms=0"];
    let paced = figures(bench(&broker, "produce", &flags));
    assert!(paced["wall_s"].as_f64() >= Some(0.499), "{paced}");
    assert_eq!(paced["acked"], 500);
}

#[test]
fn the_payloads_are_those_that_every_client_is_compared_with() {
    for (size, sum) in [
        ("100", "7ec97f686dee647d\n"),
        ("1024", "768676eb038cbf7f\n"),
    ] {
        assert_eq!(milena(&["bench", "ring", "--size", size]).run().text(), sum);
    }
    assert_eq!(
        milena(&["bench", "ring"]).run().text(),
        "7ec97f686dee647d\n"
    );
}

#[test]
fn keys_and_values_that_make_no_sense_are_wrong_usage() {
    let broker = Broker::start();
    let rows: &[(&[&str], &[&str])] = &[
        (
            &["--set", "windows=3"],
            &[
                "unknown key windows (-X windows)",
                "window",
                "Kafka's names",
            ],
        ),
        (
            &["--set", "rt=fast"],
            &["rt=fast (-X rt): current or multi"],
        ),
        (
            &["--set", "window=0"],
            &["window=0 (-X window): a number from 1 on"],
        ),
        (&["--set", "workers=x"], &["workers=x (-X workers)"]),
        (
            &["--set", "lingr.ms=1"],
            &["unknown setting lingr.ms (-X lingr.ms); did you mean linger.ms?"],
        ),
        (
            &["--compression", "zip"],
            &["compression.type=zip (--compression)"],
        ),
        (
            &["--acks", "1", "--idempotent", "true"],
            &["needs acks=all, not acks=1"],
        ),
        (&["--count", "many"], &["\"many\" is no number"]),
        (&["--rate", "0"], &["a record a second is the least"]),
        (&["--api", "channel"], &["channel"]),
        (&["--partitions", "0"], &["--partitions"]),
    ];
    for (flags, said) in rows {
        let args = [&["bench", "produce", "--topic", "t"][..], flags].concat();
        let run = milena(&args).on(&broker).run().fails(2, &[]);
        for said in *said {
            assert!(
                run.err.contains(said),
                "{flags:?} lacks {said:?}: {}",
                run.err
            );
        }
    }
    milena(&["bench", "latency", "--count", "0"])
        .on(&broker)
        .run()
        .fails(2, &["a round trip is the least"]);
}

#[test]
fn a_load_that_cannot_end_as_it_should_says_why() {
    let broker = Broker::with(&["--partitions", "2"]);
    let run = |args: &[&str]| milena(&[&["bench"][..], args].concat()).on(&broker).run();
    run(&["consume", "--topic", "none"]).fails(1, &["topic none does not exist"]);
    run(&["produce", "--count", "10", "--size", "60"]).ok();
    let read = ["consume", "--count", "10", "--size", "61"];
    run(&read).fails(1, &["topic bench has no partition"]);
    run(&[&read[..], &["--partitions", "2"]].concat())
        .fails(1, &["the values have 600 bytes, not 610", "--size"]);
    run(&["produce", "--count", "2", "--size", "2_000_000"])
        .fails(1, &["exceeds the 1048576 bytes", "max.request.size"]);
    milena(&["bench", "produce", "--timeout=1s", "-b", "127.0.0.1:1"])
        .run()
        .fails(4, &["connection refused"]);
}

#[test]
fn an_interrupt_ends_a_load_with_its_figures() {
    let broker = Broker::start();
    let args = ["bench", "produce", "--topic", "t", "--rate", "100"];
    let process = milena(&args).on(&broker).start();
    let first = || milena(&["consume", "t", "-n", "1"]).on(&broker).run();
    // Until it has created its topic.
    assert!((0..50).any(|_| first().code == Some(0)));
    process.interrupt();
    let run = process.finish().fails(130, &["interrupted"]);
    let figures: serde_json::Value = serde_json::from_slice(&run.out).unwrap();
    assert!(figures["acked"].as_u64() > Some(0), "{figures}");
    assert_eq!(figures["acked"], figures["sent"]);
    assert_eq!(figures["failed"], 0);
}
