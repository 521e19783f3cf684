//! What the tests need that need Java, brokers or kcat: `#[ignore = "needs a real Kafka: cargo
//! xtask kafka test"]`.

use std::env;
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};
use std::thread;

const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
/// How long Kafka's consumer waits for one more record.
const PATIENCE_MS: &str = "30000";

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
    let mut command = java();
    command.arg(crate::file(format!("oracle/{program}")));
    run(command.args(arguments), input)
}

/// What one of Kafka's own tools writes, given `input`.
///
/// # Panics
/// As [`oracle`].
pub fn tool(class: &str, arguments: &[&str], input: impl Into<Vec<u8>>) -> Vec<u8> {
    run(java().arg(class).args(arguments), input)
}

/// Has Kafka's console producer write each line of `input` as a record.
///
/// # Panics
/// As [`oracle`].
pub fn console_produce(bootstrap: &str, topic: &str, arguments: &[&str], input: String) {
    let to = ["--bootstrap-server", bootstrap, "--topic", topic];
    tool(PRODUCER, &[&to, arguments].concat(), input);
}

/// The first `count` records of a partition, each as a line, from Kafka's console consumer with
/// these arguments more. Fewer if no more come for half a minute.
///
/// # Panics
/// As [`oracle`].
pub fn console_consume(
    bootstrap: &str,
    (topic, partition): (&str, i32),
    count: usize,
    arguments: &[&str],
) -> Vec<u8> {
    let (partition, count) = (partition.to_string(), count.to_string());
    let from = ["--bootstrap-server", bootstrap, "--topic", topic];
    let what = ["--partition", &partition, "--offset", "earliest"];
    let until = ["--max-messages", &count, "--timeout-ms", PATIENCE_MS];
    tool(CONSUMER, &[&from, &what, &until, arguments].concat(), "")
}

/// What kcat writes, given `input`.
///
/// # Panics
/// When it is absent or fails, with what it says.
pub fn kcat(arguments: &[&str], input: impl Into<Vec<u8>>) -> Vec<u8> {
    run(Command::new("kcat").args(arguments), input)
}

/// `cargo xtask kafka` with `arguments`.
///
/// # Panics
/// When it fails, with what it says.
pub fn xtask(arguments: &[&str]) {
    let mut command = Command::new(variable("MILENA_TEST_XTASK"));
    run(command.arg("kafka").args(arguments), "");
}

fn java() -> Command {
    let libs = variable("MILENA_TEST_KAFKA_LIBS");
    let mut command = Command::new("java");
    // These programs are short: what a JVM does to become fast is not worth it.
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
    command.args(["-cp", &format!("{libs}/*")]);
    command
}

fn run(command: &mut Command, input: impl Into<Vec<u8>>) -> Vec<u8> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = match command.stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => panic!("{:?}: {error}{}", command.get_program(), fix(command)),
    };
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.into();
    // It answers while it reads; a program that fails says so below.
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("it was started");
    let written = writer.join().expect("writing does not panic");
    // Those that read nothing are gone before it is written.
    let written = written.or_else(|error| match error.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    });
    assert!(
        output.status.success() && written.is_ok(),
        "{command:?}: {}, {written:?}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn fix(command: &Command) -> &'static str {
    match command.get_program().to_str() {
        Some("java") => "; install Java 17 or later (Debian: openjdk-17-jdk-headless)",
        Some("kcat") => "; install kcat (Debian: apt-get install kcat)",
        _ => "",
    }
}
