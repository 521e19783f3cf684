//! What carries bytes between clients and the model: TCP and memory.

pub(crate) mod connection;
pub(crate) mod memory;
mod shared;
pub(crate) mod tcp;

pub(crate) use self::shared::Shared;
