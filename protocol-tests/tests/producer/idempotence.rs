//! Retries, lost answers and the broker's memory: once, in order, and the truth about it.

use std::time::Duration;

use milena_broker::{KafkaVersion, Verdict};
use milena_codec::ApiKey;
use milena_codec::messages::InitProducerIdRequest;
use milena_net::Environment;
use milena_producer::{
    BumpReason, DeliveryCause, ErrorCode, Fate, Identity, Producer, ProducerConfig,
};
use tokio::time::{Instant, sleep};

use crate::tamper;
use crate::world::{
    Events, World, millis, nth_produce, offsets, one_a_batch, outcomes, send, send_each,
};

/// A producer of one record a batch that has written record 0, so that five may travel.
async fn warm(world: &World) -> (Producer, Events) {
    let mut config = one_a_batch();
    let events = Events::of(&mut config);
    let producer = world.producer(config);
    assert_eq!(offsets(send_each(&producer, [0]).await).await, [0]);
    (producer, events)
}

/// Scenarios 8, 10; note 3.
#[tokio::test(start_paused = true)]
async fn whatever_may_follow_an_append_is_resolved_by_a_retry_to_the_first_offset() {
    for code in [
        ErrorCode::RequestTimedOut,
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::LeaderNotAvailable,
        ErrorCode::KafkaStorageError,
        ErrorCode::NetworkException,
        ErrorCode::CoordinatorLoadInProgress,
    ] {
        let world = World::start(1, 1).await;
        let (producer, events) = warm(&world).await;
        world.broker.faults(nth_produce(move |nth| match nth {
            0 | 1 => Verdict::ApplyThenError(code),
            _ => Verdict::Pass,
        }));
        let receipts = send_each(&producer, 1..=3).await;
        assert_eq!(offsets(receipts).await, [1, 2, 3], "{code}");
        assert_eq!(world.numbers(0), [0, 1, 2, 3], "{code}");
        assert_eq!(events.bumps(), [], "{code}");
    }
}

/// Scenario 8 (retry_invalid_msg): CORRUPT_MESSAGE is tried again, and was never written.
#[tokio::test(start_paused = true)]
async fn a_batch_that_arrived_corrupt_is_sent_again() {
    let world = World::start(1, 1).await;
    let (producer, events) = warm(&world).await;
    world.broker.faults(nth_produce(|nth| match nth {
        0 | 2 => Verdict::Error(ErrorCode::CorruptMessage),
        _ => Verdict::Pass,
    }));
    assert_eq!(
        offsets(send_each(&producer, 1..=5).await).await,
        [1, 2, 3, 4, 5]
    );
    assert_eq!(world.numbers(0), [0, 1, 2, 3, 4, 5]);
    assert_eq!(events.bumps(), []);
}

/// Scenario 12 (WhereFirstFailsFatally): the rest take over its place in the sequence.
#[tokio::test(start_paused = true)]
async fn when_the_first_of_five_is_refused_for_good_the_others_move_up() {
    for code in [
        ErrorCode::InvalidRecord,
        ErrorCode::MessageTooLarge,
        ErrorCode::TopicAuthorizationFailed,
        ErrorCode::PolicyViolation,
    ] {
        let world = World::start(1, 1).await;
        let (producer, events) = warm(&world).await;
        world.broker.faults(nth_produce(move |nth| match nth {
            0 => Verdict::Error(code),
            _ => Verdict::Delay(millis(5)),
        }));
        let mut outcomes = outcomes(send_each(&producer, 1..=5).await).await;
        let error = outcomes.remove(0).unwrap_err();
        assert_eq!((error.fate(), error.attempts()), (Fate::NotWritten, 1));
        let later: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
        let offsets: Vec<_> = later.iter().map(|ack| ack.offset.unwrap()).collect();
        assert_eq!(offsets, [1, 2, 3, 4], "{code}");
        let expected: Vec<_> = (0..5).map(|sequence| (0, sequence, 1)).collect();
        assert_eq!(world.stamps(0), expected, "{code}");
        assert_eq!(world.numbers(0), [0, 2, 3, 4, 5], "{code}");
        assert_eq!(events.bumps(), [], "{code}");
    }
}

/// Scenario 13; note 7: nothing of it was ever in doubt, so it may be stamped again.
#[tokio::test(start_paused = true)]
async fn out_of_order_at_the_head_with_a_clean_history_costs_an_epoch_and_no_record() {
    let world = World::start(1, 1).await;
    let (producer, events) = warm(&world).await;
    let code = ErrorCode::OutOfOrderSequenceNumber;
    world.broker.faults(nth_produce(move |nth| match nth {
        0 => Verdict::Error(code),
        _ => Verdict::Pass,
    }));
    let offsets = offsets(send_each(&producer, 1..=5).await).await;
    assert_eq!(offsets, [1, 2, 3, 4, 5]);
    assert_eq!(world.numbers(0), [0, 1, 2, 3, 4, 5]);
    let stamps = world.stamps(0);
    assert_eq!((stamps[0], stamps[1]), ((0, 0, 1), (1, 0, 1)));
    let bumps = events.bumps();
    assert_eq!(bumps.len(), 1);
    assert_eq!(bumps[0].reason, BumpReason::BrokerState(code));
}

