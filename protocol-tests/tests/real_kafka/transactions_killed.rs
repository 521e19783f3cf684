//! Processes that are killed at any moment while they commit transactions, and what Kafka's own
//! consumer sees of them afterwards.
//!
//! Each process notes a transaction in its file before it begins and after it was told its end; what
//! is not noted any more may be either, but whole or nothing.
//!
//! ```sh
//! MILENA_TEST_SECONDS=60 cargo xtask kafka test transactions_killed --nocapture
//! ```

use std::collections::BTreeMap;
use std::env;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use milena::{CommitError, Record, TransactionalProducer};
use protocol_tests::dice::XorShift;
use protocol_tests::real_kafka::{tool, variable};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::world::{client, lines, soon, topic, unique};

const PARTITIONS: u64 = 3;
/// Of each transaction.
const RECORDS: u64 = 6;
const IDS: u64 = 3;
/// What makes the test binary one of the processes: its topic, id, run and file.
const WORK: &str = "MILENA_TEST_TRANSACTIONS_WORK";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn processes_that_are_killed_leave_whole_transactions_or_none() {
    if env::var(WORK).is_ok() {
        return;
    }
    let client = client("MILENA_TEST_KAFKA").await;
    let topic = topic(&client, "killed", PARTITIONS as i32).await;
    let dir = tempfile::tempdir().unwrap();
    let workers = (0..IDS).map(|id| {
        let (topic, dir) = (topic.clone(), dir.path().to_owned());
        spawn_blocking(move || kill_again_and_again(&topic, id, &dir))
    });
    let mut kills = 0;
    for worker in workers.collect::<Vec<_>>() {
        kills += worker.await.unwrap();
    }
    // Ends what the last ones left open, and ends the log.
    for id in 0..IDS {
        let producer = client.producer().transactional_id(transactional_id(id));
        let producer = producer.build().await.unwrap();
        assert!(matches!(
            transfer(&producer, &topic, "end", id).await,
            Ok(())
        ));
    }
    let name = topic.clone();
    let seen = spawn_blocking(move || read_committed(&name)).await.unwrap();
    let noted = noted(dir.path());
    let summary = check(&noted, seen);
    println!("{kills} processes killed; {summary:?}");
    assert!(
        kills > IDS as usize * 3 && summary.committed > 100,
        "{summary:?}"
    );
    client.close(soon()).await;
}

/// The other side: does nothing unless it was started by the test above.
#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn a_process_that_transfers_until_it_is_killed() {
    let Ok(work) = env::var(WORK) else { return };
    let mut parts = work.split(' ');
    let mut next = || parts.next().expect("four words").to_owned();
    let (topic, id, run, file) = (next(), next(), next(), next());
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    let client = client("MILENA_TEST_KAFKA").await;
    let id = id.parse().unwrap();
    let producer = client.producer().transactional_id(transactional_id(id));
    let producer = producer.build().await.unwrap();
    for number in 0.. {
        note(&mut file, "begun", &run, number);
        let word = match transfer(&producer, &topic, &run, number).await {
            Ok(()) if is_aborted(number) => "aborted",
            Ok(()) => "committed",
            Err(CommitError::NotCommitted(_) | CommitError::Fatal(_)) => "aborted",
            Err(error) => panic!("{error}"),
        };
        note(&mut file, word, &run, number);
    }
}

/// One transaction.
async fn transfer(
    producer: &TransactionalProducer,
    topic: &str,
    run: &str,
    number: u64,
) -> Result<(), CommitError> {
    let transaction = producer.begin().await.unwrap();
    for index in 0..RECORDS {
        let value = format!("{run} {number} {index}");
        let record = Record::to(topic).value(&value);
        let record = record.partition((index % PARTITIONS) as i32);
        drop(transaction.send(record).await.unwrap());
    }
    if is_aborted(number) {
        transaction.abort().await.unwrap();
        return Ok(());
    }
    transaction.commit().await
}

const fn is_aborted(number: u64) -> bool {
    number % 5 == 4
}

fn transactional_id(id: u64) -> String {
    // The processes have the number of the test's, not their own.
    let of = env::var("MILENA_TEST_TRANSACTIONS_OF");
    of.map_or_else(
        |_| unique(&format!("killed-{id}")),
        |of| format!("killed-{id}-{of}"),
    )
}

fn note(file: &mut File, word: &str, run: &str, number: u64) {
    writeln!(file, "{word} {run} {number}").unwrap();
    file.sync_data().unwrap();
}

