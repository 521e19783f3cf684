//! What brokers refuse: single records, sizes, and batches no client should make.
//!
//! Scenarios 3, 18, 19, 22 (bomb), 23; note 6 (wrap).

use milena_broker::Verdict;
use milena_codec::messages::ProduceRequest;
use milena_codec::messages::produce_request::{PartitionProduceData, TopicProduceData};
use milena_codec::messages::produce_response::PartitionProduceResponse;
use milena_codec::{ApiKey, Bytes};
use milena_net::Lane;
use milena_producer::{
    Acks, DeliveryCause, ErrorCode, Fate, Identity, ProducerConfig, Record, SendError,
};
use milena_proto::sequencer::{Answer, Attempt, BatchId, Config, Next, Sending, Sequencer};
use milena_records::{BatchBuilder, Compression, Compressor, Heap, RecordParts, Stamp, crc32c};
use milena_rpc::{Target, Verdict as Judged};
use tokio::time::Instant;

use crate::world::{World, millis, nth_produce, offsets, outcomes, send_each, within};

/// KIP-467: the record is named, with the broker's words; the others of its batch fail with it, and
/// are told apart.
#[tokio::test(start_paused = true)]
async fn an_invalid_record_is_named_and_its_batch_is_not_written() {
    let world = World::start(1, 1).await;
    world.configure("cleanup.policy", "compact").await;
    let mut config = ProducerConfig::default();
    config.linger = millis(10).into();
    let producer = world.producer(config);
    let mut receipts = Vec::new();
    for number in ["0", "1", "2", "3", "4"] {
        let record = Record::to("t").value(number);
        let record = if number == "3" {
            record
        } else {
            record.key("k")
        };
        receipts.push(producer.send(record).await.unwrap());
    }
    for (outcome, number) in outcomes(receipts).await.into_iter().zip(0_u8..) {
        let error = outcome.unwrap_err();
        assert_eq!((error.fate(), error.attempts()), (Fate::NotWritten, 1));
        assert_eq!(error.record().unwrap().value, Some(&[b'0' + number][..]));
        let text = error.to_string();
        assert!(text.contains("record 3 of the batch is to blame"), "{text}");
        assert!(text.contains("without key"), "{text}");
        match error.record_error() {
            Some(named) => {
                assert_eq!((number, named.index), (3, 3));
                assert!(named.message.as_ref().unwrap().contains("without key"));
            }
            None => assert_ne!(number, 3),
        }
        let DeliveryCause::Refused {
            code,
            record_errors,
            ..
        } = error.cause()
        else {
            panic!("{error}");
        };
        assert_eq!((*code, record_errors.len()), (ErrorCode::InvalidRecord, 1));
    }
    // What was innocent can go again: it was certainly not written.
    for number in ["0", "1", "2", "4"] {
        let record = Record::to("t").key("k").value(number);
        drop(producer.send(record).await.unwrap());
    }
    let report = producer.flush().await.unwrap_err().report;
    assert_eq!((report.delivered, report.not_written), (4, 5));
    assert_eq!(world.numbers(0), [0, 1, 2, 4]);
    assert_eq!(world.stamps(0), [(0, 0, 4)], "no sequence was used up");
}

#[tokio::test(start_paused = true)]
async fn a_timestamp_out_of_range_is_named_too() {
    let world = World::start(1, 1).await;
    world
        .configure("message.timestamp.after.max.ms", "1000")
        .await;
    let producer = world.producer(ProducerConfig::default());
    let record = Record::to("t").value("0").timestamp(i64::MAX / 2);
    let error = producer.send(record).await.unwrap().await.unwrap_err();
    assert_eq!(error.fate(), Fate::NotWritten);
    let named = error.record_error().unwrap();
    assert!(named.message.as_ref().unwrap().contains("out of range"));
    assert!(error.to_string().contains("INVALID_TIMESTAMP"), "{error}");
}

