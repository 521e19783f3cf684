//! Versions are capped by more than the brokers' ranges: by stability, by what is known of
//! transactions, by the client's role and by what a request has to name.
//!
//! A version that a broker does not support closes the connection with everything on it, and one
//! that it supports but that means something else does worse; so the cap is decided here, once.

use milena_codec::{ApiKey, VersionRange};

/// What a request's version depends on, besides what both sides can read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapContext {
    /// The transaction that the request belongs to, if any.
    pub transaction: Option<TransactionLevel>,
    /// Some topic named in the request has no known id, or is named by its name only.
    pub topic_id_unknown: bool,
    /// Use versions whose form is not final; only brokers set up for it accept them.
    pub unstable: bool,
}

/// The finalized level of the cluster feature `transaction.version` (KIP-890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionLevel {
    /// Below 2, or not finalized: partitions are added to the transaction explicitly.
    One,
    /// 2 or above: the epoch rises with each transaction.
    Two,
}

/// The versions of `key` that a client may use in `context`.
pub fn cap(key: ApiKey, context: CapContext) -> VersionRange {
    let range = if context.unstable {
        key.versions()
    } else {
        key.stable_versions()
    };
    let limits = [
        by_role(key),
        by_transaction(key, context.transaction),
        by_topic_ids(key, context.topic_id_unknown),
    ];
    let max = limits.into_iter().flatten().fold(range.max, i16::min);
    VersionRange::new(range.min, max)
}

/// From version 4 on, AddPartitionsToTxn is for brokers (KIP-890).
fn by_role(key: ApiKey) -> Option<i16> {
    (key == ApiKey::AddPartitionsToTxn).then_some(3)
}

/// Newer versions promise the rules of `transaction.version` 2.
fn by_transaction(key: ApiKey, level: Option<TransactionLevel>) -> Option<i16> {
    match (level, key) {
        (Some(TransactionLevel::One), ApiKey::Produce) => Some(11),
        (Some(TransactionLevel::One), ApiKey::TxnOffsetCommit | ApiKey::EndTxn) => Some(4),
        _ => None,
    }
}

/// Newer versions name topics by id only (KIP-516).
fn by_topic_ids(key: ApiKey, unknown: bool) -> Option<i16> {
    match key {
        ApiKey::Produce | ApiKey::Fetch if unknown => Some(12),
        ApiKey::OffsetCommit | ApiKey::OffsetFetch if unknown => Some(9),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
