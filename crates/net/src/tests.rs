//! The pool against scripted peers, in memory, on a paused clock.

mod calls;
mod hostile;
mod lifecycle;
mod opening;
mod outboxes;
mod parts;
mod peer;
mod real;
mod routes;
mod sasl;
mod throttle;
#[cfg(feature = "tls-ring")]
mod tls;
