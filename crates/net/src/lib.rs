//! The connection pool: DNS, TCP, TLS, SASL, lanes, buffers.
//!
//! [`Pool::call`] makes one attempt at one broker. Below it, each ([`Address`], [`Lane`]) has one
//! task that owns one socket, opens it when somebody needs it, and reads and writes it together;
//! work reaches that task through an [`Outbox`]. Everything from outside, such as time and
//! sockets, comes from an [`Environment`].
//!
//! - I1: every call ends by its deadline, whatever the peer does; a stalled peer delays only calls
//!   to itself.
//! - I2: an answer belongs to the oldest unanswered request of its socket, or the socket is closed.
//! - I3: `sent` in an error is false only if the broker cannot have received the whole request.
//! - I4: nothing is allocated from a length that the peer declared, beyond the credit of
//!   [`FetchBlocks`].
//! - I5: dropping a call's future leaves the socket sound.
//! - I6: no task outlives the last [`Pool`].
//!
//! Not for choosing a broker, retrying, or reading what an answer means.

#![forbid(unsafe_code)]

mod address;
mod address_map;
mod backoff;
mod call;
mod config;
mod connect_error;
mod connection;
mod env;
mod error;
mod lane;
mod limit;
mod load;
mod opening;
mod outbox;
mod pool;
mod tcp;
mod tls;
mod write;

pub use address::{Address, AddressError};
pub use address_map::{AddressMap, AddressMapError, Way};
pub use config::NetConfig;
pub use connect_error::{ConnectError, Stage};
pub use env::{
    BoxFuture, BoxedTransport, Clock, Connector, Environment, InlineOffload, Offload, Random,
    SeededRandom, SystemClock, SystemRandom, ThreadOffload, Transport,
};
pub use error::{CallError, Ledger, LostCause};
pub use lane::{Lane, LaneHandle};
pub use limit::Limit;
pub use load::Load;
pub use milena_proto::wire::{
    BlockPool, BrokerVersions, FetchBlocks, FetchedPart, Foreign, WireError,
};
pub use outbox::{Outbox, Outcome, Outgoing, Turn};
pub use pool::{Pool, Reply};
pub use tcp::{Resolver, SystemResolver, TcpConnector};
pub use tls::{TlsConfig, TlsConfigBuilder, TlsConfigError};

#[cfg(test)]
mod tests;
