//! What is asked of a position, what it answers, and what becomes of it.

/// Where to start reading a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// At the first record there is.
    Beginning,
    /// Behind the last record there is.
    End,
    /// At this offset.
    Offset(i64),
    /// At the first record whose timestamp is this or later, in ms since the epoch; at the end if
    /// there is none.
    Timestamp(i64),
}

/// What to do when the position is outside the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutOfRange {
    /// Stop the partition and say so.
    #[default]
    Error,
    /// Go on at the first record there is.
    Earliest,
    /// Go on behind the last record there is.
    Latest,
}

/// [`OutOfRange`] for either side (Kafka's `auto.offset.reset` has one answer for both).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OutOfRangePolicy {
    /// The position is below the log: retention or DeleteRecords removed what was to be read.
    pub below: OutOfRange,
    /// The position is above the log's end: the log was truncated, or it is another log.
    pub above: OutOfRange,
}

/// Which side of the log a position is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Below the log's start.
    Below,
    /// Above the log's end.
    Above,
}

/// Names the time between two jumps of a position. Never used twice within one consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// A question for ListOffsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// To be handed back with the answer.
    pub token: Token,
    /// What to look up.
    pub query: Query,
}

/// What ListOffsets can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Query {
    /// The log's start.
    Earliest,
    /// The log's end.
    Latest,
    /// The first offset at or after this time, in ms since the epoch.
    Timestamp(i64),
}

impl Query {
    /// Its value in the request's timestamp field.
    #[must_use]
    pub const fn wire(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::Timestamp(ms) => ms,
        }
    }
}

/// How a look-up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupAnswer {
    /// The offset.
    Found(i64),
    /// The broker answered that no record matches.
    NoMatch,
    /// No answer, or an error: not the same as no match. // I2
    Failed,
}

/// Something that happened to a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionEvent {
    /// The start was looked up.
    Resolved {
        /// The offset to start at.
        offset: i64,
    },
    /// The offset to stop at was looked up.
    EndCaptured {
        /// The offset behind the last record to read.
        offset: i64,
    },
    /// The policy moved the position.
    Reset {
        /// The position that was outside the log.
        from: i64,
        /// The new position.
        to: i64,
        /// Where it was.
        side: Side,
    },
    /// The broker called the position out of range, and its log's bounds say otherwise.
    InRangeAfterAll {
        /// The position, unchanged.
        offset: i64,
    },
}

/// The position is outside the log and the policy says to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("offset {offset} is outside the log, which is {start} to {}", end_text(.end))]
pub struct OutOfRangeFault {
    /// The position.
    pub offset: i64,
    /// Where it is.
    pub side: Side,
    /// The log's first offset.
    pub start: i64,
    /// The log's end, where it was looked up.
    pub end: Option<i64>,
}

fn end_text(end: &Option<i64>) -> String {
    end.map_or_else(|| "a later offset".to_owned(), |end| end.to_string())
}

/// What a partition is doing, as far as its position decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The offset to start at, or the one to stop at, is being looked up.
    Resolving,
    /// Fetching is possible.
    Fetching,
    /// The broker called the offset out of range; the log's bounds are being looked up.
    CheckingRange,
    /// What was fetched last ends in something unreadable: nothing behind it is fetched.
    Blocked,
    /// Stopped by an error until the next seek.
    Failed,
}

/// Whether and where reading a partition ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stop {
    /// It goes on with what is written later.
    #[default]
    Never,
    /// At the end that the log has when reading begins.
    AtEnd,
    /// Before this offset.
    At(i64),
}

/// Where to fetch from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchFrom {
    /// To be handed back with the answer.
    pub token: Token,
    /// The offset.
    pub offset: i64,
}
