use std::time::Duration;

use milena_records::{
    Batches as WireBatches, Compression, Compressor, Decompressor, RecordParts, Stamp,
};

use super::*;
use crate::Limits;

type Outcome = u32;
type TestQueue = Queue<Outcome, ()>;

fn accumulator(batch: usize, memory: usize) -> Arc<Accumulator<Outcome, ()>> {
    Arc::new(Accumulator::new(Limits {
        batch,
        memory,
        ..Limits::default()
    }))
}

fn start() -> Instant {
    #[allow(clippy::disallowed_methods)]
    Instant::now()
}

fn value(value: &[u8]) -> RecordParts<'_> {
    RecordParts {
        value: Some(value),
        ..RecordParts::default()
    }
}

fn append(queue: &TestQueue, bytes: &[u8], at: Instant) -> Result<Accepted<Outcome, ()>, Refused> {
    let accepted = queue.append(&value(bytes), &(), || at, &mut None)?;
    Ok(accepted)
}

/// As a producer does it: what is closed is sealed and put back.
fn send(queue: &TestQueue, bytes: &[u8], at: Instant) -> Accepted<Outcome, ()> {
    let mut accepted = append(queue, bytes, at).unwrap();
    if let Some(closed) = closed(&mut accepted) {
        queue.put_sealed(seal(*closed)).unwrap();
    }
    accepted
}

fn closed(accepted: &mut Accepted<Outcome, ()>) -> Option<Box<ClosedBatch<Outcome, ()>>> {
    accepted.opened.as_mut()?.closed.take()
}

fn take(queue: &TestQueue) -> Option<Batch<Outcome, ()>> {
    if let Some(batch) = queue.pop_sealed() {
        return Some(batch);
    }
    queue
        .put_sealed(seal(*queue.close_front(|_| true)?))
        .unwrap();
    queue.pop_sealed()
}

fn values(batch: &Batch<Outcome, ()>) -> Vec<Vec<u8>> {
    let mut batches = WireBatches::new(batch.sealed().to_bytes(Stamp::NONE));
    let only = batches.next().unwrap().unwrap();
    let checked = only.check(&mut Decompressor::new(), 1 << 24).unwrap();
    checked
        .iter()
        .map(|record| record.value.unwrap().to_vec())
        .collect()
}

fn seal(closed: ClosedBatch<Outcome, ()>) -> Batch<Outcome, ()> {
    closed.seal(&mut Compressor::default()).unwrap()
}

#[test]
fn records_leave_in_the_order_they_came_across_batches() {
    let queue = Queue::new(accumulator(2_000, 1 << 20));
    let at = start();
    let mut cells = Vec::new();
    for number in 0..100_u32 {
        let accepted = send(&queue, &[number as u8; 100], at);
        assert_eq!(accepted.opened.is_some(), accepted.index == 0);
        cells.push((accepted.cell.id(), accepted.index));
    }
    let mut seen = 0_u32;
    while let Some(batch) = take(&queue) {
        assert!(batch.sealed().len() <= 2_000);
        for (index, value) in values(&batch).iter().enumerate() {
            assert_eq!(value, &[seen as u8; 100]);
            assert_eq!(cells[seen as usize], (batch.cell().id(), index as u32));
            seen += 1;
        }
    }
    assert_eq!(seen, 100);
}

#[test]
fn a_batch_sealed_out_of_turn_keeps_its_place() {
    let queue = Queue::new(accumulator(300, 1 << 20));
    let at = start();
    append(&queue, &[0; 200], at).unwrap();
    let first = closed(&mut append(&queue, &[1; 200], at).unwrap()).unwrap();
    let second = closed(&mut append(&queue, &[2; 200], at).unwrap()).unwrap();
    queue.put_sealed(seal(*second)).unwrap();
    assert_eq!(queue.front(), Front::Sealing);
    assert!(queue.pop_sealed().is_none());
    queue.put_sealed(seal(*first)).unwrap();
    assert_eq!(values(&queue.pop_sealed().unwrap()), [[0; 200]]);
    assert_eq!(values(&queue.pop_sealed().unwrap()), [[1; 200]]);
    assert!(matches!(queue.front(), Front::Open { opened_at, .. } if opened_at == at));
}

#[test]
fn a_batch_that_cannot_be_sealed_gives_up_its_place() {
    let queue = Queue::new(accumulator(300, 1 << 20));
    append(&queue, &[0; 200], start()).unwrap();
    let closed = closed(&mut append(&queue, &[1; 200], start()).unwrap()).unwrap();
    queue.forget_sealing(closed.cell().id());
    assert_eq!(values(&take(&queue).unwrap()), [[1; 200]]);
}

