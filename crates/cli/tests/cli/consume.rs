//! `milena consume`: where it starts, where it ends, and what it prints.

use serde_json::{Value, json};

use crate::support::{Broker, milena};

/// A topic of one partition with the records 0 to 9.
fn ten() -> Broker {
    let broker = Broker::start();
    let lines: String = (0..10).map(|i| format!("{i}\n")).collect();
    broker.produce("t", &lines);
    broker
}

/// What a call with these flags prints, in one line.
#[track_caller]
fn read(broker: &Broker, flags: &[&str]) -> String {
    let mut args = vec!["consume", "t", "--format", "%v"];
    args.extend(flags);
    milena(&args).on(broker).run().text()
}

#[test]
fn from_and_until_take_the_beginning_the_end_and_offsets() {
    let broker = ten();
    let cases: &[(&[&str], &str)] = &[
        (&["-e"], "0123456789"),
        (&["--from", "beginning", "-e"], "0123456789"),
        (&["--from", "end", "-e"], ""),
        (&["--from", "7", "-e"], "789"),
        (&["--from", "10", "-e"], ""),
        (&["--until", "end"], "0123456789"),
        (&["--until", "3"], "012"),
        (&["--from", "2", "--until", "5"], "234"),
        (&["--from", "5", "--until", "5"], ""),
        (&["--from", "5", "--until", "2"], ""),
        (&["--until", "beginning"], ""),
        (&["--until", "0"], ""),
    ];
    for (flags, expected) in cases {
        assert_eq!(read(&broker, flags), *expected, "{flags:?}");
    }
}

#[test]
fn from_and_until_take_times() {
    let broker = Broker::start();
    broker.produce("t", "a\n");
    let first: i64 = broker.consume("t", &["--format", "%T"]).parse().unwrap();
    broker.produce("t", "b\n");
    let both = broker.consume("t", &["--format", "%T "]);
    let second: i64 = both.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(first < second, "the clock stood still");
    let second = format!("@{second}");
    let cases: &[(&[&str], &str)] = &[
        (&["--from", &second, "-e"], "b"),
        (&["--until", &second], "a"),
        (&["--from", "@0", "--until", &second], "a"),
        (&["--from", "@1h", "-e"], "ab"),
        (&["--from", "@2001-02-03", "-e"], "ab"),
        (&["--from", "@2001-02-03T04:05:06Z", "-e"], "ab"),
        (&["--until", "@2001-02-03T04:05:06"], ""),
        (&["--from", "@2199-01-01", "-e"], ""),
        (&["--until", "@2199-01-01"], "ab"),
    ];
    for (flags, expected) in cases {
        assert_eq!(read(&broker, flags), *expected, "{flags:?}");
    }
}

#[test]
fn a_count_ends_it_whether_or_not_more_is_there() {
    let broker = ten();
    assert_eq!(read(&broker, &["-n", "4"]), "0123");
    assert_eq!(read(&broker, &["-n", "0"]), "");
    assert_eq!(read(&broker, &["-n", "40", "-e"]), "0123456789");
    assert_eq!(read(&broker, &["--from", "8", "--count", "2"]), "89");
}

#[test]
fn partitions_are_chosen_by_flag_repeated_or_with_commas() {
    let broker = Broker::with(&["--partitions", "3"]);
    for partition in ["0", "1", "2"] {
        milena(&["produce", "t", "-p", partition])
            .on(&broker)
            .input(partition)
            .run()
            .ok();
    }
    let sorted = |flags: &[&str]| {
        let mut read: Vec<char> = read(&broker, flags).chars().collect();
        read.sort_unstable();
        read.into_iter().collect::<String>()
    };
    assert_eq!(sorted(&["-e"]), "012");
    assert_eq!(sorted(&["-e", "-p", "1"]), "1");
    assert_eq!(sorted(&["-e", "-p", "0", "--partition", "2"]), "02");
    assert_eq!(sorted(&["-e", "-p", "0,2,0"]), "02");
    assert_eq!(sorted(&["-n", "3"]), "012");
}

#[test]
fn the_nodes_of_a_larger_cluster_are_all_read() {
    let broker = Broker::with(&["--nodes", "3", "--partitions", "6"]);
    let lines: String = (0..600).map(|i| format!("{i}={i}\n")).collect();
    milena(&["produce", "t", "-K", "="])
        .on(&broker)
        .input(lines)
        .run()
        .ok();
    let mut values: Vec<u32> = broker
        .consume("t", &[])
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    values.sort_unstable();
    assert!(values.into_iter().eq(0..600));
}

#[test]
fn json_has_every_field_and_keeps_what_is_no_text() {
    let broker = Broker::start();
    let args = ["produce", "t", "-K", "=", "-H", "h=ü"];
    milena(&args)
        .on(&broker)
        .input(b"k=v\nl=\xff\n".to_vec())
        .run()
        .ok();
    let text = broker.consume("t", &["--format", "json"]);
    let mut objects: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for object in &mut objects {
        let timestamp = object.as_object_mut().unwrap().remove("timestamp");
        assert!(timestamp.unwrap().as_i64().unwrap() > 1_600_000_000_000);
    }
    let headers = json!([{"name": "h", "value": "ü"}]);
    assert_eq!(
        objects,
        [
            json!({"topic": "t", "partition": 0, "offset": 0, "key": "k", "value": "v", "headers": headers}),
            json!({"topic": "t", "partition": 0, "offset": 1, "key": "l", "value_base64": "/w==", "headers": headers}),
        ]
    );
}

#[test]
fn a_template_prints_what_it_names() {
    let broker = ten();
    let flags = ["-n", "2", "--format", "%t/%p@%o %K %V %s 100%%\\x21\\n"];
    let mut args = vec!["consume", "t"];
    args.extend(flags);
    let text = milena(&args).on(&broker).run().text();
    assert_eq!(text, "t/0@0 -1 1 0 100%!\nt/0@1 -1 1 1 100%!\n");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let broker = Broker::start();
    let lines = "some text that fills pipes\n".repeat(100_000);
    broker.produce("t", &lines);
    for format in ["raw", "json"] {
        let args = ["consume", "t", "--format", format];
        let run = milena(&args).on(&broker).run_into_closed_pipe();
        run.ok();
    }
}

#[test]
fn an_offset_outside_the_log_is_an_error_unless_told_where_to_go_on() {
    let broker = ten();
    milena(&["consume", "t", "-e", "--from", "12"])
        .on(&broker)
        .run()
        .fails(
            1,
            &[
                "t-0: offset 12 is outside the log, which is 0 to 10",
                "--from",
                "0 records read",
            ],
        );
    let run = milena(&["consume", "t", "-n", "1", "--from", "12"])
        .arg("--set")
        .arg("auto.offset.reset=earliest")
        .on(&broker)
        .run()
        .fails(0, &["offset 12 is outside the log; going on at 0"]);
    assert_eq!(run.out, b"0\n");
}
