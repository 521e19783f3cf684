//! Finds the records in a Fetch answer while it arrives, so that each partition's can be received
//! into a block of their own and everything else stays small.
//!
//! - I1: a step never looks twice at more than [`LIMIT`] bytes; an answer that needs more, or that
//!   makes no sense, is [`Step::Foreign`] from there on, and its decoder says what is wrong.
//! - I2: what is cut out leaves an empty field behind, so that the envelope decodes by itself.
//! - I3: nothing is cut out of a frame with another correlation id than that of the request.
//!
//! Not for reading the answer, but for what has to be known of records before the answer is whole.

use bytes::Bytes;
use milena_codec::{Str, Uuid};

/// The most that one step may have to look at: a partition without its records is some 60 bytes,
/// and 16 more for each aborted transaction.
const LIMIT: usize = 64 * 1024;
/// From here on: topic ids instead of names (KIP-516).
const IDS_FROM: i16 = 13;
/// From here on: compact lengths and tagged fields (KIP-482).
const FLEXIBLE_FROM: i16 = 12;

/// One partition's records, and what its answer says of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchedPart {
    /// The topic's name; empty in versions with ids.
    pub topic: Str,
    /// The topic's id; zero in versions with names.
    pub topic_id: Uuid,
    /// The partition's index.
    pub partition: i32,
    /// The partition's error code.
    pub error_code: i16,
    /// The partition's high watermark.
    pub high_watermark: i64,
    /// The log's first offset; −1 if the version does not tell.
    pub log_start_offset: i64,
    /// The records.
    pub records: Bytes,
}

/// What stands at the front of the bytes given to [`Carver::step`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More bytes are needed to tell.
    More,
    /// So many bytes of envelope.
    Envelope(usize),
    /// So many bytes of envelope, the last of which are the length field of a partition's records,
    /// which follow. They are still missing in `part`.
    Records {
        envelope: usize,
        length_field: usize,
        size: usize,
        part: FetchedPart,
    },
    /// Only envelope from here on, as far as one can tell.
    Foreign,
}

/// The parts of an answer, in their order.
#[derive(Clone, Copy, Debug)]
enum Part {
    Start,
    Topic,
    Partition,
    PartitionEnd,
    TopicEnd,
    End,
}

/// Walks one answer with its header.
#[derive(Debug)]
pub(super) struct Carver {
    version: i16,
    correlation_id: i32,
    next: Part,
    topics: u64,
    partitions: u64,
    topic: Str,
    topic_id: Uuid,
}

/// The records that a part of the envelope ends with.
struct Records {
    length_field: usize,
    size: usize,
    part: FetchedPart,
}

impl Carver {
    pub(super) fn new(version: i16, correlation_id: i32) -> Self {
        Self {
            version,
            correlation_id,
            next: Part::Start,
            topics: 0,
            partitions: 0,
            topic: Str::new(),
            topic_id: Uuid::default(),
        }
    }

    /// What `bytes` begin with; `complete` if they end the answer. Each step goes on behind what
    /// the last one told.
    pub(super) fn step(&mut self, bytes: &[u8], complete: bool) -> Step {
        let mut at = At {
            rest: bytes.get(..LIMIT).unwrap_or(bytes),
            flexible: self.version >= FLEXIBLE_FROM,
        };
        match self.walk(&mut at) {
            Some(records) => {
                let envelope = bytes.len().min(LIMIT).saturating_sub(at.rest.len());
                match records {
                    None => Step::Envelope(envelope),
                    Some(Records {
                        length_field,
                        size,
                        part,
                    }) => Step::Records {
                        envelope,
                        length_field,
                        size,
                        part,
                    },
                }
            }
            None if complete || bytes.len() >= LIMIT => Step::Foreign, // I1
            None => Step::More,
        }
    }

