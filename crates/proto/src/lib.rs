//! The sans-IO cores of the client.

#![forbid(unsafe_code)]
