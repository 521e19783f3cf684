//! The milena command line.

#![forbid(unsafe_code)]

fn main() {}
