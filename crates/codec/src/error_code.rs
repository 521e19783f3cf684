//! The error codes that brokers answer with: one table, one line a code.
//!
//! Code, name, retriability and the need for fresh metadata are those of Apache Kafka 4.3.1 (the
//! tests hold its own table); the other kinds of [`Refresh`] follow how each error is recovered
//! from.
//!
//! - I1: `ErrorCode::from(code).code() == code` for every `i16`.
//! - I2: a code this table lacks stays itself, as [`ErrorCode::Unknown`]; it is never mistaken for
//!   [`ErrorCode::UnknownServerError`].
//!
//! Not for what an error does to one operation: whether a write may have happened, or whether a
//! producer is fenced, depends on the request too and is decided where the request is known.

use std::fmt;

/// What has to be renewed before the operation that met an error can succeed.
///
/// It is independent of [`ErrorCode::is_retriable`]: a stale membership is not retriable as such,
/// yet joining again cures it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refresh {
    /// Nothing; a retriable error only needs time.
    Nothing,
    /// The cluster metadata of the topics involved.
    Metadata,
    /// The look-up of the group's or transactional id's coordinator.
    Coordinator,
    /// The knowledge of which broker is the active controller.
    Controller,
    /// The fetch session with the broker (KIP-227): start with a full fetch.
    FetchSession,
    /// The share session with the broker (KIP-932): start a new one.
    ShareSession,
    /// The producer id or its epoch.
    ProducerId,
    /// The group membership: member id, generation or member epoch.
    Membership,
    /// Everything: forget the known brokers and begin at the bootstrap servers (KIP-1102).
    Bootstrap,
}

macro_rules! error_codes {
    ($($code:literal $variant:ident $name:ident $retry:ident $refresh:ident $meaning:literal;)+) => {
        /// An error code as brokers send it.
        ///
        /// New Kafka releases add codes, and what is [`Unknown`](Self::Unknown) today may be a
        /// variant tomorrow.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $(
                #[doc = concat!("`", stringify!($name), "` (", stringify!($code), "): ", $meaning, ".")]
                $variant,
            )+
            /// A code that this version of the library does not know; comes only from
            /// `ErrorCode::from`.
            #[non_exhaustive]
            Unknown(i16),
        }

        impl From<i16> for ErrorCode {
            fn from(code: i16) -> Self {
                match code {
                    $($code => Self::$variant,)+
                    unknown => Self::Unknown(unknown),
                }
            }
        }

        impl ErrorCode {
            /// Every known code, ascending.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> i16 {
                match self {
                    $(Self::$variant => $code,)+
                    Self::Unknown(code) => code,
                }
            }

            /// Kafka's name for the code; `UNKNOWN` for a code this library does not know.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)+
                    Self::Unknown(_) => "UNKNOWN",
                }
            }

            /// One line on what the broker means by it.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)+
                    Self::Unknown(_) => "the broker is newer than this client and sent a code it does not know",
                }
            }

            /// Whether the same request may be sent again and succeed, as the Java client sees it.
            ///
            /// An unknown code is not retriable.
            #[must_use]
            pub const fn is_retriable(self) -> bool {
                match self {
                    $(Self::$variant => error_codes!(@$retry),)+
                    Self::Unknown(_) => false,
                }
            }

            /// What has to be renewed first.
            #[must_use]
            pub const fn refresh(self) -> Refresh {
                match self {
                    $(Self::$variant => Refresh::$refresh,)+
                    Self::Unknown(_) => Refresh::Nothing,
                }
            }
        }
    };
    (@retry) => { true };
    (@stop) => { false };
}

