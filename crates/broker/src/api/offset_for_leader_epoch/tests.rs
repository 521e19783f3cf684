use milena_codec::messages::offset_for_leader_epoch_request::OffsetForLeaderTopic;
use milena_codec::{ApiKey, ErrorCode};

use super::*;
use crate::testing::{Client, batch, settings};

#[test]
fn epochs_end_where_the_next_begins_at_every_version() {
    let mut client = Client::of(settings(3));
    let leader = client.at_leader(0);
    client.produce(0, batch(&["a", "b"]), 9);
    let next = leader % 3 + 1;
    client.model.move_leader("t", 0, next, None).unwrap();
    client.at(next);
    client.produce(0, batch(&["c"]), 9);
    let (none, missing) = ((-1, -1), ErrorCode::UnknownTopicOrPartition);
    for version in ApiKey::OffsetForLeaderEpoch.stable_versions().iter() {
        let table = [
            (0, -1, 0, Ok((0, 2))),
            (1, -1, 0, Ok((1, 3))),
            (1, 1, 0, Ok((1, 3))),
            (7, -1, 0, Ok(none)),
            (-1, -1, 0, Ok(none)),
            (0, 0, 0, Err(ErrorCode::FencedLeaderEpoch)),
            (0, 9, 0, Err(ErrorCode::UnknownLeaderEpoch)),
            (0, -1, 9, Err(missing)),
        ];
        for (leader_epoch, current_leader_epoch, partition, expected) in table {
            let request = OffsetForLeaderEpochRequest {
                replica_id: -1,
                topics: vec![OffsetForLeaderTopic {
                    topic: "t".into(),
                    partitions: vec![OffsetForLeaderPartition {
                        partition,
                        current_leader_epoch,
                        leader_epoch,
                        ..OffsetForLeaderPartition::default()
                    }],
                    ..OffsetForLeaderTopic::default()
                }],
                ..OffsetForLeaderEpochRequest::default()
            };
            let answer = client
                .call(&request, version)
                .topics
                .remove(0)
                .partitions
                .remove(0);
            let code = ErrorCode::from(answer.error_code);
            let found = code
                .check()
                .map(|()| (answer.leader_epoch, answer.end_offset));
            assert_eq!(
                found, expected,
                "v{version} epoch {leader_epoch} {current_leader_epoch}"
            );
        }
    }
}
