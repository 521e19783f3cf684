use bytes::{BufMut, BytesMut};

use super::*;
use crate::header::TimestampType;
use crate::{
    Attributes, BatchBuilder, Compressor, EndTxnMarker, Header, Heap, ProduceFault, RecordParts,
    Stamp,
};

/// A record written by hand, delta by delta.
fn raw_record(timestamp_delta: i8, offset_delta: i8, value: &[u8]) -> Vec<u8> {
    let zigzag = |n: i8| ((n << 1) ^ (n >> 7)) as u8;
    let mut body = vec![0, zigzag(timestamp_delta), zigzag(offset_delta), 1];
    body.push(zigzag(value.len() as i8));
    body.extend_from_slice(value);
    body.push(0);
    body.insert(0, zigzag(body.len() as i8));
    body
}

/// A batch whose checksum is right whatever else is wrong.
fn raw_batch(change: impl FnOnce(&mut BatchHeader), body: &[u8]) -> Bytes {
    let mut header = BatchHeader {
        base_offset: 100,
        batch_length: (HEADER_LEN - LOG_OVERHEAD + body.len()) as i32,
        partition_leader_epoch: 3,
        magic: 2,
        crc: 0,
        attributes: Attributes::default(),
        last_offset_delta: 9,
        base_timestamp: 1000,
        max_timestamp: 2000,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: 1,
    };
    change(&mut header);
    let mut bytes = BytesMut::new();
    bytes.put_slice(&header.sealed(|crc| crc::append(crc, body)));
    bytes.put_slice(body);
    bytes.freeze()
}

fn check(bytes: Bytes) -> Result<CheckedBatch, BatchFault> {
    let batch = Batches::new(bytes)
        .next()
        .expect("a batch")
        .map_err(|error| error.fault)?;
    batch
        .check(&mut Decompressor::new(), 1 << 20)
        .map_err(|error| error.fault)
}

fn fault(change: impl FnOnce(&mut BatchHeader), body: &[u8]) -> BatchFault {
    check(raw_batch(change, body)).expect_err("must be refused")
}

fn built(values: &[&[u8]], compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::default();
    for value in values {
        let record = RecordParts {
            timestamp: 7,
            value: Some(value),
            ..RecordParts::default()
        };
        builder.append(&record).expect("room");
    }
    let sealed = builder
        .seal(&mut Compressor::new(compression), &mut Heap)
        .expect("seals");
    sealed.to_bytes(Stamp::NONE)
}

#[test]
fn several_batches_are_walked_and_a_cut_last_one_ends_quietly() {
    let (one, two) = (
        built(&[b"a"], Compression::None),
        built(&[b"b", b"c"], Compression::Lz4),
    );
    let all = Bytes::from([&one[..], &two[..], &one[..]].concat());
    for cut in 0..=all.len() {
        let mut batches = Batches::new(all.slice(..cut));
        let seen: Vec<Bytes> = batches
            .by_ref()
            .map(|batch| batch.expect("framed").bytes().clone())
            .collect();
        let ends = [0, one.len(), one.len() + two.len(), all.len()];
        let whole = ends
            .iter()
            .rposition(|end| *end <= cut)
            .expect("0 is first");
        assert_eq!(seen.len(), whole, "cut at {cut}");
        assert_eq!(batches.remaining(), cut - ends[whole]);
    }
}

#[test]
fn old_message_formats_are_named_and_passed_over() {
    for magic in [0, 1] {
        let mut old = [0; 12 + 14];
        old[11] = 14;
        old[16] = magic;
        let all = Bytes::from([&old[..], &built(&[b"a"], Compression::None)].concat());
        let mut batches = Batches::new(all);
        let error = batches.next().expect("an error").expect_err("old");
        assert_eq!(error.fault, BatchFault::UnsupportedMagic(magic as i8));
        assert!(batches.next().expect("the next batch").is_ok());
        assert!(batches.next().is_none());
    }
}

