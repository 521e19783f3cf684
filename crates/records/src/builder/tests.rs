use super::*;
use crate::Header;
use crate::header::HEADER_LEN;
use crate::sealed::Stamp;

fn value(timestamp: i64, value: &[u8]) -> RecordParts<'_> {
    RecordParts {
        timestamp,
        value: Some(value),
        ..RecordParts::default()
    }
}

fn seal(builder: BatchBuilder) -> SealedBatch {
    builder
        .seal(&mut Compressor::default(), &mut Heap)
        .expect("no codec fails")
}

#[test]
fn a_records_size_is_what_it_says_before_it_is_written() {
    let headers = [Header::new("name", Some(b"v")), Header::new("", None)];
    for size in [0, 1, 62, 63, 64, 127, 128, 8190, 8191, 8192, 70_000] {
        for timestamp in [0, 1, -1, 1 << 20, 1 << 54, 1 << 55, i64::MIN / 2] {
            let payload = vec![7; size];
            let mut builder = BatchBuilder::new(Vec::new(), usize::MAX);
            builder.append(&value(0, b"")).expect("room");
            let before = builder.len();
            let record = RecordParts {
                timestamp,
                key: (size % 2 == 0).then_some(&payload),
                value: Some(&payload),
                headers: &headers,
            };
            let appended = builder.append(&record).expect("room");
            assert_eq!(builder.len() - before, appended.size);
            assert!(appended.size <= record.max_encoded_len());
            let sealed_len = builder.len();
            assert_eq!(seal(builder).to_bytes(Stamp::NONE).len(), sealed_len);
        }
    }
}

#[test]
fn segments_of_any_size_hold_the_same_bytes() {
    let write = |segment: usize| {
        let mut builder = BatchBuilder::new(Vec::with_capacity(segment), usize::MAX);
        for n in 0..50 {
            let payload = vec![n as u8; n * 13];
            while builder.room() < value(0, &payload).max_encoded_len() {
                builder.add_segment(Vec::with_capacity(segment));
            }
            builder
                .try_append(&value(n as i64 * 1000, &payload))
                .expect("there is room");
        }
        seal(builder)
    };
    let whole = write(1 << 20);
    assert_eq!(whole.segments().len(), 1);
    for segment in [1, 2, 7, 31, 32, 33, 100, 1000, 4096] {
        let chain = write(segment);
        assert!(chain.segments().all(|piece| piece.len() <= segment));
        assert_eq!(
            chain.to_bytes(Stamp::NONE),
            whole.to_bytes(Stamp::NONE),
            "{segment}"
        );
    }
}

#[test]
fn appending_never_allocates() {
    let mut builder = BatchBuilder::new(Vec::with_capacity(500), usize::MAX);
    while builder.try_append(&value(0, b"some bytes")).is_ok() {}
    assert_eq!(builder.into_segments()[0].capacity(), 500);
}

#[test]
fn a_lack_of_room_is_told_exactly_and_changes_nothing() {
    let mut builder = BatchBuilder::new(Vec::with_capacity(10), usize::MAX);
    let record = value(5, &[1; 100]);
    let Err(AppendError::NeedsRoom(missing)) = builder.try_append(&record) else {
        panic!("10 bytes are too few");
    };
    assert!(builder.is_empty());
    assert_eq!(builder.base_timestamp(), None);
    builder.add_segment(Vec::with_capacity(missing));
    let appended = builder
        .try_append(&record)
        .expect("room for exactly this record");
    assert_eq!((appended.index, appended.size), (0, 10 + missing));
    assert_eq!(builder.room(), 0);
    assert_eq!(builder.base_timestamp(), Some(5));
}

#[test]
fn a_full_batch_says_so_and_an_empty_one_takes_any_record() {
    let mut builder = BatchBuilder::new(Vec::new(), HEADER_LEN + 20);
    builder
        .append(&value(0, &[0; 1000]))
        .expect("the first record always fits");
    assert_eq!(builder.append(&value(0, b"")), Err(AppendError::Full));

    let mut builder = BatchBuilder::new(Vec::new(), HEADER_LEN + 20);
    let first = builder.append(&value(0, b"abc")).expect("fits").size;
    builder
        .append(&value(0, b"abc"))
        .expect("20 bytes take two of them");
    assert_eq!((first, builder.len()), (10, HEADER_LEN + 20));
    assert_eq!(builder.append(&value(0, b"")), Err(AppendError::Full));
    assert_eq!(builder.count(), 2);
}

#[test]
fn timestamps_too_far_apart_are_refused() {
    let mut builder = BatchBuilder::default();
    builder
        .append(&value(i64::MIN, b""))
        .expect("any first timestamp");
    assert_eq!(
        builder.append(&value(1, b"")),
        Err(AppendError::Timestamp(1))
    );
    builder.append(&value(-1, b"")).expect("2^63 - 1 ms apart");
    let sealed = seal(builder);
    assert_eq!(
        (sealed.base_timestamp(), sealed.max_timestamp()),
        (i64::MIN, -1)
    );
}

