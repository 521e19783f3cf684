//! `milena produce`, read back.

use crate::support::{Broker, Files, milena};

#[test]
fn a_line_of_standard_input_is_a_record_with_or_without_a_last_newline() {
    let broker = Broker::start();
    broker.produce("with", "a\n\nb\n");
    assert_eq!(broker.consume("with", &[]), "a\n\nb\n");
    broker.produce("without", "a\n\nb");
    assert_eq!(broker.consume("without", &[]), "a\n\nb\n");
    broker.produce("only", "\n");
    assert_eq!(broker.consume("only", &["--format", "%V;"]), "0;");
}

#[test]
fn files_are_read_in_order_and_a_dash_is_standard_input() {
    let (broker, files) = (Broker::start(), Files::new());
    let (one, two) = (files.write("one", "1\n2"), files.write("two", "4\n"));
    milena(&["produce", "t", &one, "-", &two])
        .on(&broker)
        .input("3\n")
        .run()
        .ok();
    assert_eq!(broker.consume("t", &[]), "1\n2\n3\n4\n");
}

#[test]
fn bytes_that_are_no_text_come_back_as_they_were() {
    let broker = Broker::start();
    let every: Vec<u8> = (0..=255_u8).cycle().take(300_000).chain([b'\n']).collect();
    milena(&["produce", "t"])
        .on(&broker)
        .input(every.clone())
        .run()
        .ok();
    let read = milena(&["consume", "t", "-e"]).on(&broker).run().ok();
    assert!(read == every, "{} bytes came back", read.len());
}

#[test]
fn lines_longer_than_any_buffer_are_whole() {
    let broker = Broker::start();
    let lines: String = (1..=6)
        .map(|i| format!("{}\n", "x".repeat(i * 150_000)))
        .collect();
    broker.produce("t", &lines);
    let lengths = broker.consume("t", &["--format", "%V "]);
    assert_eq!(lengths, "150000 300000 450000 600000 750000 900000 ");
}

#[test]
fn a_key_ends_at_the_first_separator() {
    let broker = Broker::start();
    milena(&["produce", "t", "--key-separator", "→→"])
        .on(&broker)
        .input("k→→v→→w\n→→only value\nonly key→→\n→→→\n")
        .run()
        .ok();
    assert_eq!(
        broker.consume("t", &["--format", "%K[%k] %V[%v]\\n"]),
        "1[k] 8[v→→w]\n0[] 10[only value]\n8[only key] 0[]\n0[] 3[→]\n"
    );
}

#[test]
fn without_a_separator_keys_are_null() {
    let broker = Broker::start();
    broker.produce("t", "a\n");
    assert_eq!(broker.consume("t", &["--format", "%K"]), "-1");
}

#[test]
fn headers_are_on_every_record_in_order() {
    let broker = Broker::start();
    let args = ["produce", "t", "-H", "a=1", "--header", "b=x=y", "-H", "a="];
    milena(&args).on(&broker).input("1\n2\n").run().ok();
    assert_eq!(
        broker.consume("t", &["--format", "%v:%h\\n"]),
        "1:a=1,b=x=y,a=\n2:a=1,b=x=y,a=\n"
    );
}

#[test]
fn a_partition_can_be_chosen() {
    let broker = Broker::with(&["--partitions", "3"]);
    let args = ["produce", "t", "-p", "2"];
    milena(&args).on(&broker).input("a\nb\n").run().ok();
    assert_eq!(broker.consume("t", &["--format", "%p:%o "]), "2:0 2:1 ");
}

#[test]
fn equal_keys_share_a_partition_in_order() {
    let broker = Broker::with(&["--partitions", "4"]);
    let lines: String = (0..200).map(|i| format!("{}={i}\n", i % 7)).collect();
    milena(&["produce", "t", "-K", "="])
        .on(&broker)
        .input(lines)
        .run()
        .ok();
    let read = broker.consume("t", &["--format", "%k %p %v\\n"]);
    assert_eq!(read.lines().count(), 200);
    for key in 0..7 {
        let of_key: Vec<Vec<&str>> = read
            .lines()
            .map(|line| line.split(' ').collect())
            .filter(|fields: &Vec<&str>| fields[0] == key.to_string())
            .collect();
        assert!(of_key.iter().all(|fields| fields[1] == of_key[0][1]));
        let values: Vec<u32> = of_key.iter().map(|f| f[2].parse().unwrap()).collect();
        assert!(values.is_sorted(), "{values:?}");
    }
}

#[test]
fn every_compression_and_every_acks_round_trips() {
    let broker = Broker::start();
    let lines: String = (0..2_000).map(|i| format!("line number {i}\n")).collect();
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for acks in ["0", "1", "all"] {
            let topic = format!("{compression}-{acks}");
            let args = [
                "produce",
                &topic,
                "--compression",
                compression,
                "--acks",
                acks,
            ];
            milena(&args).on(&broker).input(lines.clone()).run().ok();
            if acks == "0" {
                // Nothing says when they are written, so it reads until they are.
                let args = ["consume", &topic, "-n", "2000"];
                let read = milena(&args).on(&broker).run().text();
                assert!(read == lines, "{topic}");
            } else {
                assert!(broker.consume(&topic, &[]) == lines, "{topic}");
            }
        }
    }
}

#[test]
fn records_of_an_open_input_go_out_at_once() {
    let broker = Broker::start();
    milena(&["topic", "create", "t"]).on(&broker).run().ok();
    let mut producing = milena(&["produce", "t"]).on(&broker).start_typing();
    let mut consuming = milena(&["consume", "t"]).on(&broker).start();
    for line in ["first\n", "second\n"] {
        producing.write(line.as_bytes());
        consuming.wait_for_out(line);
    }
}

#[test]
fn a_failure_in_the_middle_of_an_open_input_ends_the_command() {
    let broker = Broker::start();
    let create = ["topic", "create", "t", "--config", "max.message.bytes=200"];
    milena(&create).on(&broker).run().ok();
    let mut producing = milena(&["produce", "t"]).on(&broker).start_typing();
    producing.write(&[b"x".repeat(500), b"\n".to_vec()].concat());
    producing.finish().fails(
        1,
        &[
            "1 record for partition 0 of topic t not written",
            "max.message.bytes",
            "1 record sent, 0 acknowledged, 1 not written",
        ],
    );
}

#[test]
fn an_empty_input_is_no_record() {
    let broker = Broker::start();
    milena(&["topic", "create", "t"]).on(&broker).run().ok();
    broker.produce("t", "");
    assert_eq!(broker.consume("t", &[]), "");
}