/// Notes 4, 7: after a lost attempt OUT_OF_ORDER proves nothing, and a new stamp could duplicate.
#[tokio::test(start_paused = true)]
async fn out_of_order_at_the_head_after_a_lost_attempt_ends_in_doubt_and_never_twice() {
    let world = World::start(1, 1).await;
    let (producer, events) = warm(&world).await;
    let code = ErrorCode::OutOfOrderSequenceNumber;
    world.broker.faults(nth_produce(move |nth| match nth {
        0 => Verdict::ApplyThenDisconnect,
        1 => Verdict::Error(code),
        _ => Verdict::Pass,
    }));
    let first = send(&producer, 0, 1).await;
    let error = first.await.unwrap_err();
    assert_eq!((error.fate(), error.attempts()), (Fate::MaybeWritten, 2));
    assert!(matches!(error.cause(), DeliveryCause::Refused { code: said, .. } if *said == code));
    assert_eq!(offsets(send_each(&producer, 2..=4).await).await, [2, 3, 4]);
    assert_eq!(world.numbers(0), [0, 1, 2, 3, 4]);
    assert_eq!(events.bumps().len(), 1);
}

/// Scenario 13; note 6: old and foreign brokers say that it is there, and not where.
#[tokio::test(start_paused = true)]
async fn a_duplicate_sequence_number_is_success_without_an_offset() {
    let world = World::start(1, 1).await;
    let (producer, events) = warm(&world).await;
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::ApplyThenDisconnect,
        1 => Verdict::Error(ErrorCode::DuplicateSequenceNumber),
        _ => Verdict::Pass,
    }));
    let ack = send(&producer, 0, 1).await.await.unwrap();
    assert_eq!(ack.offset, None);
    assert_eq!(offsets(send_each(&producer, 2..=3).await).await, [2, 3]);
    assert_eq!(world.numbers(0), [0, 1, 2, 3]);
    assert_eq!(events.bumps(), []);
}

/// Note 6: six of a partition would be more than the broker recognises.
#[tokio::test(start_paused = true)]
async fn at_most_five_batches_of_a_partition_are_unresolved() {
    let world = World::start(1, 1).await;
    let (producer, events) = warm(&world).await;
    // The request time-out closes the connection, and what it carried runs later.
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::Delay(Duration::from_secs(40)),
        _ => Verdict::Pass,
    }));
    let receipts = send_each(&producer, 1..=20).await;
    assert_eq!(offsets(receipts).await, (1..=20).collect::<Vec<_>>());
    sleep(Duration::from_secs(20)).await;
    let first = world.broker.with_model(|model| {
        let produces = model.requests().map(|one| one.request.clone());
        let produces = produces.filter(|request| request.api == ApiKey::Produce);
        let connections: Vec<_> = produces.map(|request| request.connection).collect();
        connections
            .iter()
            .filter(|one| **one == connections[0])
            .count()
    });
    assert_eq!(first, 1 + 5);
    assert_eq!(world.numbers(0), (0..=20).collect::<Vec<_>>());
    assert_eq!(events.bumps(), []);
}

/// Note 5.
#[tokio::test(start_paused = true)]
async fn after_an_hour_without_success_the_first_batch_travels_alone_again() {
    let world = World::start(1, 1).await;
    let (producer, _) = warm(&world).await;
    sleep(Duration::from_secs(3_700)).await;
    world
        .broker
        .faults(nth_produce(|_| Verdict::Delay(millis(1_000))));
    let receipts = send_each(&producer, 1..=4).await;
    sleep(millis(500)).await;
    assert_eq!(world.requests(ApiKey::Produce), 2);
    assert_eq!(offsets(receipts).await, [1, 2, 3, 4]);
}

/// Note 1: closing the connection does not cancel what was received.
#[tokio::test(start_paused = true)]
async fn a_request_that_runs_after_it_was_given_up_writes_nothing_twice() {
    let world = World::start(1, 1).await;
    let (producer, events) = warm(&world).await;
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::Delay(Duration::from_secs(40)),
        _ => Verdict::Pass,
    }));
    let begun = Instant::now();
    let receipts = send_each(&producer, 1..=5).await;
    assert_eq!(offsets(receipts).await, [1, 2, 3, 4, 5]);
    assert_eq!(begun.elapsed().as_secs(), 30, "by the request time-out");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(offsets(send_each(&producer, 6..=7).await).await, [6, 7]);
    assert_eq!(world.numbers(0), (0..=7).collect::<Vec<_>>());
    assert_eq!(events.bumps(), []);
}

