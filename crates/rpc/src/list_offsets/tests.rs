use milena_codec::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};

use super::*;

fn query(partition: i32) -> OffsetQuery {
    OffsetQuery {
        topic: "t".into(),
        partition,
        at: OffsetSpec::Latest,
    }
}

fn answer(partition: ListOffsetsPartitionResponse) -> ListOffsetsResponse {
    ListOffsetsResponse {
        topics: vec![ListOffsetsTopicResponse {
            name: "t".into(),
            partitions: vec![partition],
            ..ListOffsetsTopicResponse::default()
        }],
        ..ListOffsetsResponse::default()
    }
}

#[test]
fn minus_one_means_that_there_is_none() {
    let none = answer(ListOffsetsPartitionResponse {
        offset: -1,
        timestamp: -1,
        leader_epoch: -1,
        ..ListOffsetsPartitionResponse::default()
    });
    let expected = FoundOffset {
        offset: None,
        timestamp: None,
        leader_epoch: None,
    };
    assert_eq!(answer_to(&query(0), &none).unwrap(), expected);
}

#[test]
fn errors_name_the_partition_and_only_some_may_pass() {
    let failed = |code: ErrorCode| {
        let partition = ListOffsetsPartitionResponse {
            error_code: code.code(),
            ..ListOffsetsPartitionResponse::default()
        };
        answer_to(&query(0), &answer(partition)).unwrap_err()
    };
    let moved = failed(ErrorCode::FencedLeaderEpoch);
    assert!(may_pass(&moved));
    assert!(
        moved
            .to_string()
            .starts_with("partition 0 of topic t: FENCED_LEADER_EPOCH")
    );
    assert!(!may_pass(&failed(ErrorCode::TopicAuthorizationFailed)));
    let left_out = answer_to(&query(1), &ListOffsetsResponse::default());
    assert!(!may_pass(&left_out.unwrap_err()));
}
