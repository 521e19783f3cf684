//! `milena topic`, and `milena quickstart`.

use crate::support::{Broker, milena};

#[test]
fn topics_are_created_listed_described_and_deleted() {
    let broker = Broker::with(&["--nodes", "3"]);
    let create = "topic create orders --partitions 2 --replication-factor 3 \
                  --config retention.ms=60000 --config cleanup.policy=compact";
    let topic = |line: &str| {
        let args: Vec<&str> = line.split_whitespace().collect();
        milena(&args).on(&broker).run()
    };
    assert_eq!(topic(create).text(), "");
    topic("topic create other").ok();
    assert_eq!(topic("topic list").text(), "orders\nother\n");
    let described = topic("topic describe orders").text();
    for expected in [
        "topic orders  id ",
        "partitions 2\n",
        "  config retention.ms=60000\n",
        "  config cleanup.policy=compact\n",
        "  partition 0  leader ",
        "  partition 1  leader ",
    ] {
        assert_eq!(
            described.matches(expected).count(),
            1,
            "{expected:?}: {described}"
        );
    }
    topic("topic delete orders other").ok();
    assert_eq!(topic("topic list").text(), "");
}

#[test]
fn what_one_topic_fails_of_does_not_stop_the_others() {
    let broker = Broker::start();
    broker.produce("there", "a\n");
    let run = milena(&["topic", "describe", "gone", "there", "lost"])
        .on(&broker)
        .run()
        .fails(
            1,
            &["topic gone does not exist", "topic lost does not exist"],
        );
    assert!(run.out.starts_with(b"topic there  id "));
    milena(&["topic", "delete", "gone", "there"])
        .on(&broker)
        .run()
        .fails(1, &["topic gone does not exist", "check the name"]);
    assert_eq!(milena(&["topic", "list"]).on(&broker).run().text(), "");
}

#[test]
fn what_cannot_be_created_is_named_with_the_reason_and_the_fix() {
    let broker = Broker::start();
    broker.produce("there", "a\n");
    let cases: &[(&[&str], &[&str])] = &[
        (&["there"], &["topic there exists already", "another name"]),
        (
            &["a b"],
            &["topic a b has a name that is not allowed", "use 1 to 249"],
        ),
        (
            &["new", "--partitions", "0"],
            &[
                "topic new cannot have this number of partitions",
                "must be positive",
            ],
        ),
        (
            &["new", "--replication-factor", "2"],
            &[
                "topic new cannot have this replication factor",
                "only 1 broker",
            ],
        ),
        (
            &["new", "--config", "retention.mss=1"],
            &["topic new has a setting that is not valid", "retention.mss"],
        ),
    ];
    for (flags, said) in cases {
        let mut args = vec!["topic", "create"];
        args.extend(*flags);
        milena(&args).on(&broker).run().fails(1, said);
    }
}

#[test]
fn the_quickstart_makes_a_whole_round_trip() {
    let text = milena(&["quickstart"]).run().text();
    for expected in [
        "Hello, Kafka",
        "offset 2: cs = \"Ahoj, Kafko\"",
        "What to try next",
    ] {
        assert!(text.contains(expected), "{text}");
    }
}
