use super::*;
use milena_codec::Bytes;
use milena_records::{BatchBuilder, Compressor, Heap, RecordParts, Stamp, edit};

const T: Token = Token(1);
const LATER: Token = Token(2);

fn policy(below: OutOfRange, above: OutOfRange) -> OutOfRangePolicy {
    OutOfRangePolicy { below, above }
}

fn at(offset: i64) -> Position {
    Position::new(
        Start::Offset(offset),
        OutOfRangePolicy::default(),
        Stop::Never,
        T,
    )
}

fn ask(position: &mut Position) -> Query {
    let lookup = position.poll_lookup().expect("a look-up is due");
    assert_eq!(position.poll_lookup(), None, "one at a time");
    lookup.query
}

fn reached(next_offset: i64) -> Survey {
    Survey {
        next_offset,
        batches: 1,
        cut: 0,
        damaged: false,
    }
}

/// A batch of three records at `base`.
fn batch(base: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::default();
    for _ in 0..3 {
        let parts = RecordParts {
            value: Some(b"v"),
            ..RecordParts::default()
        };
        builder.append(&parts).unwrap();
    }
    let sealed = builder.seal(&mut Compressor::default(), &mut Heap).unwrap();
    let mut bytes = sealed.to_bytes(Stamp::NONE).to_vec();
    edit::append_at(&mut bytes, base, 0).unwrap();
    bytes
}

#[test]
fn each_start_is_looked_up_by_its_own_query() {
    let table = [
        (Start::Beginning, Query::Earliest),
        (Start::End, Query::Latest),
        (Start::Timestamp(77), Query::Timestamp(77)),
    ];
    for (start, query) in table {
        let mut p = Position::new(start, OutOfRangePolicy::default(), Stop::Never, T);
        assert_eq!((p.position(), p.phase()), (None, Phase::Resolving));
        assert_eq!(p.fetch_from(), None);
        assert_eq!(ask(&mut p), query);
        let event = p.handle_lookup(T, LookupAnswer::Found(40));
        assert_eq!(event, Ok(Some(PositionEvent::Resolved { offset: 40 })));
        assert_eq!((p.position(), p.phase()), (Some(40), Phase::Fetching));
        assert_eq!(
            p.fetch_from(),
            Some(FetchFrom {
                token: T,
                offset: 40
            })
        );
    }
    let mut p = at(5);
    assert_eq!(p.poll_lookup(), None, "an offset needs no look-up");
    assert_eq!(p.position(), Some(5));
}

#[test]
fn a_failed_lookup_is_asked_again_and_never_moves_the_position() {
    for start in [Start::Beginning, Start::End, Start::Timestamp(1)] {
        let mut p = Position::new(start, OutOfRangePolicy::default(), Stop::Never, T);
        for answer in [
            LookupAnswer::Failed,
            LookupAnswer::Found(-1),
            LookupAnswer::Failed,
        ] {
            let query = ask(&mut p);
            assert_eq!(p.handle_lookup(T, answer), Ok(None));
            assert_eq!(p.position(), None);
            assert!(p.needs_lookup());
            assert_eq!(p.needed_lookup(), Some(query));
        }
    }
}

#[test]
fn a_timestamp_beyond_the_end_means_the_end() {
    let mut p = Position::new(
        Start::Timestamp(9),
        OutOfRangePolicy::default(),
        Stop::Never,
        T,
    );
    ask(&mut p);
    assert_eq!(p.handle_lookup(T, LookupAnswer::NoMatch), Ok(None));
    assert_eq!(ask(&mut p), Query::Latest);
    p.handle_lookup(T, LookupAnswer::Found(12)).unwrap();
    assert_eq!(p.position(), Some(12));
}

#[test]
fn stopping_at_the_end_captures_it_before_anything_is_fetched() {
    let mut p = Position::new(
        Start::Offset(3),
        OutOfRangePolicy::default(),
        Stop::AtEnd,
        T,
    );
    assert_eq!((p.phase(), p.fetch_from()), (Phase::Resolving, None));
    assert_eq!(ask(&mut p), Query::Latest);
    let event = p.handle_lookup(T, LookupAnswer::Found(5));
    assert_eq!(event, Ok(Some(PositionEvent::EndCaptured { offset: 5 })));
    let from = p.fetch_from().unwrap();
    assert!(p.handle_fetched(from, &reached(5)));
    assert_eq!(p.fetch_from(), None, "all is fetched that is to be read");
    assert!(!p.is_finished());
    assert!(p.advance(T, 5, None));
    assert!(p.is_finished());
}

