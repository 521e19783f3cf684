//! Batches that a hostile or broken peer could send: typed errors, never a panic, and never more
//! memory than the data and the limit allow.

use bytes::Bytes;
use milena_records::{
    BatchBuilder, BatchFault, Batches, Compression, Compressor, DecompressError, Decompressor,
    Heap, RecordParts, RecordRef, Stamp, crc32c,
};

/// The result of `work` and the most bytes that it held at a time, on this thread.
fn asked<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(work()));
    let bytes = usize::try_from(info.bytes_max).expect("fits the address space");
    (result.expect("measuring runs the work"), bytes)
}

/// A generator for replayable damage.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

const LIMIT: usize = 1 << 20;

/// The golden batches of at most `max` bytes.
fn golden(max: usize) -> Vec<Vec<u8>> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../protocol-tests/vectors/batches-4.3.1.txt"
    );
    let text =
        std::fs::read_to_string(path).expect("the golden batches are part of the repository");
    text.lines()
        .filter_map(|line| line.strip_prefix("vector ")?.split_once(' '))
        .filter(|(_, hex)| hex.len() / 2 <= max)
        .map(|(_, hex)| {
            (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
                .collect()
        })
        .collect()
}

/// Makes the checksum right again, so that what lies behind it is reached.
fn forge(batch: &mut [u8]) {
    if batch.len() >= 61 {
        let crc = crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

/// Reads everything there is to read and says how many records there were.
fn read(bytes: Bytes, decompressor: &mut Decompressor) -> usize {
    let mut records = 0;
    for batch in Batches::new(bytes).flatten() {
        let Ok(checked) = batch.check(decompressor, LIMIT) else {
            continue;
        };
        let before = records;
        for record in &checked {
            assert!(
                record
                    .headers
                    .map(|header| header.name.len())
                    .sum::<usize>()
                    < LIMIT
            );
            records += 1;
        }
        assert_eq!(records - before, checked.header().record_count as usize);
        assert_eq!(checked.into_spans().count(), records - before);
    }
    records
}

/// What a reader may ask for: the output that the data can give (no codec but zstd has runs of
/// more than 1032 bytes for each byte), some growth, and contexts.
fn allowance(batch: &[u8]) -> usize {
    let zstd = batch.get(22).is_some_and(|attributes| attributes & 7 == 4);
    let reachable = if zstd {
        LIMIT
    } else {
        LIMIT.min(batch.len() * 1032)
    };
    reachable * 2 + 16 * batch.len() + (64 << 10)
}

#[test]
fn every_cut_of_a_batch_reads_nothing() {
    let mut decompressor = Decompressor::new();
    for batch in golden(1500) {
        for cut in 0..batch.len() {
            assert_eq!(
                read(Bytes::copy_from_slice(&batch[..cut]), &mut decompressor),
                0
            );
        }
    }
}

#[test]
fn every_flipped_bit_under_the_checksum_is_found() {
    let mut decompressor = Decompressor::new();
    for batch in golden(400) {
        for bit in 17 * 8..batch.len() * 8 {
            let mut damaged = batch.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let result = Batches::new(damaged.into())
                .next()
                .expect("whole")
                .expect("framed");
            let error = result.check(&mut decompressor, LIMIT).expect_err("damaged");
            assert!(matches!(error.fault, BatchFault::Checksum { .. }));
        }
    }
}

#[test]
fn every_flipped_bit_behind_a_forged_checksum_is_survived_within_bounds() {
    let mut decompressor = Decompressor::new();
    for batch in golden(900) {
        for bit in 0..batch.len() * 8 {
            let mut damaged = batch.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            forge(&mut damaged);
            let bytes = Bytes::from(damaged);
            let (_, asked) = asked(|| read(bytes.clone(), &mut decompressor));
            assert!(
                asked <= allowance(&bytes),
                "bit {bit}: {asked} for {}",
                bytes.len()
            );
        }
    }
}

#[test]
fn cut_bodies_with_a_forged_frame_are_refused() {
    let mut decompressor = Decompressor::new();
    for batch in golden(900) {
        for cut in 61..batch.len() {
            let mut damaged = batch[..cut].to_vec();
            damaged[8..12].copy_from_slice(&(cut as i32 - 12).to_be_bytes());
            forge(&mut damaged);
            read(damaged.into(), &mut decompressor);
        }
    }
}

#[test]
fn seeded_mutations_are_survived_within_bounds() {
    let batches = golden(3000);
    let mut decompressor = Decompressor::new();
    let mut readable = 0;
    for seed in 1..=8 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed));
        for round in 0..1500 {
            let mut batch = batches[random.below(batches.len())].clone();
            for _ in 0..=random.below(6) {
                let at = random.below(batch.len());
                match random.below(4) {
                    0 => batch[at] = random.below(256) as u8,
                    1 => batch[at] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][random.below(6)],
                    2 => batch.truncate(at.max(61)),
                    _ => batch.insert(at, random.below(256) as u8),
                }
            }
            let length = batch.len() as i32 - 12;
            batch[8..12].copy_from_slice(&length.to_be_bytes());
            batch[16] = 2;
            forge(&mut batch);
            let bytes = Bytes::from(batch);
            let (records, asked) = asked(|| read(bytes.clone(), &mut decompressor));
            readable += usize::from(records > 0);
            let input = bytes.len();
            assert!(
                asked <= allowance(&bytes),
                "seed {seed} round {round}: {asked} for {input}"
            );
        }
    }
    assert!(
        readable > 1000,
        "only {readable} came past the first checks"
    );
}

