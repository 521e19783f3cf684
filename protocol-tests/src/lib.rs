//! Golden bytes, differential tests and tests against a real Kafka.