#[test]
fn a_start_beyond_the_end_is_not_taken_for_having_read_to_the_end() {
    let mut p = Position::new(
        Start::Offset(9),
        OutOfRangePolicy::default(),
        Stop::AtEnd,
        T,
    );
    ask(&mut p);
    p.handle_lookup(T, LookupAnswer::Found(5)).unwrap();
    assert!(!p.is_finished());
    assert_eq!(p.phase(), Phase::CheckingRange);
    ask(&mut p);
    p.handle_lookup(T, LookupAnswer::Found(0)).unwrap();
    ask(&mut p);
    let fault = p.handle_lookup(T, LookupAnswer::Found(5)).unwrap_err();
    assert_eq!(
        (fault.offset, fault.side, fault.end),
        (9, Side::Above, Some(5))
    );

    p.seek(Start::Offset(5), LATER);
    assert!(p.is_finished());
    p.seek(Start::Offset(8), LATER);
    ask(&mut p);
    p.handle_lookup(LATER, LookupAnswer::Found(0)).unwrap();
    ask(&mut p);
    p.handle_lookup(LATER, LookupAnswer::Found(8)).unwrap();
    assert!(
        p.is_finished(),
        "the log has grown, and nothing below the end is left"
    );
}

#[test]
fn an_empty_partition_is_finished_once_both_offsets_are_known() {
    let mut p = Position::new(
        Start::Beginning,
        OutOfRangePolicy::default(),
        Stop::AtEnd,
        T,
    );
    for _ in 0..2 {
        assert!(!p.is_finished());
        ask(&mut p);
        p.handle_lookup(T, LookupAnswer::Found(0)).unwrap();
    }
    assert!(p.is_finished());
}

#[test]
fn the_position_moves_when_handed_out_and_not_when_fetched() {
    let mut p = at(10);
    let from = p.fetch_from().unwrap();
    assert!(p.handle_fetched(from, &reached(20)));
    assert_eq!(p.position(), Some(10));
    assert_eq!(p.fetch_from().unwrap().offset, 20);
    assert!(p.advance(T, 11, Some(4)));
    assert_eq!((p.position(), p.leader_epoch()), (Some(11), Some(4)));
    assert!(!p.advance(T, 11, None), "never backwards or in place");
}

#[test]
fn answers_from_before_a_seek_are_dropped() {
    let mut p = at(10);
    let from = p.fetch_from().unwrap();
    p.seek(Start::Offset(50), LATER);
    assert!(!p.handle_fetched(from, &reached(20)));
    assert!(!p.handle_out_of_range(from));
    assert!(!p.advance(T, 20, None));
    assert_eq!((p.position(), p.phase()), (Some(50), Phase::Fetching));

    let mut p = Position::new(
        Start::Beginning,
        OutOfRangePolicy::default(),
        Stop::Never,
        T,
    );
    ask(&mut p);
    p.seek(Start::End, LATER);
    assert_eq!(p.handle_lookup(T, LookupAnswer::Found(0)), Ok(None));
    assert_eq!(p.position(), None);
    assert_eq!(ask(&mut p), Query::Latest);
}

#[test]
fn an_answer_for_an_offset_no_longer_wanted_is_dropped() {
    let mut p = at(10);
    let from = p.fetch_from().unwrap();
    assert!(p.handle_fetched(from, &reached(20)));
    assert!(
        !p.handle_fetched(from, &reached(20)),
        "the same answer twice"
    );
    assert!(!p.handle_out_of_range(from));
}

#[test]
fn the_policy_decides_for_each_side_after_the_bounds_are_known() {
    let (start, end) = (10, 20);
    let table = [
        (
            5,
            policy(OutOfRange::Earliest, OutOfRange::Error),
            10,
            Side::Below,
        ),
        (
            5,
            policy(OutOfRange::Latest, OutOfRange::Error),
            20,
            Side::Below,
        ),
        (
            25,
            policy(OutOfRange::Error, OutOfRange::Earliest),
            10,
            Side::Above,
        ),
        (
            25,
            policy(OutOfRange::Error, OutOfRange::Latest),
            20,
            Side::Above,
        ),
    ];
    for (offset, policy, to, side) in table {
        let mut p = Position::new(Start::Offset(offset), policy, Stop::Never, T);
        assert!(p.handle_out_of_range(p.fetch_from().unwrap()));
        assert_eq!((p.phase(), p.fetch_from()), (Phase::CheckingRange, None));
        let mut last = None;
        while p.phase() == Phase::CheckingRange {
            let bound = match ask(&mut p) {
                Query::Earliest => start,
                _ => end,
            };
            last = p.handle_lookup(T, LookupAnswer::Found(bound)).unwrap();
        }
        assert_eq!(
            last,
            Some(PositionEvent::Reset {
                from: offset,
                to,
                side
            })
        );
        assert_eq!(p.position(), Some(to));
    }
}

