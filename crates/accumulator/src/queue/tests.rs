use milena_records::{Batches as WireBatches, Compression, Decompressor, Stamp};

use super::*;
use crate::Limits;

type Outcome = u32;

fn accumulator(batch: usize, memory: usize) -> Arc<Accumulator<Outcome>> {
    Arc::new(Accumulator::new(Limits { batch, memory }))
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

fn append(queue: &Queue<Outcome>, bytes: &[u8], at: Instant) -> Result<Accepted<Outcome>, Refused> {
    queue.append(&value(bytes), || at, &mut None)
}

fn values(batch: &Batch<Outcome>) -> Vec<Vec<u8>> {
    let mut batches = WireBatches::new(batch.sealed().to_bytes(Stamp::NONE));
    let only = batches.next().unwrap().unwrap();
    let checked = only.check(&mut Decompressor::new(), 1 << 24).unwrap();
    checked
        .iter()
        .map(|record| record.value.unwrap().to_vec())
        .collect()
}

fn seal(closed: ClosedBatch<Outcome>) -> Batch<Outcome> {
    closed.seal(&mut Compressor::default()).unwrap()
}

#[test]
fn records_leave_in_the_order_they_came_across_batches() {
    let queue = Queue::new(accumulator(2_000, 1 << 20));
    let at = start();
    let mut cells = Vec::new();
    for number in 0..100_u32 {
        let accepted = append(&queue, &[number as u8; 100], at).unwrap();
        assert_eq!(accepted.opened, accepted.index == 0);
        assert_eq!(accepted.closed, accepted.index == 0 && number > 0);
        cells.push((accepted.cell.id(), accepted.index));
    }
    let mut seen = 0_u32;
    while let Some(closed) = queue.take() {
        assert!(closed.size() <= 2_000);
        let batch = seal(closed);
        for (index, value) in values(&batch).iter().enumerate() {
            assert_eq!(value, &[seen as u8; 100]);
            assert_eq!(cells[seen as usize], (batch.cell().id(), index as u32));
            seen += 1;
        }
    }
    assert_eq!(seen, 100);
}

#[test]
fn an_open_batch_is_ready_after_its_linger_and_a_closed_one_at_once() {
    let queue = Queue::new(accumulator(300, 1 << 20));
    let at = start();
    let linger = Duration::from_millis(5);
    assert_eq!(queue.readiness(at, linger), Readiness::Empty);
    append(&queue, &[0; 200], at).unwrap();
    assert_eq!(queue.readiness(at, linger), Readiness::At(at + linger));
    assert_eq!(queue.readiness(at + linger, linger), Readiness::Ready);
    append(&queue, &[0; 200], at).unwrap();
    assert_eq!(queue.readiness(at, linger), Readiness::Ready);
}

#[test]
fn a_record_larger_than_a_batch_gets_one_of_its_own() {
    let queue = Queue::new(accumulator(300, 1 << 20));
    append(&queue, &[0; 10], start()).unwrap();
    let accepted = append(&queue, &[1; 5_000], start()).unwrap();
    assert!(accepted.opened && accepted.closed);
    assert_eq!(queue.take().unwrap().records(), 1);
    assert!(queue.take().unwrap().size() > 5_000);
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

    let batch = seal(queue.take().unwrap());
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
    queue.append(&record, start, &mut reserved).unwrap();
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
    let closed = queue.take().unwrap();
    let batch = closed.seal(&mut Compressor::new(Compression::Lz4)).unwrap();
    assert_eq!(accumulator.budget().used(), batch.sealed().len());
    assert_eq!(values(&batch).len(), 500);
}

#[test]
fn only_batches_old_enough_are_taken_by_age() {
    let queue = Queue::new(accumulator(300, 1 << 20));
    let at = start();
    let later = at + Duration::from_secs(1);
    append(&queue, &[0; 200], at).unwrap();
    append(&queue, &[0; 200], later).unwrap();
    assert_eq!(queue.oldest(), Some(at));
    assert!(queue.take_opened_by(at).is_some());
    assert!(queue.take_opened_by(at).is_none());
    assert!(queue.take_opened_by(later).is_some());
}

#[test]
fn a_shut_queue_keeps_what_it_has_and_takes_nothing_more() {
    let queue = Queue::new(accumulator(300, 1 << 20));
    append(&queue, b"in", start()).unwrap();
    queue.shut();
    assert_eq!(append(&queue, b"out", start()).unwrap_err(), Refused::Shut);
    assert_eq!(values(&seal(queue.take().unwrap())), [b"in"]);
}

#[test]
fn timestamps_too_far_apart_get_batches_of_their_own() {
    let queue = Queue::new(accumulator(3_000, 1 << 20));
    for timestamp in [i64::MIN, i64::MAX] {
        let record = RecordParts {
            timestamp,
            ..value(b"v")
        };
        queue.append(&record, start, &mut None).unwrap();
    }
    assert_eq!(queue.take().unwrap().records(), 1);
    assert_eq!(queue.take().unwrap().records(), 1);
}
