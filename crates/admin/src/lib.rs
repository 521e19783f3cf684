//! Administration: topics, configuration, the cluster.

#![forbid(unsafe_code)]
