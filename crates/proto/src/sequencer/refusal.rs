//! What each error code says of an idempotent or plain Produce: was the batch refused before the
//! append, or may it have been written?
//!
//! A code that is not listed counts as `Maybe`: fates may be vague, never wrong.

use milena_codec::ErrorCode;

use super::{Acks, Answer};

/// What an error code means for the attempt that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Refused before the append.
    Definite { retriable: bool },
    /// Refused before the append, for its size.
    TooLarge,
    /// It may have been appended.
    Maybe { retriable: bool },
    /// Refused, as the broker's state of the producer does not fit the stamp.
    State,
}

pub(super) fn of(answer: &Answer, acks: Acks, idempotent: bool) -> Refusal {
    let retriable = answer.error.is_retriable();
    match answer.error {
        ErrorCode::OutOfOrderSequenceNumber
        | ErrorCode::UnknownProducerId
        | ErrorCode::InvalidProducerEpoch
            if idempotent =>
        {
            Refusal::State
        }
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => Refusal::TooLarge,
        ErrorCode::CorruptMessage
        | ErrorCode::InvalidRecord
        | ErrorCode::InvalidTimestamp
        | ErrorCode::UnsupportedForMessageFormat
        | ErrorCode::UnsupportedCompressionType
        | ErrorCode::TopicAuthorizationFailed
        | ErrorCode::ClusterAuthorizationFailed
        | ErrorCode::TransactionalIdAuthorizationFailed
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::ConcurrentTransactions
        | ErrorCode::InvalidRequiredAcks
        | ErrorCode::InvalidRequest
        | ErrorCode::InvalidTopicException
        | ErrorCode::UnsupportedVersion
        | ErrorCode::PolicyViolation
        | ErrorCode::ProducerFenced
        | ErrorCode::InvalidTxnState
        | ErrorCode::InvalidProducerIdMapping
        | ErrorCode::TransactionAbortable
        | ErrorCode::OutOfOrderSequenceNumber
        | ErrorCode::UnknownProducerId
        | ErrorCode::InvalidProducerEpoch => Refusal::Definite { retriable },
        // Ids are resolved before the append, and only Apache's brokers (4.1) take them in Produce:
        // there, no offset means no append.
        ErrorCode::UnknownTopicId | ErrorCode::InconsistentTopicId if answer.base_offset < 0 => {
            Refusal::Definite { retriable }
        }
        // While it waits for replicas, a broker may lose the partition after the append.
        ErrorCode::NotLeaderOrFollower
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::UnknownTopicId
        | ErrorCode::LeaderNotAvailable
            if acks != Acks::All =>
        {
            Refusal::Definite { retriable }
        }
        _ => Refusal::Maybe { retriable },
    }
}
