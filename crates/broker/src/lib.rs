//! An embedded Kafka broker that any client can talk to.
//!
//! [`Broker`] is a cluster of any number of nodes in this process, reached over TCP or in memory:
//!
//! ```no_run
//! # async fn example() -> Result<(), milena_broker::StartError> {
//! let broker = milena_broker::Broker::builder()
//!     .nodes(3)
//!     .listen("127.0.0.1:0")
//!     .topic("orders", 6)
//!     .start()
//!     .await?;
//! println!("bootstrap.servers={}", broker.bootstrap());
//! # Ok(())
//! # }
//! ```
//!
//! Behind it stands [`ClusterModel`], the same cluster as a value: synchronous, deterministic,
//! with time as an argument. Answers follow Apache Kafka 4.3.1.
//!
//! Not here yet: groups with members, access control, TLS and SASL. APIs that are not carried out
//! are not advertised.

#![forbid(unsafe_code)]

mod api;
mod broker;
mod front;
mod model;
#[cfg(test)]
mod testing;

pub use self::broker::{Broker, BrokerBuilder, StartError};
pub use self::model::fault::{FaultPlan, RequestInfo, Verdict};
pub use self::model::profile::KafkaVersion;
pub use self::model::settings::{ClusterSettings, NodeAddress};
pub use self::model::{
    AdminError, ClusterModel, ConnectionId, Fate, LogRecord, Outcome, RequestRecord,
    TransactionInfo, TransactionState,
};
