//! Batches whose `delivery_timeout` passes while it is not known what became of them.
//!
//! Scenarios 9, 11, 14; note 8.

use std::time::Duration;

use milena_broker::Verdict;
use milena_producer::{
    BumpReason, DeliveryCause, ErrorCode, Fate, Producer, ProducerConfig, Receipt,
};
use tokio::time::{Instant, sleep};

use crate::world::{
    Events, World, millis, nth_produce, offsets, one_a_batch, outcomes, send, send_each,
};

const TIMEOUT: Duration = Duration::from_secs(10);

fn config() -> ProducerConfig {
    let mut config = one_a_batch();
    config.linger = Duration::ZERO.into();
    config.request_timeout = Duration::from_secs(4);
    config.delivery_timeout = TIMEOUT;
    config
}

/// A producer that has written record 0.
async fn warm(world: &World) -> (Producer, Events) {
    let mut config = config();
    let events = Events::of(&mut config);
    let producer = world.producer(config);
    assert_eq!(offsets(send_each(&producer, [0]).await).await, [0]);
    (producer, events)
}

async fn assert_timed_out(receipt: Receipt, fate: Fate) {
    let error = receipt.await.unwrap_err();
    assert_eq!(error.fate(), fate, "{error}");
    let cause = error.cause();
    assert!(matches!(cause, DeliveryCause::TimedOut { .. }), "{error}");
}

/// testExpiryOfUnsentBatchesShouldNotCauseUnresolvedSequences.
#[tokio::test(start_paused = true)]
async fn batches_that_expire_unsent_leave_no_gap_and_cost_no_epoch() {
    let world = World::start(1, 1).await;
    let (producer, events) = warm(&world).await;
    world.broker.with_model(|model| model.kill_node(1)).unwrap();
    let begun = Instant::now();
    for receipt in send_each(&producer, 1..=7).await {
        assert_timed_out(receipt, Fate::NotWritten).await;
    }
    assert_eq!(begun.elapsed(), TIMEOUT);
    world
        .broker
        .with_model(|model| model.start_node(1))
        .unwrap();
    assert_eq!(offsets(send_each(&producer, 8..=9).await).await, [1, 2]);
    assert_eq!(world.stamps(0), [(0, 0, 1), (0, 1, 1), (0, 2, 1)]);
    assert_eq!(events.bumps(), []);
}

/// testExpiryOfFirstBatchShouldNotCauseUnresolvedSequencesIfFutureBatchesSucceed; scenario 9: a
/// later acknowledgement implies the earlier batch.
#[tokio::test(start_paused = true)]
async fn a_successors_success_proves_the_expired_batch_and_costs_no_epoch() {
    let world = World::start(1, 1).await;
    let (producer, events) = warm(&world).await;
    // Record 1 is written, and no answer says so.
    let unknown = Verdict::ApplyThenError(ErrorCode::RequestTimedOut);
    world.broker.faults(nth_produce(move |_| unknown));
    let head = send(&producer, 0, 1).await;
    sleep(TIMEOUT - Duration::from_secs(3)).await;
    let successor = send(&producer, 0, 2).await;
    world.broker.faults(nth_produce(move |nth| match nth {
        1 => Verdict::Pass,
        _ => unknown,
    }));
    assert_timed_out(head, Fate::MaybeWritten).await;
    let ack = successor.await.unwrap();
    assert_eq!(ack.offset, Some(2));
    world.broker.faults(|_| Verdict::Pass);
    assert_eq!(offsets(send_each(&producer, 3..=4).await).await, [3, 4]);
    assert_eq!(world.numbers(0), [0, 1, 2, 3, 4]);
    assert_eq!(events.bumps(), [], "{:?}", world.stamps(0));
}

/// testExpiryOfFirstBatchShouldCauseEpochBumpIfFutureBatchesFail: the head never arrived, so its
/// successors are out of order; clean ones go on under the next epoch, from sequence 0.
#[tokio::test(start_paused = true)]
async fn successors_refused_behind_an_expired_batch_go_on_under_the_next_epoch() {
    let world = World::start(1, 1).await;
    let (producer, events) = warm(&world).await;
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::Disconnect,
        _ => Verdict::Error(ErrorCode::NotEnoughReplicas),
    }));
    let head = send(&producer, 0, 1).await;
    sleep(TIMEOUT / 2).await;
    let successors = send_each(&producer, 2..=4).await;
    assert_timed_out(head, Fate::MaybeWritten).await;
    world.broker.faults(|_| Verdict::Pass);
    assert_eq!(offsets(successors).await, [1, 2, 3]);
    assert_eq!(world.numbers(0), [0, 2, 3, 4]);
    let stamps: Vec<_> = (0..3).map(|sequence| (1, sequence, 1)).collect();
    assert_eq!(world.stamps(0)[1..], stamps);
    let reasons: Vec<_> = events.bumps().iter().map(|bump| bump.reason).collect();
    assert_eq!(reasons, [BumpReason::InDoubt]);
}

