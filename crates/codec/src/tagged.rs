//! Tagged fields (KIP-482) that this library does not know: kept, so that they survive a round trip.

use bytes::Bytes;

use crate::{EncodeError, Sink};

/// The unknown tagged fields of a struct, in ascending order of their tags. Empty ones cost a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::box_collection,
    reason = "nearly every struct has one, and nearly all are empty"
)]
pub struct TaggedFields(Option<Box<Vec<(u32, Bytes)>>>);

impl TaggedFields {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The fields, by ascending tag.
    pub fn iter(&self) -> impl Iterator<Item = &(u32, Bytes)> {
        self.0.iter().flat_map(|fields| fields.iter())
    }

    /// Adds a field behind the others; its tag must be above theirs, else it is refused as `false`.
    pub fn push(&mut self, tag: u32, value: Bytes) -> bool {
        let fields = self.0.get_or_insert_default();
        let ascending = fields.last().is_none_or(|(last, _)| *last < tag);
        if ascending {
            fields.push((tag, value));
        }
        ascending
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |fields| fields.len())
    }
}

/// A struct with tagged fields of its own; written by generated code only.
#[doc(hidden)]
pub trait EncodeTag {
    fn encode_tag<S: Sink>(&self, tag: u32, out: &mut S, version: i16) -> Result<(), EncodeError>;
}