/// Facts: a partition's epoch is its own.
#[tokio::test(start_paused = true)]
async fn a_partition_in_doubt_raises_its_epoch_alone() {
    let world = World::start(1, 2).await;
    let mut config = one_a_batch();
    config.delivery_timeout = Duration::from_secs(35);
    let producer = world.producer(config);
    for partition in 0..2 {
        send(&producer, partition, 0).await.await.unwrap();
    }
    world.broker.faults(nth_produce(|_| {
        Verdict::ApplyThenError(ErrorCode::RequestTimedOut)
    }));
    let lost = send(&producer, 0, 1).await;
    assert_eq!(lost.await.unwrap_err().fate(), Fate::MaybeWritten);
    world.broker.faults(|_| Verdict::Pass);
    for number in 2..5 {
        for partition in 0..2 {
            send(&producer, partition, number).await.await.unwrap();
        }
    }
    assert_eq!(world.numbers(0), [0, 1, 2, 3, 4]);
    let epochs = |partition| world.stamps(partition).into_iter().map(|stamp| stamp.0);
    assert_eq!(epochs(0).collect::<Vec<_>>(), [0, 0, 1, 1, 1]);
    assert_eq!(epochs(1).collect::<Vec<_>>(), [0, 0, 0, 0]);
}

/// Scenario 15; note 10: the log starts after what was acknowledged last, so nothing is lost.
#[tokio::test(start_paused = true)]
async fn a_producer_forgotten_with_its_records_by_retention_has_lost_nothing() {
    let old = KafkaVersion::V2_1;
    let world = World::build(1, 1, |builder| builder.as_version(old)).await;
    let (producer, events) = warm(&world).await;
    assert_eq!(offsets(send_each(&producer, 1..=3).await).await, [1, 2, 3]);
    // Somebody else writes, and retention leaves nothing but that.
    let other = world.producer(ProducerConfig::default());
    send(&other, 0, 4).await.await.unwrap();
    world.delete_records(0, 4).await;
    assert_eq!(offsets(send_each(&producer, 5..=7).await).await, [5, 6, 7]);
    let bumps = events.bumps();
    let expected = BumpReason::Retention(ErrorCode::UnknownProducerId);
    assert_eq!((bumps.len(), bumps[0].reason), (1, expected));
    assert_eq!(world.numbers(0), [4, 5, 6, 7]);
}

/// Note 10: without a record gone it is a loss of the broker's, and said to be one.
#[tokio::test(start_paused = true)]
async fn a_producer_forgotten_while_its_records_are_there_is_told_apart() {
    let old = KafkaVersion::V2_1;
    let world = World::build(1, 1, |builder| builder.as_version(old)).await;
    let (producer, events) = warm(&world).await;
    let forget = |model: &mut milena_broker::ClusterModel| model.forget_producers("t", 0);
    world.broker.with_model(forget).unwrap();
    assert_eq!(offsets(send_each(&producer, 1..=3).await).await, [1, 2, 3]);
    let expected = BumpReason::BrokerState(ErrorCode::UnknownProducerId);
    assert_eq!(events.bumps()[0].reason, expected);
    assert_eq!(world.numbers(0), [0, 1, 2, 3]);
}

/// The producer id's last epoch is in use; when the partition has to leave it, another id is asked
/// for, and the partition goes on with that.
#[tokio::test(start_paused = true)]
async fn after_the_last_epoch_of_an_id_comes_another_id() {
    let broker = milena_broker::Broker::builder().topic("t", 2);
    let broker = broker.start().await.unwrap();
    let mut first = true;
    let connector = tamper::changing::<InitProducerIdRequest>(broker.connector(), move |answer| {
        if std::mem::take(&mut first) {
            answer.producer_epoch = i16::MAX;
        }
    });
    let world = World::within(broker, Environment::seeded(0, connector)).await;
    let mut config = one_a_batch();
    config.delivery_timeout = Duration::from_secs(35);
    let events = Events::of(&mut config);
    let producer = world.producer(config);
    send(&producer, 0, 0).await.await.unwrap();
    send(&producer, 1, 0).await.await.unwrap();
    world.broker.faults(nth_produce(|_| {
        Verdict::ApplyThenError(ErrorCode::RequestTimedOut)
    }));
    let lost = send(&producer, 0, 1).await;
    assert_eq!(lost.await.unwrap_err().fate(), Fate::MaybeWritten);
    world.broker.faults(|_| Verdict::Pass);
    assert_eq!(
        offsets(send_each(&producer, 2..=5).await).await,
        [2, 3, 4, 5]
    );
    send(&producer, 1, 1).await.await.unwrap();
    assert_eq!(world.numbers(0), [0, 1, 2, 3, 4, 5]);
    let header = |partition, at: usize| *world.batches(partition)[at].header();
    let (old, new) = (header(0, 0), header(0, 2));
    assert_eq!((old.producer_epoch, new.producer_epoch), (i16::MAX, 0));
    assert_eq!(new.base_sequence, 0);
    assert_ne!(old.producer_id, new.producer_id);
    assert_eq!(header(1, 1).producer_id, old.producer_id, "not concerned");
    let bump = events.bumps()[0];
    let from = Identity {
        producer_id: old.producer_id,
        epoch: i16::MAX,
    };
    assert_eq!((bump.from, bump.to), (from, None));
    assert_eq!(world.requests(ApiKey::InitProducerId), 2);
}
