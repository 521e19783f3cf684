//! What is written is what is read, whatever the records, segments and codec.

use milena_records::{
    AppendError, BatchBuilder, Batches, Compression, Compressor, Decompressor, Header, Heap,
    RecordParts, Stamp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn bytes(max: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(vec(any::<u8>(), 0..max))
}

fn record() -> impl Strategy<Value = Owned> {
    // Half the range, so that no two timestamps are 2^63 ms apart.
    let timestamp = prop_oneof![
        Just(1_700_000_000_000),
        -5000i64..5000,
        i64::MIN / 2..i64::MAX / 2
    ];
    (
        timestamp,
        bytes(300),
        bytes(9000),
        vec((".{0,20}", bytes(100)), 0..4),
    )
        .prop_map(|(timestamp, key, value, headers)| Owned {
            timestamp,
            key,
            value,
            headers,
        })
}

fn codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(Compression::ALL.to_vec())
}

/// Appends with segments of one size, as a pool would give them.
fn append(builder: &mut BatchBuilder, record: &RecordParts<'_>, segment: usize) {
    while let Err(error) = builder.try_append(record) {
        assert!(matches!(error, AppendError::NeedsRoom(_)), "{error}");
        builder.add_segment(Vec::with_capacity(segment));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn records_are_read_as_they_were_written(
        records in vec(record(), 1..20),
        segment in 1usize..5000,
        codec in codec(),
        producer_id in -1i64..,
    ) {
        let mut builder = BatchBuilder::new(Vec::new(), usize::MAX);
        for owned in &records {
            let headers: Vec<Header<'_>> = owned
                .headers
                .iter()
                .map(|(name, value)| Header::new(name, value.as_deref()))
                .collect();
            let parts = RecordParts {
                timestamp: owned.timestamp,
                key: owned.key.as_deref(),
                value: owned.value.as_deref(),
                headers: &headers,
            };
            append(&mut builder, &parts, segment);
        }
        let sealed = builder.seal(&mut Compressor::new(codec), &mut Heap).unwrap();
        let sent = sealed.to_bytes(Stamp { producer_id, ..Stamp::NONE });
        prop_assert_eq!(sent.len(), sealed.len());

        let batch = Batches::new(sent).next().unwrap().unwrap();
        prop_assert_eq!(batch.header().producer_id, producer_id);
        let checked = batch.check(&mut Decompressor::new(), 1 << 20).unwrap();
        prop_assert_eq!(checked.iter().len(), records.len());
        for (index, (read, owned)) in checked.iter().zip(&records).enumerate() {
            prop_assert_eq!(read.offset, index as i64);
            prop_assert_eq!(read.timestamp, owned.timestamp);
            prop_assert_eq!(read.key, owned.key.as_deref());
            prop_assert_eq!(read.value, owned.value.as_deref());
            let headers: Vec<_> = read
                .headers
                .map(|header| {
                    let name = String::from_utf8(header.name.to_vec()).unwrap();
                    (name, header.value.map(<[u8]>::to_vec))
                })
                .collect();
            prop_assert_eq!(&headers, &owned.headers);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in vec(any::<u8>(), 0..400),
        codec in codec(),
    ) {
        let mut out = Vec::new();
        let _ = Decompressor::new().decompress(codec, &bytes, 1 << 16, &mut out);
        if bytes.len() > 16 {
            bytes[16] = 2;
        }
        for batch in Batches::new(bytes.into()).flatten() {
            let _ = batch.check(&mut Decompressor::new(), 1 << 16);
        }
    }
}
