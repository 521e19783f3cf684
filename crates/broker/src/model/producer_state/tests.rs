use milena_records::{BatchHeader, Stamp};

use super::*;
use crate::testing::stamped;

/// Epoch, first sequence, number of records.
type Sent = (i16, i32, usize);
type Judged = Result<Verdict, ErrorCode>;

fn header(epoch: i16, sequence: i32, count: usize) -> BatchHeader {
    let stamp = Stamp {
        producer_id: 7,
        producer_epoch: epoch,
        base_sequence: sequence,
        transactional: false,
    };
    BatchHeader::read(&stamped(&vec!["v"; count], stamp)).unwrap()
}

/// A partition that has taken batches (epoch, first sequence, records), at offsets 100, 200 …
fn after(batches: &[(i16, i32, usize)]) -> ProducerStates {
    let mut states = ProducerStates::default();
    for (at, (epoch, sequence, count)) in (1..).zip(batches) {
        let mut header = header(*epoch, *sequence, *count);
        header.base_offset = at * 100;
        assert_eq!(states.check(&header, Rules::Current), Ok(Verdict::Append));
        states.appended(&header);
    }
    states
}

#[test]
fn sequences_follow_the_rules_of_the_window() {
    const APPEND: Result<Verdict, ErrorCode> = Ok(Verdict::Append);
    const DISORDER: Result<Verdict, ErrorCode> = Err(ErrorCode::OutOfOrderSequenceNumber);
    let duplicate = |base_offset| {
        Ok(Verdict::Duplicate {
            base_offset,
            timestamp: crate::testing::START_MILLIS,
        })
    };
    let six: &[(i16, i32, usize)] = &[
        (0, 0, 2),
        (0, 2, 2),
        (0, 4, 2),
        (0, 6, 2),
        (0, 8, 2),
        (0, 10, 2),
    ];
    let one: &[(i16, i32, usize)] = &[(0, 0, 2)];
    let last = i32::MAX;
    #[rustfmt::skip]
    let table: &[(&str, &[Sent], Sent, Judged)] = &[
        ("no state takes any first sequence", &[], (0, 41, 1), APPEND),
        ("no state takes any epoch", &[], (9, 3, 1), APPEND),
        ("the next sequence", one, (0, 2, 1), APPEND),
        ("a gap", one, (0, 3, 1), DISORDER),
        ("the newest again", six, (0, 10, 2), duplicate(600)),
        ("the fifth newest again", six, (0, 2, 2), duplicate(200)),
        ("the sixth newest again", six, (0, 0, 2), DISORDER),
        ("the same first but another last", one, (0, 0, 1), DISORDER),
        ("overlapping", six, (0, 11, 2), DISORDER),
        ("an older epoch", &[(3, 0, 1)], (2, 1, 1), Err(ErrorCode::InvalidProducerEpoch)),
        ("an older epoch even if appended before", &[(0, 0, 1), (1, 0, 1)], (0, 0, 1), Err(ErrorCode::InvalidProducerEpoch)),
        ("a newer epoch from 0", one, (1, 0, 1), APPEND),
        ("a newer epoch not from 0", one, (1, 2, 1), DISORDER),
        ("a much newer epoch from 0", one, (9, 0, 1), APPEND),
        ("the first epoch's window is gone with it", &[(0, 0, 2), (1, 0, 1)], (1, 0, 1), duplicate(200)),
        ("wrapped after the last", &[(0, last, 1)], (0, 0, 1), APPEND),
        ("wrapped inside a batch", &[(0, last, 3)], (0, 2, 1), APPEND),
        ("not wrapped", &[(0, last, 1)], (0, 1, 1), DISORDER),
        ("a duplicate that wraps", &[(0, last, 3)], (0, last, 3), duplicate(100)),
    ];
    for (what, before, (epoch, sequence, count), expected) in table {
        let states = after(before);
        assert_eq!(
            states.check(&header(*epoch, *sequence, *count), Rules::Current),
            *expected,
            "{what}"
        );
    }
}

#[test]
fn before_kafka_2_5_an_unknown_producer_starts_at_sequence_0() {
    let states = ProducerStates::default();
    assert_eq!(
        states.check(&header(0, 0, 1), Rules::Old),
        Ok(Verdict::Append)
    );
    assert_eq!(
        states.check(&header(0, 1, 1), Rules::Old),
        Err(ErrorCode::UnknownProducerId)
    );
}

#[test]
fn producers_without_an_id_are_not_remembered() {
    let mut states = ProducerStates::default();
    let header = BatchHeader::read(&crate::testing::batch(&["v"])).unwrap();
    states.appended(&header);
    assert_eq!(states.check(&header, Rules::Old), Ok(Verdict::Append));
    assert!(states.producers.is_empty());
}

#[test]
fn a_forgotten_producer_is_unknown() {
    let mut states = after(&[(0, 0, 1)]);
    states.forget_all();
    assert_eq!(
        states.check(&header(0, 77, 1), Rules::Current),
        Ok(Verdict::Append)
    );
}
