#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::*;

mod model;

const ID: Identity = Identity {
    producer_id: 7,
    epoch: 0,
};

fn idempotent() -> Sequence {
    Sequence::new(Acks::All, true)
}

fn answered(error: ErrorCode) -> Attempt {
    Attempt::Answered(Answer {
        error,
        base_offset: -1,
        log_start_offset: -1,
    })
}

fn written_at(base_offset: i64) -> Attempt {
    Attempt::Answered(Answer {
        error: ErrorCode::None,
        base_offset,
        log_start_offset: 0,
    })
}

fn begin(sequence: &mut Sequence, records: u32) -> (i64, i16, i32) {
    let stamp = sequence.begin(records, Some(ID)).unwrap();
    (stamp.producer_id, stamp.producer_epoch, stamp.base_sequence)
}

fn acknowledge(sequence: &mut Sequence, records: u32, offset: i64) {
    begin(sequence, records);
    let decision = sequence.handle_attempt(written_at(offset));
    let offset = Some(offset);
    assert_eq!(decision, Decision::Acknowledged { offset });
}

#[test]
fn sequences_follow_the_acknowledged_records() {
    let mut sequence = idempotent();
    acknowledge(&mut sequence, 10, 100);
    assert_eq!(begin(&mut sequence, 5), (7, 0, 10));
}

#[test]
fn a_retry_after_a_lost_attempt_carries_the_same_stamp() {
    let mut sequence = idempotent();
    acknowledge(&mut sequence, 3, 0);
    let first = begin(&mut sequence, 2);
    assert_eq!(sequence.handle_attempt(Attempt::Lost), Decision::Retry);
    assert_eq!(begin(&mut sequence, 2), first);
    assert_eq!(sequence.attempts(), 2);
}

#[test]
fn a_refused_batch_leaves_its_range_to_the_next() {
    let mut sequence = idempotent();
    acknowledge(&mut sequence, 3, 0);
    begin(&mut sequence, 1000);
    let decision = sequence.handle_attempt(answered(ErrorCode::MessageTooLarge));
    assert_eq!(decision, Decision::Failed(Fate::NotWritten));
    assert_eq!(begin(&mut sequence, 2), (7, 0, 3));
    assert_eq!(sequence.poll_bump(), None);
}

#[test]
fn a_batch_refused_after_a_lost_attempt_may_be_written_and_raises_the_epoch() {
    let mut sequence = idempotent();
    acknowledge(&mut sequence, 3, 0);
    begin(&mut sequence, 2);
    assert_eq!(sequence.handle_attempt(Attempt::Lost), Decision::Retry);
    begin(&mut sequence, 2);
    let decision = sequence.handle_attempt(answered(ErrorCode::TopicAuthorizationFailed));
    assert_eq!(decision, Decision::Failed(Fate::MaybeWritten));
    assert_eq!(sequence.poll_bump().unwrap().reason, BumpReason::InDoubt);
    assert_eq!(begin(&mut sequence, 4), (7, 1, 0));
}

#[test]
fn expiry_in_doubt_raises_the_epoch_and_clean_expiry_does_not() {
    let mut sequence = idempotent();
    begin(&mut sequence, 2);
    let refused = answered(ErrorCode::NotEnoughReplicas);
    assert_eq!(sequence.handle_attempt(refused), Decision::Retry);
    assert_eq!(sequence.handle_expired(), Fate::NotWritten);
    assert_eq!(begin(&mut sequence, 9), (7, 0, 0));
    assert_eq!(sequence.handle_expired(), Fate::MaybeWritten, "in flight");
    assert_eq!(begin(&mut sequence, 1), (7, 1, 0));
    assert_eq!(sequence.handle_attempt(Attempt::NotSent), Decision::Retry);
    assert_eq!(sequence.handle_expired(), Fate::NotWritten);
}

#[test]
fn a_late_answer_to_a_batch_given_up_is_stale() {
    let mut sequence = idempotent();
    begin(&mut sequence, 2);
    sequence.handle_expired();
    assert_eq!(sequence.handle_attempt(written_at(3)), Decision::Stale);
    begin(&mut sequence, 2);
}

#[test]
fn lost_broker_state_is_stamped_again_only_when_no_attempt_was_lost() {
    for error in [
        ErrorCode::OutOfOrderSequenceNumber,
        ErrorCode::UnknownProducerId,
        ErrorCode::InvalidProducerEpoch,
    ] {
        let mut clean = idempotent();
        acknowledge(&mut clean, 3, 50);
        let mut lost = clean.clone();

        begin(&mut clean, 2);
        assert_eq!(clean.handle_attempt(answered(error)), Decision::Retry);
        assert_eq!(
            clean.poll_bump().unwrap().reason,
            BumpReason::BrokerState(error)
        );
        assert_eq!(begin(&mut clean, 2), (7, 1, 0));

        begin(&mut lost, 2);
        assert_eq!(lost.handle_attempt(Attempt::Lost), Decision::Retry);
        begin(&mut lost, 2);
        let decision = lost.handle_attempt(answered(error));
        assert_eq!(decision, Decision::Failed(Fate::MaybeWritten));
        assert_eq!(begin(&mut lost, 2), (7, 1, 0));
    }
}

#[test]
fn state_removed_by_retention_is_told_apart() {
    let mut sequence = idempotent();
    acknowledge(&mut sequence, 3, 50);
    begin(&mut sequence, 2);
    let decision = sequence.handle_attempt(Attempt::Answered(Answer {
        error: ErrorCode::UnknownProducerId,
        base_offset: -1,
        log_start_offset: 53,
    }));
    assert_eq!(decision, Decision::Retry);
    let reason = sequence.poll_bump().unwrap().reason;
    assert_eq!(reason, BumpReason::Retention(ErrorCode::UnknownProducerId));
}

