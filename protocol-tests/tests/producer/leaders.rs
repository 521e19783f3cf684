//! Leaders that move, hints that say where to, and metadata that lags behind.
//!
//! Scenarios 16, 17; note 9.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use milena_broker::{Broker, KafkaVersion, RequestInfo, Verdict};
use milena_codec::ApiKey;
use milena_codec::messages::{MetadataRequest, ProduceRequest};
use milena_net::Environment;
use milena_producer::{Acks, ErrorCode, Fate, Producer, ProducerConfig};
use milena_rpc::RefreshReason;
use tokio::time::{Instant, sleep};

use crate::tamper;
use crate::world::{
    Events, World, millis, nth_produce, offsets, one_a_batch, outcomes, send, send_each, within,
};

/// Batches of one record that are sealed at once.
fn config() -> ProducerConfig {
    let mut config = one_a_batch();
    config.linger = Duration::ZERO.into();
    config
}

async fn warm(world: &World) -> (Producer, Events) {
    let mut config = config();
    let events = Events::of(&mut config);
    let producer = world.producer(config);
    assert_eq!(offsets(send_each(&producer, [0]).await).await, [0]);
    (producer, events)
}

/// The first Produce requests are answered so by one that is taken over by the plan's end.
fn not_leader_first() -> impl FnMut(&RequestInfo) -> Verdict + Send + 'static {
    nth_produce(|nth| match nth {
        0 => Verdict::Error(ErrorCode::NotLeaderOrFollower),
        _ => Verdict::Pass,
    })
}

/// franz-go #223: the first of two is told NOT_LEADER, and the second would be accepted.
#[tokio::test(start_paused = true)]
async fn not_leader_for_the_first_of_several_in_flight_reorders_nothing() {
    for count in 2..=9 {
        let world = World::start(1, 1).await;
        let (producer, events) = warm(&world).await;
        world.broker.faults(not_leader_first());
        let receipts = send_each(&producer, 1..=count).await;
        assert_eq!(
            offsets(receipts).await,
            (1..).take(count as usize).collect::<Vec<_>>()
        );
        assert_eq!(world.numbers(0), (0..=count).collect::<Vec<_>>());
        assert_eq!(events.bumps(), []);
    }
}

/// The same on a partition that has forgotten the producer, and so accepts the second whatever its
/// sequence: the first cannot be written any more without coming after it, and is not.
#[tokio::test(start_paused = true)]
async fn not_leader_for_the_first_where_any_sequence_is_accepted_reorders_nothing_either() {
    let world = World::start(1, 1).await;
    let (producer, _) = warm(&world).await;
    let forget = |model: &mut milena_broker::ClusterModel| model.forget_producers("t", 0);
    world.broker.with_model(forget).unwrap();
    world.broker.faults(not_leader_first());
    let mut outcomes = outcomes(send_each(&producer, 1..=5).await).await;
    let error = outcomes.remove(0).unwrap_err();
    assert_eq!(error.fate(), Fate::MaybeWritten, "{error}");
    for (outcome, offset) in outcomes.into_iter().zip(1..) {
        assert_eq!(outcome.unwrap().offset, Some(offset));
    }
    assert_eq!(offsets(send_each(&producer, 6..=7).await).await, [5, 6]);
    assert_eq!(world.numbers(0), [0, 2, 3, 4, 5, 6, 7]);
}

/// Without sequences nothing but one batch in flight keeps the order.
#[tokio::test(start_paused = true)]
async fn not_leader_without_idempotence_reorders_nothing() {
    for acks in [Acks::Leader, Acks::All] {
        let world = World::start(1, 1).await;
        let mut config = config();
        config.acks = acks;
        config.enable_idempotence = Some(false);
        let producer = world.producer(config);
        assert_eq!(offsets(send_each(&producer, [0]).await).await, [0]);
        world.broker.faults(not_leader_first());
        let receipts = send_each(&producer, 1..=5).await;
        assert_eq!(offsets(receipts).await, [1, 2, 3, 4, 5]);
        assert_eq!(world.numbers(0), [0, 1, 2, 3, 4, 5]);
    }
}

/// Notes 3, 9: with acks=1 the leader itself refuses before it writes; with acks=all it may have
/// lost the partition after.
#[tokio::test(start_paused = true)]
async fn not_leader_to_the_end_is_in_doubt_only_under_acks_all() {
    for (acks, fate) in [
        (Acks::Leader, Fate::NotWritten),
        (Acks::All, Fate::MaybeWritten),
    ] {
        let world = World::start(1, 1).await;
        let mut config = config();
        config.acks = acks;
        let producer = world.producer(config);
        world.broker.faults(nth_produce(|_| {
            Verdict::Error(ErrorCode::NotLeaderOrFollower)
        }));
        let error = send(&producer, 0, 0).await.await.unwrap_err();
        assert_eq!(error.fate(), fate, "{acks:?}");
    }
}

