use std::sync::Arc;
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use milena_net::{Address, BoxFuture, BoxedTransport, Connector, Offload};
use milena_records::{BatchBuilder, Batches, Compressor, RecordParts, Stamp};

use super::*;

#[derive(Debug)]
struct Nowhere;

impl Connector for Nowhere {
    fn connect(
        &self,
        _: &Address,
        _: Instant,
    ) -> BoxFuture<'static, std::io::Result<BoxedTransport>> {
        Box::pin(async { Err(std::io::ErrorKind::ConnectionRefused.into()) })
    }
}

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

fn batch(size: usize) -> Batch {
    let value = vec![7; size];
    let mut builder = BatchBuilder::new(Vec::new(), 1 << 22);
    let parts = RecordParts {
        value: Some(&value),
        ..RecordParts::default()
    };
    builder.append(&parts).unwrap();
    let sealed = builder
        .seal(&mut Compressor::default(), Bytes::from)
        .unwrap();
    Batches::new(sealed.to_bytes(Stamp::NONE))
        .next()
        .unwrap()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn only_large_batches_are_checked_elsewhere_and_a_dropped_wait_keeps_the_result() {
    let later = Arc::new(Later::default());
    let mut env = Environment::seeded(1, Arc::new(Nowhere));
    env.offload = Arc::clone(&later) as Arc<dyn Offload>;
    let mut small = Check::begin(&env, batch(100), 1 << 20);
    assert!(small.result().await.unwrap().is_ok());
    let mut large = Check::begin(&env, batch(LARGE), 1 << 20);
    let wait = tokio::time::timeout(std::time::Duration::from_secs(1), large.result());
    assert!(wait.await.is_err());
    let job = later.0.lock().unwrap().pop().unwrap();
    job();
    assert!(large.result().await.unwrap().is_ok());
    let mut lost = Check::begin(&env, batch(LARGE), 1 << 20);
    later.0.lock().unwrap().clear();
    assert!(lost.result().await.is_none());
}
