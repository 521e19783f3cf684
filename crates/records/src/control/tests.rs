use super::*;

fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> RecordRef<'a> {
    RecordRef {
        offset: 0,
        timestamp: 0,
        key,
        value,
        headers: crate::Headers::default(),
    }
}

#[test]
fn control_types_are_told_apart() {
    let kind = |id: u8| ControlRecord::read(&record(Some(&[0, 0, 0, id]), None)).map(|r| r.kind);
    assert_eq!(kind(0), Ok(ControlType::Abort));
    assert_eq!(kind(1), Ok(ControlType::Commit));
    assert_eq!(kind(2), Ok(ControlType::LeaderChange));
    assert_eq!(kind(99), Ok(ControlType::Unknown(99)));
}

#[test]
fn a_later_version_with_more_fields_is_read() {
    let record = record(Some(&[0, 1, 0, 1, 9, 9]), Some(&[0, 1, 0, 0, 0, 7, 9]));
    assert_eq!(
        ControlRecord::read(&record).map(|control| control.version),
        Ok(1)
    );
    let marker = EndTxnMarker {
        committed: true,
        coordinator_epoch: 7,
    };
    assert_eq!(EndTxnMarker::read(&record), Ok(Some(marker)));
}

#[test]
fn what_ends_no_transaction_is_no_marker() {
    assert_eq!(
        EndTxnMarker::read(&record(Some(&[0, 0, 0, 2]), None)),
        Ok(None)
    );
}

#[test]
fn damaged_keys_and_values_are_errors() {
    for key in [
        None,
        Some(&[][..]),
        Some(&[0, 0, 0]),
        Some(&[0xff, 0xff, 0, 1]),
    ] {
        assert_eq!(
            EndTxnMarker::read(&record(key, None)),
            Err(ControlError::Key)
        );
    }
    for value in [
        None,
        Some(&[][..]),
        Some(&[0, 0, 0, 0, 0]),
        Some(&[0xff, 0xff, 0, 0, 0, 0]),
    ] {
        let record = record(Some(&[0, 0, 0, 1]), value);
        assert_eq!(EndTxnMarker::read(&record), Err(ControlError::Marker));
    }
}
