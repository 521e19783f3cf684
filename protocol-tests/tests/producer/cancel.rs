//! Every future of the producer, dropped at every poll.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use milena_broker::Verdict;
use milena_producer::{Producer, ProducerConfig, Receipt, Record, SendError};
use protocol_tests::cancel::{Drop, dropped_after};
use tokio::time::{Instant, sleep, timeout};

use crate::world::{World, nth_produce, within};

const MEMORY: usize = 100_000;

fn config() -> ProducerConfig {
    let mut config = ProducerConfig::default();
    config.buffer_memory = MEMORY;
    config.batch_size = 20_000;
    config
}

/// How many permits of a kilobyte there are: all, unless memory has leaked.
async fn permits(producer: &Producer) -> usize {
    let mut permits = Vec::new();
    while let Ok(permit) = timeout(Duration::from_millis(1), producer.reserve(1_000)).await {
        permits.push(permit.unwrap());
    }
    permits.len()
}

/// The producer works, and has all its memory.
async fn assert_sound(world: &World, producer: &Producer) {
    let receipt = producer.send(Record::to("t").value("7")).await.unwrap();
    receipt.await.unwrap();
    let untouched = world.producer(config());
    assert_eq!(permits(producer).await, permits(&untouched).await);
}

/// Calls `once` with more and more polls until the future in it gets ready, both ways.
macro_rules! sweep {
    (|$polls:ident, $how:ident| $once:expr, at least $least:literal polls) => {
        for $how in Drop::ALL {
            let mut $polls = 0;
            while $once.is_none() {
                $polls += 1;
                assert!($polls < 1_000, "it never gets ready");
            }
            assert!($polls >= $least, "{} polls only", $polls);
        }
    };
}

#[tokio::test(start_paused = true)]
async fn a_send_dropped_while_it_waits_for_metadata_accepts_nothing() {
    sweep!(|polls, how| {
        let world = World::start(1, 1).await;
        let producer = world.producer(config());
        let send = producer.send(Record::to("t").value("0"));
        let sent: Option<Receipt> = dropped_after(send, polls, how).await.map(Result::unwrap);
        assert_sound(&world, &producer).await;
        let expected: &[u64] = if sent.is_some() { &[0, 7] } else { &[7] };
        assert_eq!(world.numbers(0), expected);
        sent
    }, at least 2 polls);
}

/// A producer whose memory is taken for 10 s, by these records.
async fn full(world: &World) -> (Producer, u64) {
    let producer = world.producer(config());
    producer.topic("t").await.unwrap();
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::Delay(Duration::from_secs(10)),
        _ => Verdict::Pass,
    }));
    let mut sent = 0;
    loop {
        let value = format!("{sent} {}", "x".repeat(4_000));
        match producer.try_send(Record::to("t").value(&value)) {
            Ok(receipt) => drop(receipt),
            Err(_) => break,
        }
        sent += 1;
    }
    assert!(sent > 10, "{sent}");
    (producer, sent)
}

#[tokio::test(start_paused = true)]
async fn a_send_dropped_while_it_waits_for_room_accepts_nothing() {
    sweep!(|polls, how| {
        let world = World::start(1, 1).await;
        let (producer, before) = full(&world).await;
        let value = format!("{before} {}", "x".repeat(4_000));
        let send = producer.send(Record::to("t").value(&value));
        let sent = dropped_after(send, polls, how).await.map(Result::unwrap);
        producer.flush().await.unwrap();
        let accepted = before + u64::from(sent.is_some());
        assert_eq!(world.numbers(0), (0..accepted).collect::<Vec<_>>());
        assert_sound(&world, &producer).await;
        sent
    }, at least 2 polls);
}

