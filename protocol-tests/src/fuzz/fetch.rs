//! Fetch answers received in parts. The first bytes choose the version, the credit and how the bytes
//! arrive; the rest is the answer behind its correlation id.

use bytes::{BufMut, Bytes};
use milena_codec::messages::FetchResponse;
use milena_codec::{ApiKey, decode, frame};
use milena_proto::wire::{BlockPool, FetchBlocks, FetchedPart, FrameReader, Room};

use crate::allocation;
use crate::dice::Dice;

const ID: i32 = 5;
const MAX: usize = 1 << 20;
/// Room that the reader makes before it knows the frame, twice while it moves.
const FIRST: u64 = 128 * 1024;

/// An answer that decodes is the same whole and put together of its parts; none takes more memory
/// than its credit and what has arrived of it.
pub fn fetch_answers(input: &[u8]) {
    let mut dice = Dice::new(input);
    let versions = ApiKey::Fetch.stable_versions();
    let version = i16::from(dice.byte()).clamp(versions.min, versions.max);
    let credit = usize::from(dice.byte()) * 64;
    let at_most = usize::from(dice.byte()) + 1;
    let whole = [&ID.to_be_bytes()[..], dice.rest()].concat();
    let ((envelope, parts), peak) = allocation::peak(|| receive(&whole, version, credit, at_most));
    let received = whole.len() as u64;
    assert!(peak <= 16 * received + credit as u64 + FIRST, "{peak}");

    let body = frame::read_response(Bytes::from(whole), ApiKey::Fetch, version);
    let Some(expected) = body
        .ok()
        .and_then(|(_, body)| decode::<FetchResponse>(body, version).ok())
    else {
        return;
    };
    let envelope = envelope.expect("the frame is whole");
    let (id, body) = frame::read_response(envelope, ApiKey::Fetch, version).expect("its header");
    let envelope = decode::<FetchResponse>(body, version).expect("an envelope decodes by itself");
    assert_eq!((id, together(envelope, parts)), (ID, expected));
}

fn receive(
    whole: &[u8],
    version: i16,
    credit: usize,
    at_most: usize,
) -> (Option<Bytes>, Vec<FetchedPart>) {
    let size = i32::try_from(whole.len()).expect("inputs are small");
    let bytes = [&size.to_be_bytes()[..], whole].concat();
    let mut reader = FrameReader::new(MAX);
    let pool = BlockPool::new(0);
    let blocks = FetchBlocks {
        version,
        credit,
        pool,
    };
    reader.expect(blocks, ID);
    let (mut rest, mut parts) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let next = &rest[..at_most.min(rest.len())];
        let put = match reader.room() {
            Room::Buffer(mut room) => put(&mut room, next),
            Room::Block(mut room) => put(&mut room, next),
        };
        rest = &rest[put..];
        let Ok(frame) = reader.poll_frame() else {
            return (None, parts);
        };
        parts.extend(std::iter::from_fn(|| reader.poll_part()));
        if frame.is_some() {
            return (frame, parts);
        }
    }
    (None, parts)
}

fn put(room: &mut impl BufMut, bytes: &[u8]) -> usize {
    let count = room.chunk_mut().len().min(bytes.len());
    assert!(count > 0, "there is room for at least one byte");
    room.put_slice(&bytes[..count]);
    count
}

fn together(mut envelope: FetchResponse, parts: Vec<FetchedPart>) -> FetchResponse {
    let mut parts = parts.into_iter().peekable();
    for topic in &mut envelope.responses {
        for data in &mut topic.partitions {
            let here = |part: &FetchedPart| {
                (&part.topic, part.topic_id, part.partition)
                    == (&topic.topic, topic.topic_id, data.partition_index)
            };
            let cut_out = data.records.as_ref().is_some_and(Bytes::is_empty);
            if let Some(part) = parts.next_if(|part| cut_out && here(part)) {
                data.records = Some(part.records);
            }
        }
    }
    assert!(parts.next().is_none(), "every part has its place");
    envelope
}
