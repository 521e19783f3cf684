//! Apache Kafka in pure Rust: one [`Client`] handle, and producers, consumers and administration made
//! from it.
//!
//! ```no_run
//! use milena::{Client, Record, Start};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("localhost:9092").await?;
//!
//! let producer = client.producer().build().await?;
//! let receipt = producer.send(Record::to("orders").key("k").value("v")).await?;
//! println!("written at offset {:?}", receipt.await?.offset);
//!
//! let mut consumer = client.consumer().topics(["orders"]).from(Start::Beginning).build().await?;
//! while let Some(batch) = consumer.next_batch().await? {
//!     for record in &batch {
//!         println!("{}: {:?}", record.offset, record.value);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Settings
//! Builders have typed methods for the settings most programs need, and [`settings::Settings`] reads
//! all of them by Kafka's own names. Defaults are those of Kafka's Java client except where the
//! documentation of a setting says so.
//!
//! # Runtime
//! Everything runs on the tokio runtime it is called from. No thread is blocked, and dropping anything
//! never waits.
//!
//! Programs without a runtime have [`blocking`].
//!
//! # Tests without Kafka
//! With the feature `mock`, `Client::connect("mock://NAME")` starts an embedded broker inside the
//! process, or joins the one of that name.

#![forbid(unsafe_code)]

pub mod blocking;
mod client;
mod consumer;
mod error;
mod producer;
pub mod settings;
mod transactions;

/// The partitioners of other clients, and one's own.
pub mod partitioner {
    pub use milena_producer::{
        FranzGo, KafkaJs, Librdkafka, Partitioner, Partitioning, Partitions, Sarama,
    };
}

pub use milena_admin as admin;
pub use milena_auth as auth;
pub use milena_codec::{ErrorCode, Str, Uuid};
pub use milena_net::{
    Address, AddressMap, AddressMapError, CallError as NetCallError, Connector, Environment,
    TlsConfig, TlsConfigBuilder, Way,
};
pub use milena_records::{Header, Headers, TimestampType};
pub use milena_rpc::{
    AutoCreate, CallError, Cluster, ClusterEvent, ConnectClusterError, RebootstrapReason,
    TopicError,
};

#[cfg(feature = "mock")]
pub use milena_broker as broker;

pub use self::client::{Client, ClientBuilder};
pub use self::consumer::*;
pub use self::error::ConnectError;
pub use self::producer::*;
pub use self::transactions::{
    AbortError, BeginError, BuildTransactionalError, CommitError, Complete, ConsumedOffset,
    GroupMetadata, OffsetsError, PreparedTransaction, Token, Transaction, TransactionCause,
    TransactionConfig, TransactionalProducer, TransactionalProducerBuilder,
};
