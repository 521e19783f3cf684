//! What the tests of the client run against when a run has to be replayable from a seed: dice,
//! virtual time, fault plans, models of what is outside, and checkers of what came out.
//!
//! | module | what |
//! |---|---|
//! | [`dice`] | all chance of a run, from its seed |
//! | [`clock`] | time that moves only when told |
//! | [`plan`] | which faults come how often in a run |
//! | [`trace`] | what happened, as a hash that two runs of a seed share |
//! | [`history`] | what a producer was told, and whether the log agrees |
//! | [`partition_log`] | a partition of a broker: its rules for idempotent producers |
//! | [`wire`] | connections that are cut, and requests that run late |
//! | [`world`] | `Sequencer`s, partitions and connections, driven by a plan |
//! | [`transaction`] | the same for `Transactions`: coordinators, markers, processes that take over |
//!
//! Only for tests: no crate but those for development may depend on it.

#![forbid(unsafe_code)]

pub mod clock;
pub mod dice;
pub mod history;
pub mod partition_log;
pub mod plan;
pub mod trace;
pub mod transaction;
pub mod wire;
pub mod world;

pub use clock::Clock;
pub use dice::Dice;
pub use history::History;
pub use plan::Plan;
pub use trace::Trace;
