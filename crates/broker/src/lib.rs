//! An embedded Kafka broker that any client can talk to.

#![forbid(unsafe_code)]
