//! A producer for programs without an async runtime.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use milena::{Client, Record, blocking};
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder().bootstrap("localhost:9092");
//! let producer = blocking::producer(client, |producer| producer.batch_records(1_000))?;
//! let receipt = producer.send(Record::to("orders").key("k").value("v"))?;
//! println!("written at offset {:?}", receipt.wait()?.offset);
//! producer.close(Duration::from_secs(10))?;
//! # Ok(())
//! # }
//! ```
//!
//! It has a thread of its own, which also keeps the client. Not for consumers so far.

use thiserror::Error;

use crate::client::ClientBuilder;
use crate::error::ConnectError;
use crate::producer::{BuildProducerError, ProducerBuilder};

pub use milena_producer::blocking::{
    FlushError, InsideRuntime, Producer, Receipt, SendError, StartError, WaitError,
};

/// Why there is no connected producer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProducerError {
    /// The client did not connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The producer was not built.
    #[error(transparent)]
    Build(#[from] BuildProducerError),
}

/// Connects a client in a thread of its own, and builds a producer there, with the settings that
/// `configure` makes. Blocks until it is connected.
///
/// # Errors
/// [`StartError`]: called inside an async runtime, no thread, not connected, or not built.
pub fn producer(
    client: ClientBuilder,
    configure: impl FnOnce(ProducerBuilder) -> ProducerBuilder + Send + 'static,
) -> Result<Producer, StartError<ProducerError>> {
    Producer::start(|| async move {
        let client = client.connect().await?;
        let producer = configure(client.producer()).build().await?;
        Ok((producer, client))
    })
}