#[test]
fn the_default_policy_stops_and_names_the_bounds() {
    for (offset, side) in [(5, Side::Below), (25, Side::Above)] {
        let mut p = at(offset);
        assert!(p.handle_out_of_range(p.fetch_from().unwrap()));
        ask(&mut p);
        let mut result = p.handle_lookup(T, LookupAnswer::Found(10));
        if side == Side::Above {
            ask(&mut p);
            result = p.handle_lookup(T, LookupAnswer::Found(20));
        }
        let fault = result.unwrap_err();
        assert_eq!((fault.offset, fault.side, fault.start), (offset, side, 10));
        p.fail(LATER);
        assert_eq!((p.position(), p.phase()), (Some(offset), Phase::Failed));
        assert!(!p.needs_lookup());
        p.seek(Start::Beginning, Token(3));
        assert!(p.needs_lookup());
    }
}

#[test]
fn an_out_of_range_answer_that_the_bounds_contradict_changes_nothing() {
    let mut p = Position::new(
        Start::Offset(15),
        policy(OutOfRange::Earliest, OutOfRange::Latest),
        Stop::Never,
        T,
    );
    assert!(p.handle_out_of_range(p.fetch_from().unwrap()));
    ask(&mut p);
    assert_eq!(p.handle_lookup(T, LookupAnswer::Found(10)), Ok(None));
    ask(&mut p);
    assert_eq!(p.handle_lookup(T, LookupAnswer::Failed), Ok(None));
    ask(&mut p);
    let event = p.handle_lookup(T, LookupAnswer::Found(15));
    assert_eq!(
        event,
        Ok(Some(PositionEvent::InRangeAfterAll { offset: 15 }))
    );
    assert_eq!((p.position(), p.phase()), (Some(15), Phase::Fetching));
}

#[test]
fn what_was_fetched_is_handed_out_before_the_range_is_checked() {
    let mut p = at(5);
    p.handle_fetched(p.fetch_from().unwrap(), &reached(8));
    assert!(p.handle_out_of_range(p.fetch_from().unwrap()));
    assert!(!p.needs_lookup());
    assert!(p.advance(T, 8, None));
    assert!(p.needs_lookup());
}

#[test]
fn a_survey_reaches_behind_the_last_whole_batch() {
    let bytes = Bytes::from([batch(10), batch(20)].concat());
    let seen = survey(&bytes, 11);
    assert_eq!((seen.next_offset, seen.batches, seen.cut), (23, 2, 0));
    for cut in 1..bytes.len() {
        let seen = survey(&bytes.slice(..cut), 11);
        let whole = cut / batch(10).len();
        assert_eq!(seen.next_offset, if whole == 1 { 13 } else { 11 });
        assert_eq!(seen.cut, cut % batch(10).len());
        assert!(!seen.damaged);
    }
}

#[test]
fn batches_below_the_offset_asked_for_never_move_it_back() {
    let seen = survey(&Bytes::from(batch(10)), 50);
    assert_eq!(seen.next_offset, 50);
    let mut p = at(50);
    assert!(p.handle_fetched(p.fetch_from().unwrap(), &seen));
    assert_eq!(p.fetch_from().unwrap().offset, 50);
}

#[test]
fn nothing_behind_something_unreadable_is_fetched() {
    let mut bytes = [batch(10), batch(13)].concat();
    let second = batch(10).len();
    bytes[second + 16] = 9;
    let seen = survey(&Bytes::from(bytes), 10);
    assert_eq!((seen.next_offset, seen.damaged), (13, true));
    let mut p = at(10);
    assert!(p.handle_fetched(p.fetch_from().unwrap(), &seen));
    assert_eq!((p.phase(), p.fetch_from()), (Phase::Blocked, None));
    p.seek(Start::Offset(13), LATER);
    assert_eq!(p.phase(), Phase::Fetching);
}

#[test]
fn offsets_near_the_largest_do_not_wrap() {
    let mut bytes = batch(0);
    edit::append_at(&mut bytes, i64::MAX - 2, 0).unwrap();
    let seen = survey(&Bytes::from(bytes), 0);
    assert_eq!(seen.next_offset, i64::MAX);
}

#[test]
fn reading_ends_before_the_offset_to_stop_at() {
    let mut p = Position::new(
        Start::Offset(3),
        OutOfRangePolicy::default(),
        Stop::At(3),
        T,
    );
    assert!(p.is_finished());
    p.seek(Start::Offset(2), LATER);
    assert!(!p.is_finished());
    assert_eq!(p.stop_offset(), Some(3));
}
