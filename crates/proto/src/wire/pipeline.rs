//! The unanswered requests of one connection, oldest first.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use milena_codec::{ApiKey, frame};

use super::WireError;
use super::error::ApiKeyName;

/// Hands out correlation ids and says which request an answer belongs to.
///
/// A request has a deadline by which its call is abandoned; its place in the queue stays until the
/// answer comes. Only the oldest request can take the connection with it, when its own patience
/// ends: that is its deadline, or, if it was abandoned while older ones were unanswered, the same
/// time once more from when it became the oldest.
#[derive(Debug)]
pub struct Pipeline {
    next_id: i32,
    max: usize,
    queue: VecDeque<Waiting>,
    muted_until: Option<Instant>,
}

/// A request as it was handed to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// On the wire, and the request's name here.
    pub correlation_id: i32,
    /// Its API.
    pub key: ApiKey,
    /// Its version, and that of its answer.
    pub version: i16,
}

/// An answer with its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it answers.
    pub request: Sent,
    /// Whether the request's deadline had passed, so that nobody waits for it.
    pub abandoned: bool,
    /// The answer without its header.
    pub body: Bytes,
}

/// What a passed deadline does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The call has failed; the connection goes on.
    Abandon(Sent),
    /// The oldest request got no answer in time: close the connection. It stays in the queue, for
    /// [`Pipeline::poll_lost`].
    Close(Sent),
}

#[derive(Debug)]
struct Waiting {
    request: Sent,
    sent_at: Instant,
    deadline: Instant,
    /// When, being the oldest, it takes the connection with it.
    patience: Instant,
    abandoned: bool,
}

impl Pipeline {
    /// A pipeline of at most `max` unanswered requests, at least one, whose first correlation id
    /// is `first_id`.
    pub fn new(first_id: i32, max: usize) -> Self {
        Self {
            next_id: first_id,
            max: max.max(1),
            queue: VecDeque::new(),
            muted_until: None,
        }
    }

    /// Whether another request may be sent now.
    pub fn has_room(&self, now: Instant) -> bool {
        self.queue.len() < self.max && self.muted_until.is_none_or(|until| until <= now)
    }

    /// The requests that were sent and have not been answered.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether every request has been answered.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The correlation id of the next request.
    pub fn next_id(&self) -> i32 {
        self.next_id
    }

    /// Takes note of a request with the id [`next_id`](Self::next_id). One without an answer
    /// (acks=0) uses up an id and is forgotten.
    pub fn handle_sent(
        &mut self,
        key: ApiKey,
        version: i16,
        expects_answer: bool,
        now: Instant,
        deadline: Instant,
    ) -> Sent {
        let request = Sent {
            correlation_id: self.next_id,
            key,
            version,
        };
        self.next_id = self.next_id.checked_add(1).unwrap_or(0);
        if expects_answer {
            self.queue.push_back(Waiting {
                request,
                sent_at: now,
                deadline,
                patience: deadline,
                abandoned: false,
            });
        }
        request
    }

    /// Sends nothing before `until`, because the broker does not read before that (KIP-219): the
    /// deadlines of what is on its way move by as much.
    pub fn mute(&mut self, now: Instant, until: Instant) {
        let until = self.muted_until.map_or(until, |old| old.max(until));
        let from = self.muted_until.map_or(now, |old| old.max(now));
        let more = until.saturating_duration_since(from);
        self.muted_until = Some(until);
        for waiting in &mut self.queue {
            waiting.patience = waiting.patience.checked_add(more).unwrap_or(until);
            if !waiting.abandoned {
                waiting.deadline = waiting.deadline.checked_add(more).unwrap_or(until);
            }
        }
    }

    /// When the oldest unanswered request was sent.
    pub fn oldest_sent_at(&self) -> Option<Instant> {
        self.queue.front().map(|waiting| waiting.sent_at)
    }

    /// Takes a frame, which must answer the oldest request.
    ///
    /// # Errors
    ///
    /// Any error means that the connection has to be closed.
    pub fn handle_frame(&mut self, frame: Bytes, now: Instant) -> Result<Answer, WireError> {
        let oldest = self.queue.front().ok_or(WireError::Unexpected)?;
        let request = oldest.request;
        let abandoned = oldest.abandoned;
        let (found, body) = frame::read_response(frame, request.key, request.version)?;
        if found != request.correlation_id {
            return Err(WireError::Correlation {
                api: ApiKeyName(request.key),
                expected: request.correlation_id,
                found,
            }); // I1
        }
        self.queue.pop_front();
        if let Some(next) = self.queue.front_mut().filter(|next| next.abandoned) {
            let allotted = next.deadline.saturating_duration_since(next.sent_at);
            let again = now.checked_add(allotted).unwrap_or(now);
            next.patience = next.patience.max(again);
        }
        Ok(Answer {
            request,
            abandoned,
            body,
        })
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do, or a throttle ends.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = self.queue.iter().filter(|waiting| !waiting.abandoned);
        let oldest = self.queue.front().map(|waiting| waiting.patience);
        deadlines
            .map(|waiting| waiting.deadline)
            .chain(oldest)
            .chain(self.muted_until)
            .min()
    }

    /// The next consequence of the time being `now`; call until `None`, or until it says to close.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Expiry> {
        if self.muted_until.is_some_and(|until| until <= now) {
            self.muted_until = None;
        }
        if let Some(oldest) = self.queue.front().filter(|oldest| oldest.patience <= now) {
            return Some(Expiry::Close(oldest.request));
        }
        let late = |waiting: &&mut Waiting| !waiting.abandoned && waiting.deadline <= now;
        let waiting = self.queue.iter_mut().find(late)?;
        waiting.abandoned = true;
        Some(Expiry::Abandon(waiting.request))
    }

    /// After the connection has ended: the oldest request without an answer, and whether somebody
    /// still waits for it. Call until `None`.
    pub fn poll_lost(&mut self) -> Option<(Sent, bool)> {
        let waiting = self.queue.pop_front()?;
        Some((waiting.request, !waiting.abandoned)) // I4
    }
}

#[cfg(test)]
mod tests;