/// Note 2: brokers keep only the last of two batches for one partition, and lose the first.
#[tokio::test(start_paused = true)]
async fn no_request_names_a_partition_twice_whatever_goes_wrong() {
    let broker = Broker::builder().nodes(3).topic("t", 5).start();
    let broker = broker.await.unwrap();
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let watched = move |request: ProduceRequest| {
        assert_eq!((request.acks, request.transactional_id), (-1, None));
        let topics = request.topic_data.iter();
        let named: Vec<_> = topics
            .flat_map(|topic| topic.partition_data.iter().map(|part| part.index))
            .collect();
        let unique: BTreeSet<_> = named.iter().collect();
        assert_eq!(unique.len(), named.len(), "{named:?}");
        seen.fetch_max(named.len(), Ordering::Relaxed);
    };
    let connector = tamper::watching(broker.connector(), watched);
    let world = World::within(broker, Environment::seeded(0, connector)).await;
    world.broker.faults(nth_produce(|nth| match nth % 7 {
        1 => Verdict::Error(ErrorCode::NotLeaderOrFollower),
        3 => Verdict::ApplyThenError(ErrorCode::RequestTimedOut),
        5 => Verdict::ApplyThenDisconnect,
        _ => Verdict::Delay(millis(20)),
    }));
    let producer = world.producer(config());
    for number in 0..500_u64 {
        if number % 50 == 49 {
            world.move_leader(1 + i32::try_from(number / 50 % 3).unwrap());
        }
        let partition = i32::try_from(number % 5).unwrap();
        drop(send(&producer, partition, number / 5).await);
        sleep(millis(number % 3)).await;
    }
    assert_eq!(producer.flush().await.unwrap().delivered, 500);
    for partition in 0..5 {
        assert_eq!(world.numbers(partition), (0..100).collect::<Vec<_>>());
    }
    assert!(most.load(Ordering::Relaxed) > 1, "some held several");
}

async fn cluster_of_two(version: KafkaVersion) -> World {
    let world = World::build(2, 1, |builder| builder.as_version(version)).await;
    world.move_leader(1);
    world
}

/// testProducerBatchRetriesWhenPartitionLeaderChanges, 0146.
#[tokio::test(start_paused = true)]
async fn a_leader_hint_is_followed_at_once_and_without_asking_for_metadata() {
    let world = cluster_of_two(KafkaVersion::V4_3).await;
    let (producer, events) = warm(&world).await;
    let asked = world.requests(ApiKey::Metadata);
    world.move_leader(2);
    let begun = Instant::now();
    assert_eq!(
        offsets(send_each(&producer, 1..=5).await).await,
        [1, 2, 3, 4, 5]
    );
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(world.requests(ApiKey::Metadata), asked);
    assert_eq!(events.moves(), [(1, 2)]);
    assert_eq!(world.numbers(0), [0, 1, 2, 3, 4, 5]);
}

/// Brokers before 3.7 give no hints.
#[tokio::test(start_paused = true)]
async fn without_hints_metadata_is_asked_for_and_the_new_leader_found() {
    let world = cluster_of_two(KafkaVersion::V2_1).await;
    let (producer, events) = warm(&world).await;
    let asked = world.requests(ApiKey::Metadata);
    world.move_leader(2);
    let begun = Instant::now();
    assert_eq!(
        offsets(send_each(&producer, 1..=5).await).await,
        [1, 2, 3, 4, 5]
    );
    assert!(begun.elapsed() <= millis(300), "{:?}", begun.elapsed());
    let asked = world.requests(ApiKey::Metadata) - asked;
    assert!((1..=2).contains(&asked), "{asked}");
    assert_eq!(events.moves(), [(1, 2)]);
    assert_eq!(world.numbers(0), [0, 1, 2, 3, 4, 5]);
}

/// 0139: a broker that has not heard of the move tells of the old leader, with its old epoch.
#[tokio::test(start_paused = true)]
async fn stale_metadata_does_not_move_a_partition_back() {
    let broker = Broker::builder().nodes(2).topic("t", 1).start();
    let broker = broker.await.unwrap();
    let lags = Arc::new(AtomicBool::new(false));
    let stale = Arc::clone(&lags);
    let mut before = None;
    let connector = tamper::changing::<MetadataRequest>(broker.connector(), move |answer| {
        for topic in &mut answer.topics {
            for partition in &mut topic.partitions {
                let known = (partition.leader_id, partition.leader_epoch);
                if stale.load(Ordering::Relaxed) {
                    (partition.leader_id, partition.leader_epoch) = before.unwrap();
                } else {
                    before = Some(known);
                }
            }
        }
    });
    broker.with_model(|model| {
        if model.leader("t", 0).unwrap().0 != Some(1) {
            model.move_leader("t", 0, 1, None).unwrap();
        }
    });
    let world = World::within(broker, Environment::seeded(0, connector)).await;
    let (producer, events) = warm(&world).await;
    lags.store(true, Ordering::Relaxed);
    world.move_leader(2);
    for number in 1..20 {
        let receipt = send(&producer, 0, number).await;
        assert_eq!(receipt.await.unwrap().offset, Some(number.cast_signed()));
        world.cluster.refresh(RefreshReason::Requested);
        world.cluster.refreshed(within(5)).await.unwrap();
    }
    assert_eq!(events.moves(), [(1, 2)]);
    let to = world.produced_to();
    assert_eq!(to[..2], [1, 1], "the warm-up, and the one that learnt");
    assert!(to[2..].iter().all(|node| *node == 2), "{to:?}");
}

