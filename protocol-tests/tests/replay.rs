//! The program `replay`: what it prints last, and how it exits.

use std::fs;
use std::process::Command;

use protocol_tests::{BATCHES, MESSAGES, file};

/// The exit code, the last line of the output, and the errors.
fn replay(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_replay"))
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().next_back().unwrap_or_default();
    let errors = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), last.to_owned(), errors)
}

/// As [`replay`], of a file with this text.
fn replay_text(what: &str, text: &str) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vectors.txt");
    fs::write(&path, text).unwrap();
    let (code, last, errors) = replay(&[what, path.to_str().unwrap()]);
    assert_eq!(errors, "");
    (code, last)
}

#[test]
fn the_committed_vectors_pass() {
    for (what, count) in [("messages", 1863), ("batches", 122)] {
        let path = file(format!("vectors/{what}-4.3.1.txt"));
        let (code, last, _) = replay(&[what, path.to_str().unwrap()]);
        assert_eq!((code, last), (0, format!("{count} passed, 0 failed")));
    }
}

#[test]
fn one_bad_line_of_many_fails_and_is_named_last() {
    let text = MESSAGES.replacen(
        "AddOffsetsToTxnRequest 1 ",
        "AddOffsetsToTxnRequest 1 ff",
        1,
    );
    let expected = "1862 passed, 1 failed: line 4 (AddOffsetsToTxnRequest v1)";
    assert_eq!(replay_text("messages", &text), (1, expected.to_owned()));

    let text = BATCHES.replacen("seq=", "seq=1", 1);
    let expected = "121 passed, 1 failed: line 1 (none-0)";
    assert_eq!(replay_text("batches", &text), (1, expected.to_owned()));
}

#[test]
fn an_empty_file_fails() {
    let expected = (
        1,
        "0 passed, 0 failed: there was nothing to replay".to_owned(),
    );
    assert_eq!(replay_text("messages", ""), expected);
    assert_eq!(replay_text("batches", ""), expected);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let (code, _, errors) = replay(&["messages", "no/such/file"]);
    assert_eq!(code, 2);
    assert!(
        errors.starts_with("cannot replay no/such/file: "),
        "{errors}"
    );
    let (code, ..) = replay(&["batches", file("vectors").to_str().unwrap()]);
    assert_eq!(code, 2);
}

#[test]
fn other_arguments_show_the_usage() {
    for arguments in [
        &[][..],
        &["messages"],
        &["records", "x"],
        &["messages", "x", "y"],
    ] {
        let (code, _, errors) = replay(arguments);
        assert_eq!((code, errors.starts_with("usage: ")), (2, true));
    }
}
