//! Batches that are too large for their broker.

use super::*;

const TOO_LARGE: Attempt = Attempt::Answered(Answer {
    error: ErrorCode::MessageTooLarge,
    base_offset: -1,
    log_start_offset: -1,
});

#[test]
fn pieces_take_over_the_sequence_numbers_and_successors_keep_theirs() {
    let mut bench = Bench::proven();
    bench.seal(10);
    let whole = bench.send();
    let [next] = bench.fly();
    assert_eq!(bench.tell(whole, TOO_LARGE), [too_large(1)]);
    assert_eq!(bench.tell(next, answered(OUT_OF_ORDER)), [retry(2)]);
    let [first, second] = bench.split(1, [4, 6]);
    assert_eq!(bench.sent(), [(first, 0, 3), (second, 0, 7), (2, 0, 13)]);
}

#[test]
fn nothing_behind_a_batch_is_sent_while_it_is_divided() {
    let mut bench = Bench::proven();
    let [whole, next] = bench.fly();
    bench.seal(1);
    assert_eq!(bench.tell(whole, TOO_LARGE), [too_large(1)]);
    assert_eq!(bench.tell(next, answered(OUT_OF_ORDER)), [retry(2)]);
    assert_eq!(bench.poll(), Next::Wait);
    assert_eq!(bench.sequencer.waiting(), None);
}

#[test]
fn a_piece_may_be_too_large_too() {
    let mut bench = Bench::proven();
    bench.seal(4);
    let whole = bench.send();
    assert_eq!(bench.tell(whole, TOO_LARGE), [too_large(1)]);
    let [first, second] = bench.split(1, [2, 2]);
    let sending = bench.send();
    assert_eq!(bench.tell(sending, TOO_LARGE), [too_large(first)]);
    let [a, b] = bench.split(first, [1, 1]);
    assert_eq!(bench.sent(), [(a, 0, 3), (b, 0, 4), (second, 0, 5)]);
}

#[test]
fn pieces_are_acknowledged_in_order_and_before_their_successors() {
    let mut bench = Bench::proven();
    let [whole, next] = bench.fly();
    assert_eq!(bench.tell(whole, TOO_LARGE), [too_large(1)]);
    assert_eq!(bench.tell(next, answered(OUT_OF_ORDER)), [retry(2)]);
    let [first, second] = bench.split(1, [1, 1]);
    let [a, b, next] = std::array::from_fn(|_| bench.send());
    assert_eq!(bench.tell(next, written_at(105)), []);
    assert_eq!(bench.tell(b, written_at(104)), []);
    let told = bench.tell(a, written_at(103));
    let expected = [(first, 103), (second, 104), (2, 105)];
    assert_eq!(told, expected.map(|(id, at)| acknowledged(id, at)));
}

#[test]
fn at_most_five_of_many_pieces_travel() {
    let mut bench = Bench::proven();
    bench.seal(8);
    let whole = bench.send();
    assert_eq!(bench.tell(whole, TOO_LARGE), [too_large(1)]);
    let ids = bench.split(1, [1; 8]);
    let sent: Vec<u64> = bench.sent().iter().map(|sent| sent.0).collect();
    assert_eq!(sent, ids[..5]);
}

#[test]
fn one_record_or_a_batch_in_doubt_is_never_divided() {
    let refused = Because::Refused(ErrorCode::MessageTooLarge);
    let mut bench = Bench::proven();
    bench.seal(1);
    let single = bench.send();
    let told = bench.tell(single, TOO_LARGE);
    assert_eq!(told, [failed(1, Fate::NotWritten, refused)]);

    let mut bench = Bench::proven();
    let [batch] = bench.fly();
    assert_eq!(bench.tell(batch, Attempt::Lost), [retry(1)]);
    let again = bench.send();
    let told = bench.tell(again, TOO_LARGE);
    assert_eq!(told[0], failed(1, Fate::MaybeWritten, refused));
}

#[test]
fn a_batch_given_up_while_it_is_divided_was_not_written() {
    let mut bench = Bench::proven();
    let [whole] = bench.fly();
    assert_eq!(bench.tell(whole, TOO_LARGE), [too_large(1)]);
    let expired = failed(1, Fate::NotWritten, Because::Expired);
    assert_eq!(bench.expire(1), [expired]);
    assert!(!bench.sequencer.handle_split(BatchId(1), &[(BatchId(8), 2)]));
    bench.seal(1);
    assert_eq!(bench.sent(), [(2, 0, 3)]);
}

#[test]
fn without_idempotence_pieces_travel_one_by_one() {
    let mut bench = Bench::with(Acks::Leader, false);
    bench.seal(2);
    let whole = bench.send();
    assert_eq!(bench.tell(whole, TOO_LARGE), [too_large(0)]);
    let [first, second] = bench.split(0, [1, 1]);
    let piece = bench.send();
    assert_eq!((piece.id.0, piece.stamp), (first, Stamp::NONE));
    assert_eq!(bench.poll(), Next::Wait);
    assert_eq!(bench.tell(piece, written_at(0)), [acknowledged(first, 0)]);
    assert_eq!(bench.send().id.0, second);
}