error_codes! {
    -1 UnknownServerError UNKNOWN_SERVER_ERROR stop Nothing "the broker failed in a way it has no code for; its log says more";
    0 None NONE stop Nothing "no error";
    1 OffsetOutOfRange OFFSET_OUT_OF_RANGE stop Nothing "the broker's log does not hold the requested offset";
    2 CorruptMessage CORRUPT_MESSAGE retry Nothing "the batch failed its checksum, or the broker found it malformed or without a key its topic requires";
    3 UnknownTopicOrPartition UNKNOWN_TOPIC_OR_PARTITION retry Metadata "the broker does not know the topic or does not host the partition";
    4 InvalidFetchSize INVALID_FETCH_SIZE stop Nothing "the fetch size is not acceptable";
    5 LeaderNotAvailable LEADER_NOT_AVAILABLE retry Metadata "the partition has no leader at the moment";
    6 NotLeaderOrFollower NOT_LEADER_OR_FOLLOWER retry Metadata "the broker does not lead the partition, or is no replica of it";
    7 RequestTimedOut REQUEST_TIMED_OUT retry Nothing "the broker could not finish in time; the work may still have been done";
    8 BrokerNotAvailable BROKER_NOT_AVAILABLE stop Nothing "the broker is not alive";
    9 ReplicaNotAvailable REPLICA_NOT_AVAILABLE retry Metadata "the broker's replica of the partition cannot be read now";
    10 MessageTooLarge MESSAGE_TOO_LARGE stop Nothing "a record or batch exceeds the largest size the broker or topic accepts";
    11 StaleControllerEpoch STALE_CONTROLLER_EPOCH stop Nothing "the request came from a controller that is no longer in charge";
    12 OffsetMetadataTooLarge OFFSET_METADATA_TOO_LARGE stop Nothing "the metadata string committed with an offset is too long";
    13 NetworkException NETWORK_EXCEPTION retry Metadata "the connection broke before the answer came";
    14 CoordinatorLoadInProgress COORDINATOR_LOAD_IN_PROGRESS retry Nothing "the coordinator is still loading its state";
    15 CoordinatorNotAvailable COORDINATOR_NOT_AVAILABLE retry Coordinator "no coordinator can be named yet";
    16 NotCoordinator NOT_COORDINATOR retry Coordinator "the broker does not coordinate this group or transactional id";
    17 InvalidTopicException INVALID_TOPIC_EXCEPTION stop Nothing "the topic name is illegal, or the topic does not allow this operation";
    18 RecordListTooLarge RECORD_LIST_TOO_LARGE stop Nothing "the batch does not fit into a log segment of the broker";
    19 NotEnoughReplicas NOT_ENOUGH_REPLICAS retry Nothing "too few replicas are in sync to accept the write; nothing was written";
    20 NotEnoughReplicasAfterAppend NOT_ENOUGH_REPLICAS_AFTER_APPEND retry Nothing "the write was appended but reached fewer replicas than required";
    21 InvalidRequiredAcks INVALID_REQUIRED_ACKS stop Nothing "acks is none of -1, 0 and 1";
    22 IllegalGeneration ILLEGAL_GENERATION stop Membership "the group has moved on to another generation";
    23 InconsistentGroupProtocol INCONSISTENT_GROUP_PROTOCOL stop Nothing "the member shares no protocol with the rest of the group, or offers none";
    24 InvalidGroupId INVALID_GROUP_ID stop Nothing "the group id is empty or illegal";
    25 UnknownMemberId UNKNOWN_MEMBER_ID stop Membership "the coordinator does not know this member";
    26 InvalidSessionTimeout INVALID_SESSION_TIMEOUT stop Nothing "the session time-out lies outside what the broker allows";
    27 RebalanceInProgress REBALANCE_IN_PROGRESS stop Membership "the group is rebalancing and the member must rejoin";
    28 InvalidCommitOffsetSize INVALID_COMMIT_OFFSET_SIZE stop Nothing "the offset commit is too large to store";
    29 TopicAuthorizationFailed TOPIC_AUTHORIZATION_FAILED stop Nothing "the principal may not do this to the topic";
    30 GroupAuthorizationFailed GROUP_AUTHORIZATION_FAILED stop Nothing "the principal may not do this to the group";
    31 ClusterAuthorizationFailed CLUSTER_AUTHORIZATION_FAILED stop Nothing "the principal may not do this to the cluster";
    32 InvalidTimestamp INVALID_TIMESTAMP stop Nothing "a record's timestamp is too far from the broker's clock or missing";
    33 UnsupportedSaslMechanism UNSUPPORTED_SASL_MECHANISM stop Nothing "the broker does not offer this SASL mechanism";
    34 IllegalSaslState ILLEGAL_SASL_STATE stop Nothing "the request does not fit the state of the SASL exchange";
    35 UnsupportedVersion UNSUPPORTED_VERSION stop Nothing "the broker does not support this version of the request";
    36 TopicAlreadyExists TOPIC_ALREADY_EXISTS stop Nothing "a topic of this name exists already";
    37 InvalidPartitions INVALID_PARTITIONS stop Nothing "the partition count is not acceptable";
    38 InvalidReplicationFactor INVALID_REPLICATION_FACTOR stop Nothing "the replication factor is below one or above the number of brokers";
    39 InvalidReplicaAssignment INVALID_REPLICA_ASSIGNMENT stop Nothing "the replica assignment is not acceptable";
    40 InvalidConfig INVALID_CONFIG stop Nothing "a configuration entry is not acceptable";
    41 NotController NOT_CONTROLLER retry Controller "the broker is not the active controller";
    42 InvalidRequest INVALID_REQUEST stop Nothing "the broker found the request malformed or contradictory";
    43 UnsupportedForMessageFormat UNSUPPORTED_FOR_MESSAGE_FORMAT stop Nothing "the topic's message format cannot do this";
    44 PolicyViolation POLICY_VIOLATION stop Nothing "a policy of the cluster forbids the request";
    45 OutOfOrderSequenceNumber OUT_OF_ORDER_SEQUENCE_NUMBER stop ProducerId "the sequence number does not follow the last one the partition saw";
    46 DuplicateSequenceNumber DUPLICATE_SEQUENCE_NUMBER stop Nothing "the batch was appended before";
    47 InvalidProducerEpoch INVALID_PRODUCER_EPOCH stop ProducerId "the producer's epoch is older than the one the broker knows";
    48 InvalidTxnState INVALID_TXN_STATE stop Nothing "the transaction's state does not allow this operation";
    49 InvalidProducerIdMapping INVALID_PRODUCER_ID_MAPPING stop ProducerId "the transactional id now belongs to another producer id";
    50 InvalidTransactionTimeout INVALID_TRANSACTION_TIMEOUT stop Nothing "the transaction time-out exceeds what the broker allows";
    51 ConcurrentTransactions CONCURRENT_TRANSACTIONS retry Nothing "another operation on the same transaction is still going on";
    52 TransactionCoordinatorFenced TRANSACTION_COORDINATOR_FENCED stop Nothing "the markers came from a coordinator that has been replaced";
    53 TransactionalIdAuthorizationFailed TRANSACTIONAL_ID_AUTHORIZATION_FAILED stop Nothing "the principal may not use this transactional id";
    54 SecurityDisabled SECURITY_DISABLED stop Nothing "the cluster has no authoriser, so there are no ACLs to manage";
    55 OperationNotAttempted OPERATION_NOT_ATTEMPTED stop Nothing "the broker skipped this item because another in the request failed";
    56 KafkaStorageError KAFKA_STORAGE_ERROR retry Metadata "the broker's disk failed under the partition";
    57 LogDirNotFound LOG_DIR_NOT_FOUND stop Nothing "the broker has no such log directory";
    58 SaslAuthenticationFailed SASL_AUTHENTICATION_FAILED stop Nothing "the broker refused the credentials";
    59 UnknownProducerId UNKNOWN_PRODUCER_ID stop ProducerId "the partition has no state for this producer id";
    60 ReassignmentInProgress REASSIGNMENT_IN_PROGRESS stop Nothing "the partition is being reassigned";
    61 DelegationTokenAuthDisabled DELEGATION_TOKEN_AUTH_DISABLED stop Nothing "the broker has delegation tokens switched off";
    62 DelegationTokenNotFound DELEGATION_TOKEN_NOT_FOUND stop Nothing "the broker knows no such delegation token";
    63 DelegationTokenOwnerMismatch DELEGATION_TOKEN_OWNER_MISMATCH stop Nothing "the principal neither owns nor may renew this delegation token";
    64 DelegationTokenRequestNotAllowed DELEGATION_TOKEN_REQUEST_NOT_ALLOWED stop Nothing "delegation tokens cannot be managed over a connection authenticated like this one";
    65 DelegationTokenAuthorizationFailed DELEGATION_TOKEN_AUTHORIZATION_FAILED stop Nothing "the principal may not manage this delegation token";
    66 DelegationTokenExpired DELEGATION_TOKEN_EXPIRED stop Nothing "the delegation token has expired";
    67 InvalidPrincipalType INVALID_PRINCIPAL_TYPE stop Nothing "the kind of principal is not supported";
    68 NonEmptyGroup NON_EMPTY_GROUP stop Nothing "the group still has members";
    69 GroupIdNotFound GROUP_ID_NOT_FOUND stop Nothing "no group has this id";
    70 FetchSessionIdNotFound FETCH_SESSION_ID_NOT_FOUND retry FetchSession "the broker has forgotten the fetch session";
    71 InvalidFetchSessionEpoch INVALID_FETCH_SESSION_EPOCH retry FetchSession "the fetch session's epoch is not the expected one";
    72 ListenerNotFound LISTENER_NOT_FOUND retry Metadata "the partition's leader lacks the listener this client is connected to";
    73 TopicDeletionDisabled TOPIC_DELETION_DISABLED stop Nothing "the cluster does not allow topics to be deleted";
    74 FencedLeaderEpoch FENCED_LEADER_EPOCH retry Metadata "the client's leader epoch is older than the broker's";
    75 UnknownLeaderEpoch UNKNOWN_LEADER_EPOCH retry Nothing "the client's leader epoch is newer than the broker's";
    76 UnsupportedCompressionType UNSUPPORTED_COMPRESSION_TYPE stop Nothing "the batch's compression is not allowed at this version of the request";
    77 StaleBrokerEpoch STALE_BROKER_EPOCH stop Nothing "the broker has registered again under a newer epoch";
    78 OffsetNotAvailable OFFSET_NOT_AVAILABLE retry Nothing "a new leader cannot tell its end offset yet";
    79 MemberIdRequired MEMBER_ID_REQUIRED stop Membership "the member must join again with the member id it was just given";
    80 PreferredLeaderNotAvailable PREFERRED_LEADER_NOT_AVAILABLE retry Metadata "the preferred leader cannot take over now";
    81 GroupMaxSizeReached GROUP_MAX_SIZE_REACHED stop Nothing "the group is full";
    82 FencedInstanceId FENCED_INSTANCE_ID stop Nothing "another member took over this group instance id";
    83 EligibleLeadersNotAvailable ELIGIBLE_LEADERS_NOT_AVAILABLE retry Metadata "no replica may become leader now";
    84 ElectionNotNeeded ELECTION_NOT_NEEDED retry Metadata "the partition has the wanted leader already";
    85 NoReassignmentInProgress NO_REASSIGNMENT_IN_PROGRESS stop Nothing "no reassignment of the partition is under way";
    86 GroupSubscribedToTopic GROUP_SUBSCRIBED_TO_TOPIC stop Nothing "the group is still subscribed to the topic";
    87 InvalidRecord INVALID_RECORD stop Nothing "the broker's validation refused a record";
    88 UnstableOffsetCommit UNSTABLE_OFFSET_COMMIT retry Nothing "a transaction still has to settle offsets that were asked for";
    89 ThrottlingQuotaExceeded THROTTLING_QUOTA_EXCEEDED retry Nothing "the quota for such changes is used up for now";
    90 ProducerFenced PRODUCER_FENCED stop Nothing "a newer producer with the same transactional id has taken over";
    91 ResourceNotFound RESOURCE_NOT_FOUND stop Nothing "the request names something that does not exist";
    92 DuplicateResource DUPLICATE_RESOURCE stop Nothing "the request names the same thing twice";
    93 UnacceptableCredential UNACCEPTABLE_CREDENTIAL stop Nothing "the new credential does not meet the broker's requirements";
    94 InconsistentVoterSet INCONSISTENT_VOTER_SET stop Nothing "the sender and the receiver disagree on who the voters are";
    95 InvalidUpdateVersion INVALID_UPDATE_VERSION stop Nothing "the update carries a version that does not apply";
    96 FeatureUpdateFailed FEATURE_UPDATE_FAILED stop Nothing "the finalized features could not be updated";
    97 PrincipalDeserializationFailure PRINCIPAL_DESERIALIZATION_FAILURE stop Nothing "a broker could not decode the principal that another broker forwarded";
    98 SnapshotNotFound SNAPSHOT_NOT_FOUND stop Nothing "the requested snapshot does not exist";
    99 PositionOutOfRange POSITION_OUT_OF_RANGE stop Nothing "the position lies outside the snapshot";
    100 UnknownTopicId UNKNOWN_TOPIC_ID retry Metadata "the broker knows no topic of this id";
    101 DuplicateBrokerRegistration DUPLICATE_BROKER_REGISTRATION stop Nothing "another live broker uses this broker id";
    102 BrokerIdNotRegistered BROKER_ID_NOT_REGISTERED stop Nothing "no broker is registered under this id";
    103 InconsistentTopicId INCONSISTENT_TOPIC_ID retry Metadata "the request's topic id is not that of the broker's log";
    104 InconsistentClusterId INCONSISTENT_CLUSTER_ID stop Nothing "the request names another cluster's id";
    105 TransactionalIdNotFound TRANSACTIONAL_ID_NOT_FOUND stop Nothing "no transaction is known under this transactional id";
    106 FetchSessionTopicIdError FETCH_SESSION_TOPIC_ID_ERROR retry FetchSession "topic ids and names were mixed within one fetch session";
    107 IneligibleReplica INELIGIBLE_REPLICA stop Nothing "the proposed in-sync set contains a replica that may not be in it";
    108 NewLeaderElected NEW_LEADER_ELECTED stop Nothing "the partition changed as asked, and has a new leader";
    109 OffsetMovedToTieredStorage OFFSET_MOVED_TO_TIERED_STORAGE stop Nothing "the offset now lies in remote storage only";
    110 FencedMemberEpoch FENCED_MEMBER_EPOCH stop Membership "the coordinator fenced the member's epoch; it must give up everything and rejoin";
    111 UnreleasedInstanceId UNRELEASED_INSTANCE_ID stop Nothing "the member that held this group instance id has not left yet";
    112 UnsupportedAssignor UNSUPPORTED_ASSIGNOR stop Nothing "the group does not know the assignor";
    113 StaleMemberEpoch STALE_MEMBER_EPOCH stop Membership "the member's epoch is out of date; a heartbeat brings the new one";
    114 MismatchedEndpointType MISMATCHED_ENDPOINT_TYPE stop Nothing "brokers and controllers were confused: the request belongs on the other kind of endpoint";
    115 UnsupportedEndpointType UNSUPPORTED_ENDPOINT_TYPE stop Nothing "the kind of endpoint is not supported";
    116 UnknownControllerId UNKNOWN_CONTROLLER_ID stop Nothing "no controller has this id";
    117 UnknownSubscriptionId UNKNOWN_SUBSCRIPTION_ID stop Nothing "the telemetry subscription is unknown or out of date";
    118 TelemetryTooLarge TELEMETRY_TOO_LARGE stop Nothing "the pushed metrics exceed the broker's limit";
    119 InvalidRegistration INVALID_REGISTRATION stop Nothing "the controller refused the broker's registration";
    120 TransactionAbortable TRANSACTION_ABORTABLE stop Nothing "the transaction failed; abort it and go on";
    121 InvalidRecordState INVALID_RECORD_STATE stop Nothing "the share group's record cannot be acknowledged in its present state";
    122 ShareSessionNotFound SHARE_SESSION_NOT_FOUND retry ShareSession "the broker has forgotten the share session";
    123 InvalidShareSessionEpoch INVALID_SHARE_SESSION_EPOCH retry ShareSession "the share session's epoch is not the expected one";
    124 FencedStateEpoch FENCED_STATE_EPOCH stop Nothing "the share group's state has moved on to another epoch";
    125 InvalidVoterKey INVALID_VOTER_KEY stop Nothing "the voter's key is not that of the replica";
    126 DuplicateVoter DUPLICATE_VOTER stop Nothing "the voter is in the set already";
    127 VoterNotFound VOTER_NOT_FOUND stop Nothing "the voter is not in the set";
    128 InvalidRegularExpression INVALID_REGULAR_EXPRESSION stop Nothing "the broker cannot parse the subscription's regular expression";
    129 RebootstrapRequired REBOOTSTRAP_REQUIRED stop Bootstrap "the client's view of the cluster is too old; start again from the bootstrap servers";
    130 StreamsInvalidTopology STREAMS_INVALID_TOPOLOGY stop Nothing "the streams topology is malformed";
    131 StreamsInvalidTopologyEpoch STREAMS_INVALID_TOPOLOGY_EPOCH stop Nothing "the topology epoch is not acceptable";
    132 StreamsTopologyFenced STREAMS_TOPOLOGY_FENCED stop Nothing "the group has moved on to a newer topology";
    133 ShareSessionLimitReached SHARE_SESSION_LIMIT_REACHED retry Nothing "the broker holds as many share sessions as it allows";
}

impl ErrorCode {
    /// Whether this is [`ErrorCode::None`]: success.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::None)
    }

    /// Success as `Ok`, anything else as `Err`.
    ///
    /// # Errors
    ///
    /// The code itself, unless it is [`ErrorCode::None`].
    pub const fn check(self) -> Result<(), Self> {
        if self.is_ok() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name(), self.code(), self.meaning())
    }
}

impl std::error::Error for ErrorCode {}

#[cfg(test)]
mod tests;