#[test]
fn an_unknown_format_and_impossible_lengths_end_the_walk() {
    let good = built(&[b"a"], Compression::None);
    for (at, bytes, expected) in [
        (16, &[3][..], BatchFault::UnsupportedMagic(3)),
        (16, &[0xff], BatchFault::UnsupportedMagic(-1)),
        (8, &[0xff; 4], BatchFault::Length(-1)),
        (8, &[0x80, 0, 0, 0], BatchFault::Length(i32::MIN)),
        (8, &[0, 0, 0, 13], BatchFault::Length(13)),
        (8, &[0, 0, 0, 48], BatchFault::Length(48)),
    ] {
        let mut bad = good.to_vec();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        let mut batches = Batches::new([&bad[..], &good].concat().into());
        assert_eq!(
            batches.next().expect("one").expect_err("bad").fault,
            expected
        );
        assert!(batches.next().is_none());
    }
    let mut huge = good.to_vec();
    huge[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(Batches::new(huge.into()).next().is_none(), "looks cut");
}

#[test]
fn compacted_and_empty_batches_are_legal() {
    let body = [raw_record(0, 2, b"x"), raw_record(0, 7, b"y")].concat();
    let batch = check(raw_batch(|header| header.record_count = 2, &body)).expect("gaps are legal");
    let offsets: Vec<i64> = batch.iter().map(|record| record.offset).collect();
    assert_eq!(
        (offsets, batch.header().last_offset()),
        (vec![102, 107], 109)
    );

    for codec in Compression::ALL {
        let empty = raw_batch(
            |header| {
                header.record_count = 0;
                header.attributes = Attributes::default().with_compression(codec);
            },
            &[],
        );
        let empty = check(empty).expect("an empty batch is legal");
        assert_eq!((empty.iter().len(), empty.header().last_offset()), (0, 109));
        assert_eq!(empty.check_produced(), Err(ProduceFault::Empty));
    }
}

#[test]
fn a_delete_horizon_leaves_timestamps_counting_from_it() {
    let body = raw_record(-5, 0, b"x");
    let batch = check(raw_batch(
        |header| header.attributes = Attributes(0x40),
        &body,
    ));
    let batch = batch.expect("valid");
    assert!(batch.header().attributes.has_delete_horizon());
    assert_eq!(
        batch.iter().next().map(|record| record.timestamp),
        Some(995)
    );
}

#[test]
fn a_wrong_checksum_is_told_before_anything_is_decompressed() {
    let mut bytes = built(&[b"value"], Compression::Zstd).to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(matches!(
        check(bytes.into()),
        Err(BatchFault::Checksum { .. })
    ));
}

#[test]
fn impossible_headers_are_refused() {
    let body = raw_record(0, 0, b"x");
    type Change = fn(&mut BatchHeader);
    let cases: [(Change, BatchFault); 7] = [
        (|h| h.base_offset = -1, BatchFault::Header("base offset")),
        (
            |h| h.base_offset = i64::MAX,
            BatchFault::Header("last offset"),
        ),
        (
            |h| h.last_offset_delta = -1,
            BatchFault::Header("last offset"),
        ),
        (|h| h.record_count = -1, BatchFault::Header("record count")),
        (
            |h| h.record_count = i32::MIN,
            BatchFault::Header("record count"),
        ),
        (
            |h| h.attributes = Attributes(5),
            BatchFault::UnknownCompression(5),
        ),
        (
            |h| h.record_count = 0,
            BatchFault::TrailingBytes(body.len()),
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(fault(change, &body), expected);
    }
}

#[test]
fn records_that_do_not_fit_their_batch_are_refused() {
    let bad = |index, field| BatchFault::Record { index, field };
    let two = |first: i8, second: i8| {
        let body = [raw_record(0, first, b"x"), raw_record(0, second, b"y")].concat();
        fault(|header| header.record_count = 2, &body)
    };
    assert_eq!(two(0, 0), bad(1, "offset"));
    assert_eq!(two(5, 4), bad(1, "offset"));
    assert_eq!(two(-1, 0), bad(0, "offset"));
    assert_eq!(two(0, 10), bad(1, "offset"));
    let body = raw_record(1, 0, b"x");
    assert_eq!(
        fault(|header| header.base_timestamp = i64::MAX, &body),
        bad(0, "timestamp")
    );
    assert_eq!(
        fault(|header| header.record_count = i32::MAX, &body),
        bad(1, "length")
    );
}

#[test]
fn damaged_records_are_refused_field_by_field() {
    // length, attributes, timestamp, offset, key −1, value of 1 byte, no headers.
    let good = [14, 0, 0, 0, 1, 2, b'x', 0];
    assert_eq!(raw_record(0, 0, b"x"), good);
    for (change, field) in [
        (&[13][..], "length"),
        (&[15], "length"),
        (&[0], "attributes"),
        (&[0xff, 0xff, 0xff, 0xff, 0x0f], "length"),
        (&[0xfe, 0xff, 0xff, 0xff, 0x0f], "length"),
        (&[14, 0, 0, 0, 3], "key length"),
        (&[14, 0, 0, 0, 100], "key length"),
        (&[14, 0, 0, 0, 1, 3], "value length"),
        (&[14, 0, 0, 0, 1, 6], "value length"),
        (&[14, 0, 0, 0, 1, 2, b'x', 1], "header count"),
        (&[14, 0, 0, 0, 1, 2, b'x', 2], "header"),
        (
            &[14, 0, 0, 0, 1, 0, 0, 0],
            "length: bytes follow its headers",
        ),
        (&[6, 0, 0x80, 0x80], "timestamp"),
        (&[14, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f], "offset"),
    ] {
        let mut body = good;
        let body: &[u8] = if change.len() <= good.len() {
            body[..change.len()].copy_from_slice(change);
            &body
        } else {
            change
        };
        assert_eq!(
            fault(|_| (), body),
            BatchFault::Record { index: 0, field },
            "{body:?}"
        );
    }
    // i32::MAX headers.
    let many = [22, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0];
    assert_eq!(
        fault(|_| (), &many),
        BatchFault::Record {
            index: 0,
            field: "header"
        }
    );
}

#[test]
fn headers_keep_order_repetitions_nulls_and_odd_bytes() {
    let headers = [
        Header::new("a", Some(b"1")),
        Header::new("b", None),
        Header {
            name: b"\xff",
            value: Some(b""),
        },
        Header::new("a", Some(b"2")),
    ];
    let mut builder = BatchBuilder::default();
    builder
        .append(&RecordParts {
            headers: &headers,
            ..RecordParts::default()
        })
        .expect("room");
    let sealed = builder
        .seal(&mut Compressor::default(), &mut Heap)
        .expect("seals");
    let batch = check(sealed.to_bytes(Stamp::NONE)).expect("valid");
    let record = batch.iter().next().expect("one");
    assert_eq!(record.headers.len(), 4);
    assert!(record.headers.eq(headers));
    assert_eq!(record.headers.last_value("a"), Some(Some(&b"2"[..])));
    assert_eq!(record.headers.last_value("b"), Some(None));
    assert_eq!(record.headers.last_value("c"), None);
    assert_eq!(headers[2].name_lossy(), "\u{fffd}");
}

#[test]
fn records_can_be_kept_without_a_borrow() {
    let values: [&[u8]; 4] = [b"one", b"", b"three", b"four"];
    for codec in Compression::ALL {
        let batch = check(built(&values, codec)).expect("valid");
        let mut spans = batch.clone().into_spans();
        assert_eq!(spans.len(), 4);
        for record in &batch {
            let span = spans.next().expect("as many");
            assert_eq!(batch.record(&span), record);
            assert_eq!(batch.span(&record).as_ref(), Some(&span));
            assert_eq!(spans.batch().record(&span), record);
        }
        assert_eq!(spans.next(), None);

        let shared: Vec<Bytes> = batch
            .iter()
            .filter_map(|record| record.value.map(|value| batch.share(value)))
            .collect();
        drop(batch);
        assert_eq!(shared, values);
    }
}

#[test]
fn a_span_of_another_batch_is_never_a_panic() {
    let small = check(built(&[b"x"], Compression::None)).expect("valid");
    let large = check(built(&[&[7; 500]], Compression::None)).expect("valid");
    let span = large.clone().into_spans().next().expect("one");
    assert_eq!(small.record(&span).value, None);
    assert_eq!(small.span(&large.iter().next().expect("one")), None);
    assert_eq!(small.share(b"elsewhere"), b"elsewhere"[..]);
}

#[test]
fn a_pool_gives_the_block_and_gets_it_back() {
    let bytes = built(&[&[b'z'; 5000]], Compression::Lz4);
    let batch = Batches::new(bytes).next().expect("one").expect("framed");
    let block = Vec::with_capacity(1 << 17);
    let place = block.as_ptr();
    let mut seen = None;
    let checked = batch
        .check_into(&mut Decompressor::new(), 1 << 17, block, |full| {
            seen = Some(full.as_ptr());
            Bytes::from_owner(full)
        })
        .expect("valid");
    assert_eq!(seen, Some(place));
    assert_eq!(
        checked.iter().next().and_then(|record| record.value),
        Some(&[b'z'; 5000][..])
    );
}

#[test]
fn uncompressed_records_are_views_of_the_answer_itself() {
    let bytes = built(&[b"value"], Compression::None);
    let batch = check(bytes.clone()).expect("valid");
    assert_eq!(batch.block().as_ptr(), bytes[HEADER_LEN..].as_ptr());
}

#[test]
fn what_a_broker_must_refuse_is_named() {
    let good = [raw_record(0, 0, b"x"), raw_record(0, 1, b"y")].concat();
    let produced = |change: fn(&mut BatchHeader)| {
        let batch = raw_batch(
            |header| {
                header.record_count = 2;
                header.last_offset_delta = 1;
                change(header);
            },
            &good,
        );
        check(batch).expect("readable").check_produced()
    };
    assert_eq!(produced(|_| ()), Ok(()));
    assert_eq!(
        produced(|h| h.last_offset_delta = 2),
        Err(ProduceFault::Offsets)
    );
    assert_eq!(produced(|h| h.producer_id = 5), Err(ProduceFault::Sequence));
    let transactional: fn(&mut BatchHeader) =
        |h| h.attributes = h.attributes.with_transactional(true);
    assert_eq!(produced(transactional), Err(ProduceFault::Transactional));
    let marker = EndTxnMarker {
        committed: true,
        coordinator_epoch: 0,
    }
    .to_batch(1, 0, 0);
    let marker = check(marker).expect("readable");
    assert_eq!(marker.check_produced(), Err(ProduceFault::Control));
    assert_eq!(
        marker.header().attributes.timestamp_type(),
        TimestampType::CreateTime
    );
}
