//! The producer: a thin driver over the cores.

#![forbid(unsafe_code)]
