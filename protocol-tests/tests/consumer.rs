//! The consumer against the embedded broker, in memory and on a paused clock.

#[path = "consumer/cancel.rs"]
mod cancel;
#[path = "consumer/data_path.rs"]
mod data_path;
#[path = "consumer/faults.rs"]
mod faults;
#[path = "consumer/reading.rs"]
mod reading;
#[path = "consumer/world.rs"]
mod world;
