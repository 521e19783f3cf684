//! What a consumer hands out: a batch, and records that borrow it, pin it or stand alone.

use bytes::Bytes;
use milena_codec::Str;
use milena_records::{CheckedBatch, Headers, RecordSpan, Spans, TimestampType};

/// A slice of one partition, checked before it was handed out: iterating it cannot fail.
///
/// It keeps one block of memory alive: what one answer brought of its partition, or the decompressed
/// batch alone. Dropping it lets the block be used again. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(crate) topic: Str,
    pub(crate) partition: i32,
    pub(crate) checked: CheckedBatch,
    /// Records below this were handed out before, or lie before the start.
    pub(crate) from: i64,
    /// Records from here on are not to be read.
    pub(crate) until: i64,
    pub(crate) count: usize,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) high_watermark: i64,
    pub(crate) log_start_offset: i64,
}

impl Batch {
    /// Wraps what is left of `checked` from offset `from` on: `None` if that is nothing, or if it
    /// is a batch of markers.
    pub(crate) fn new(
        topic: Str,
        partition: i32,
        checked: CheckedBatch,
        from: i64,
        bounds: Bounds,
    ) -> Option<Self> {
        if checked.header().attributes.is_control() {
            return None;
        }
        let mut batch = Self {
            topic,
            partition,
            checked,
            from,
            until: bounds.until,
            count: 0,
            first: 0,
            last: 0,
            high_watermark: bounds.high_watermark,
            log_start_offset: bounds.log_start_offset,
        };
        batch.first = batch.iter().next()?.offset;
        (batch.count, batch.last) = batch.measure();
        Some(batch)
    }

    /// How many records there are, and the last one's offset. Walks the records only if the
    /// header does not tell.
    fn measure(&self) -> (usize, i64) {
        let header = self.checked.header();
        let dense = header.last_offset_delta.checked_add(1) == Some(header.record_count);
        let whole = self.from <= header.base_offset && header.last_offset() < self.until;
        if dense && whole {
            return (self.checked.iter().len(), header.last_offset());
        }
        self.iter().fold((0, self.first), |(count, _), record| {
            (count + 1, record.offset)
        })
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition's index.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// How many records there are; at least one.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Always `false`: a batch without records is not handed out.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first record's offset.
    pub fn first_offset(&self) -> i64 {
        self.first
    }

    /// The last record's offset.
    pub fn last_offset(&self) -> i64 {
        self.last
    }

    /// Where reading goes on behind this batch: behind its last offset, which compaction may have
    /// left without a record, or at the offset where reading is to stop.
    pub fn next_offset(&self) -> i64 {
        let behind = self.checked.header().last_offset().saturating_add(1);
        behind.min(self.until)
    }

    /// The partition's end as it was when this was fetched: the offset behind the last record that
    /// consumers could see.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The partition's first offset as it was when this was fetched; −1 where brokers do not tell.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start_offset
    }

    /// The epoch of the leader that appended the batch (KIP-320), or −1.
    pub fn leader_epoch(&self) -> i32 {
        self.checked.header().partition_leader_epoch
    }

    /// The records, in the order of their offsets, as views.
    pub fn iter(&self) -> Records<'_> {
        Records {
            batch: self,
            inner: self.checked.iter(),
        }
    }

    /// The records as values of their own, which all pin this batch's block.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.iter().map(|record| record.pin())
    }

    pub(crate) fn into_cursor(self) -> Cursor {
        let spans = self.checked.clone().into_spans();
        Cursor { batch: self, spans }
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = RecordRef<'a>;
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.iter()
    }
}

/// The log's bounds as an answer gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) high_watermark: i64,
    pub(crate) log_start_offset: i64,
    /// Where reading is to stop.
    pub(crate) until: i64,
}

/// The records of a [`Batch`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    batch: &'a Batch,
    inner: milena_records::Records<'a>,
}

impl<'a> Iterator for Records<'a> {
    type Item = RecordRef<'a>;

    fn next(&mut self) -> Option<RecordRef<'a>> {
        let from = self.batch.from;
        let inner = self.inner.find(|record| record.offset >= from)?;
        if inner.offset >= self.batch.until {
            return None;
        }
        Some(RecordRef {
            offset: inner.offset,
            timestamp: inner.timestamp,
            key: inner.key,
            value: inner.value,
            headers: inner.headers,
            batch: self.batch,
            inner,
        })
    }
}

/// A record that borrows its batch.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RecordRef<'a> {
    /// The record's offset in its partition.
    pub offset: i64,
    /// Milliseconds since the epoch; see [`timestamp_type`](Self::timestamp_type).
    pub timestamp: i64,
    /// The key; `None` is null, which differs from empty.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null, a tombstone in compacted topics.
    pub value: Option<&'a [u8]>,
    /// The headers, decoded as they are walked.
    pub headers: Headers<'a>,
    batch: &'a Batch,
    inner: milena_records::RecordRef<'a>,
}

