//! Typed calls: route, version, deadline, retry.

#![forbid(unsafe_code)]
