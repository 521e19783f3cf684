//! The sans-IO cores of the client.

#![forbid(unsafe_code)]

pub mod backoff;
pub mod fetch_session;
pub mod position;
pub mod sequence;
pub mod wire;