    /// One part. `None` when it goes on behind the bytes; then nothing has changed.
    fn walk(&mut self, at: &mut At<'_>) -> Option<Option<Records>> {
        let mut records = None;
        self.next = match self.next {
            Part::Start => {
                self.topics = self.start(at)?;
                if self.topics == 0 {
                    Part::End
                } else {
                    Part::Topic
                }
            }
            Part::Topic => {
                let (topic, topic_id) = if self.version >= IDS_FROM {
                    (Str::new(), Uuid(at.array()?))
                } else {
                    (at.text()?, Uuid::default())
                };
                self.partitions = at.count()?;
                (self.topic, self.topic_id) = (topic, topic_id);
                self.topics = self.topics.saturating_sub(1);
                self.next_partition()
            }
            Part::Partition => {
                records = Some(self.partition(at)?).filter(|records| records.size > 0);
                self.partitions = self.partitions.saturating_sub(1);
                Part::PartitionEnd
            }
            Part::PartitionEnd => {
                at.tags()?;
                self.next_partition()
            }
            Part::TopicEnd => {
                at.tags()?;
                if self.topics == 0 {
                    Part::End
                } else {
                    Part::Topic
                }
            }
            // The last tagged fields have no end to look for.
            Part::End => return None,
        };
        Some(records)
    }

    /// The length field of no records.
    pub(super) fn no_records(&self) -> &'static [u8] {
        if self.version >= FLEXIBLE_FROM {
            &[1]
        } else {
            &[0; 4]
        }
    }

    fn next_partition(&self) -> Part {
        if self.partitions == 0 {
            Part::TopicEnd
        } else {
            Part::Partition
        }
    }

    /// The header and what stands before the topics; returns how many there are.
    fn start(&self, at: &mut At<'_>) -> Option<u64> {
        if i32::from_be_bytes(at.array()?) != self.correlation_id {
            at.rest = &[];
            return None; // I3
        }
        at.tags()?;
        if self.version >= 1 {
            at.skip(4)?; // throttle time
        }
        if self.version >= 7 {
            at.skip(2 + 4)?; // error code, session id
        }
        at.count()
    }

    /// What stands before a partition's records, and their length.
    fn partition(&self, at: &mut At<'_>) -> Option<Records> {
        let partition = i32::from_be_bytes(at.array()?);
        let error_code = i16::from_be_bytes(at.array()?);
        let high_watermark = i64::from_be_bytes(at.array()?);
        let mut log_start_offset = -1;
        if self.version >= 4 {
            at.skip(8)?; // last stable offset
        }
        if self.version >= 5 {
            log_start_offset = i64::from_be_bytes(at.array()?);
        }
        if self.version >= 4 {
            for _ in 0..at.count()? {
                at.skip(8 + 8)?; // an aborted transaction
                at.tags()?;
            }
        }
        if self.version >= 11 {
            at.skip(4)?; // preferred read replica
        }
        let before = at.rest.len();
        let size = usize::try_from(at.count()?).ok()?;
        Some(Records {
            length_field: before.saturating_sub(at.rest.len()),
            size,
            part: FetchedPart {
                topic: self.topic.clone(),
                topic_id: self.topic_id,
                partition,
                error_code,
                high_watermark,
                log_start_offset,
                records: Bytes::new(),
            },
        })
    }
}

/// The place in an answer.
struct At<'a> {
    rest: &'a [u8],
    flexible: bool,
}

impl At<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*array)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }

    /// A length that may be null, which counts as 0.
    fn count(&mut self) -> Option<u64> {
        if self.flexible {
            return Some(self.varint()?.saturating_sub(1));
        }
        Some(u64::try_from(i32::from_be_bytes(self.array()?)).unwrap_or(0))
    }

    fn text(&mut self) -> Option<Str> {
        let length = if self.flexible {
            usize::try_from(self.count()?).ok()?
        } else {
            usize::try_from(i16::from_be_bytes(self.array()?)).unwrap_or(0)
        };
        let text = self.rest.get(..length)?;
        self.skip(length)?;
        Str::try_from(text).ok()
    }

    fn tags(&mut self) -> Option<()> {
        if !self.flexible {
            return Some(());
        }
        for _ in 0..self.varint()? {
            self.varint()?;
            let size = self.varint()?;
            self.skip(usize::try_from(size).ok()?)?;
        }
        Some(())
    }

    /// At most 5 bytes; a longer one ends the walk as one that is cut does.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for index in 0..5_u32 {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f).checked_shl(index.saturating_mul(7))?;
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
