//! Partitions of a transactional producer.

use super::*;

const NEXT: Identity = Identity { epoch: 1, ..ID };

fn transactional() -> Bench {
    Bench::new(Config {
        acks: Acks::All,
        idempotent: true,
        transactional: true,
        max_in_flight: 5,
    })
}

/// Batch 0, of three records, is acknowledged at offset 100.
fn proven() -> Bench {
    let mut bench = transactional();
    bench.seal(3);
    let first = bench.send();
    assert!(first.stamp.transactional);
    assert_eq!(bench.tell(first, written_at(100)), [acknowledged(0, 100)]);
    bench
}

fn left(reason: BumpReason) -> Event {
    let (from, to) = (ID, None);
    Event::Bumped(Bump { from, to, reason })
}

#[test]
fn sequences_go_on_under_one_identity_and_restart_under_the_next() {
    let mut bench = proven();
    bench.fly::<1>();
    assert_eq!(bench.sequencer.in_flight(), 1);
    let mut bench = proven();
    let [batch] = bench.fly();
    assert_eq!(stamp(&batch), (1, 0, 3));
    assert_eq!(bench.tell(batch, written_at(103)), [acknowledged(1, 103)]);
    bench.identity = NEXT;
    bench.seal(1);
    bench.seal(1);
    assert_eq!(bench.sent(), [(2, 1, 0), (3, 1, 1)], "none travels alone");
}

#[test]
fn another_producer_id_has_to_prove_itself_again() {
    let mut bench = proven();
    bench.identity.producer_id += 1;
    bench.seal(1);
    bench.seal(1);
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn a_batch_in_doubt_takes_the_identity_with_it() {
    let mut bench = proven();
    let [batch] = bench.fly();
    assert_eq!(bench.tell(batch, Attempt::Lost), [retry(1)]);
    let told = bench.expire(1);
    let expired = failed(1, Fate::MaybeWritten, Because::Expired);
    assert_eq!(told, [expired, left(BumpReason::InDoubt)]);
    bench.seal(1);
    let exhausted = Some(ID);
    assert_eq!(bench.poll(), Next::NeedsIdentity { exhausted });
    bench.identity = NEXT;
    assert_eq!(bench.sent(), [(2, 1, 0)]);
}

#[test]
fn a_recreated_topic_gets_clean_batches_under_the_same_identity() {
    let mut bench = proven();
    let [batch] = bench.fly();
    bench.tell(batch, answered(ErrorCode::UnknownTopicId));
    assert_eq!(bench.replace_topic(), []);
    bench.seal(1);
    assert_eq!(bench.sent(), [(1, 0, 0)], "it has no state yet");
}

#[test]
fn a_sequence_that_the_broker_does_not_expect_fails_the_batch() {
    let mut bench = proven();
    let [batch] = bench.fly();
    let told = bench.tell(batch, answered(OUT_OF_ORDER));
    let state = Because::State(OUT_OF_ORDER);
    let reason = BumpReason::BrokerState(OUT_OF_ORDER);
    assert_eq!(told, [failed(1, Fate::NotWritten, state), left(reason)]);
}

#[test]
fn an_epoch_that_is_too_old_fails_the_batch() {
    let mut bench = proven();
    let [batch] = bench.fly();
    let code = ErrorCode::InvalidProducerEpoch;
    let told = bench.tell(batch, answered(code));
    let expected = failed(1, Fate::NotWritten, Because::State(code));
    assert_eq!(told.first(), Some(&expected));
}

#[test]
fn what_was_certainly_refused_costs_no_epoch() {
    let mut bench = proven();
    let [batch] = bench.fly();
    let code = ErrorCode::TransactionAbortable;
    let told = bench.tell(batch, answered(code));
    assert_eq!(told, [failed(1, Fate::NotWritten, Because::Refused(code))]);
    bench.seal(1);
    assert_eq!(bench.sent(), [(2, 0, 3)]);
}
