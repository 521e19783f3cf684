//! The client on the embedded broker: figures to compare with each other, as the broker's own work
//! is in them. `benches/compare` measures the client alone.

#![allow(clippy::disallowed_methods, reason = "measures, so it reads the clock")]

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use milena_benches::embedded::{Embedded, soon};
use tokio::runtime::{Builder, Runtime};

/// Records in an iteration.
const RECORDS: u64 = 10_000;
/// After so many iterations there is a new broker, as the old one keeps all in memory.
const FRESH: u64 = 20;
const SIZES: [usize; 2] = [100, 1024];

fn send(criterion: &mut Criterion) {
    bench(criterion, "send", |size, iterations| async move {
        let mut took = Duration::ZERO;
        let mut left = iterations;
        while left > 0 {
            let embedded = Embedded::start(size).await.expect("a client");
            let producer = embedded.producer(true).await.expect("a producer");
            let now = left.min(FRESH);
            let began = Instant::now();
            for _ in 0..now {
                let sent = embedded.send(&producer, RECORDS).await;
                sent.expect("acknowledgements");
            }
            took += began.elapsed();
            left -= now;
            producer.close(soon()).await;
            embedded.close().await;
        }
        took
    });
}

fn receive(criterion: &mut Criterion) {
    bench(criterion, "receive", |size, iterations| async move {
        let embedded = Embedded::start(size).await.expect("a client");
        let producer = embedded.producer(true).await.expect("a producer");
        let sent = embedded.send(&producer, RECORDS).await;
        sent.expect("acknowledgements");
        let began = Instant::now();
        for _ in 0..iterations {
            embedded.receive(RECORDS).await.expect("records");
        }
        let took = began.elapsed();
        producer.close(soon()).await;
        embedded.close().await;
        took
    });
}

fn bench<F, W>(criterion: &mut Criterion, name: &str, work: F)
where
    F: Fn(usize, u64) -> W,
    W: Future<Output = Duration>,
{
    let runtime: Runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    group.throughput(Throughput::Elements(RECORDS));
    for size in SIZES {
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_custom(|iterations| runtime.block_on(work(size, iterations)));
        });
    }
    group.finish();
}

criterion_group!(client, send, receive);
criterion_main!(client);
