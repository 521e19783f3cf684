//! SASL mechanisms as state machines, and secrets.

#![forbid(unsafe_code)]