/// The limit is exact, and its owner named: two of this producer's settings, or the topic's.
#[tokio::test(start_paused = true)]
async fn sizes_are_refused_exactly_at_the_limit_and_name_its_owner() {
    let world = World::start(1, 1).await;
    for (request, memory, owner) in [
        (50_000, 100_000, "max_request_size (max.request.size)"),
        (100_000, 50_000, "buffer_memory (buffer.memory)"),
    ] {
        let mut config = ProducerConfig::default();
        config.batch_size = 10_000;
        config.max_request_size = request;
        config.buffer_memory = memory;
        let producer = world.producer(config);
        let text = "0".repeat(60_000);
        let fits = async |size: usize| {
            let sent = producer.send(Record::to("t").value(&text[..size])).await;
            match sent {
                Ok(receipt) => {
                    receipt.await.unwrap();
                    true
                }
                Err(SendError::RecordTooLarge {
                    size,
                    limit: 50_000,
                    setting,
                    ..
                }) => {
                    assert_eq!(setting, owner);
                    assert!(size > 50_000);
                    false
                }
                Err(other) => panic!("{other}"),
            }
        };
        let (mut most, mut too_many) = (40_000, 60_000);
        while most + 1 < too_many {
            let middle = usize::midpoint(most, too_many);
            if fits(middle).await {
                most = middle;
            } else {
                too_many = middle;
            }
        }
        // A batch's header and the most that a record's own lengths can take.
        assert!((49_880..50_000 - 61).contains(&most), "{most}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_one_at_the_topics_limit_passes_and_beyond_names_the_topics_setting() {
    let world = World::start(1, 1).await;
    world.configure("max.message.bytes", "5000").await;
    let producer = world.producer(ProducerConfig::default());
    let text = "1".repeat(6_000);
    let mut refused = None;
    let mut last = 0;
    for size in 4_900..5_000 {
        let record = Record::to("t").value(&text[..size]);
        match producer.send(record).await.unwrap().await {
            Ok(_) => {
                assert_eq!(refused, None, "{size}");
                let log = world.broker.with_model(|model| model.log("t", 0));
                last = log.unwrap().last().unwrap().len();
            }
            Err(error) => {
                let DeliveryCause::TooLarge {
                    size: said,
                    records: 1,
                    ..
                } = error.cause()
                else {
                    panic!("{error}");
                };
                assert!(error.to_string().contains("max.message.bytes"), "{error}");
                refused.get_or_insert(*said);
            }
        }
    }
    assert_eq!((last, refused), (5_000, Some(5_001)));
}

/// Scenario 19: whatever the code, it reaches the record with its name and an honest fate.
#[tokio::test(start_paused = true)]
async fn the_brokers_error_reaches_the_application() {
    for code in [
        ErrorCode::InvalidRecord,
        ErrorCode::InvalidTimestamp,
        ErrorCode::PolicyViolation,
        ErrorCode::InvalidTopicException,
        ErrorCode::UnsupportedForMessageFormat,
        ErrorCode::UnsupportedCompressionType,
        ErrorCode::ClusterAuthorizationFailed,
        ErrorCode::InvalidRequiredAcks,
    ] {
        let world = World::start(1, 1).await;
        let producer = world.producer(ProducerConfig::default());
        world
            .broker
            .faults(nth_produce(move |_| Verdict::Error(code)));
        let begun = Instant::now();
        let receipt = producer.send(Record::to("t").value("0")).await.unwrap();
        let error = receipt.await.unwrap_err();
        assert!(begun.elapsed() < millis(100));
        assert_eq!((error.fate(), error.attempts()), (Fate::NotWritten, 1));
        let name = code.to_string();
        let name = name.split([' ', ':', '(']).next().unwrap();
        assert!(error.to_string().contains(name), "{error}");
        world.broker.faults(|_| Verdict::Pass);
        assert_eq!(offsets(send_each(&producer, [1]).await).await, [0]);
    }
}

/// Sends a batch as it is.
async fn produce(world: &World, records: Bytes) -> PartitionProduceResponse {
    let id = world.cluster.snapshot().topic("t").map(|topic| topic.id);
    let prepare = |version| ProduceRequest {
        acks: -1,
        timeout_ms: 1_000,
        topic_data: vec![TopicProduceData {
            name: if version < 13 { "t".into() } else { "".into() },
            topic_id: id.filter(|_| version >= 13).unwrap_or_default(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(records.clone()),
                ..PartitionProduceData::default()
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let to = Target::Node(1);
    let reply = world
        .cluster
        .call(to, Lane::Slow, prepare, |_| Judged::Done, within(10));
    let mut answer = reply.await.unwrap().message;
    answer.responses.remove(0).partition_responses.remove(0)
}

fn batch(values: &[&[u8]], codec: Compression, stamp: Stamp) -> Vec<u8> {
    let capacity = 1_000 + values.iter().map(|value| value.len() + 100).sum::<usize>();
    let mut builder = BatchBuilder::new(Vec::with_capacity(capacity), usize::MAX);
    for value in values {
        let record = RecordParts {
            timestamp: 1,
            key: None,
            value: Some(value),
            headers: &[],
        };
        builder.append(&record).unwrap();
    }
    let sealed = builder
        .seal(&mut Compressor::new(codec), &mut Heap)
        .unwrap();
    sealed.to_bytes(stamp).to_vec()
}

/// A world whose topic is known to the client.
async fn known() -> World {
    let world = World::build(1, 1, |builder| {
        builder.settings(|settings| settings.max_decompressed = 1 << 20)
    })
    .await;
    let producer = world.producer(ProducerConfig::default());
    producer.topic("t").await.unwrap();
    world
}

/// kfake ProduceControlBatchRejected.
#[tokio::test(start_paused = true)]
async fn a_control_batch_from_a_client_is_refused() {
    const CONTROL: u8 = 1 << 5;
    let world = known().await;
    let mut bytes = batch(&[b"0"], Compression::None, Stamp::NONE);
    bytes[22] |= CONTROL;
    let crc = crc32c(&bytes[21..]).to_be_bytes();
    bytes[17..21].copy_from_slice(&crc);
    let answer = produce(&world, bytes.into()).await;
    assert_eq!(
        ErrorCode::from(answer.error_code),
        ErrorCode::InvalidRecord,
        "{answer:?}"
    );
    assert_eq!(world.numbers(0), [0_u64; 0]);
}

/// What unpacks to 64 MiB is refused when it has grown to the broker's bound, here 1 MiB.
#[test]
fn a_decompression_bomb_is_refused_within_the_brokers_bound() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let world = runtime.block_on(known());
    let zeros = vec![b'0'; 64 << 20];
    for codec in [Compression::Gzip, Compression::Zstd, Compression::Lz4] {
        let bomb = Bytes::from(batch(&[&zeros], codec, Stamp::NONE));
        assert!(bomb.len() < 1_000_000, "{codec}: {}", bomb.len());
        let mut code = ErrorCode::None;
        let measured = allocation_counter::measure(|| {
            let answer = runtime.block_on(produce(&world, bomb.clone()));
            code = answer.error_code.into();
        });
        assert_eq!(code, ErrorCode::InvalidRecord, "{codec}");
        let most = measured.bytes_max;
        assert!(most < 8 << 20, "{codec}: {most} bytes");
    }
    assert_eq!(world.numbers(0), [0_u64; 0]);
}

/// Sequences wrap after 2³¹ − 1 to 0, also inside a batch: the sequencer's stamps against the
/// broker's memory, each batch sent twice.
#[tokio::test(start_paused = true)]
async fn sequences_wrap_and_duplicates_across_the_wrap_are_recognised() {
    let world = known().await;
    let mut sequencer = Sequencer::new(Config {
        acks: Acks::All,
        idempotent: true,
        transactional: false,
        max_in_flight: 5,
    });
    let identity = Identity {
        producer_id: 77,
        epoch: 0,
    };
    let mut next = |id: u64, records: u32, offset: i64| -> Sending {
        sequencer.handle_sealed(BatchId(id), records);
        let now = Instant::now().into_std();
        let Next::Send(sending) = sequencer.poll_send(Some(identity), 1, now) else {
            panic!("{id}");
        };
        let answer = Answer {
            error: ErrorCode::None,
            base_offset: offset,
            log_start_offset: 0,
        };
        sequencer.handle_attempt(sending.attempt, Attempt::Answered(answer));
        while sequencer.poll_event().is_some() {}
        sending
    };
    // All but four of the sequence numbers, told and not sent: it takes minutes.
    next(0, i32::MAX.unsigned_abs() - 3, 0);
    let mut sequences = Vec::new();
    for id in 1..6_i64 {
        let offset = (id - 1) * 3;
        let stamp = next(id.unsigned_abs(), 3, offset).stamp;
        sequences.push(stamp.base_sequence);
        let bytes = batch(&[b"0", b"1", b"2"], Compression::None, stamp);
        for _ in 0..2 {
            let answer = produce(&world, bytes.clone().into()).await;
            assert_eq!((answer.error_code, answer.base_offset), (0, offset));
        }
    }
    let max = i32::MAX;
    assert_eq!(sequences, [max - 3, max, 2, 5, 8]);
    assert_eq!(world.numbers(0).len(), 15);
    assert_eq!(world.requests(ApiKey::Produce), 10);
}
