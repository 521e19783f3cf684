//! The calls to the coordinators, and what can come of them.

use milena_codec::ErrorCode;

use super::{Complete, Identity, Level, OffsetsId, TopicPartition};

/// A call, to be answered exactly once. Ids ascend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What to ask of a coordinator. The driver adds the transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// To the transaction coordinator.
    InitProducerId {
        /// The identity whose epoch is to be raised: InitProducerId 3 or newer, else answer
        /// [`Reply::Unsupported`]; a bare request could fence the rightful owner. `None` for a new
        /// start, at any version.
        current: Option<Identity>,
        /// KIP-939, InitProducerId 6.
        enable_2pc: bool,
        /// KIP-939, InitProducerId 6.
        keep_prepared: bool,
    },
    /// To the transaction coordinator. Only at level V1.
    AddPartitions {
        /// The transaction's.
        identity: Identity,
        /// At least one, each once.
        partitions: Vec<TopicPartition>,
    },
    /// To the transaction coordinator. Only at level V1.
    AddOffsets {
        /// The transaction's.
        identity: Identity,
        /// Names the group.
        offsets: OffsetsId,
    },
    /// To the group's coordinator. At V1 version 4 at most.
    TxnOffsetCommit {
        /// The transaction's.
        identity: Identity,
        /// Names the group, its member and the offsets.
        offsets: OffsetsId,
        /// The transaction's.
        level: Level,
    },
    /// To the transaction coordinator. At V1 version 4 at most, at V2 5 at least.
    EndTxn {
        /// The transaction's.
        identity: Identity,
        /// Commit or abort.
        complete: Complete,
        /// The transaction's.
        level: Level,
    },
}

/// What came of a call.
///
/// If the coordinator could not be looked up because of an error that no time cures, such as a
/// missing authorisation, that error counts as the call's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// InitProducerId was answered.
    InitProducerId {
        /// The error code.
        error: ErrorCode,
        /// The identity, without an error.
        identity: Option<Identity>,
        /// The prepared transaction's, if there is one (KIP-939).
        ongoing: Option<Identity>,
    },
    /// AddPartitionsToTxn was answered, for each partition.
    AddPartitions(Vec<(TopicPartition, ErrorCode)>),
    /// AddOffsetsToTxn was answered.
    AddOffsets(ErrorCode),
    /// TxnOffsetCommit was answered, for each partition.
    TxnOffsetCommit(Vec<ErrorCode>),
    /// EndTxn was answered.
    EndTxn {
        /// The error code.
        error: ErrorCode,
        /// The next identity (EndTxn 5).
        next: Option<Identity>,
    },
    /// No answer will come.
    Lost {
        /// Whether any of it reached a socket, so that it may still be executed.
        sent: bool,
    },
    /// The broker does not have the version that the call needs. Nothing was sent.
    Unsupported,
}