#[test]
fn what_is_drained_while_it_is_sealed_comes_back_to_its_sealer() {
    let queue = Queue::new(accumulator(300, 1 << 20));
    append(&queue, &[0; 200], start()).unwrap();
    let closed = closed(&mut append(&queue, &[1; 200], start()).unwrap()).unwrap();
    let drained = queue.drain(None);
    assert_eq!(drained.iter().map(Drained::records).sum::<u32>(), 1);
    assert_eq!(queue.front(), Front::Empty);
    let batch = queue.put_sealed(seal(*closed)).unwrap_err();
    assert_eq!(values(&batch), [[0; 200]]);
}

#[test]
fn an_open_batch_is_closed_only_when_it_is_due_and_at_the_front() {
    let queue = Queue::new(accumulator(300, 1 << 20));
    let at = start();
    append(&queue, &[0; 200], at).unwrap();
    assert!(queue.close_front(|opened_at| opened_at > at).is_none());
    send(&queue, &[0; 200], at);
    assert!(queue.close_front(|_| true).is_none());
    assert!(queue.pop_sealed().is_some());
    assert!(queue.close_front(|_| true).is_some());
}

#[test]
fn a_record_larger_than_a_batch_gets_one_of_its_own() {
    let queue = Queue::new(accumulator(300, 1 << 20));
    send(&queue, &[0; 10], start());
    assert!(send(&queue, &[1; 5_000], start()).opened.is_some());
    assert_eq!(take(&queue).unwrap().sealed().count(), 1);
    assert!(take(&queue).unwrap().sealed().len() > 5_000);
}

#[test]
fn the_budget_is_reserved_before_encoding_and_returned_when_resolved() {
    let accumulator = accumulator(100_000, 10_000);
    let queue = Queue::new(Arc::clone(&accumulator));
    let at = start();
    append(&queue, &[0; 6_000], at).unwrap();
    let used = accumulator.budget().used();
    assert!((6_000..=10_000).contains(&used));
    let refused = append(&queue, &[0; 6_000], at).unwrap_err();
    assert!(matches!(refused, Refused::NeedsRoom(bytes) if bytes > 6_000 && bytes < 6_100));

    let batch = take(&queue).unwrap();
    assert_eq!((batch.sealed().count(), accumulator.is_idle()), (1, false));
    assert_eq!(accumulator.budget().used(), used);
    assert!(accumulator.resolve(&batch, 3));
    assert!(!accumulator.resolve(&batch, 4));
    assert_eq!(
        (accumulator.budget().used(), accumulator.is_idle()),
        (0, true)
    );
    append(&queue, &[0; 6_000], at).unwrap();
}

#[test]
fn what_was_reserved_while_waiting_is_used_first() {
    let accumulator = accumulator(100_000, 10_000);
    let queue = Queue::new(Arc::clone(&accumulator));
    let mut reserved = accumulator.budget().try_reserve(8_000);
    let record = value(&[0; 6_000]);
    queue.append(&record, &(), start, &mut reserved).unwrap();
    assert!(reserved.is_none());
    assert_eq!(accumulator.budget().used(), 8_000);
}

#[test]
fn compression_returns_the_memory_it_saves() {
    let accumulator = accumulator(100_000, 100_000);
    let queue = Queue::new(Arc::clone(&accumulator));
    for _ in 0..500 {
        append(&queue, &[7; 100], start()).unwrap();
    }
    let closed = queue.close_front(|_| true).unwrap();
    let batch = closed.seal(&mut Compressor::new(Compression::Lz4)).unwrap();
    assert_eq!(accumulator.budget().used(), batch.sealed().len());
    assert_eq!(values(&batch).len(), 500);
}

#[test]
fn only_batches_old_enough_are_drained_by_age() {
    let queue = Queue::new(accumulator(300, 1 << 20));
    let at = start();
    let later = at + Duration::from_secs(1);
    send(&queue, &[0; 200], at);
    send(&queue, &[0; 200], later);
    assert_eq!(queue.drain(Some(at)).len(), 1);
    assert_eq!(queue.drain(Some(at)).len(), 0);
    assert_eq!(queue.drain(Some(later)).len(), 1);
}

#[test]
fn a_shut_queue_keeps_what_it_has_and_takes_nothing_more() {
    let queue = Queue::new(accumulator(300, 1 << 20));
    append(&queue, b"in", start()).unwrap();
    queue.shut();
    assert_eq!(append(&queue, b"out", start()).unwrap_err(), Refused::Shut);
    assert_eq!(values(&take(&queue).unwrap()), [b"in"]);
}

#[test]
fn timestamps_too_far_apart_get_batches_of_their_own() {
    let queue = Queue::new(accumulator(3_000, 1 << 20));
    let mut before = Vec::new();
    for timestamp in [i64::MIN, i64::MAX] {
        let record = RecordParts {
            timestamp,
            ..value(b"v")
        };
        let mut accepted = queue.append(&record, &(), start, &mut None).unwrap();
        before.extend(closed(&mut accepted));
    }
    assert_eq!((before.len(), before[0].records()), (1, 1));
}

