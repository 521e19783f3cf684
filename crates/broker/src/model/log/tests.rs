use milena_records::edit;

use super::*;
use crate::testing::{batch, records};

fn append(log: &mut Log, epoch: i32, values: &[&str]) -> usize {
    let mut bytes = batch(values).to_vec();
    edit::append_at(&mut bytes, log.end(), epoch).unwrap();
    let header = BatchHeader::read(&bytes).unwrap();
    let size = bytes.len();
    log.append(&header, bytes.into());
    size
}

fn ten() -> (Log, usize) {
    let mut log = Log::default();
    let size = (0..10)
        .map(|_| append(&mut log, 0, &["ab", "cd"]))
        .max()
        .unwrap();
    (log, size)
}

#[test]
fn small_batches_are_joined_once_and_shared_afterwards() {
    let (mut log, size) = ten();
    let first = log.read(0, log.end(), 1 << 20, true);
    assert_eq!(first.len(), 10 * size);
    assert_eq!(records(first.clone()).len(), 20);
    let again = log.read(4, log.end(), 3 * size, false);
    assert_eq!(again.len(), 3 * size);
    let inside = first.as_ptr_range();
    assert!(
        inside.contains(&again.as_ptr()),
        "the second read is a slice of the first"
    );
    assert_eq!(records(again)[0].0, 4);
}

#[test]
fn a_large_batch_is_shared_and_never_joined() {
    let mut log = Log::default();
    let large = "x".repeat(ALONE_FROM);
    for _ in 0..3 {
        append(&mut log, 0, &[&large]);
    }
    let stored = log.batches().next().unwrap().bytes();
    let read = log.read(0, log.end(), usize::MAX, true);
    assert_eq!((read.as_ptr(), read.len()), (stored.as_ptr(), stored.len()));
}

#[test]
fn a_read_begins_with_the_batch_that_holds_the_offset_and_ends_before_the_limit() {
    let (mut log, size) = ten();
    assert_eq!(
        records(log.read(3, 6, 1 << 20, true))
            .iter()
            .map(|r| r.0)
            .collect::<Vec<_>>(),
        [2, 3, 4, 5]
    );
    assert!(log.read(20, 20, 1 << 20, true).is_empty());
    assert!(log.read(0, 20, size - 1, false).is_empty());
    assert_eq!(
        log.read(0, 20, size - 1, true).len(),
        size,
        "the first batch comes whole"
    );
    assert_eq!(log.readable(3, 6, usize::MAX), (2 * size, size));
    assert_eq!(log.readable(20, 20, usize::MAX), (0, 0));
}

#[test]
fn epochs_tell_where_they_end() {
    let mut log = Log::default();
    append(&mut log, 0, &["a", "b"]);
    log.begin_epoch(3);
    append(&mut log, 3, &["c"]);
    log.begin_epoch(5);
    assert_eq!(log.epoch_end(0), Some((0, 2)));
    assert_eq!(log.epoch_end(2), Some((0, 2)));
    assert_eq!(log.epoch_end(3), Some((3, 3)));
    assert_eq!(log.epoch_end(9), Some((5, 3)));
    assert_eq!(log.epoch_at(1), Some(0));
    assert_eq!(log.epoch_at(2), Some(3));
    log.begin_epoch(6);
    assert_eq!(
        log.epoch_end(5),
        Some((3, 3)),
        "nothing was written in epoch 5"
    );
}

#[test]
fn deleted_records_are_out_of_reach_and_their_batches_freed() {
    let (mut log, size) = ten();
    log.delete_before(5);
    assert_eq!((log.start(), log.size()), (5, 8 * size));
    assert_eq!(
        records(log.read(5, 20, size, true))[0].0,
        4,
        "batches stay whole"
    );
    log.delete_before(2);
    assert_eq!(log.start(), 5);
    log.retain_bytes(3 * size, 20);
    assert_eq!((log.start(), log.end(), log.size()), (14, 20, 3 * size));
}

#[test]
fn truncation_loses_the_tail_with_its_epochs() {
    let mut log = Log::default();
    append(&mut log, 0, &["a", "b"]);
    append(&mut log, 2, &["c", "d"]);
    log.truncate(2);
    assert_eq!((log.start(), log.end()), (0, 2));
    assert_eq!(log.epoch_end(2), Some((2, 2)));
    log.truncate(0);
    assert_eq!((log.end(), log.size()), (0, 0));
}
