//! Record batches of every kind, made by chance, and what must be read from them.

use bytes::Bytes;
use milena_records::{
    AppendError, BatchBuilder, CheckedBatch, Compression, Compressor, DEFAULT_BATCH_LIMIT, Header,
    Heap, RecordParts, RecordRef, Stamp, TimestampType, edit,
};

use crate::dice::Dice;

/// The most records of a batch.
const MAX_RECORDS: usize = 300;

/// A record that owns its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// Names and values of the headers.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Record {
    /// What a record that was read holds.
    pub fn read(record: &RecordRef<'_>) -> Self {
        let own = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
        let headers = record.headers;
        Self {
            timestamp: record.timestamp,
            key: own(record.key),
            value: own(record.value),
            headers: headers
                .map(|header| (header.name.to_vec(), own(header.value)))
                .collect(),
        }
    }

    fn roll(dice: &mut Dice<'_>, names: Names) -> Self {
        let timestamp = match dice.byte() % 8 {
            0 => i64::from_be_bytes(dice.array()),
            _ => 1_700_000_000_000 + i64::from(i16::from_be_bytes(dice.array())),
        };
        let (key, value) = (nullable(dice), nullable(dice));
        let count = if dice.chance(2) { dice.byte() % 4 } else { 0 };
        let headers = (0..count)
            .map(|_| (name(dice, names), nullable(dice)))
            .collect();
        Self {
            timestamp,
            key,
            value,
            headers,
        }
    }

    /// Appends the record to `builder`: whether there was room.
    pub fn append(&self, builder: &mut BatchBuilder) -> Result<(), AppendError> {
        let headers: Vec<Header<'_>> = self
            .headers
            .iter()
            .map(|(name, value)| Header {
                name,
                value: value.as_deref(),
            })
            .collect();
        let parts = RecordParts {
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        };
        builder.append(&parts).map(drop)
    }
}

/// What the names of headers are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Any bytes.
    Bytes,
    /// Text, which is all that Kafka's own classes give back unchanged.
    Text,
}

fn name(dice: &mut Dice<'_>, names: Names) -> Vec<u8> {
    let length = usize::from(dice.byte() % 12);
    let bytes = dice.take(length);
    match names {
        Names::Bytes => bytes.to_vec(),
        Names::Text => String::from_utf8_lossy(bytes).into_owned().into_bytes(),
    }
}

/// Null, empty, short, or a long run that compresses well.
fn nullable(dice: &mut Dice<'_>) -> Option<Vec<u8>> {
    let length = dice.byte();
    match length {
        0..16 => None,
        16..32 => Some(Vec::new()),
        250.. => {
            let run = usize::from(u16::from_be_bytes(dice.array()));
            Some(vec![dice.byte(); run])
        }
        _ => Some(dice.take(usize::from(length)).to_vec()),
    }
}

/// A batch to be built.
#[derive(Clone, Debug)]
pub struct Plan {
    codec: Compression,
    segment: usize,
    stamp: Stamp,
    base_offset: i64,
    leader_epoch: i32,
    log_append_time: Option<i64>,
    records: Vec<Record>,
}

impl Plan {
    /// A batch of the codec that `dice` choose, or of `codec`.
    pub fn roll(dice: &mut Dice<'_>, codec: Option<Compression>, names: Names) -> Self {
        let rolled = dice.one_of(&Compression::ALL);
        let mut plan = Self {
            codec: codec.unwrap_or(rolled),
            segment: dice.one_of(&[0, 1, 64, 1024, 1 << 16]),
            stamp: stamp(dice),
            base_offset: i64::from_be_bytes(dice.array()) & (i64::MAX >> 8),
            leader_epoch: i32::from_be_bytes(dice.array()) & i32::MAX,
            log_append_time: dice
                .chance(4)
                .then(|| i64::from_be_bytes(dice.array()) & (i64::MAX >> 8)),
            records: Vec::new(),
        };
        while plan.records.is_empty() || !dice.is_empty() && plan.records.len() < MAX_RECORDS {
            plan.records.push(Record::roll(dice, names));
        }
        plan
    }

    /// The batch, as a broker would hold it. Records that did not go into it leave the plan.
    pub fn build(&mut self) -> Bytes {
        let first = Vec::with_capacity(self.segment);
        let mut builder = BatchBuilder::new(first, DEFAULT_BATCH_LIMIT);
        let mut full = false;
        self.records.retain(|record| {
            // After a full batch its owner starts another; a strange timestamp is the caller's.
            let appended = !full && record.append(&mut builder).is_ok();
            full = !appended && builder.len() > DEFAULT_BATCH_LIMIT / 2;
            appended
        });
        assert_eq!(builder.count() as usize, self.records.len());
        let mut compressor = Compressor::new(self.codec);
        let sealed = builder
            .seal(&mut compressor, &mut Heap)
            .expect("there is memory to compress");
        let mut bytes = sealed.to_bytes(self.stamp).to_vec();
        let pieces: Vec<u8> = sealed.segments().flatten().copied().collect();
        assert_eq!([&sealed.header(self.stamp)[..], &pieces].concat(), bytes);
        if let Some(timestamp) = self.log_append_time {
            edit::set_log_append_time(&mut bytes, timestamp).expect("a whole batch");
        }
        edit::append_at(&mut bytes, self.base_offset, self.leader_epoch).expect("a whole batch");
        bytes.into()
    }

    /// Asserts that `batch` is what was built.
    pub fn check(&self, batch: &CheckedBatch) {
        let header = batch.header();
        let stamp = Stamp {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            transactional: header.attributes.is_transactional(),
        };
        assert_eq!(stamp, self.stamp);
        assert_eq!(header.attributes.compression(), Ok(self.codec));
        assert_eq!(header.base_offset, self.base_offset);
        assert_eq!(header.partition_leader_epoch, self.leader_epoch);
        let kind = match self.log_append_time {
            Some(_) => TimestampType::LogAppendTime,
            None => TimestampType::CreateTime,
        };
        assert_eq!(header.attributes.timestamp_type(), kind);
        let newest = self.records.iter().map(|record| record.timestamp).max();
        assert_eq!(Some(header.max_timestamp), self.log_append_time.or(newest));
        assert_eq!(batch.iter().len(), self.records.len());
        for ((read, record), offset) in batch.iter().zip(&self.records).zip(self.base_offset..) {
            let expected = Record {
                timestamp: self.log_append_time.unwrap_or(record.timestamp),
                ..record.clone()
            };
            assert_eq!((read.offset, Record::read(&read)), (offset, expected));
        }
    }
}

fn stamp(dice: &mut Dice<'_>) -> Stamp {
    match dice.byte() % 3 {
        0 => Stamp::NONE,
        kind => Stamp {
            producer_id: i64::from_be_bytes(dice.array()) & i64::MAX,
            producer_epoch: i16::from_be_bytes(dice.array()) & i16::MAX,
            base_sequence: i32::from_be_bytes(dice.array()) & i32::MAX,
            transactional: kind == 2,
        },
    }
}
