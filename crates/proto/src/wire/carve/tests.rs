use bytes::{BufMut, Bytes};
use milena_codec::messages::FetchResponse;
use milena_codec::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use milena_codec::{ApiKey, Str, Uuid, decode, frame};

use crate::wire::{BlockPool, FetchBlocks, FetchedPart, FrameReader, Room};

const MAX: usize = 100_000_000;

/// Topics of partitions of records of these sizes; negative ones are null.
fn answer(version: i16, topics: &[&[i64]]) -> FetchResponse {
    let topics = topics.iter().enumerate().map(|(at, sizes)| {
        let partitions = sizes.iter().zip(0..).map(|(size, index)| PartitionData {
            partition_index: index,
            high_watermark: 77,
            aborted_transactions: (index % 3 == 1 && version >= 4).then(|| {
                vec![
                    AbortedTransaction {
                        producer_id: 5,
                        first_offset: 6,
                        ..Default::default()
                    };
                    3
                ]
            }),
            current_leader: if version >= 12 && index == 1 {
                LeaderIdAndEpoch {
                    leader_id: 3,
                    leader_epoch: 9,
                    ..Default::default()
                }
            } else {
                LeaderIdAndEpoch::default()
            },
            records: usize::try_from(*size).ok().map(|size| {
                let bytes = (0..size).map(|n| (n * 7 + at + index as usize) as u8);
                Bytes::from_iter(bytes)
            }),
            ..PartitionData::default()
        });
        FetchableTopicResponse {
            topic: if version < 13 {
                Str::from(format!("topic-{at}"))
            } else {
                Str::new()
            },
            topic_id: if version < 13 {
                Uuid::default()
            } else {
                Uuid([at as u8 + 1; 16])
            },
            partitions: partitions.collect(),
            ..FetchableTopicResponse::default()
        }
    });
    FetchResponse {
        throttle_time_ms: 3,
        session_id: if version >= 7 { 12 } else { 0 },
        responses: topics.collect(),
        node_endpoints: if version >= 16 {
            vec![NodeEndpoint {
                node_id: 1,
                host: Str::from_static("h"),
                port: 9,
                ..Default::default()
            }]
        } else {
            Vec::new()
        },
        ..FetchResponse::default()
    }
}

fn expected(version: i16, credit: usize, pool: &BlockPool) -> FetchBlocks {
    FetchBlocks {
        version,
        credit,
        pool: pool.clone(),
    }
}

/// Puts bytes where the reader wants them, at most so many at a time.
fn receive(
    reader: &mut FrameReader,
    mut bytes: &[u8],
    at_most: usize,
) -> (Option<Bytes>, Vec<FetchedPart>) {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let most = at_most.min(bytes.len());
        let put = match reader.room() {
            Room::Buffer(mut room) => put(&mut room, &bytes[..most]),
            Room::Block(mut room) => put(&mut room, &bytes[..most]),
        };
        bytes = &bytes[put..];
        let frame = reader.poll_frame().unwrap();
        parts.extend(std::iter::from_fn(|| reader.poll_part()));
        if let Some(frame) = frame {
            assert!(bytes.is_empty());
            return (Some(frame), parts);
        }
    }
    (None, parts)
}

fn put(room: &mut impl BufMut, bytes: &[u8]) -> usize {
    let count = room.chunk_mut().len().min(bytes.len());
    assert!(count > 0);
    room.put_slice(&bytes[..count]);
    count
}

/// Receives an answer in parts and puts it together again.
fn carved(version: i16, bytes: &[u8], at_most: usize, credit: usize) -> (FetchResponse, usize) {
    let pool = BlockPool::new(0);
    let mut reader = FrameReader::new(MAX);
    reader.expect(expected(version, credit, &pool), 5);
    let (envelope, parts) = receive(&mut reader, bytes, at_most);
    assert!(!reader.is_mid_frame());
    let envelope = envelope.expect("the frame is whole");
    let (_, body) = frame::read_response(envelope, ApiKey::Fetch, version).unwrap();
    let envelope = body.len();
    let mut found: FetchResponse = decode(body, version).unwrap();
    let mut parts = parts.into_iter().peekable();
    for topic in &mut found.responses {
        for data in &mut topic.partitions {
            let here = |part: &FetchedPart| {
                (&part.topic, part.topic_id, part.partition)
                    == (&topic.topic, topic.topic_id, data.partition_index)
            };
            if let Some(part) = parts.next_if(here) {
                assert_eq!(data.records, Some(Bytes::new()));
                assert_eq!(part.error_code, data.error_code);
                assert_eq!(part.high_watermark, data.high_watermark);
                assert_eq!(part.log_start_offset, data.log_start_offset);
                data.records = Some(part.records);
            }
        }
    }
    assert!(parts.next().is_none());
    (found, envelope)
}