#[test]
fn a_declared_count_of_two_billion_allocates_nothing() {
    for batch in golden(1500).into_iter().filter(|batch| batch[22] & 7 == 0) {
        let mut batch = batch;
        batch[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
        forge(&mut batch);
        let batch = Batches::new(batch.into())
            .next()
            .expect("whole")
            .expect("framed");
        let mut decompressor = Decompressor::new();
        let (checked, asked) = asked(|| batch.check(&mut decompressor, LIMIT));
        let error = checked.expect_err("too few records");
        // The count that shared bytes keep when they are first shared.
        assert!(asked <= 64);
        assert!(matches!(
            error.fault,
            BatchFault::Record {
                field: "length",
                ..
            }
        ));
    }
}

#[test]
fn bombs_of_every_codec_stop_at_the_limit() {
    let zeros = vec![0u8; 64 << 20];
    for codec in Compression::ALL.into_iter().skip(1) {
        let mut builder = BatchBuilder::new(Vec::with_capacity(zeros.len() + 100), usize::MAX);
        let record = RecordParts {
            value: Some(&zeros),
            ..RecordParts::default()
        };
        builder.append(&record).expect("room");
        let sealed = builder
            .seal(&mut Compressor::new(codec), &mut Heap)
            .expect("compresses");
        let bomb = sealed.to_bytes(Stamp::NONE);
        assert!(bomb.len() * 15 < zeros.len());

        let batch = Batches::new(bomb).next().expect("whole").expect("framed");
        let (checked, asked) = asked(|| batch.check(&mut Decompressor::new(), LIMIT));
        let error = checked.expect_err("too large");
        assert_eq!(
            error.fault,
            DecompressError::TooLarge { limit: LIMIT }.into(),
            "{codec}"
        );
        assert!(asked <= 6 * LIMIT, "{codec}: {asked}");
    }
}

#[test]
fn reading_a_checked_batch_allocates_nothing() {
    let batches: Vec<Bytes> = golden(usize::MAX).into_iter().map(Bytes::from).collect();
    let mut decompressor = Decompressor::new();
    for bytes in batches {
        let batch = Batches::new(bytes).next().expect("whole").expect("framed");
        let checked = batch.check(&mut decompressor, LIMIT).expect("valid");
        let size =
            |record: RecordRef<'_>| record.headers.count() + record.value.map_or(0, <[u8]>::len);
        let (total, asked) = asked(|| checked.iter().map(size).sum::<usize>());
        assert_eq!(asked, 0);
        assert!(total < LIMIT);
    }
}
