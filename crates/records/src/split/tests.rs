use super::*;
use crate::{Compression, RecordParts};

fn sealed(sizes: &[usize], compression: Compression) -> SealedBatch {
    let mut builder = BatchBuilder::new(Vec::new(), 1 << 20);
    for (index, size) in sizes.iter().enumerate() {
        let value = vec![u8::try_from(index).unwrap(); *size];
        let headers = [Header::new("index", Some(b"kept"))];
        let record = RecordParts {
            timestamp: 1_000 + i64::try_from(index).unwrap(),
            key: (index % 2 == 0).then_some(b"key"),
            value: Some(&value),
            headers: &headers,
        };
        builder.append(&record).unwrap();
    }
    let mut compressor = Compressor::new(compression);
    builder.seal(&mut compressor, &mut Heap).unwrap()
}

fn split(batch: &SealedBatch) -> Result<Vec<SealedBatch>, SplitError> {
    let mut compressor = Compressor::new(batch.compression());
    let split = batch.split(&mut compressor, &mut Decompressor::new());
    split.map(|(parts, _)| parts)
}

/// Timestamp, key, value and number of headers.
type Contents = (i64, Option<Vec<u8>>, Vec<u8>, usize);

fn contents(batch: &SealedBatch) -> Vec<Contents> {
    let checked = batch.read(&mut Decompressor::new()).unwrap();
    let all = checked.iter().map(|record| {
        let key = record.key.map(<[u8]>::to_vec);
        let value = record.value.unwrap().to_vec();
        (record.timestamp, key, value, record.headers.len())
    });
    all.collect()
}

#[test]
fn the_parts_hold_the_same_records_in_order_under_every_codec() {
    for compression in Compression::ALL {
        let whole = sealed(&[100; 20], compression);
        let parts = split(&whole).unwrap();
        assert!(parts.len() >= 2);
        assert!(parts.iter().all(|part| part.compression() == compression));
        let joined: Vec<_> = parts.iter().flat_map(contents).collect();
        assert_eq!(joined, contents(&whole));
    }
}

#[test]
fn each_part_is_about_half_as_large() {
    let whole = sealed(&[1_000; 64], Compression::None);
    let parts = split(&whole).unwrap();
    assert_eq!(parts.len(), 2);
    assert!(
        parts
            .iter()
            .all(|part| part.len() <= whole.len() / 2 + 1_100)
    );
}

#[test]
fn one_large_record_does_not_keep_the_others_with_it() {
    for sizes in [&[9_000, 10][..], &[10, 9_000], &[10, 9_000, 10], &[1, 1]] {
        let whole = sealed(sizes, Compression::None);
        let parts = split(&whole).unwrap();
        assert!(parts.len() >= 2, "{sizes:?}");
        let joined: Vec<_> = parts.iter().flat_map(contents).collect();
        assert_eq!(joined, contents(&whole));
    }
}

#[test]
fn one_record_cannot_be_divided() {
    let whole = sealed(&[10], Compression::None);
    assert!(matches!(split(&whole), Err(SplitError::Indivisible)));
}
