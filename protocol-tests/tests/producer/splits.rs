//! Batches that their broker finds too large.

use std::sync::{Arc, Mutex};

use milena_broker::Verdict;
use milena_producer::{Compression, ErrorCode, Fate, Hook, ProducerConfig, ProducerEvent, Record};

use crate::world::{World, nth_produce};

const LIMIT: usize = 20_000;

async fn world() -> World {
    let world = World::start(1, 1).await;
    world
        .configure("max.message.bytes", &LIMIT.to_string())
        .await;
    world
}

type Splits = Arc<Mutex<Vec<(usize, usize)>>>;

/// A producer of large batches, and the size and number of parts of what it divides.
fn producer(world: &World, compression: Compression) -> (milena_producer::Producer, Splits) {
    let splits = Splits::default();
    let seen = Arc::clone(&splits);
    let mut config = ProducerConfig::default();
    config.compression = compression;
    config.linger = std::time::Duration::from_millis(50).into();
    config.on_event = Some(Hook::new(move |event| {
        if let ProducerEvent::BatchSplit { size, parts, .. } = event {
            seen.lock().unwrap().push((*size, *parts));
        }
    }));
    (world.producer(config), splits)
}

/// A value that begins with its number and that no codec makes much smaller.
fn value(number: u64, size: usize) -> String {
    let mut state = number.wrapping_add(1);
    let mut text = format!("{number} ");
    while text.len() < size {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        text.push(char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap()));
    }
    text
}

#[tokio::test(start_paused = true)]
async fn records_of_a_batch_that_is_too_large_arrive_once_and_in_order() {
    for compression in Compression::ALL {
        let world = world().await;
        let (producer, splits) = producer(&world, compression);
        let mut receipts = Vec::new();
        for number in 0..300 {
            let value = value(number, 500);
            receipts.push(producer.send(Record::to("t").value(&value)).await.unwrap());
        }
        for (receipt, number) in receipts.into_iter().zip(0..) {
            let ack = receipt.await.unwrap();
            assert_eq!(ack.offset, Some(number), "{compression:?}");
        }
        assert_eq!(world.numbers(0), (0..300).collect::<Vec<_>>());
        let splits = splits.lock().unwrap().clone();
        assert!(splits.len() >= 7, "to below 20,000 bytes: {splits:?}");
        assert!(
            splits
                .iter()
                .all(|(size, parts)| *size > LIMIT && *parts >= 2)
        );

        // It has learned: the next ones are not divided again.
        for number in 300..600 {
            let value = value(number, 500);
            drop(producer.send(Record::to("t").value(&value)).await.unwrap());
        }
        assert_eq!(producer.flush().await.unwrap().delivered, 600);
        assert_eq!(world.numbers(0), (0..600).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn later_batches_are_made_as_large_as_the_broker_takes_them() {
    let world = world().await;
    let (producer, splits) = producer(&world, Compression::None);
    for number in 0..100 {
        drop(
            producer
                .send(Record::to("t").value(&value(number, 500)))
                .await
                .unwrap(),
        );
    }
    producer.flush().await.unwrap();
    let before = splits.lock().unwrap().len();
    for number in 100..1_000 {
        drop(
            producer
                .send(Record::to("t").value(&value(number, 500)))
                .await
                .unwrap(),
        );
    }
    producer.flush().await.unwrap();
    assert_eq!(splits.lock().unwrap().len(), before);
    assert_eq!(world.numbers(0), (0..1_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_too_large_by_itself_fails_alone() {
    let world = world().await;
    let (producer, _) = producer(&world, Compression::None);
    let mut receipts = Vec::new();
    for number in 0..20 {
        let size = if number == 7 { LIMIT + 1 } else { 3_000 };
        let value = value(number, size);
        receipts.push(producer.send(Record::to("t").value(&value)).await.unwrap());
    }
    for (receipt, number) in receipts.into_iter().zip(0_u64..) {
        match receipt.await {
            Ok(_) => assert_ne!(number, 7),
            Err(error) => {
                assert_eq!((number, error.fate()), (7, Fate::NotWritten));
                let text = error.to_string();
                assert!(text.contains("max.message.bytes"), "{text}");
                let record = error.record().unwrap();
                assert!(record.value.unwrap().starts_with(b"7 "));
            }
        }
    }
    let expected: Vec<u64> = (0..20).filter(|number| *number != 7).collect();
    assert_eq!(world.numbers(0), expected);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_written_whole_is_never_sent_in_parts() {
    let world = world().await;
    let (producer, splits) = producer(&world, Compression::None);
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::Disconnect,
        _ => Verdict::Pass,
    }));
    for number in 0..200 {
        drop(
            producer
                .send(Record::to("t").value(&value(number, 500)))
                .await
                .unwrap(),
        );
    }
    let report = producer.flush().await.unwrap_err().report;
    assert_eq!((report.maybe_written, report.not_written), (200, 0));
    assert!(splits.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn parts_survive_lost_answers() {
    let world = world().await;
    let (producer, _) = producer(&world, Compression::Lz4);
    // Before that it may still be too large, and a loss then leaves the batch in doubt.
    world.broker.faults(nth_produce(|nth| match nth % 4 {
        _ if nth < 15 => Verdict::Pass,
        1 => Verdict::ApplyThenDisconnect,
        3 => Verdict::Error(ErrorCode::NotEnoughReplicas),
        _ => Verdict::Pass,
    }));
    let mut receipts = Vec::new();
    for number in 0..200 {
        let value = value(number, 500);
        receipts.push(producer.send(Record::to("t").value(&value)).await.unwrap());
    }
    for (receipt, number) in receipts.into_iter().zip(0..) {
        assert_eq!(receipt.await.unwrap().offset, Some(number));
    }
    assert_eq!(world.numbers(0), (0..200).collect::<Vec<_>>());
}
