//! Which partition a record goes to, seen from the brokers.

use std::time::Duration;

use milena_broker::{RequestInfo, Verdict};
use milena_codec::ApiKey;
use milena_producer::{
    Librdkafka, Linger, Partitioner, Partitioning, Partitions, Producer, ProducerConfig, Record,
    SendError, TrySendError,
};

use crate::world::World;

fn config() -> ProducerConfig {
    let mut config = ProducerConfig::default();
    config.batch_size = 1_000;
    config
}

/// Node 1 leads the even partitions, node 2 the odd ones.
async fn two_nodes(partitions: i32) -> World {
    let world = World::start(2, partitions).await;
    for partition in 0..partitions {
        let node = 1 + partition % 2;
        let led = |model: &mut milena_broker::ClusterModel| {
            if model.leader("t", partition).unwrap().0 != Some(node) {
                model.move_leader("t", partition, node, None).unwrap();
            }
        };
        world.broker.with_model(led);
    }
    world
}

/// Requests to node 1 take this long.
fn slow_node(time: Duration) -> impl FnMut(&RequestInfo) -> Verdict + Send + 'static {
    move |request| match (request.api, request.node) {
        (ApiKey::Produce, 1) => Verdict::Delay(time),
        _ => Verdict::Pass,
    }
}

/// Sends records of 100 bytes without key, one every millisecond.
async fn send(producer: &Producer, records: u32) {
    for number in 0..records {
        let value = format!("{number:<100}");
        drop(producer.send(Record::to("t").value(&value)).await.unwrap());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// How many records each partition has in the end.
async fn counts(world: &World, producer: &Producer, partitions: i32) -> Vec<usize> {
    producer.flush().await.unwrap();
    let count = |partition| world.numbers(partition).len();
    (0..partitions).map(count).collect()
}

#[tokio::test(start_paused = true)]
async fn partitions_of_a_slow_broker_get_less_unless_all_are_to_get_the_same() {
    for adaptive in [true, false] {
        let world = two_nodes(4).await;
        world.broker.faults(slow_node(Duration::from_millis(500)));
        let mut config = config();
        config.partitioner_adaptive = adaptive;
        let producer = world.producer(config);
        send(&producer, 8_000).await;
        let counts = counts(&world, &producer, 4).await;
        let (slow, fast) = (counts[0] + counts[2], counts[1] + counts[3]);
        assert_eq!(slow + fast, 8_000);
        if adaptive {
            assert!(slow > 0 && slow * 5 < fast, "{counts:?}");
        } else {
            assert!((3_000..5_000).contains(&slow), "{counts:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn partitions_of_a_broker_that_takes_nothing_get_nothing_until_it_does() {
    for linger in [Linger::Adaptive, Duration::from_millis(5).into()] {
        let world = two_nodes(4).await;
        world.broker.faults(slow_node(Duration::from_secs(10)));
        let mut config = config();
        config.linger = linger;
        config.partitioner_availability_timeout = Duration::from_millis(100);
        let producer = world.producer(config);
        send(&producer, 3_000).await;
        // Some went to it before it was known to be stuck.
        let stuck = |world: &World| world.numbers(0).len() + world.numbers(2).len();
        let behind = 3_000 - world.numbers(1).len() - world.numbers(3).len();
        assert!(stuck(&world) < behind && behind < 600, "{behind}");
        world.broker.faults(|_| Verdict::Pass);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let before = stuck(&world);
        send(&producer, 3_000).await;
        producer.flush().await.unwrap();
        assert!(stuck(&world) - before > 1_000, "{linger:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn leaders_in_the_own_rack_come_first_while_there_are_any() {
    for (rack, far) in [("a", false), ("nowhere", true)] {
        let world = two_nodes(4).await;
        world.broker.with_model(|model| {
            model.set_rack(1, Some("a")).unwrap();
            model.set_rack(2, Some("b")).unwrap();
        });
        world
            .cluster
            .refreshed(crate::world::within(10))
            .await
            .unwrap();
        let mut config = config();
        config.partitioner_rack_aware = true;
        config.client_rack = Some(rack.into());
        let producer = world.producer(config);
        send(&producer, 2_000).await;
        let keyed = Record::to("t").key("customer-42").value("1");
        let ack = producer.send(keyed).await.unwrap().await.unwrap();
        assert_eq!(ack.partition, 1, "a key goes where it goes");
        let counts = counts(&world, &producer, 4).await;
        assert!(counts[0] > 300 && counts[2] > 300, "{counts:?}");
        assert_eq!(counts[1] + counts[3] > 1, far, "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn round_robin_and_other_clients_partitioners_are_obeyed() {
    let world = World::start(1, 3).await;
    let mut config = config();
    config.partitioner = Partitioning::RoundRobin;
    let producer = world.producer(config.clone());
    send(&producer, 300).await;
    assert_eq!(counts(&world, &producer, 3).await, [100; 3]);
    config.partitioner = Partitioning::Librdkafka(Librdkafka::Consistent);
    let producer = world.producer(config);
    send(&producer, 300).await;
    assert_eq!(counts(&world, &producer, 3).await, [400, 100, 100]);
}

/// The partition that the value names.
#[derive(Debug)]
struct ByValue;

impl Partitioner for ByValue {
    fn partition(
        &self,
        _topic: &str,
        _key: Option<&[u8]>,
        value: Option<&[u8]>,
        _partitions: &Partitions<'_>,
    ) -> Option<i32> {
        str::from_utf8(value?).ok()?.parse().ok()
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_the_users_partitioner_made_up_is_an_error_that_names_it() {
    let world = World::start(1, 3).await;
    let mut config = config();
    config.partitioner = Partitioning::custom(ByValue);
    let producer = world.producer(config);
    let record = |value| Record::to("t").key("k").value(value);
    let ack = producer.send(record("2")).await.unwrap().await.unwrap();
    assert_eq!(ack.partition, 2);
    for (value, chosen) in [("3", 3), ("-1", -1)] {
        let error = producer.send(record(value)).await.unwrap_err();
        assert!(
            matches!(error, SendError::PartitionerOutOfRange { partition, count: 3, .. } if partition == chosen)
        );
        let error = producer.try_send(record(value)).unwrap_err();
        assert!(matches!(error, TrySendError::Refused(_)));
        assert_eq!(
            error.to_string(),
            format!(
                "the partitioner chose partition {chosen} of topic t, which has only 0 to 2; it \
                 has to choose one of those it is given"
            )
        );
    }
    let left_open = record("whatever");
    assert!(producer.send(left_open).await.unwrap().await.is_ok());
}
