//! Partitioners: murmur2, sticky.

#![forbid(unsafe_code)]
