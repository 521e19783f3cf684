//! A record to be sent, borrowed from the caller.

use milena_records::{Header, RecordParts};

/// A record to be sent. All parts are borrowed; [`Producer::send`](crate::Producer::send) copies
/// them once.
///
/// ```
/// use milena_producer::Record;
///
/// let record = Record::to("orders").key("customer-42").value("two pizzas").header("v", "1");
/// # let _ = record;
/// ```
#[derive(Clone, Debug)]
#[must_use = "a record does nothing until it is sent"]
pub struct Record<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp: Option<i64>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<Header<'a>>,
}

impl<'a> Record<'a> {
    /// A record for this topic: without key, value, or headers so far.
    pub const fn to(topic: &'a str) -> Self {
        Self {
            topic,
            partition: None,
            timestamp: None,
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }

    /// The key: it chooses the partition, unless one is given. Default null.
    pub fn key(self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        let key = Some(key.as_ref());
        Self { key, ..self }
    }

    /// The value. Default null, which deletes the key from a compacted topic.
    pub fn value(self, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        let value = Some(value.as_ref());
        Self { value, ..self }
    }

    /// Adds a header. Names may repeat, and order is kept.
    pub fn header(mut self, name: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.headers.push(Header::new(name, Some(value.as_ref())));
        self
    }

    /// Adds a header whose value is null.
    pub fn null_header(mut self, name: &'a str) -> Self {
        self.headers.push(Header::new(name, None));
        self
    }

    /// The partition, instead of letting the key or the producer choose.
    pub const fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Milliseconds since 1970 UTC. Default: when it is sent. Topics with `LogAppendTime` ignore
    /// it.
    pub const fn timestamp(mut self, millis: i64) -> Self {
        self.timestamp = Some(millis);
        self
    }

    pub(crate) fn parts(&self, timestamp: i64) -> RecordParts<'_> {
        RecordParts {
            timestamp,
            key: self.key,
            value: self.value,
            headers: &self.headers,
        }
    }

    pub(crate) const fn key_bytes(&self) -> Option<&'a [u8]> {
        self.key
    }
}