/// Starts one process after the other, and kills each. Returns how many.
fn kill_again_and_again(topic: &str, id: u64, dir: &Path) -> usize {
    let seconds = env::var("MILENA_TEST_SECONDS").map_or(20, |it| it.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut dice = XorShift::new(id + 1);
    let mut kills = 0;
    while Instant::now() < until {
        let run = format!("{id}-{kills}");
        let file = dir.join(&run);
        let mut child = start(topic, id, &run, &file);
        wait_for(&file, &mut child);
        thread::sleep(Duration::from_micros(dice.below(1_500_000) as u64));
        // SIGKILL.
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "it ended of its own accord");
        kills += 1;
    }
    kills
}

fn start(topic: &str, id: u64, run: &str, file: &Path) -> Child {
    let name = "transactions_killed::a_process_that_transfers_until_it_is_killed";
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture"]);
    command.env(WORK, format!("{topic} {id} {run} {}", file.display()));
    command.env(
        "MILENA_TEST_TRANSACTIONS_OF",
        std::process::id().to_string(),
    );
    command.stdout(Stdio::null()).stdin(Stdio::null());
    command.spawn().unwrap()
}

/// Until its first transaction has begun.
fn wait_for(file: &PathBuf, child: &mut Child) {
    let until = Instant::now() + Duration::from_secs(60);
    while std::fs::metadata(file).map_or(0, |it| it.len()) == 0 {
        assert!(Instant::now() < until, "no transaction begins");
        assert_eq!(child.try_wait().unwrap(), None, "it has ended");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The records of each transaction that a reader of committed data sees: partition and index, in
/// order within each partition.
type Seen = BTreeMap<(String, u64), Vec<(u64, u64)>>;

fn read_committed(topic: &str) -> Seen {
    let server = variable("MILENA_TEST_KAFKA");
    let what = ["--bootstrap-server", &server, "--topic", topic];
    let how = ["--from-beginning", "--isolation-level", "read_committed"];
    let until = ["--timeout-ms", "8000"];
    let print = ["--formatter-property", "print.partition=true"];
    let output = tool(CONSUMER, &[&what[..], &how, &until, &print].concat(), "");
    let mut seen = Seen::new();
    for line in lines(&output) {
        let line = str::from_utf8(line).unwrap();
        let (partition, value) = line.split_once('\t').unwrap();
        let partition = partition.strip_prefix("Partition:").unwrap();
        let [run, number, index] = value.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let key = (run.to_owned(), number.parse().unwrap());
        let place = (partition.parse().unwrap(), index.parse().unwrap());
        seen.entry(key).or_default().push(place);
    }
    seen
}

/// What was noted last of each transaction.
fn noted(dir: &Path) -> BTreeMap<(String, u64), String> {
    let mut noted = BTreeMap::new();
    for file in std::fs::read_dir(dir).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines() {
            let [word, run, number] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let key = (run.to_owned(), number.parse().unwrap());
            noted.insert(key, word.to_owned());
        }
    }
    noted
}

#[derive(Debug, Default)]
struct Summary {
    committed: usize,
    aborted: usize,
    unknown_committed: usize,
    unknown_aborted: usize,
}

fn check(noted: &BTreeMap<(String, u64), String>, mut seen: Seen) -> Summary {
    let mut summary = Summary::default();
    for (key, word) in noted {
        let committed = take_whole(&mut seen, key);
        match (word.as_str(), committed) {
            ("committed", true) => summary.committed += 1,
            ("aborted", false) => summary.aborted += 1,
            ("begun", true) => summary.unknown_committed += 1,
            ("begun", false) => summary.unknown_aborted += 1,
            _ => panic!("{key:?} was {word}, and is visible: {committed}"),
        }
    }
    for id in 0..IDS {
        let key = ("end".to_owned(), id);
        assert!(take_whole(&mut seen, &key), "the end of {id} is missing");
    }
    assert!(seen.is_empty(), "nobody committed {seen:?}");
    summary
}

/// Whether a transaction is there, once and in order; else nothing of it may be.
fn take_whole(seen: &mut Seen, key: &(String, u64)) -> bool {
    let Some(mut records) = seen.remove(key) else {
        return false;
    };
    // Stable: the order within each partition stays.
    records.sort_by_key(|(partition, _)| *partition);
    let of = |partition| {
        let indexes = (0..RECORDS).filter(move |index| index % PARTITIONS == partition);
        indexes.map(move |index| (partition, index))
    };
    let all: Vec<_> = (0..PARTITIONS).flat_map(of).collect();
    assert_eq!(records, all, "{key:?} is torn, doubled or out of order");
    true
}
