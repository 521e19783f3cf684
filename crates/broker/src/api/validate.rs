//! What a broker checks in a produced batch before it appends it, in the real broker's order.

use milena_codec::messages::produce_response::BatchIndexAndErrorMessage;
use milena_codec::{Bytes, ErrorCode};
use milena_records::{
    Batch, BatchBuilder, BatchFault, Batches, CheckedBatch, Compression, Compressor, Decompressor,
    HEADER_LEN, Header, Heap, RecordRef, Stamp,
};

use crate::model::config::TopicConfig;

/// The codec zstd is allowed from this version of Produce on (KIP-110).
const ZSTD_FROM: i16 = 7;
/// The timestamp of a record that has none.
const NO_TIMESTAMP: i64 = -1;

/// Why a batch is refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: Option<String>,
    /// The records to blame (KIP-467).
    pub(crate) records: Vec<BatchIndexAndErrorMessage>,
    /// Whether the log itself refused it: then the answer has the log's start.
    pub(crate) by_log: bool,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            ..Self::from(code)
        }
    }

    pub(crate) fn by_log(code: ErrorCode) -> Self {
        Self {
            by_log: true,
            ..Self::from(code)
        }
    }
}

/// Kafka explains most refusals to its own log only.
impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
            records: Vec::new(),
            by_log: false,
        }
    }
}

/// The one batch of a partition's entry; checked before anything is known about the partition.
pub(crate) fn single_batch(records: Bytes, version: i16) -> Result<Batch, Refusal> {
    let mut batches = Batches::new(records);
    let batch = match batches.next() {
        None => return Err(ErrorCode::InvalidRecord.into()),
        Some(Err(error)) => {
            return Err(match error.fault {
                BatchFault::UnsupportedMagic(0 | 1) => ErrorCode::InvalidRecord.into(),
                BatchFault::UnsupportedMagic(magic) => {
                    let message = format!("Invalid magic found in record: {magic}");
                    Refusal::new(ErrorCode::CorruptMessage, message)
                }
                _ => ErrorCode::CorruptMessage.into(),
            });
        }
        Some(Ok(batch)) => batch,
    };
    if batches.remaining() > 0 {
        return Err(ErrorCode::InvalidRecord.into());
    }
    let zstd = batch.header().attributes.compression() == Ok(Compression::Zstd);
    if zstd && version < ZSTD_FROM {
        return Err(ErrorCode::UnsupportedCompressionType.into());
    }
    Ok(batch)
}

/// A batch checked against its topic's settings, in the bytes it is to be stored in.
pub(crate) fn check(
    batch: &Batch,
    place: (&str, i32),
    config: &TopicConfig,
    wall_millis: i64,
    max_decompressed: usize,
) -> Result<Bytes, Refusal> {
    let header = batch.header();
    if header.base_offset != 0 {
        return Err(Refusal::by_log(ErrorCode::InvalidRecord));
    }
    if batch.bytes().len() > config.max_message_bytes() {
        return Err(ErrorCode::MessageTooLarge.into());
    }
    let checked =
        Decompressor::with_local(|decompressor| batch.check(decompressor, max_decompressed));
    let checked = checked.map_err(|error| match error.fault {
        BatchFault::Checksum { .. } => Refusal::from(ErrorCode::CorruptMessage),
        BatchFault::UnknownCompression(_) => ErrorCode::UnsupportedCompressionType.into(),
        _ => Refusal::by_log(ErrorCode::InvalidRecord),
    })?;
    checked
        .check_produced()
        .map_err(|_| Refusal::by_log(ErrorCode::InvalidRecord))?;
    check_records(&checked, place, config, wall_millis)?;
    match config.compression() {
        Some(codec) if header.attributes.compression() != Ok(codec) => recompress(&checked, codec),
        _ => Ok(batch.bytes().clone()),
    }
}

fn check_records(
    batch: &CheckedBatch,
    (topic, index): (&str, i32),
    config: &TopicConfig,
    wall_millis: i64,
) -> Result<(), Refusal> {
    let compacted = config.is_compacted();
    let timed = !config.is_log_append_time();
    let (before, after) = config.timestamp_bounds();
    let mut code = ErrorCode::InvalidRecord;
    let mut bad = Vec::new();
    let fault = |record: &RecordRef<'_>| {
        if compacted && record.key.is_none() {
            let what = "Compacted topic cannot accept message without key in topic partition";
            return Some((ErrorCode::InvalidRecord, format!("{what} {topic}-{index}")));
        }
        let time = record.timestamp;
        let off =
            time < wall_millis.saturating_sub(before) || time > wall_millis.saturating_add(after);
        (timed && time != NO_TIMESTAMP && off).then(|| {
            let (from, to) = (
                wall_millis.saturating_sub(before),
                wall_millis.saturating_add(after),
            );
            let what = format!(
                "Timestamp {time} of message with offset {} is out of range. \
                 The timestamp should be within [{from}, {to}]",
                record.offset
            );
            (ErrorCode::InvalidTimestamp, what)
        })
    };
    for (at, record) in (0..).zip(batch.iter()) {
        if let Some((kind, message)) = fault(&record) {
            if kind == ErrorCode::InvalidTimestamp {
                code = kind;
            }
            bad.push(BatchIndexAndErrorMessage {
                batch_index: at,
                batch_index_error_message: Some(message.into()),
                ..BatchIndexAndErrorMessage::default()
            });
        }
    }
    if bad.is_empty() {
        return Ok(());
    }
    let message = if code == ErrorCode::InvalidTimestamp {
        "One or more records have been rejected due to invalid timestamp".to_owned()
    } else {
        summary(&bad)
    };
    Err(Refusal {
        message: Some(message),
        records: bad,
        ..Refusal::by_log(code)
    })
}

fn summary(bad: &[BatchIndexAndErrorMessage]) -> String {
    let one = |error: &BatchIndexAndErrorMessage| {
        let message = error
            .batch_index_error_message
            .as_deref()
            .unwrap_or_default();
        format!(
            "RecordError(batchIndex={}, message='{message}')",
            error.batch_index
        )
    };
    let first: Vec<String> = bad.iter().take(3).map(one).collect();
    format!(
        "One or more records have been rejected due to {} record errors in total, and only showing \
         the first three errors at most: [{}]",
        bad.len(),
        first.join(", ")
    )
}

/// The batch in another codec (`compression.type`).
fn recompress(batch: &CheckedBatch, codec: Compression) -> Result<Bytes, Refusal> {
    let fail = |error: &dyn std::fmt::Display| {
        Refusal::new(
            ErrorCode::InvalidRecord,
            format!("The batch cannot be recompressed: {error}"),
        )
    };
    let size = batch.block().len() + HEADER_LEN;
    let mut builder = BatchBuilder::new(Vec::with_capacity(size), usize::MAX);
    for record in batch {
        let headers: Vec<Header<'_>> = record.headers.into_iter().collect();
        builder
            .append(&record.parts(&headers))
            .map_err(|error| fail(&error))?;
    }
    let sealed = builder
        .seal(&mut Compressor::new(codec), &mut Heap)
        .map_err(|error| fail(&error))?;
    let header = batch.header();
    Ok(sealed.to_bytes(Stamp {
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.attributes.is_transactional(),
    }))
}