/// A hint may be older than what is known, too: it comes from a broker that lags.
#[tokio::test(start_paused = true)]
async fn a_partition_that_moves_and_moves_back_is_followed_each_time() {
    let world = cluster_of_two(KafkaVersion::V4_3).await;
    let (producer, events) = warm(&world).await;
    for (to, number) in [2, 1, 2, 1, 2, 1].into_iter().zip(1_u64..) {
        world.move_leader(to);
        let receipt = send(&producer, 0, number).await;
        assert_eq!(receipt.await.unwrap().offset, Some(number.cast_signed()));
    }
    assert_eq!(events.moves().len(), 6);
    assert_eq!(world.numbers(0), [0, 1, 2, 3, 4, 5, 6]);
}

/// 0143: an election that takes its time is waited for, by a bounded number of requests.
#[tokio::test(start_paused = true)]
async fn while_there_is_no_leader_nothing_is_sent_and_metadata_asked_for_in_moderation() {
    let world = World::build(2, 1, |builder| {
        builder.settings(|settings| settings.replication_factor = Some(1))
    })
    .await;
    let (producer, events) = warm(&world).await;
    let node = world.produced_to()[0];
    let model = |model: &mut milena_broker::ClusterModel| model.kill_node(node);
    world.broker.with_model(model).unwrap();
    let receipts = send_each(&producer, 1..=5).await;
    sleep(Duration::from_secs(3)).await;
    let (produces, asked) = (
        world.requests(ApiKey::Produce),
        world.requests(ApiKey::Metadata),
    );
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.requests(ApiKey::Produce), produces);
    let asked = world.requests(ApiKey::Metadata) - asked;
    assert!((30..=80).contains(&asked), "{asked} in a minute");
    let model = |model: &mut milena_broker::ClusterModel| model.start_node(node);
    world.broker.with_model(model).unwrap();
    let begun = Instant::now();
    assert_eq!(offsets(receipts).await, [1, 2, 3, 4, 5]);
    assert!(begun.elapsed() <= millis(2_500), "{:?}", begun.elapsed());
    assert_eq!(events.bumps(), []);
}

/// Note 9: five at most across both leaders, and those first that were stamped first.
#[tokio::test(start_paused = true)]
async fn what_was_in_flight_to_a_dead_leader_goes_first_to_the_next_one() {
    let world = cluster_of_two(KafkaVersion::V4_3).await;
    let (producer, events) = warm(&world).await;
    world
        .broker
        .faults(|request| match (request.api, request.node) {
            (ApiKey::Produce, 1) => Verdict::Silence,
            _ => Verdict::Pass,
        });
    let receipts = send_each(&producer, 1..=20).await;
    sleep(millis(100)).await;
    world.broker.with_model(|model| model.kill_node(1)).unwrap();
    assert_eq!(offsets(receipts).await, (1..=20).collect::<Vec<_>>());
    assert_eq!(world.numbers(0), (0..=20).collect::<Vec<_>>());
    let sequences: Vec<_> = world.stamps(0).iter().map(|stamp| stamp.1).collect();
    assert_eq!(sequences, (0..=20).collect::<Vec<_>>());
    assert_eq!(events.bumps(), []);
}

/// A recreated topic may have a lower leader epoch, on another node: it is followed all the same.
#[tokio::test(start_paused = true)]
async fn the_leader_epoch_of_a_topic_created_again_may_be_lower() {
    let world = cluster_of_two(KafkaVersion::V4_3).await;
    let (producer, _) = warm(&world).await;
    for to in [2, 1, 2] {
        world.move_leader(to);
    }
    send(&producer, 0, 1).await.await.unwrap();
    world.delete_topic().await;
    let created = |model: &mut milena_broker::ClusterModel| {
        model.create_topic("t", 1).unwrap();
        if model.leader("t", 0).unwrap().0 != Some(1) {
            model.move_leader("t", 0, 1, None).unwrap();
        }
        model.leader("t", 0).unwrap().1
    };
    assert!(world.broker.with_model(created) <= 1);
    assert_eq!(offsets(send_each(&producer, 2..=4).await).await, [0, 1, 2]);
    assert_eq!(world.numbers(0), [2, 3, 4]);
}
