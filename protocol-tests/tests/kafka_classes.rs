//! Apache Kafka's own classes on the other side, by the programs in `oracle/`.

use std::hash::{BuildHasher, RandomState};

use milena_records::{Compression, EndTxnMarker, edit};
use protocol_tests::batches::{Names, Plan};
use protocol_tests::dice::{Dice, XorShift};
use protocol_tests::real_kafka::oracle;
use protocol_tests::{hex, replay};

/// Batches of each codec.
const PER_CODEC: u64 = 60;

#[test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
fn kafka_reads_our_batches_of_every_kind_as_we_do() {
    let mut lines = String::new();
    let mut count = 0;
    let mut line = |name: String, bytes: &[u8]| {
        lines += &format!("{name} {}\n", hex::encode(bytes));
        count += 1;
    };
    for codec in Compression::ALL {
        for seed in 0..PER_CODEC {
            let choices = XorShift::new(seed).bytes(1 << (4 + seed % 10));
            let mut plan = Plan::roll(&mut Dice::new(&choices), Some(codec), Names::Text);
            line(format!("{codec}-{seed}"), &plan.build());
        }
    }
    for committed in [false, true] {
        let marker = EndTxnMarker {
            committed,
            coordinator_epoch: 5,
        };
        let mut batch = marker.to_batch(77, 3, 1_700_000_000_000).to_vec();
        edit::append_at(&mut batch, 1234, 9).unwrap();
        line(format!("control-{committed}"), &batch);
    }

    let read = oracle("Batches.java", &["read"], lines); // fails on an invalid batch
    let mut failures = Vec::new();
    let report = replay::batches(&read[..], &mut failures).unwrap();
    assert!(
        report.is_success() && report.passed == count,
        "{}{report} of {count}",
        String::from_utf8_lossy(&failures)
    );
}

#[test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
fn random_messages_of_kafka_survive_our_codec() {
    let seed = random_seed();
    let lines = oracle("Messages.java", &[&seed, "4"], String::new());
    let mut failures = Vec::new();
    let report = replay::messages(&lines[..], &mut failures).unwrap();
    assert!(
        report.is_success() && report.passed > 2000,
        "{}{report}; java -cp \"$MILENA_TEST_KAFKA_LIBS/*\" protocol-tests/oracle/Messages.java \
         {seed} 4 > file; cargo run -p protocol-tests --bin replay -- messages file",
        String::from_utf8_lossy(&failures)
    );
}

#[test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
fn random_batches_of_kafka_read_as_kafka_reads_them() {
    let seed = random_seed();
    let lines = oracle("Batches.java", &["write", &seed, "300"], String::new());
    let mut failures = Vec::new();
    let report = replay::batches(&lines[..], &mut failures).unwrap();
    assert!(
        report.is_success() && report.passed == 302,
        "{}{report}; java -cp \"$MILENA_TEST_KAFKA_LIBS/*\" protocol-tests/oracle/Batches.java \
         write {seed} 300 > file; cargo run -p protocol-tests --bin replay -- batches file",
        String::from_utf8_lossy(&failures)
    );
}

/// A new seed in each run, printed.
fn random_seed() -> String {
    let seed = RandomState::new().hash_one(0) >> 33;
    eprintln!("seed {seed}");
    seed.to_string()
}
