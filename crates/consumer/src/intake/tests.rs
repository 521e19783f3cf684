use super::*;

#[test]
fn every_error_code_has_one_meaning_and_only_one_of_them_may_lead_to_a_reset() {
    let mut out_of_range = Vec::new();
    for code in -1..=200 {
        let code = ErrorCode::from(code);
        if meaning(code) == Meaning::OutOfRange {
            out_of_range.push(code);
        }
    }
    assert_eq!(out_of_range, [ErrorCode::OffsetOutOfRange]);
}

#[test]
fn what_time_or_metadata_cures_is_waited_for_and_the_rest_is_an_error() {
    let table = [
        (ErrorCode::None, Meaning::Fine),
        (ErrorCode::NotLeaderOrFollower, Meaning::WaitForLeader),
        (ErrorCode::FencedLeaderEpoch, Meaning::WaitForLeader),
        (ErrorCode::UnknownLeaderEpoch, Meaning::WaitForLeader),
        (ErrorCode::UnknownTopicId, Meaning::WaitForLeader),
        (ErrorCode::InconsistentTopicId, Meaning::WaitForLeader),
        (ErrorCode::OffsetNotAvailable, Meaning::Wait),
        (ErrorCode::UnknownServerError, Meaning::Wait),
        (ErrorCode::RequestTimedOut, Meaning::Wait),
        (ErrorCode::TopicAuthorizationFailed, Meaning::Refused),
        (ErrorCode::CorruptMessage, Meaning::Refused),
        (ErrorCode::UnsupportedCompressionType, Meaning::Refused),
        (ErrorCode::from(999), Meaning::Refused),
    ];
    for (code, expected) in table {
        assert_eq!(meaning(code), expected, "{code}");
    }
}
