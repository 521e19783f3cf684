//! The Produce request with batches in pieces, so that their bytes are shared and not copied.

use bytes::Bytes;
use milena_codec::messages::{ProduceRequest, ProduceResponse};
use milena_codec::{
    ApiKey, EncodeError, Malformed, Message, Reader, Request, Sink, Str, TaggedFields, Uuid,
    VersionRange,
};

/// As the generated [`ProduceRequest`], the same bytes on the wire.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Produce {
    pub(crate) transactional_id: Option<Str>,
    pub(crate) acks: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) topics: Vec<TopicBatches>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicBatches {
    pub(crate) name: Str,
    pub(crate) id: Uuid,
    pub(crate) partitions: Vec<PartitionBatch>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PartitionBatch {
    pub(crate) index: i32,
    /// Header and body.
    pub(crate) pieces: Vec<Bytes>,
}

impl Message for Produce {
    const NAME: &'static str = ProduceRequest::NAME;
    const VERSIONS: VersionRange = ProduceRequest::VERSIONS;
    const FLEXIBLE_FROM: Option<i16> = ProduceRequest::FLEXIBLE_FROM;

    fn encode_body<S: Sink>(&self, out: &mut S, version: i16) -> Result<(), EncodeError> {
        let flexible = Self::FLEXIBLE_FROM.is_some_and(|from| version >= from);
        out.put_nullable_string(self.transactional_id.as_deref(), flexible)?;
        out.put_i16(self.acks);
        out.put_i32(self.timeout_ms);
        out.put_array(&self.topics, flexible, |out, topic| {
            if version >= 13 {
                out.put_uuid(topic.id);
            } else {
                out.put_string(&topic.name, flexible)?;
            }
            out.put_array(&topic.partitions, flexible, |out, partition| {
                out.put_i32(partition.index);
                put_pieces(out, &partition.pieces, flexible)?;
                put_no_tags(out, flexible)
            })?;
            put_no_tags(out, flexible)
        })?;
        put_no_tags(out, flexible)
    }

    fn decode_body(input: &mut Reader, version: i16) -> Result<Self, Malformed> {
        let whole = ProduceRequest::decode_body(input, version)?;
        let topics = whole.topic_data.into_iter().map(|topic| TopicBatches {
            name: topic.name,
            id: topic.topic_id,
            partitions: topic
                .partition_data
                .into_iter()
                .map(|partition| PartitionBatch {
                    index: partition.index,
                    pieces: partition.records.into_iter().collect(),
                })
                .collect(),
        });
        Ok(Self {
            transactional_id: whole.transactional_id,
            acks: whole.acks,
            timeout_ms: whole.timeout_ms,
            topics: topics.collect(),
        })
    }
}

impl Request for Produce {
    const KEY: ApiKey = ApiKey::Produce;
    type Response = ProduceResponse;
}

fn put_pieces<S: Sink>(out: &mut S, pieces: &[Bytes], flexible: bool) -> Result<(), EncodeError> {
    let length: usize = pieces.iter().map(Bytes::len).sum();
    let signed = i32::try_from(length).map_err(|_| EncodeError::TooLong(length))?;
    if flexible {
        out.put_unsigned_varint(signed.unsigned_abs() + 1);
    } else {
        out.put_i32(signed);
    }
    pieces.iter().for_each(|piece| out.put_shared(piece));
    Ok(())
}

fn put_no_tags<S: Sink>(out: &mut S, flexible: bool) -> Result<(), EncodeError> {
    if flexible {
        out.put_unknown_tagged_fields(&TaggedFields::default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