impl<'a> RecordRef<'a> {
    /// The topic's name.
    pub fn topic(&self) -> &'a str {
        &self.batch.topic
    }

    /// The partition's index.
    pub fn partition(&self) -> i32 {
        self.batch.partition
    }

    /// Who set the timestamp.
    pub fn timestamp_type(&self) -> TimestampType {
        self.batch.checked.header().attributes.timestamp_type()
    }

    /// The record as a value that keeps its batch's block alive, without copying.
    pub fn pin(&self) -> Record {
        let span = self.batch.checked.span(&self.inner);
        Record::new(
            self.batch,
            span.expect("a record lies within its own batch"),
        )
    }

    /// A copy that stands alone.
    pub fn to_owned(&self) -> OwnedRecord {
        OwnedRecord {
            topic: self.topic().to_owned(),
            partition: self.partition(),
            offset: self.offset,
            timestamp: self.timestamp,
            timestamp_type: self.timestamp_type(),
            key: self.key.map(<[u8]>::to_vec),
            value: self.value.map(<[u8]>::to_vec),
            headers: own_headers(self.headers),
        }
    }
}

fn own_headers(headers: Headers<'_>) -> Vec<(String, Option<Vec<u8>>)> {
    headers
        .map(|header| {
            let value = header.value.map(<[u8]>::to_vec);
            (header.name_lossy().into_owned(), value)
        })
        .collect()
}

/// A record that keeps the block of its batch alive: cheap to make and to clone, but a few of them
/// kept for long keep whole batches in memory. [`to_owned`](Self::to_owned) frees it.
#[derive(Clone, Debug)]
pub struct Record {
    topic: Str,
    partition: i32,
    batch: CheckedBatch,
    span: RecordSpan,
    offset: i64,
    timestamp: i64,
}

impl Record {
    fn new(batch: &Batch, span: RecordSpan) -> Self {
        let view = batch.checked.record(&span);
        let (offset, timestamp) = (view.offset, view.timestamp);
        Self {
            topic: batch.topic.clone(),
            partition: batch.partition,
            batch: batch.checked.clone(),
            span,
            offset,
            timestamp,
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition's index.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The record's offset in its partition.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Milliseconds since the epoch; see [`timestamp_type`](Self::timestamp_type).
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// Who set the timestamp.
    pub fn timestamp_type(&self) -> TimestampType {
        self.batch.header().attributes.timestamp_type()
    }

    /// The key; `None` is null, which differs from empty.
    pub fn key(&self) -> Option<&[u8]> {
        self.batch.record(&self.span).key
    }

    /// The value; `None` is null, a tombstone in compacted topics.
    pub fn value(&self) -> Option<&[u8]> {
        self.batch.record(&self.span).value
    }

    /// The headers, decoded as they are walked.
    pub fn headers(&self) -> Headers<'_> {
        self.batch.record(&self.span).headers
    }

    /// The key as shared bytes, which keep the block alive.
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.key().map(|key| self.batch.share(key))
    }

    /// The value as shared bytes, which keep the block alive.
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.value().map(|value| self.batch.share(value))
    }

    /// A copy that stands alone.
    pub fn to_owned(&self) -> OwnedRecord {
        OwnedRecord {
            topic: self.topic().to_owned(),
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            timestamp_type: self.timestamp_type(),
            key: self.key().map(<[u8]>::to_vec),
            value: self.value().map(<[u8]>::to_vec),
            headers: own_headers(self.headers()),
        }
    }
}

/// A record that stands alone.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnedRecord {
    /// The topic's name.
    pub topic: String,
    /// The partition's index.
    pub partition: i32,
    /// The record's offset in its partition.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// Who set the timestamp.
    pub timestamp_type: TimestampType,
    /// The key; `None` is null, which differs from empty.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is null, a tombstone in compacted topics.
    pub value: Option<Vec<u8>>,
    /// The headers, in order, repeated names kept. Names that are not UTF-8 have the damaged parts
    /// replaced.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl std::fmt::Debug for OwnedRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Contents may be secret and never reach a log by accident.
        f.debug_struct("OwnedRecord")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .field("key_len", &self.key.as_ref().map(Vec::len))
            .field("value_len", &self.value.as_ref().map(Vec::len))
            .field("headers", &self.headers.len())
            .finish()
    }
}

/// A batch that is handed out record by record.
#[derive(Debug)]
pub(crate) struct Cursor {
    batch: Batch,
    spans: Spans,
}

impl Cursor {
    /// The next record and the offset at which reading goes on behind it.
    pub(crate) fn next(&mut self) -> Option<(Record, i64)> {
        loop {
            let record = Record::new(&self.batch, self.spans.next()?);
            if record.offset >= self.batch.until {
                return None;
            }
            if record.offset >= self.batch.from {
                let next = match self.spans.len() {
                    0 => self.batch.next_offset(),
                    _ => record.offset.saturating_add(1),
                };
                return Some((record, next));
            }
        }
    }

    /// The records not handed out yet as a batch.
    pub(crate) fn into_batch(self, from: i64) -> Option<Batch> {
        let Batch {
            topic,
            partition,
            checked,
            ..
        } = self.batch;
        let bounds = Bounds {
            high_watermark: self.batch.high_watermark,
            log_start_offset: self.batch.log_start_offset,
            until: self.batch.until,
        };
        Batch::new(topic, partition, checked, from, bounds)
    }

    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }
}

#[cfg(test)]
mod tests;