#[test]
fn answers_of_every_version_come_apart_and_together_however_they_arrive() {
    let shapes: [&[&[i64]]; 6] = [
        &[],
        &[&[]],
        &[&[0, -1, 10]],
        &[&[5000, 1, 0, 70_000], &[3], &[-1, 0]],
        &[&[200_000, 200_000, 0, 0, 20], &[], &[9000]],
        &[&[1; 300]],
    ];
    for version in ApiKey::Fetch.stable_versions().min..=ApiKey::Fetch.stable_versions().max {
        for shape in shapes {
            let answer = answer(version, shape);
            let bytes = frame::response(&answer, ApiKey::Fetch, version, 5)
                .unwrap()
                .into_bytes();
            for (at_most, credit) in [(1, 0), (7, 4096), (1000, 0), (MAX, MAX), (9000, 100_000)] {
                if at_most == 1 && bytes.len() > 100_000 {
                    continue;
                }
                let (found, envelope) = carved(version, &bytes, at_most, credit);
                assert_eq!(found, answer, "version {version}");
                assert!(envelope < 40_000, "records stayed in the envelope");
            }
        }
    }
}

#[test]
fn records_that_claim_more_than_their_frame_stay_in_the_envelope() {
    for version in [4, 11, 12, 17] {
        let answer = answer(version, &[&[100, 100]]);
        let bytes = frame::response(&answer, ApiKey::Fetch, version, 5)
            .unwrap()
            .into_bytes();
        for at in 8..bytes.len() - 200 {
            let mut bytes = bytes.to_vec();
            bytes[at] = 0x7f;
            let mut reader = FrameReader::new(MAX);
            reader.expect(expected(version, 0, &BlockPool::new(0)), 5);
            assert!(
                receive(&mut reader, &bytes, 64).0.is_some(),
                "{version}: {at}"
            );
        }
    }
}

#[test]
fn a_huge_declared_block_takes_no_more_memory_than_credit_and_what_came() {
    let size = 50_000_000_i64;
    let answer = answer(12, &[&[size]]);
    let bytes = frame::response(&answer, ApiKey::Fetch, 12, 5)
        .unwrap()
        .into_bytes();
    for credit in [0, 1_000_000] {
        let mut reader = FrameReader::new(MAX);
        reader.expect(expected(12, credit, &BlockPool::new(0)), 5);
        let mut before = 0;
        for sent in [100, 200_000, 3_000_000] {
            assert!(receive(&mut reader, &bytes[before..sent], MAX).0.is_none());
            before = sent;
            let Room::Block(room) = reader.room() else {
                panic!("the block is being filled");
            };
            let capacity = room.get_ref().capacity();
            assert!(
                capacity <= credit * 5 / 4 + 2 * sent + 128 * 1024,
                "{capacity} after {sent}"
            );
        }
    }
}

#[test]
fn an_answer_is_not_carved_that_does_not_fit_the_version() {
    let answer = answer(12, &[&[100, 100]]);
    let bytes = frame::response(&answer, ApiKey::Fetch, 12, 5)
        .unwrap()
        .into_bytes();
    for version in [4, 11, 13] {
        let mut reader = FrameReader::new(MAX);
        reader.expect(expected(version, 0, &BlockPool::new(0)), 5);
        // What becomes of it is the decoder's business.
        assert!(receive(&mut reader, &bytes, 50).0.is_some());
    }
}

#[test]
fn nothing_is_cut_out_of_an_answer_to_another_request() {
    let answer = answer(12, &[&[10_000, 100]]);
    let bytes = frame::response(&answer, ApiKey::Fetch, 12, 6)
        .unwrap()
        .into_bytes();
    let mut reader = FrameReader::new(MAX);
    reader.expect(expected(12, MAX, &BlockPool::new(0)), 5);
    let (frame, parts) = receive(&mut reader, &bytes, 1000);
    assert_eq!(frame.unwrap(), bytes[4..]);
    assert!(parts.is_empty());
}

#[test]
fn a_partition_is_there_before_the_answer_is_whole() {
    let answer = answer(12, &[&[10_000, 10_000]]);
    let bytes = frame::response(&answer, ApiKey::Fetch, 12, 5)
        .unwrap()
        .into_bytes();
    let mut reader = FrameReader::new(MAX);
    reader.expect(expected(12, MAX, &BlockPool::new(0)), 5);
    let (frame, parts) = receive(&mut reader, &bytes[..12_000], 1000);
    assert!(frame.is_none() && reader.is_mid_frame());
    assert_eq!((parts.len(), parts[0].records.len()), (1, 10_000));
}
