use super::*;
use crate::{BatchBuilder, Batches, Compressor, Decompressor, Heap, RecordParts, Stamp};

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::default();
    for timestamp in [10, 20] {
        builder
            .append(&RecordParts {
                timestamp,
                ..RecordParts::default()
            })
            .expect("room");
    }
    let sealed = builder
        .seal(&mut Compressor::default(), &mut Heap)
        .expect("no codec");
    sealed.to_bytes(Stamp::NONE).to_vec()
}

#[test]
fn an_appended_batch_has_its_offsets_and_a_valid_checksum() {
    let mut bytes = batch();
    append_at(&mut bytes, 1 << 40, 7).expect("long enough");
    let batch = Batches::new(bytes.into())
        .next()
        .expect("one")
        .expect("framed");
    assert_eq!(batch.header().partition_leader_epoch, 7);
    let checked = batch.check(&mut Decompressor::new(), 0).expect("valid");
    let offsets: Vec<i64> = checked.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [1 << 40, (1 << 40) + 1]);
}

#[test]
fn log_append_time_is_every_records_time() {
    let mut bytes = batch();
    set_log_append_time(&mut bytes, 1234).expect("long enough");
    let batch = Batches::new(bytes.into())
        .next()
        .expect("one")
        .expect("framed");
    let checked = batch.check(&mut Decompressor::new(), 0).expect("valid");
    assert!(checked.iter().all(|record| record.timestamp == 1234));
    assert_eq!(
        checked.header().attributes.timestamp_type(),
        TimestampType::LogAppendTime
    );
}

#[test]
fn short_bytes_are_refused_and_unchanged() {
    for len in [0, 8, 60] {
        let mut bytes = vec![1; len];
        assert_eq!(append_at(&mut bytes, 1, 1), Err(TooShort));
        assert_eq!(set_log_append_time(&mut bytes, 1), Err(TooShort));
        assert_eq!(bytes, vec![1; len]);
    }
}