#[tokio::test(start_paused = true)]
async fn a_send_dropped_when_it_gives_way_accepts_nothing() {
    let world = World::start(1, 1).await;
    let producer = world.producer(config());
    producer.topic("t").await.unwrap();
    let (mut accepted, mut dropped) = (Vec::new(), 0);
    for number in 0..200_u64 {
        let value = format!("{number} {}", "x".repeat(4_000));
        let send = producer.send(Record::to("t").value(&value));
        match dropped_after(send, 1, Drop::AtOnce).await {
            Some(receipt) => {
                drop(receipt.unwrap());
                accepted.push(number);
            }
            None => {
                dropped += 1;
                sleep(Duration::from_millis(1)).await;
            }
        }
    }
    producer.flush().await.unwrap();
    assert!(dropped > 10, "{dropped}");
    assert_eq!(world.numbers(0), accepted);
    assert_sound(&world, &producer).await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_lookup_can_be_dropped() {
    sweep!(|polls, how| {
        let world = World::start(1, 1).await;
        let producer = world.producer(config());
        let topic = dropped_after(producer.topic("t"), polls, how).await;
        assert_sound(&world, &producer).await;
        topic.map(Result::unwrap)
    }, at least 2 polls);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_is_dropped_reserves_nothing() {
    sweep!(|polls, how| {
        let world = World::start(1, 1).await;
        let (producer, sent) = full(&world).await;
        let done = {
            let permit = dropped_after(producer.reserve(4_000), polls, how).await;
            permit.map(|permit| permit.map(drop).unwrap())
        };
        producer.flush().await.unwrap();
        assert_eq!(world.numbers(0), (0..sent).collect::<Vec<_>>());
        assert_sound(&world, &producer).await;
        done
    }, at least 2 polls);
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_send_all_accepted_is_delivered_and_nothing_else() {
    let values: Vec<_> = (0..60)
        .map(|n| format!("{n} {}", "x".repeat(4_000)))
        .collect();
    let mut lengths = std::collections::BTreeSet::new();
    sweep!(|polls, how| {
        let world = World::start(1, 1).await;
        let producer = world.producer(config());
        let records = values.iter().map(|value| Record::to("t").value(value));
        let sent = dropped_after(producer.send_all(records), polls, how).await;
        let delivered = producer.flush().await.unwrap().delivered;
        assert_eq!(world.numbers(0), (0..delivered).collect::<Vec<_>>());
        lengths.insert(delivered);
        assert_sound(&world, &producer).await;
        sent.map(|sent| assert_eq!((sent.unwrap().len(), delivered), (60, 60)))
    }, at least 5 polls);
    assert!(lengths.len() > 4, "{lengths:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_flush_only_stops_waiting() {
    sweep!(|polls, how| {
        let world = World::start(1, 2).await;
        let mut config = config();
        config.linger = Duration::from_secs(5).into();
        let producer = world.producer(config);
        for partition in 0..2 {
            let record = Record::to("t").value("0").partition(partition);
            drop(producer.send(record).await.unwrap());
        }
        let flushed = dropped_after(producer.flush(), polls, how).await;
        let begun = Instant::now();
        let receipt = producer.send(Record::to("t").value("1").partition(0)).await.unwrap();
        receipt.await.unwrap();
        let lingered = begun.elapsed() >= Duration::from_secs(5);
        // Unless it got into the batch that the flush had not yet sent.
        assert!(lingered || flushed.is_none(), "nothing lingers after a flush");
        let begun = Instant::now();
        let receipt = producer.send(Record::to("t").value("2").partition(0)).await.unwrap();
        receipt.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 5, "{polls}");
        let earlier = flushed.as_ref().map_or(0, |report| report.as_ref().unwrap().delivered);
        let delivered = producer.flush().await.unwrap().delivered;
        assert_eq!(earlier + delivered, 4);
        flushed
    }, at least 2 polls);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_leaves_the_producer_closed_and_what_was_accepted_is_delivered() {
    sweep!(|polls, how| {
        let world = World::start(1, 1).await;
        world.broker.faults(nth_produce(|nth| match nth {
            1 => Verdict::Delay(Duration::from_secs(1)),
            _ => Verdict::Pass,
        }));
        let tasks = tokio::runtime::Handle::current().metrics();
        let before = tasks.num_alive_tasks();
        let producer = world.producer(config());
        let first = producer.send(Record::to("t").value("0")).await.unwrap();
        first.await.unwrap();
        let receipt = producer.send(Record::to("t").value("1")).await.unwrap();
        let closed = dropped_after(producer.close(within(30)), polls, how).await;
        if polls > 0 {
            let refused = producer.send(Record::to("t").value("2")).await;
            assert!(matches!(refused, Err(SendError::Closed)));
        }
        assert_eq!(receipt.await.unwrap().offset, Some(1));
        let again = producer.close(within(30)).await.delivered;
        assert_eq!(closed.as_ref().map_or(0, |report| report.delivered) + again, 2);
        sleep(Duration::from_secs(1)).await;
        // The socket is the client's to keep: its lane and the broker's end of it.
        assert!(tasks.num_alive_tasks() <= before + 2, "the driver's task has ended");
        assert_eq!(world.numbers(0), [0, 1]);
        closed
    }, at least 2 polls);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_dropped_at_any_poll_cancels_nothing() {
    sweep!(|polls, how| {
        let world = World::start(1, 1).await;
        world.broker.faults(nth_produce(|nth| match nth {
            0 => Verdict::ApplyThenDisconnect,
            _ => Verdict::Delay(Duration::from_millis(100)),
        }));
        let producer = world.producer(config());
        let receipt = producer.send(Record::to("t").value("0")).await.unwrap();
        let ack = dropped_after(receipt, polls, how).await.map(Result::unwrap);
        assert_eq!(producer.flush().await.unwrap().delivered, 1);
        assert_eq!(world.numbers(0), [0]);
        assert_sound(&world, &producer).await;
        ack
    }, at least 2 polls);
}

#[tokio::test(start_paused = true)]
async fn a_send_with_a_callback_that_is_dropped_accepts_nothing_and_calls_nobody() {
    sweep!(|polls, how| {
        let world = World::start(1, 1).await;
        let producer = world.producer(config());
        let called = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&called);
        let send = producer.send_with(Record::to("t").value("0"), move |outcome| {
            outcome.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        });
        let sent = dropped_after(send, polls, how).await.map(Result::unwrap);
        assert_sound(&world, &producer).await;
        let accepted = usize::from(sent.is_some());
        assert_eq!(world.numbers(0), [0, 7][1 - accepted..]);
        assert_eq!(called.load(Ordering::Relaxed), accepted);
        assert_eq!(Arc::strong_count(&called), 1, "the callback is gone");
        sent
    }, at least 2 polls);
}

#[tokio::test(start_paused = true)]
async fn failed_records_give_their_memory_back_once_nobody_holds_them() {
    let world = World::start(1, 1).await;
    let producer = world.producer(config());
    producer.topic("t").await.unwrap();
    world.broker.faults(nth_produce(|_| Verdict::Silence));
    let value = "0".repeat(4_000);
    let mut receipts = Vec::new();
    while let Ok(receipt) = producer.try_send(Record::to("t").value(&value)) {
        receipts.push(receipt);
    }
    for receipt in receipts {
        receipt.await.unwrap_err();
    }
    world.broker.faults(|_| Verdict::Pass);
    drop(producer.flush().await.unwrap_err()); // its report holds some of them
    assert_sound(&world, &producer).await;
}

#[tokio::test(start_paused = true)]
async fn futures_are_small() {
    let world = World::start(1, 1).await;
    let producer = world.producer(config());
    let record = || Record::to("t").value("0");
    let sizes = [
        ("send", size_of_val(&producer.send(record())), 200),
        ("topic", size_of_val(&producer.topic("t")), 2_048),
        ("reserve", size_of_val(&producer.reserve(1)), 1_024),
        (
            "send_all",
            size_of_val(&producer.send_all([record()])),
            1_024,
        ),
        ("flush", size_of_val(&producer.flush()), 256),
        ("close", size_of_val(&producer.close(within(1))), 512),
        ("receipt", size_of::<Receipt>(), 64),
    ];
    for (name, size, most) in sizes {
        println!("{name}: {size}");
        assert!(size <= most, "{name}: {size} bytes, more than {most}");
    }
}
