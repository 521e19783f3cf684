//! What the tests need that need Java or brokers: `#[ignore = "needs a real Kafka: cargo xtask
//! kafka test"]`.

use std::env;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

/// A variable that `cargo xtask kafka test` sets.
///
/// # Panics
/// When it is absent: a test that was asked for and cannot run has failed.
pub fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set; these tests are run by: cargo xtask kafka test")
    })
}

/// What one of the programs in `oracle/` writes, given `input`.
///
/// # Panics
/// When Java is absent or the program fails, with what it says.
pub fn oracle(program: &str, arguments: &[&str], input: String) -> Vec<u8> {
    let libs = variable("MILENA_TEST_KAFKA_LIBS");
    let mut child = Command::new("java")
        .args(["-cp", &format!("{libs}/*")])
        .arg(crate::file(format!("oracle/{program}")))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("java, 17 or later, has to be installed");
    let mut stdin = child.stdin.take().expect("it is piped");
    // It answers while it reads; a program that fails says so below.
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("java was started");
    let written = writer.join().expect("writing does not panic");
    assert!(
        output.status.success() && written.is_ok(),
        "{program} {arguments:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