/// testUnresolvedSequencesAreNotFatal; scenario 11: whatever expires, the gaps are never filled with
/// other records under the same stamp, nothing is reordered, and it goes on.
#[tokio::test(start_paused = true)]
async fn unresolved_batches_of_several_partitions_end_no_producer() {
    let world = World::start(1, 3).await;
    let mut config = config();
    let events = Events::of(&mut config);
    let producer = world.producer(config);
    for partition in 0..3 {
        send(&producer, partition, 0).await.await.unwrap();
    }
    for round in 0..5 {
        world
            .broker
            .faults(nth_produce(move |nth| match (nth + round) % 3 {
                0 => Verdict::ApplyThenDisconnect,
                1 => Verdict::ApplyThenError(ErrorCode::RequestTimedOut),
                _ => Verdict::Disconnect,
            }));
        let mut receipts = Vec::new();
        for partition in 0..3 {
            for number in 1..=6 {
                receipts.push(send(&producer, partition, round * 10 + number).await);
            }
        }
        sleep(TIMEOUT / 2).await;
        world
            .broker
            .faults(nth_produce(|_| Verdict::Delay(TIMEOUT)));
        drop(outcomes(receipts).await);
        world.broker.faults(|_| Verdict::Pass);
        for partition in 0..3 {
            let ack = send(&producer, partition, round * 10 + 9).await.await;
            assert!(ack.unwrap().offset.is_some());
        }
    }
    for partition in 0..3 {
        let numbers = world.numbers(partition);
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        for end in [9, 19, 29, 39, 49] {
            assert!(numbers.contains(&end), "{numbers:?}");
        }
    }
    assert!(events.bumps().len() >= 3, "{:?}", events.bumps());
}

/// Note 8: a successor that was lost too is in doubt itself once the head is; one that was not goes
/// on.
#[tokio::test(start_paused = true)]
async fn doubtful_successors_of_an_expired_batch_fail_in_doubt_and_clean_ones_go_on() {
    let world = World::start(1, 1).await;
    let (producer, events) = warm(&world).await;
    // Neither 1 nor 2 is answered, and both may have arrived.
    world.broker.faults(nth_produce(|nth| match nth {
        0 => Verdict::Silence,
        _ => Verdict::Error(ErrorCode::NotEnoughReplicas),
    }));
    let head = send(&producer, 0, 1).await;
    sleep(Duration::from_secs(2)).await;
    let lost = send(&producer, 0, 2).await;
    sleep(TIMEOUT / 2).await;
    let clean = send(&producer, 0, 3).await;
    assert_timed_out(head, Fate::MaybeWritten).await;
    world.broker.faults(|_| Verdict::Pass);
    assert_eq!(lost.await.unwrap_err().fate(), Fate::MaybeWritten);
    assert_eq!(clean.await.unwrap().offset, Some(1));
    assert_eq!(world.numbers(0), [0, 3]);
    assert_eq!(events.bumps().len(), 1);
}

/// franz-go #1217, with the record's own future dropped: whatever the caller does with its receipt,
/// later records are not taken for duplicates of the one in doubt.
#[tokio::test(start_paused = true)]
async fn a_receipt_dropped_after_the_write_costs_no_later_record() {
    let world = World::start(1, 1).await;
    let (producer, _) = warm(&world).await;
    world.broker.faults(nth_produce(|_| {
        Verdict::ApplyThenError(ErrorCode::RequestTimedOut)
    }));
    let given_up = send(&producer, 0, 1).await;
    assert!(tokio::time::timeout(millis(500), given_up).await.is_err());
    sleep(2 * TIMEOUT).await;
    world.broker.faults(|_| Verdict::Pass);
    let receipts = send_each(&producer, 2..=9).await;
    assert_eq!(offsets(receipts).await, (2..=9).collect::<Vec<_>>());
    assert_eq!(world.numbers(0), (0..=9).collect::<Vec<_>>());
    let report = producer.flush().await.unwrap_err().report;
    assert_eq!((report.delivered, report.maybe_written), (9, 1));
}

/// Note 3: fate is the worst over all attempts, in whatever order they come.
#[tokio::test(start_paused = true)]
async fn a_definite_refusal_does_not_make_an_earlier_doubt_undone() {
    let refused = Verdict::Error(ErrorCode::NotEnoughReplicas);
    let lost = Verdict::Disconnect;
    for (verdicts, fate) in [
        ([refused, refused, refused], Fate::NotWritten),
        ([lost, refused, refused], Fate::MaybeWritten),
        ([refused, lost, refused], Fate::MaybeWritten),
        ([refused, refused, lost], Fate::MaybeWritten),
    ] {
        let world = World::start(1, 1).await;
        let (producer, _) = warm(&world).await;
        world.broker.faults(nth_produce(move |nth| {
            let nth = usize::try_from(nth).unwrap();
            *verdicts.get(nth).unwrap_or(&refused)
        }));
        assert_timed_out(send(&producer, 0, 1).await, fate).await;
    }
}
