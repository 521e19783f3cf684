use super::*;
use crate::{BATCHES, MESSAGES};

fn replay_messages(text: &str) -> (Report, String) {
    let mut out = Vec::new();
    let report = messages(text.as_bytes(), &mut out).unwrap();
    (report, String::from_utf8(out).unwrap())
}

fn replay_batches(text: &str) -> (Report, String) {
    let mut out = Vec::new();
    let report = batches(text.as_bytes(), &mut out).unwrap();
    (report, String::from_utf8(out).unwrap())
}

#[test]
fn all_golden_messages_pass() {
    let (report, out) = replay_messages(MESSAGES);
    assert!(report.is_success(), "{out}{report}");
    assert_eq!(report.to_string(), "1863 passed, 0 failed");
}

#[test]
fn all_golden_batches_pass() {
    let (report, out) = replay_batches(BATCHES);
    assert!(report.is_success(), "{out}{report}");
    assert_eq!(report.to_string(), "122 passed, 0 failed");
}

#[test]
fn each_kind_of_bad_message_line_fails_and_is_named() {
    let good = "20 DeleteTopicsRequest 1 0000000000000007";
    for (bad, why) in [
        ("", "four fields"),
        ("20 DeleteTopicsRequest 1", "four fields"),
        ("20 DeleteTopicsRequest 1 00 00", "four fields"),
        ("x DeleteTopicsRequest 1 00", "the key is not a number"),
        ("20 DeleteTopicsRequest x 00", "the version is not a number"),
        ("20 DeleteTopicsRequest 1 0", "the body is not hex"),
        ("20 DeleteTopicsRequest 1 +1", "the body is not hex"),
        ("20 Delete 1 00", "no message is called Delete"),
        ("21 DeleteTopicsRequest 1 00", "does not have the key 21"),
        ("20 DeleteTopicsRequest 99 00", "has no version 99"),
        ("20 DeleteTopicsRequest 1 00000000000000", "input ends"),
        ("20 DeleteTopicsRequest 1 000000000000000700", "1 byte"),
        (
            "20 DeleteTopicsRequest 1 ffffffff00000007",
            "DeleteTopicsRequest",
        ),
    ] {
        let (report, out) = replay_messages(&format!("{good}\n{bad}\n{good}\n"));
        assert_eq!((report.passed, report.failed), (2, 1), "{bad}: {out}");
        assert!(!report.is_success());
        assert!(
            out.starts_with("line 2") && out.contains(why),
            "{bad}: {out}"
        );
        assert!(report.to_string().contains("1 failed: line 2"), "{report}");
    }
}

#[test]
fn a_body_that_encodes_otherwise_fails() {
    // A padded varint: Kafka's own decoder takes it, its encoder writes one byte.
    let (report, out) = replay_messages("20 DeleteTopicsRequest 4 81000000000700");
    assert_eq!((report.passed, report.failed), (0, 1));
    assert!(
        out.contains("encodes to other bytes, from byte 0 on"),
        "{out}"
    );
}

#[test]
fn a_line_that_is_not_text_fails_alone() {
    let mut out = Vec::new();
    let report = messages(
        &b"\xff\xfe\n20 DeleteTopicsRequest 1 0000000000000007"[..],
        &mut out,
    );
    assert_eq!(report.unwrap().to_string(), "1 passed, 1 failed: line 1");
}

#[test]
fn nothing_replayed_is_no_success() {
    let (report, _) = replay_messages("");
    assert!(!report.is_success());
    assert_eq!(
        report.to_string(),
        "0 passed, 0 failed: there was nothing to replay"
    );
    assert!(!replay_batches("").0.is_success());
}

#[test]
fn failures_are_counted_beyond_those_printed() {
    let (report, out) = replay_messages(&"x\n".repeat(60));
    assert_eq!(report.failed, 60);
    assert_eq!(out.lines().count(), SHOWN + 1);
    assert!(
        report.to_string().ends_with("line 50 and 10 more"),
        "{report}"
    );
}

/// The lines of a short golden batch with three records or more.
fn batch() -> Vec<String> {
    let vectors = BATCHES
        .split("vector ")
        .filter(|vector| vector.lines().count() > 3);
    let vector = vectors.min_by_key(|vector| vector.len()).unwrap();
    let text = format!("vector {vector}");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_batch_whose_text_differs_fails_with_the_difference() {
    let lines = batch();
    for at in 1..lines.len() {
        for change in ["", "0"] {
            let mut lines = lines.clone();
            if change.is_empty() {
                lines.remove(at);
            } else {
                lines[at].push_str(change);
            }
            let (report, out) = replay_batches(&lines.join("\n"));
            assert_eq!((report.passed, report.failed), (0, 1), "{at}: {out}");
            assert!(out.contains("where Kafka reads"), "{out}");
        }
    }
}

#[test]
fn a_batch_with_any_byte_changed_fails() {
    let lines = batch();
    let vector = &lines[0];
    let start = vector.rfind(' ').unwrap() + 1;
    for at in start..vector.len() {
        let mut changed = vector.clone();
        let other = if &vector[at..=at] == "0" { "1" } else { "0" };
        changed.replace_range(at..=at, other);
        let text = [&[changed], &lines[1..]].concat().join("\n");
        let (report, out) = replay_batches(&text);
        assert_eq!((report.passed, report.failed), (0, 1), "{at}: {out}");
    }
}

#[test]
fn each_kind_of_bad_batch_line_fails_and_is_named() {
    let good = batch().join("\n");
    for (bad, why) in [
        ("", "does not begin with"),
        ("Vector x 00", "does not begin with"),
        ("vector x", "three fields"),
        ("vector x 0g", "not hex"),
        ("vector x -", "no whole batch"),
        ("vector x 00", "no whole batch"),
    ] {
        let (report, out) = replay_batches(&format!("{bad}\n{good}\n"));
        assert_eq!((report.passed, report.failed), (1, 1), "{bad}: {out}");
        assert!(
            out.starts_with("line 1") && out.contains(why),
            "{bad}: {out}"
        );
    }
    let (report, out) = replay_batches("record offset=0\n");
    assert_eq!(report.failed, 1);
    assert!(out.contains("before the first vector"), "{out}");
}

#[test]
fn bytes_after_the_last_batch_fail() {
    let mut lines = batch();
    lines[0].push_str("00");
    let (report, out) = replay_batches(&lines.join("\n"));
    assert_eq!((report.passed, report.failed), (0, 1));
    assert!(out.contains("1 bytes after"), "{out}");
}
