//! The consumer: a thin driver over the cores.

#![forbid(unsafe_code)]
