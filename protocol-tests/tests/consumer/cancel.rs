//! Every future of the consumer, dropped at every poll.

use std::time::Duration;

use futures_util::StreamExt;
use milena_consumer::Start;
use protocol_tests::cancel::{Drop, dropped_after};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::world::{TOPIC, World};

#[tokio::test(start_paused = true)]
async fn a_read_dropped_at_any_poll_loses_nothing_and_repeats_nothing() {
    for how in Drop::ALL {
        for polls in 1..6 {
            let world = World::new(2, 3).await;
            for partition in 0..3 {
                world.fill(partition, 20, 4).await;
            }
            let mut consumer = world.reader();
            let assigned = consumer.assign_topic(TOPIC, Start::Beginning).await;
            assert_eq!(assigned.unwrap(), 3);
            let mut seen = [0_i64; 3];
            let mut take = |partition: i32, offset: i64, count: i64| {
                let next = &mut seen[partition as usize];
                assert_eq!(offset, *next);
                *next += count;
            };
            for turn in 0.. {
                let ended = match turn % 3 {
                    0 => match dropped_after(consumer.next_batch(), polls, how).await {
                        Some(Ok(Some(batch))) => {
                            take(batch.partition(), batch.first_offset(), batch.len() as i64);
                            false
                        }
                        end => end.is_some(),
                    },
                    1 => match dropped_after(consumer.recv(), polls, how).await {
                        Some(Ok(Some(record))) => {
                            take(record.partition(), record.offset(), 1);
                            false
                        }
                        end => end.is_some(),
                    },
                    _ => {
                        let mut stream = consumer.stream();
                        match dropped_after(stream.next(), polls, how).await {
                            Some(Some(record)) => {
                                let record = record.unwrap();
                                take(record.partition(), record.offset(), 1);
                                false
                            }
                            end => end.is_some(),
                        }
                    }
                };
                if ended {
                    break;
                }
                tokio::task::yield_now().await;
            }
            assert_eq!(seen, [20; 3]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_assign_assigns_nothing() {
    for how in Drop::ALL {
        for whole in [false, true] {
            let (mut polls, mut done) = (0, false);
            while !done {
                let world = World::new(1, 2).await;
                let mut consumer = world.consumer(|_| {});
                done = if whole {
                    let assign = consumer.assign_topic(TOPIC, Start::Beginning);
                    dropped_after(assign, polls, how).await.is_some()
                } else {
                    let assign = consumer.assign(TOPIC, 0, Start::Beginning);
                    dropped_after(assign, polls, how).await.is_some()
                };
                let assigned = if whole { 2 } else { 1 };
                let expected = if done { assigned } else { 0 };
                sleep(Duration::from_millis(10)).await;
                assert_eq!(consumer.assignment().len(), expected);
                let rest = consumer.assign_topic(TOPIC, Start::Beginning).await;
                assert_eq!(rest.unwrap(), 2 - expected);
                world.fill(0, 3, 3).await;
                consumer.seek(TOPIC, 0, Start::Beginning).unwrap();
                let batch = consumer.next_batch().await.unwrap().unwrap();
                assert_eq!((batch.first_offset(), batch.len()), (0, 3));
                polls += 1;
            }
            assert!(polls >= 2, "{polls}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_leaves_the_consumer_closed_and_no_task_behind() {
    for how in Drop::ALL {
        let (mut polls, mut done) = (1, false);
        while !done {
            let world = World::new(1, 1).await;
            world.fill(0, 10, 5).await;
            let tasks = Handle::current().metrics();
            let before = tasks.num_alive_tasks();
            let mut consumer = world.consumer(|_| {});
            let assigned = consumer.assign_topic(TOPIC, Start::Beginning).await;
            assert_eq!(assigned.unwrap(), 1);
            assert!(consumer.recv().await.unwrap().is_some());
            let deadline = world.now() + Duration::from_secs(5);
            done = dropped_after(consumer.close(deadline), polls, how)
                .await
                .is_some();
            assert!(consumer.recv().await.unwrap().is_none());
            assert!(consumer.next_batch().await.unwrap().is_none());
            let again = consumer.close(deadline).await;
            assert!(again.in_time);
            drop(consumer);
            sleep(Duration::from_secs(1)).await;
            // The lane that the fetcher used stays with the client's pool, until it is idle.
            let after = tasks.num_alive_tasks();
            assert!(after <= before + 2, "{before} tasks before, {after} after");
            polls += 1;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn futures_are_small() {
    let world = World::new(1, 1).await;
    let mut consumer = world.reader();
    let deadline = world.now();
    let next_batch = size_of_val(&consumer.next_batch());
    let recv = size_of_val(&consumer.recv());
    let stream = size_of_val(&consumer.stream());
    let close = size_of_val(&consumer.close(deadline));
    let assign = size_of_val(&consumer.assign(TOPIC, 0, Start::End));
    let assign_topic = size_of_val(&consumer.assign_topic(TOPIC, Start::End));
    let sizes = [
        ("next_batch", next_batch, 512),
        ("recv", recv, 512),
        ("stream", stream, 16),
        ("close", close, 256),
        ("assign", assign, 768),
        ("assign_topic", assign_topic, 768),
    ];
    for (name, size, most) in sizes {
        println!("{name}: {size}");
        assert!(size <= most, "{name}: {size} bytes, more than {most}");
    }
}
