//! Leaving a broker alone when it asks for it (KIP-219): from a certain version of each API on,
//! brokers answer at once and count on the client to wait. Older ones have waited themselves, and
//! only report it.

use std::any::Any;
use std::time::Duration;

use milena_codec::{ApiKey, Request, messages};

/// How long the client has to leave the connection alone after this answer.
pub(crate) fn time<R: Request>(answer: &R::Response, version: i16) -> Option<Duration> {
    let millis = throttle_time_ms(R::KEY, answer, version)?;
    let millis = u64::try_from(millis).ok().filter(|millis| *millis > 0)?;
    Some(Duration::from_millis(millis))
}

macro_rules! throttled {
    ($($api:ident $response:ident from $version:literal;)*) => {
        fn throttle_time_ms(key: ApiKey, answer: &dyn Any, version: i16) -> Option<i32> {
            match key {
                $(ApiKey::$api if version >= $version => answer
                    .downcast_ref::<messages::$response>()
                    .map(|answer| answer.throttle_time_ms),)*
                _ => None,
            }
        }
    };
}

throttled! {
    Produce ProduceResponse from 6;
    Fetch FetchResponse from 8;
    ListOffsets ListOffsetsResponse from 3;
    Metadata MetadataResponse from 6;
    OffsetCommit OffsetCommitResponse from 4;
    OffsetFetch OffsetFetchResponse from 4;
    FindCoordinator FindCoordinatorResponse from 2;
    JoinGroup JoinGroupResponse from 3;
    Heartbeat HeartbeatResponse from 2;
    LeaveGroup LeaveGroupResponse from 2;
    SyncGroup SyncGroupResponse from 2;
    DescribeGroups DescribeGroupsResponse from 2;
    ListGroups ListGroupsResponse from 2;
    ApiVersions ApiVersionsResponse from 2;
    CreateTopics CreateTopicsResponse from 3;
    DeleteTopics DeleteTopicsResponse from 2;
    DeleteRecords DeleteRecordsResponse from 1;
    InitProducerId InitProducerIdResponse from 1;
    AddPartitionsToTxn AddPartitionsToTxnResponse from 1;
    AddOffsetsToTxn AddOffsetsToTxnResponse from 1;
    EndTxn EndTxnResponse from 1;
    TxnOffsetCommit TxnOffsetCommitResponse from 1;
    DescribeAcls DescribeAclsResponse from 1;
    CreateAcls CreateAclsResponse from 1;
    DeleteAcls DeleteAclsResponse from 1;
    DescribeConfigs DescribeConfigsResponse from 2;
    AlterConfigs AlterConfigsResponse from 1;
    AlterReplicaLogDirs AlterReplicaLogDirsResponse from 1;
    DescribeLogDirs DescribeLogDirsResponse from 1;
    CreatePartitions CreatePartitionsResponse from 1;
    CreateDelegationToken CreateDelegationTokenResponse from 1;
    RenewDelegationToken RenewDelegationTokenResponse from 1;
    ExpireDelegationToken ExpireDelegationTokenResponse from 1;
    DescribeDelegationToken DescribeDelegationTokenResponse from 1;
    DeleteGroups DeleteGroupsResponse from 1;
    ElectLeaders ElectLeadersResponse from 0;
    IncrementalAlterConfigs IncrementalAlterConfigsResponse from 0;
    AlterPartitionReassignments AlterPartitionReassignmentsResponse from 0;
    ListPartitionReassignments ListPartitionReassignmentsResponse from 0;
    OffsetDelete OffsetDeleteResponse from 0;
    DescribeUserScramCredentials DescribeUserScramCredentialsResponse from 0;
    AlterUserScramCredentials AlterUserScramCredentialsResponse from 0;
    DescribeTopicPartitions DescribeTopicPartitionsResponse from 0;
}

#[cfg(test)]
mod tests;
