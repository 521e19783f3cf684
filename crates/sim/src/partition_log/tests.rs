use super::*;

fn batch(id: u64, epoch: i16, base_sequence: i32, records: u32) -> Batch {
    let stamp = Stamp {
        producer_id: 7,
        producer_epoch: epoch,
        base_sequence,
        transactional: false,
    };
    Batch {
        id,
        units: 1,
        records,
        stamp,
    }
}

#[test]
fn only_the_last_five_batches_are_recognised() {
    let mut log = PartitionLog::new(Rules::Lenient);
    for id in 0..6 {
        let sequence = i32::try_from(id).unwrap();
        let offset = i64::from(sequence);
        assert_eq!(log.append(&batch(id, 0, sequence, 1)), Ok(offset));
    }
    assert_eq!(log.append(&batch(1, 0, 1, 1)), Ok(1));
    let out_of_order = Err(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(log.append(&batch(0, 0, 0, 1)), out_of_order);
    assert_eq!(log.append(&batch(7, 0, 7, 1)), out_of_order);
    assert_eq!(log.append(&batch(5, 0, 5, 2)), out_of_order);
}

#[test]
fn a_new_epoch_starts_at_zero_and_fences_the_old() {
    let mut log = PartitionLog::new(Rules::Lenient);
    assert_eq!(log.append(&batch(0, 0, 4, 1)), Ok(0));
    let out_of_order = Err(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(log.append(&batch(1, 1, 5, 1)), out_of_order);
    assert_eq!(log.append(&batch(1, 1, 0, 1)), Ok(1));
    let fenced = Err(ErrorCode::InvalidProducerEpoch);
    assert_eq!(log.append(&batch(0, 0, 4, 1)), fenced);
}

#[test]
fn what_a_broker_does_without_state_is_a_rule() {
    for (rules, expected) in [
        (Rules::Lenient, Ok(1)),
        (Rules::Kafka21, Err(ErrorCode::UnknownProducerId)),
        (Rules::Strict, Err(ErrorCode::OutOfOrderSequenceNumber)),
    ] {
        let mut log = PartitionLog::new(rules);
        assert_eq!(log.append(&batch(0, 0, 0, 1)), Ok(0));
        log.forget();
        assert_eq!(log.append(&batch(1, 0, 9, 1)), expected);
    }
}

#[test]
fn a_leader_change_cuts_off_only_what_is_not_committed() {
    let mut log = PartitionLog::new(Rules::Lenient);
    for id in 0..3 {
        log.append(&batch(id, 0, i32::try_from(id).unwrap(), 1))
            .unwrap();
        if id == 0 {
            log.commit();
        }
    }
    log.move_leader(1, 1);
    let ids: Vec<u64> = log.logged().iter().map(|one| one.id).collect();
    assert_eq!(ids, [0, 1]);
    assert_eq!(
        log.append(&batch(2, 0, 2, 1)),
        Ok(2),
        "its memory is cut off too"
    );
}