#[test]
fn segments_come_back_and_are_used_again() {
    let accumulator = accumulator(10_000, 1 << 20);
    let queue = Queue::new(Arc::clone(&accumulator));
    let mut addresses = Vec::new();
    for _ in 0..3 {
        append(&queue, &[0; 500], start()).unwrap();
        let batch = take(&queue).unwrap();
        addresses.push(batch.sealed().segments().next().unwrap().as_ptr());
        accumulator.resolve(&batch, 0);
    }
    assert_eq!(addresses[0], addresses[1]);
    assert_eq!(addresses[0], addresses[2]);
}

#[test]
fn the_parts_of_a_divided_batch_resolve_apart_and_share_its_memory() {
    let accumulator = accumulator(10_000, 1 << 20);
    let queue = Queue::new(Arc::clone(&accumulator));
    for _ in 0..4 {
        append(&queue, &[7; 1_000], start()).unwrap();
    }
    let whole = take(&queue).unwrap();
    let used = accumulator.budget().used();
    let split = |batch: &Batch<Outcome, ()>| {
        let mut compressor = Compressor::new(Compression::None);
        let parts = batch
            .sealed()
            .split(&mut compressor, &mut Decompressor::new());
        batch.divide(parts.unwrap().0)
    };
    let halves = split(&whole).unwrap();
    let firsts: Vec<u32> = halves.iter().map(Batch::first).collect();
    assert_eq!(firsts[0], 0);
    assert!(split(&whole).is_none(), "a batch is divided once");
    assert!(accumulator.budget().used() <= used);

    assert!(accumulator.resolve(&halves[1], 11));
    let cell = whole.cell();
    assert_eq!(
        (cell.outcome(0), cell.outcome(firsts[1])),
        (None, Some(&11))
    );
    let quarters = split(&halves[0]).unwrap();
    for (quarter, outcome) in quarters.iter().zip(20..) {
        assert!(!accumulator.is_idle());
        assert!(accumulator.resolve(quarter, outcome));
    }
    assert!(accumulator.is_idle());
    assert_eq!((cell.outcome(0), cell.outcome(1)), (Some(&20), Some(&21)));
    drop((whole, halves, quarters));
    assert_eq!(accumulator.budget().used(), 0);
}

#[test]
fn a_lowered_limit_holds_from_the_next_batch_on() {
    let accumulator = accumulator(10_000, 1 << 20);
    let queue = Queue::new(Arc::clone(&accumulator));
    queue.lower_limit(1_000);
    queue.lower_limit(5_000);
    let mut batches = 0;
    for _ in 0..10 {
        let opened = append(&queue, &[0; 400], start()).unwrap().opened;
        batches += usize::from(opened.is_some());
    }
    assert_eq!(batches, 5, "two records in each");
    assert!(
        append(&queue, &[0; 4_000], start()).is_ok(),
        "one alone may be larger"
    );
}

fn limited(limits: Limits) -> TestQueue {
    Queue::new(Arc::new(Accumulator::new(limits)))
}

/// For each record of which there is something to say: whether it closed the batch before, and made
/// its own one due.
fn happened(queue: &TestQueue, records: usize) -> Vec<Option<(bool, bool)>> {
    let mut happened = Vec::new();
    for _ in 0..records {
        let accepted = append(queue, &[0; 100], start()).unwrap();
        let opened = accepted.opened;
        happened.push(opened.map(|opened| (opened.closed.is_some(), opened.due)));
    }
    happened
}

const FIRST: Option<(bool, bool)> = Some((false, false));
const NEXT: Option<(bool, bool)> = Some((true, false));
const NOTHING: Option<(bool, bool)> = None;
const DUE: Option<(bool, bool)> = Some((false, true));

#[test]
fn a_batch_with_all_its_records_is_due_and_the_next_record_opens_another() {
    let queue = limited(Limits {
        records: 2,
        ..Limits::default()
    });
    assert_eq!(happened(&queue, 5), [FIRST, DUE, NEXT, DUE, NEXT]);
    let queue = limited(Limits {
        records: 1,
        ..Limits::default()
    });
    assert_eq!(happened(&queue, 2), [DUE, Some((true, true))]);
}

#[test]
fn a_due_batch_says_so_once_goes_without_being_asked_for_and_grows_until_then() {
    let by_records = Limits {
        due_records: 2,
        ..Limits::default()
    };
    let by_bytes = Limits {
        due_bytes: 250,
        ..Limits::default()
    };
    for limits in [by_records, by_bytes] {
        let queue = limited(limits);
        assert_eq!(happened(&queue, 1), [FIRST]);
        assert!(matches!(queue.front(), Front::Open { due: false, .. }));
        assert!(queue.close_front(|_| false).is_none());
        assert_eq!(happened(&queue, 3), [DUE, NOTHING, NOTHING]);
        assert!(matches!(queue.front(), Front::Open { due: true, .. }));
        let closed = queue.close_front(|_| false).unwrap();
        assert_eq!(closed.records(), 4);
    }
}
