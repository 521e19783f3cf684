use milena_codec::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, MetadataRequest, MetadataResponse,
};

use super::*;

fn metadata(throttle_time_ms: i32) -> MetadataResponse {
    MetadataResponse {
        throttle_time_ms,
        ..MetadataResponse::default()
    }
}

#[test]
fn the_client_waits_only_at_versions_that_are_answered_first() {
    let ask = |millis, version| time::<MetadataRequest>(&metadata(millis), version);
    assert_eq!(ask(70, 6), Some(Duration::from_millis(70)));
    assert_eq!(ask(70, 5), None);
    assert_eq!(ask(0, 6), None);
    assert_eq!(ask(-1, 6), None);
}

#[test]
fn apis_without_client_side_throttling_are_never_muted() {
    let answer = AddRaftVoterResponse {
        throttle_time_ms: 70,
        ..AddRaftVoterResponse::default()
    };
    assert_eq!(time::<AddRaftVoterRequest>(&answer, 0), None);
}
