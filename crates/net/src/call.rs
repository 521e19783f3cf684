//! One request and its answer: the caller's side, and the outbox that carries it to the socket.

mod attempt;
mod queue;

pub(crate) use self::attempt::Attempt;
pub(crate) use self::queue::CallQueue;
