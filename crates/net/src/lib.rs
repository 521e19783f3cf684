//! The connection pool: DNS, TCP, TLS, SASL, lanes, buffers.

#![forbid(unsafe_code)]
