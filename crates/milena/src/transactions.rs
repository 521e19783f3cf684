//! Transactional producers, and building them.
//!
//! ```no_run
//! use milena::{Client, ConsumedOffset, GroupMetadata, Record};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("localhost:9092").await?;
//! let producer = client.producer().transactional_id("billing-1").build().await?;
//!
//! let transaction = producer.begin().await?;
//! transaction.send(Record::to("invoices").value("v")).await?;
//! let read = [ConsumedOffset::new("orders", 0, 42)];
//! transaction.send_offsets(GroupMetadata::new("billing"), read).await?;
//! transaction.commit().await?;
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use thiserror::Error;

use crate::settings::{SettingError, Settings, put};
use crate::{BuildProducerError, ProducerBuilder, ProducerConfig};

pub use milena_producer::{
    AbortError, BeginError, CommitError, Complete, ConsumedOffset, GroupMetadata, OffsetsError,
    PreparedTransaction, Token, Transaction, TransactionCause, TransactionConfig,
    TransactionalProducer,
};

/// Settings of a [`TransactionalProducer`] to be. Made by
/// [`ProducerBuilder::transactional_id`].
#[derive(Clone, Debug)]
#[must_use = "a producer is made by build()"]
pub struct TransactionalProducerBuilder {
    producer: ProducerBuilder,
    transactions: Transactions,
}

/// Why a transactional producer was not built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildTransactionalError {
    /// A setting does not fit, or settings contradict each other.
    #[error(transparent)]
    Producer(#[from] BuildProducerError),
    /// It could not be initialised, for example for lack of an authorisation.
    #[error(transparent)]
    Begin(#[from] BeginError),
}

/// What was set here, on top of the client's settings.
#[derive(Clone, Debug)]
struct Transactions {
    id: milena_codec::Str,
    timeout: Option<Duration>,
    two_phase_commit: Option<bool>,
}

impl ProducerBuilder {
    /// `transactional.id`: its records belong to transactions then (KIP-98). The id names the
    /// producer across restarts; whoever initialises it last fences the others.
    pub fn transactional_id(
        self,
        id: impl Into<milena_codec::Str>,
    ) -> TransactionalProducerBuilder {
        TransactionalProducerBuilder {
            producer: self,
            transactions: Transactions {
                id: id.into(),
                timeout: None,
                two_phase_commit: None,
            },
        }
    }
}

impl TransactionalProducerBuilder {
    /// `transaction.timeout.ms`: how long a transaction may be open before its coordinator aborts
    /// it. Default 1 min.
    pub fn transaction_timeout(mut self, timeout: Duration) -> Self {
        self.transactions.timeout = Some(timeout);
        self
    }

    /// `transaction.two.phase.commit.enable` (KIP-939, unstable): transactions never time out and can
    /// be prepared. Default off.
    pub fn two_phase_commit(mut self, on: bool) -> Self {
        self.transactions.two_phase_commit = Some(on);
        self
    }

    /// The producer, initialised: others with its transactional id are fenced, and what they left
    /// open is aborted. Takes `max.block.ms` at most.
    ///
    /// # Errors
    /// [`BuildTransactionalError`].
    ///
    /// # Cancel safety
    /// Dropping the future may leave the id initialised.
    pub async fn build(self) -> Result<TransactionalProducer, BuildTransactionalError> {
        let producer = self.build_uninitialised()?;
        producer.init().await?;
        Ok(producer)
    }

    /// As [`build`](Self::build), but asks nothing of the brokers yet: for
    /// [`TransactionalProducer::resume`] with a token of an earlier process.
    ///
    /// # Errors
    /// [`BuildProducerError`].
    pub fn build_uninitialised(self) -> Result<TransactionalProducer, BuildProducerError> {
        let (cluster, settings, config) = self.producer.into_parts()?;
        let mut transactions = settings.transactions(self.transactions.id)?;
        put(
            &mut transactions.transaction_timeout,
            self.transactions.timeout,
        );
        put(
            &mut transactions.two_phase_commit,
            self.transactions.two_phase_commit,
        );
        Ok(TransactionalProducer::new(cluster, config, &transactions)?)
    }
}

impl Settings {
    fn transactions(&self, id: milena_codec::Str) -> Result<TransactionConfig, SettingError> {
        let mut config = TransactionConfig::new(id);
        put(
            &mut config.transaction_timeout,
            self.millis("transaction.timeout.ms")?,
        );
        put(
            &mut config.two_phase_commit,
            self.boolean("transaction.two.phase.commit.enable")?,
        );
        Ok(config)
    }
}

/// As [`ProducerBuilder`] leaves its settings.
pub(crate) type Parts = (
    milena_rpc::Cluster,
    std::sync::Arc<Settings>,
    ProducerConfig,
);
