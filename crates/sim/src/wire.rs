//! Connections: requests wait in order at the broker, and what it received before a cut may still
//! run long after it.

use std::collections::VecDeque;

/// A connection to one node.
#[derive(Clone, Debug)]
pub struct Connection<Request, Answer> {
    /// The node it leads to.
    pub node: i32,
    /// Whether the client still has it.
    pub open: bool,
    /// Received and not executed.
    pub received: VecDeque<Request>,
    /// Answered and not read by the client.
    pub answers: VecDeque<Answer>,
}

impl<Request, Answer> Connection<Request, Answer> {
    /// A new connection.
    #[must_use]
    pub const fn new(node: i32) -> Self {
        Self {
            node,
            open: true,
            received: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    /// The client loses it. Of what it sent, the broker has received so many requests, and will
    /// execute them; nothing will be answered.
    pub fn cut(&mut self, received: usize) {
        self.open = false;
        self.received.truncate(received);
        self.answers.clear();
    }

    /// Whether nothing can come of it any more.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        !self.open && self.received.is_empty()
    }
}
