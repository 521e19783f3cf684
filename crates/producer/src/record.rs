//! A record to be sent, borrowed from the caller.

use milena_records::{HEADER_LEN, Header, RecordParts};

use crate::TopicHandle;

/// What a record adds to its key, value and headers at most: lengths, deltas, attributes.
pub(crate) const RECORD_OVERHEAD: usize = 36;

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
    pub(crate) to: Destination<'a>,
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp: Option<i64>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<Header<'a>>,
}

impl<'a> Record<'a> {
    /// A record for this topic, by its name or by a [`TopicHandle`]: without key, value, or headers
    /// so far.
    #[inline]
    pub fn to(topic: impl Into<Destination<'a>>) -> Self {
        Self {
            to: topic.into(),
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

    /// The topic's name.
    pub(crate) fn topic(&self) -> &'a str {
        match self.to {
            Destination::Name(name) => name,
            Destination::Handle(handle) => handle.name(),
        }
    }

    /// At least as many bytes as the record takes, alone in its batch; quicker than the exact number.
    #[inline]
    pub(crate) fn size_hint(&self) -> usize {
        let field = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
        if self.headers.is_empty() {
            field(self.key) + field(self.value) + RECORD_OVERHEAD + HEADER_LEN
        } else {
            usize::MAX
        }
    }

    #[inline]
    pub(crate) fn parts(&self, timestamp: i64) -> RecordParts<'_> {
        RecordParts {
            timestamp,
            key: self.key,
            value: self.value,
            headers: &self.headers,
        }
    }

    pub(crate) fn headers(&self) -> &[Header<'a>] {
        &self.headers
    }

    /// Replaces key and value, if they are given, and adds headers.
    pub(crate) fn replace(
        &mut self,
        key: Option<Option<&'a [u8]>>,
        value: Option<Option<&'a [u8]>>,
        headers: impl Iterator<Item = Header<'a>>,
    ) {
        self.key = key.unwrap_or(self.key);
        self.value = value.unwrap_or(self.value);
        self.headers.extend(headers);
    }

    pub(crate) const fn key_bytes(&self) -> Option<&'a [u8]> {
        self.key
    }

    pub(crate) const fn value_bytes(&self) -> Option<&'a [u8]> {
        self.value
    }
}

/// Where a record goes: a topic by its name, or by a handle that has resolved it.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// By name.
    Name(&'a str),
    /// By handle.
    Handle(&'a TopicHandle),
}

impl<'a> From<&'a str> for Destination<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a String> for Destination<'a> {
    fn from(name: &'a String) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a milena_codec::Str> for Destination<'a> {
    fn from(name: &'a milena_codec::Str) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a TopicHandle> for Destination<'a> {
    fn from(handle: &'a TopicHandle) -> Self {
        Self::Handle(handle)
    }
}