#[test]
fn sealing_hands_every_piece_of_memory_to_its_owner() {
    for compression in crate::Compression::ALL {
        let mut builder = BatchBuilder::new(Vec::with_capacity(64), usize::MAX);
        builder.add_segment(Vec::with_capacity(64));
        builder.add_segment(Vec::with_capacity(64));
        builder
            .append(&value(0, &[9; 80]))
            .expect("fits in two segments");
        let mut memory = Counting::default();
        let sealed = builder
            .seal(&mut Compressor::new(compression), &mut memory)
            .expect("compresses");
        assert_eq!((memory.frozen.len(), memory.taken), (3, 0));
        let body: usize = sealed.segments().map(Bytes::len).sum();
        assert_eq!(memory.frozen.iter().sum::<usize>(), body);
        if compression == crate::Compression::None {
            assert_eq!(memory.frozen, [64, 25, 0]);
        }
    }
}

#[test]
fn a_body_that_grows_by_compression_takes_more_memory() {
    let mut builder = BatchBuilder::new(Vec::with_capacity(16), usize::MAX);
    builder.append(&value(0, b"short")).expect("fits");
    let mut memory = Counting::default();
    let sealed = builder
        .seal(&mut Compressor::new(crate::Compression::Gzip), &mut memory)
        .expect("compresses");
    assert_eq!((sealed.segments().len(), memory.taken), (2, 1));
}

#[derive(Default)]
struct Counting {
    frozen: Vec<usize>,
    taken: usize,
}

impl Memory for Counting {
    fn take(&mut self, bytes: usize) -> Vec<u8> {
        self.taken += 1;
        Vec::with_capacity(bytes)
    }

    fn freeze(&mut self, buffer: Vec<u8>) -> Bytes {
        self.frozen.push(buffer.len());
        Bytes::from(buffer)
    }
}

#[test]
fn every_stamp_gives_a_header_whose_checksum_holds() {
    let mut builder = BatchBuilder::default();
    for n in 0..100 {
        builder.append(&value(n, b"payload")).expect("room");
    }
    let sealed = seal(builder);
    for n in 0..20i16 {
        let stamp = Stamp {
            producer_id: i64::from(n) << 40,
            producer_epoch: n,
            base_sequence: i32::from(n) * 1000,
            transactional: n % 2 == 0,
        };
        let batch = crate::Batches::new(sealed.to_bytes(stamp))
            .next()
            .expect("one");
        let batch = batch.expect("framed");
        batch.check_crc().expect("the combined checksum is right");
        let header = batch.header();
        assert_eq!(header.producer_id, stamp.producer_id);
        assert_eq!(header.producer_epoch, stamp.producer_epoch);
        assert_eq!(header.base_sequence, stamp.base_sequence);
        assert_eq!(header.attributes.is_transactional(), stamp.transactional);
        assert_eq!(header.record_count, 100);
        assert_eq!(header.last_offset_delta, 99);
        assert_eq!(header.last_sequence(), stamp.base_sequence + 99);
        assert_eq!((header.base_timestamp, header.max_timestamp), (0, 99));
    }
}

#[test]
fn sequences_wrap_inside_a_batch() {
    let mut builder = BatchBuilder::default();
    for _ in 0..3 {
        builder.append(&value(0, b"")).expect("room");
    }
    let stamp = Stamp {
        producer_id: 1,
        producer_epoch: 0,
        base_sequence: i32::MAX,
        ..Stamp::NONE
    };
    let bytes = seal(builder).to_bytes(stamp);
    assert_eq!(
        crate::BatchHeader::read(&bytes).map(|header| header.last_sequence()),
        Some(1)
    );
}

#[test]
fn debug_forms_show_no_contents() {
    let headers = [Header::new("name", Some(b"secret"))];
    let record = RecordParts {
        timestamp: 0,
        key: Some(b"secret"),
        value: Some(b"secret"),
        headers: &headers,
    };
    let mut builder = BatchBuilder::default();
    builder.append(&record).expect("room");
    let mut shown = format!("{record:?} {headers:?} {builder:?}");
    let sealed = seal(builder);
    let batches = crate::Batches::new(sealed.to_bytes(Stamp::NONE));
    shown += &format!("{sealed:?} {batches:?}");
    let batch = batches.clone().next().expect("one").expect("framed");
    let checked = batch
        .check(&mut crate::Decompressor::new(), 0)
        .expect("valid");
    shown += &format!(
        "{batch:?} {checked:?} {:?} {:?}",
        checked.iter(),
        checked.iter().next()
    );
    shown += &format!("{:?}", checked.into_spans());
    assert!(
        !shown.contains("secret") && !shown.contains("115, 101, 99"),
        "{shown}"
    );
}