#[test]
fn a_duplicate_is_success_without_an_offset() {
    let mut sequence = idempotent();
    begin(&mut sequence, 2);
    let decision = sequence.handle_attempt(answered(ErrorCode::DuplicateSequenceNumber));
    assert_eq!(decision, Decision::Acknowledged { offset: None });
    assert_eq!(begin(&mut sequence, 2), (7, 0, 2));
}

#[test]
fn not_leader_leaves_doubt_only_under_acks_all() {
    for (acks, fate) in [
        (Acks::All, Fate::MaybeWritten),
        (Acks::Leader, Fate::NotWritten),
    ] {
        let mut sequence = Sequence::new(acks, false);
        assert_eq!(sequence.begin(1, None).unwrap(), Stamp::NONE);
        let answer = answered(ErrorCode::NotLeaderOrFollower);
        assert_eq!(sequence.handle_attempt(answer), Decision::Retry);
        assert_eq!(sequence.fate(), fate);
        assert_eq!(sequence.handle_expired(), fate);
    }
}

#[test]
fn every_error_that_may_follow_an_append_leaves_doubt() {
    for error in ErrorCode::ALL.iter().copied().chain([9999.into()]) {
        let answer = Answer {
            error,
            base_offset: -1,
            log_start_offset: -1,
        };
        let refusal = refusal::of(&answer, Acks::All, true);
        let doubtful = matches!(
            error,
            ErrorCode::RequestTimedOut
                | ErrorCode::NotEnoughReplicasAfterAppend
                | ErrorCode::UnknownServerError
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::KafkaStorageError
                | ErrorCode::NetworkException
        );
        if doubtful || error.name() == "UNKNOWN" {
            assert!(matches!(refusal, Refusal::Maybe { .. }), "{error}");
        }
    }
}

#[test]
fn an_unknown_topic_id_without_an_offset_is_a_clean_refusal() {
    let mut sequence = idempotent();
    begin(&mut sequence, 1);
    let answer = answered(ErrorCode::UnknownTopicId);
    assert_eq!(sequence.handle_attempt(answer), Decision::Retry);
    assert_eq!(sequence.handle_topic_replaced(), None);
    assert_eq!(begin(&mut sequence, 1), (7, 1, 0));
    let late = Attempt::Answered(Answer {
        error: ErrorCode::UnknownTopicId,
        base_offset: 4,
        log_start_offset: -1,
    });
    assert_eq!(sequence.handle_attempt(late), Decision::Retry);
    assert_eq!(sequence.handle_topic_replaced(), Some(Fate::MaybeWritten));
}

#[test]
fn sequences_wrap_to_zero_also_inside_a_batch() {
    let mut sequence = idempotent();
    acknowledge(&mut sequence, i32::MAX.cast_unsigned(), 0);
    assert_eq!(begin(&mut sequence, 3), (7, 0, i32::MAX));
    let _ = sequence.handle_attempt(written_at(1));
    assert_eq!(begin(&mut sequence, 1), (7, 0, 2));
}

#[test]
fn after_the_last_epoch_a_new_producer_id_is_asked_for() {
    let mut sequence = idempotent();
    let last = Identity {
        producer_id: 7,
        epoch: i16::MAX,
    };
    sequence.begin(1, Some(last)).unwrap();
    assert_eq!(sequence.handle_expired(), Fate::MaybeWritten);
    assert_eq!(sequence.poll_bump().unwrap().to, None);
    let exhausted = Some(7);
    assert_eq!(
        sequence.begin(1, Some(last)),
        Err(BeginError::NeedsIdentity { exhausted })
    );
    let fresh = Identity {
        producer_id: 8,
        epoch: 0,
    };
    let stamp = sequence.begin(1, Some(fresh)).unwrap();
    assert_eq!((stamp.producer_id, stamp.base_sequence), (8, 0));
}

#[test]
fn one_batch_is_in_flight_and_a_head_is_never_replaced() {
    let mut sequence = idempotent();
    let exhausted = None;
    assert_eq!(
        sequence.begin(2, None),
        Err(BeginError::NeedsIdentity { exhausted })
    );
    begin(&mut sequence, 2);
    assert_eq!(sequence.begin(2, None), Err(BeginError::InFlight));
    let _ = sequence.handle_attempt(Attempt::Lost);
    let (head, given) = (2, 3);
    assert_eq!(
        sequence.begin(3, None),
        Err(BeginError::OtherBatch { head, given })
    );
}

#[test]
fn a_recreated_topic_gets_clean_batches_only() {
    let mut sequence = idempotent();
    acknowledge(&mut sequence, 5, 0);
    begin(&mut sequence, 2);
    let refused = answered(ErrorCode::NotEnoughReplicas);
    assert_eq!(sequence.handle_attempt(refused), Decision::Retry);
    assert_eq!(sequence.handle_topic_replaced(), None);
    assert_eq!(begin(&mut sequence, 2), (7, 1, 0));
    assert_eq!(sequence.handle_attempt(Attempt::Lost), Decision::Retry);
    assert_eq!(sequence.handle_topic_replaced(), Some(Fate::MaybeWritten));
    assert_eq!(begin(&mut sequence, 3), (7, 2, 0));
}

#[test]
fn acks_zero_is_acknowledged_once_written() {
    let mut sequence = Sequence::new(Acks::None, false);
    sequence.begin(3, None).unwrap();
    let decision = sequence.handle_attempt(Attempt::Unacknowledged);
    assert_eq!(decision, Decision::Acknowledged { offset: None });
}
