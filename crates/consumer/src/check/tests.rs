use std::sync::Mutex;
use std::time::Duration;

use milena_net::Offload;
use milena_records::{BatchBuilder, Batches, Compressor, Heap, RecordParts, Stamp};

use super::*;

#[derive(Default)]
struct Later(Mutex<Vec<Box<dyn FnOnce() + Send>>>);

impl std::fmt::Debug for Later {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Later")
    }
}

impl Offload for Later {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        self.0.lock().unwrap().push(job);
    }
}

/// Incompressible, so that it stays large.
fn batch(size: usize, codec: Compression) -> Batch {
    let mut random = 1_u32;
    let mut next = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    };
    let value: Vec<u8> = (0..size).map(|_| next()).collect();
    let mut builder = BatchBuilder::new(Vec::new(), 1 << 22);
    let parts = RecordParts {
        value: Some(&value),
        ..RecordParts::default()
    };
    builder.append(&parts).unwrap();
    let sealed = builder
        .seal(&mut Compressor::new(codec), &mut Heap)
        .unwrap();
    Batches::new(sealed.to_bytes(Stamp::NONE))
        .next()
        .unwrap()
        .unwrap()
}

fn checker() -> Checker {
    Checker::new(BlockPool::new(1 << 24), 1 << 24)
}

impl Later {
    fn run_one(&self) {
        let job = self.0.lock().unwrap().remove(0);
        job();
    }
}

#[tokio::test(start_paused = true)]
async fn only_large_compressed_batches_are_checked_elsewhere_and_a_dropped_wait_keeps_the_result() {
    let (later, checker) = (Later::default(), checker());
    for (size, codec) in [
        (100, Compression::None),
        (4 * LARGE, Compression::None),
        (LARGE / 2, Compression::Lz4),
    ] {
        let mut here = checker.now(&later, batch(size, codec));
        assert!(here.result(&checker).await.unwrap().is_ok());
    }
    let mut large = checker.now(&later, batch(LARGE, Compression::Lz4));
    let wait = tokio::time::timeout(Duration::from_secs(1), large.result(&checker));
    assert!(wait.await.is_err());
    later.run_one();
    assert!(large.result(&checker).await.unwrap().is_ok());
    let mut lost = checker.now(&later, batch(LARGE, Compression::Lz4));
    later.0.lock().unwrap().clear();
    assert!(lost.result(&checker).await.is_none());
}

#[tokio::test]
async fn batches_checked_ahead_give_their_results_in_order_and_their_blocks_back() {
    let (later, checker) = (Later::default(), checker());
    let batches = (1..4)
        .map(|n| batch(n * 10_000, Compression::Lz4))
        .collect();
    let mut checks = checker.ahead(&later, batches);
    later.run_one();
    assert_eq!(checker.blocks.lent(), 3);
    for (check, n) in checks.iter_mut().zip(1..) {
        let checked = check.result(&checker).await.unwrap().unwrap();
        let value = checked.iter().next().unwrap().value.unwrap().len();
        assert_eq!(value, n * 10_000);
    }
    assert_eq!(checker.blocks.lent(), 0);
    assert!(checker.blocks.idle_bytes() > 0);
}
