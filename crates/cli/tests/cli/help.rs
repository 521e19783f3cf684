//! `--help` lists what is fixed.

use crate::support::milena;

#[test]
fn each_command_lists_its_flags() {
    let cases: &[(&str, &[&str])] = &[
        (
            "",
            &[
                "produce",
                "consume",
                "topic",
                "broker",
                "quickstart",
                "Exit codes:",
                "130",
            ],
        ),
        (
            "produce",
            &[
                "<TOPIC>",
                "[FILES]",
                "--bootstrap <HOSTS>",
                "MILENA_BOOTSTRAP",
                "--key-separator <S>",
                "-H, --header <K=V>",
                "--compression <C>",
                "--acks <A>",
                "--linger-ms <N>",
                "--properties",
            ],
        ),
        (
            "consume",
            &[
                "<TOPIC>",
                "-b, --bootstrap",
                "--from",
                "--until",
                "beginning, end, an offset, or @TIME",
                "-p, --partition",
                "-n, --count",
                "--exit-at-end",
                "--format",
                "raw",
                "json",
                "TEMPLATE",
            ],
        ),
        ("topic", &["create", "list", "describe", "delete"]),
        (
            "topic create",
            &[
                "<NAME>",
                "--partitions <N>",
                "--replication-factor <N>",
                "--config <K=V>",
            ],
        ),
        ("topic list", &["--bootstrap"]),
        ("topic describe", &["<NAMES>"]),
        ("topic delete", &["<NAMES>"]),
        ("broker", &["--listen <ADDR>", "--nodes <N>", "first use"]),
        ("quickstart", &["round trip"]),
        (
            "bench",
            &["produce", "consume", "latency", "ring", "rt=current|multi"],
        ),
        (
            "bench produce",
            &[
                "--topic <TOPIC>",
                "--count <N>",
                "--size <BYTES>",
                "--compression <C>",
                "--acks <A>",
                "--linger-ms <N>",
                "--batch-bytes <BYTES>",
                "--idempotent <true|false>",
                "--partitions <N>",
                "--set <NAME=VALUE>",
                "--rate <N>",
                "window=N",
            ],
        ),
        ("bench latency", &["--count <N>", "200 that do not count"]),
    ];
    for (command, expected) in cases {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let text = milena(&args).run().text();
        for expected in *expected {
            assert!(
                text.contains(expected),
                "{command} lacks {expected}:\n{text}"
            );
        }
    }
}

#[test]
fn the_version_is_told() {
    let text = milena(&["--version"]).run().text();
    assert_eq!(text, format!("milena {}\n", env!("CARGO_PKG_VERSION")));
}
