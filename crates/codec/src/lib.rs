//! Kafka's primitives, generated messages, API version table and error codes.

#![forbid(unsafe_code)]
