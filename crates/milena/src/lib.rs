//! An Apache Kafka client in pure Rust.

#![forbid(unsafe_code)]
