use milena_records::{
    BatchBuilder, Batches, Compressor, Decompressor, EndTxnMarker, Header, Heap, RecordParts, Stamp,
};

use super::*;

const BOUNDS: Bounds = Bounds {
    high_watermark: 9,
    log_start_offset: 0,
    until: i64::MAX,
};

fn check(bytes: Bytes) -> CheckedBatch {
    let batch = Batches::new(bytes).next().unwrap().unwrap();
    batch.check(&mut Decompressor::new(), 1 << 20).unwrap()
}

/// Three records at the offsets 0 to 2.
fn checked() -> CheckedBatch {
    let mut builder = BatchBuilder::default();
    for (timestamp, key) in [(5, &b"a"[..]), (6, b"b"), (7, b"c")] {
        let headers = [Header::new("h", Some(key)), Header::new("h", None)];
        let (key, value) = (Some(key), None);
        let headers = &headers;
        builder
            .append(&RecordParts {
                timestamp,
                key,
                value,
                headers,
            })
            .unwrap();
    }
    let sealed = builder.seal(&mut Compressor::default(), &mut Heap).unwrap();
    check(sealed.to_bytes(Stamp::NONE))
}

fn batch(from: i64) -> Option<Batch> {
    Batch::new(Str::from_static("t"), 1, checked(), from, BOUNDS)
}

#[test]
fn records_below_the_position_are_skipped() {
    let all = batch(0).unwrap();
    assert_eq!(
        (all.len(), all.first_offset(), all.last_offset()),
        (3, 0, 2)
    );
    let rest = batch(2).unwrap();
    assert_eq!(
        (rest.len(), rest.first_offset(), rest.last_offset()),
        (1, 2, 2)
    );
    assert_eq!(
        rest.iter().map(|record| record.offset).collect::<Vec<_>>(),
        [2]
    );
    assert!(batch(3).is_none());
}

#[test]
fn records_behind_the_stop_are_not_read() {
    let bounds = Bounds { until: 2, ..BOUNDS };
    let batch = Batch::new(Str::from_static("t"), 1, checked(), 1, bounds).unwrap();
    assert_eq!(
        (batch.len(), batch.last_offset(), batch.next_offset()),
        (1, 1, 2)
    );
    let mut cursor = batch.into_cursor();
    assert_eq!(cursor.next().map(|(_, next)| next), Some(2));
    assert!(cursor.next().is_none());
}

#[test]
fn markers_are_never_handed_out() {
    let marker = EndTxnMarker {
        committed: true,
        coordinator_epoch: 0,
    };
    let checked = check(marker.to_batch(1, 0, 5));
    assert!(Batch::new(Str::from_static("t"), 0, checked, 0, BOUNDS).is_none());
}

#[test]
fn borrowed_pinned_and_owned_records_are_the_same() {
    let batch = batch(0).unwrap();
    let second = batch.iter().nth(1).unwrap();
    let pinned = second.pin();
    let owned = second.to_owned();
    assert_eq!(owned, pinned.to_owned());
    assert_eq!(
        (owned.topic.as_str(), owned.partition, owned.offset),
        ("t", 1, 1)
    );
    assert_eq!(
        (owned.timestamp, owned.timestamp_type),
        (6, TimestampType::CreateTime)
    );
    assert_eq!((pinned.key(), pinned.value()), (Some(&b"b"[..]), None));
    assert_eq!(
        owned.headers,
        [
            ("h".to_owned(), Some(b"b".to_vec())),
            ("h".to_owned(), None)
        ]
    );
    assert_eq!(pinned.headers().len(), 2);
    let shared = pinned.key_bytes().unwrap();
    drop((batch, pinned));
    assert_eq!(shared, "b");
}

#[test]
fn a_cursor_moves_behind_each_record_and_at_last_behind_the_batch() {
    let mut cursor = batch(1).unwrap().into_cursor();
    let (record, next) = cursor.next().unwrap();
    assert_eq!((record.offset(), next), (1, 2));
    let rest = cursor.into_batch(2).unwrap();
    assert_eq!((rest.len(), rest.next_offset()), (1, 3));
    let mut cursor = rest.into_cursor();
    assert_eq!(cursor.next().map(|(_, next)| next), Some(3));
    assert!(cursor.next().is_none());
    assert!(cursor.into_batch(3).is_none());
}

#[test]
fn contents_do_not_reach_a_debug_print() {
    let owned = batch(0).unwrap().iter().next().unwrap().to_owned();
    assert!(format!("{owned:?}").contains("key_len: Some(1)"));
}
