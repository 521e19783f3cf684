//! Record batches: written, checked and read, checksummed, compressed.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use milena_benches::batches::{LIMIT, fill, read, sealed};
use milena_benches::payloads;
use milena_records::{Compression, Compressor, Decompressor, crc32c};

const SIZES: [usize; 2] = [100, 1024];

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for size in SIZES {
        let payloads = payloads(size);
        let mut values = payloads.iter().cycle();
        let (records, mut memory) = fill(Vec::with_capacity(LIMIT), &mut payloads.iter().cycle());
        group.throughput(Throughput::Elements(records));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| memory = fill(std::mem::take(&mut memory), &mut values).1);
        });
    }
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for size in SIZES {
        let payloads = payloads(size);
        for codec in Compression::ALL {
            let batch = sealed(&payloads, codec);
            let mut decompressor = Decompressor::new();
            group.throughput(Throughput::Elements(read(&batch, &mut decompressor)));
            group.bench_function(BenchmarkId::new(codec.to_string(), size), |bencher| {
                bencher.iter(|| read(&batch, &mut decompressor));
            });
        }
    }
    group.finish();
}

fn crc(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("crc32c");
    for length in [100, LIMIT, 1_000_000] {
        let bytes: Vec<u8> = payloads(1024).into_iter().flatten().take(length).collect();
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::from_parameter(length), |bencher| {
            bencher.iter(|| crc32c(&bytes));
        });
    }
    group.finish();
}

/// 1 MB at a time: fewer bytes, again and again, would be learnt by the branch predictor.
fn compress(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compress");
    for size in SIZES {
        let bytes: Vec<u8> = payloads(size).into_iter().flatten().collect();
        let bytes = &bytes[..bytes.len().min(1_000_000)];
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        for codec in Compression::ALL {
            if codec == Compression::None {
                continue;
            }
            let mut compressor = Compressor::new(codec);
            let mut out = Vec::with_capacity(2 * bytes.len());
            group.bench_function(BenchmarkId::new(codec.to_string(), size), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    let done = compressor.compress(bytes, &mut out);
                    done.expect("what is in memory can be compressed");
                    out.len()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(records, encode, decode, crc, compress);
criterion_main!(records);
