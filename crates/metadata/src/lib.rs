//! Immutable cluster snapshots and who needs what.

#![forbid(unsafe_code)]
