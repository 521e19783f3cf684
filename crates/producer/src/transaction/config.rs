//! The settings of transactions.

use std::time::Duration;

use milena_codec::Str;

use crate::{Acks, ConfigError, ProducerConfig};

/// How a [`TransactionalProducer`](super::TransactionalProducer) runs its transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionConfig {
    /// `transactional.id`: names this producer across restarts. Whoever initialises it last fences
    /// the others.
    pub transactional_id: Str,
    /// `transaction.timeout.ms`: how long a transaction may be open before its coordinator aborts
    /// it. Default 1 min; brokers allow up to `transaction.max.timeout.ms`, 15 min by default.
    pub transaction_timeout: Duration,
    /// `transaction.two.phase.commit.enable` (KIP-939, unstable): transactions never time out at the
    /// broker and can be prepared. Brokers need `unstable.api.versions.enable`. Default off.
    pub two_phase_commit: bool,
}

impl TransactionConfig {
    /// The defaults for this transactional id.
    pub fn new(transactional_id: impl Into<Str>) -> Self {
        Self {
            transactional_id: transactional_id.into(),
            transaction_timeout: Duration::from_secs(60),
            two_phase_commit: false,
        }
    }

    /// Checks the settings, also against the producer's.
    ///
    /// # Errors
    /// [`ConfigError`], which names the settings at odds.
    pub fn validate(&self, producer: &ProducerConfig) -> Result<(), ConfigError> {
        producer.validate()?;
        if self.transactional_id.is_empty() {
            return Err(ConfigError::Missing {
                setting: "transactional_id (transactional.id)",
            });
        }
        if producer.acks != Acks::All || !producer.is_idempotent() {
            return Err(ConfigError::TransactionsNeedIdempotence);
        }
        let millis = i32::try_from(self.transaction_timeout.as_millis());
        if self.transaction_timeout.is_zero() || millis.is_err() {
            return Err(ConfigError::TooSmall {
                larger: "transaction_timeout",
                smaller: "1 ms, and at most 24 days",
                minimum: "1ms".to_owned(),
                given: format!("{:?}", self.transaction_timeout),
            });
        }
        Ok(())
    }
}
