//! The `milena` binary as its users meet it: real processes, the embedded broker as one of them.

#![allow(clippy::disallowed_methods, reason = "processes run in real time")]

mod bad_input;
mod bench;
mod consume;
mod help;
mod interrupt;
mod produce;
mod settings;
mod support;
mod topic;
