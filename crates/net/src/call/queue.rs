//! The calls of one lane that wait for the socket or for an answer.
//!
//! Bound: as many waiting calls as `max_queued`; further callers wait, in order, for a place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use milena_codec::ApiKey;
use milena_codec::frame::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::lane::Ended;
use crate::{ConnectError, LostCause, Outbox, Outcome, Outgoing, Turn};

/// Where the correlation id is in a request: behind its size, key and version.
const CORRELATION_ID: std::ops::Range<usize> = 8..12;

/// An encoded call.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) frame: Frame,
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) deadline: Instant,
    pub(crate) expects_answer: bool,
    pub(crate) caller: Caller,
    /// Its place in the queue, given back when the socket takes it.
    pub(crate) place: OwnedSemaphorePermit,
}

/// The way back to who called.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) reply: oneshot::Sender<Result<Outcome, Failed>>,
    pub(crate) phase: Arc<Mutex<Phase>>,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Waiting,
    /// The caller has gone before the socket took the request: it must not be sent.
    Cancelled,
    Taken,
    Written(Instant),
}

/// What fails a call before the socket takes it.
#[derive(Clone, Debug)]
pub(crate) enum Failed {
    Unreachable(ConnectError),
    Ended(Ended),
}

#[derive(Debug)]
pub(crate) struct CallQueue {
    state: Mutex<State>,
    places: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Ticket>,
    taken: BTreeMap<u64, Caller>,
    next_token: u64,
    refused: Option<Ended>,
}

impl CallQueue {
    pub(crate) fn new(max_queued: usize) -> Self {
        Self {
            state: Mutex::default(),
            places: Arc::new(Semaphore::new(max_queued.clamp(1, Semaphore::MAX_PERMITS))),
        }
    }

    /// Waits for a place. `None` once the lane has ended.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    pub(crate) fn push(&self, ticket: Ticket) -> Result<(), Ended> {
        let mut state = self.state();
        if let Some(why) = state.refused {
            return Err(why);
        }
        state.waiting.push_back(ticket);
        Ok(())
    }

    /// How many calls wait for the socket.
    pub(crate) fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Accepts no more calls.
    pub(crate) fn refuse(&self, why: Ended) {
        self.state().refused.get_or_insert(why);
        self.places.close();
    }

    /// Fails whatever is still there.
    pub(crate) fn end(&self, why: Ended) {
        self.refuse(why);
        let mut state = self.state();
        let waiting = std::mem::take(&mut state.waiting);
        let taken = std::mem::take(&mut state.taken);
        drop(state);
        for ticket in waiting {
            ticket.caller.answer(Err(Failed::Ended(why)));
        }
        for caller in taken.into_values() {
            let cause = match why {
                Ended::Failed => LostCause::TaskFailed,
                Ended::Closed | Ended::Forgotten => LostCause::Forgotten,
            };
            let sent = true; // I3: nobody knows any more
            caller.answer(Ok(Outcome::Lost { sent, cause }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox for CallQueue {
    fn has_work(&self) -> bool {
        let mut state = self.state();
        state.waiting.retain(|ticket| !ticket.caller.is_gone());
        !state.waiting.is_empty()
    }

    fn take(&self, turn: &Turn<'_>) -> Option<Outgoing> {
        let mut state = self.state();
        loop {
            let ticket = state.waiting.pop_front()?;
            let range = turn.versions.range(ticket.key);
            if !range.is_some_and(|range| range.contains(ticket.version)) {
                ticket.caller.answer(Ok(Outcome::Lost {
                    sent: false,
                    cause: LostCause::VersionGone,
                }));
                continue;
            }
            if ticket.deadline <= turn.now || !ticket.caller.take() {
                continue;
            }
            let token = state.next_token;
            state.next_token += 1;
            state.taken.insert(token, ticket.caller);
            drop(ticket.place);
            return Some(Outgoing {
                segments: stamp(ticket.frame.segments, turn.correlation_id),
                key: ticket.key,
                version: ticket.version,
                deadline: ticket.deadline,
                expects_answer: ticket.expects_answer,
                token,
            });
        }
    }

    fn finish(&self, token: u64, outcome: Outcome) {
        let caller = self.state().taken.remove(&token);
        if let Some(caller) = caller {
            caller.answer(Ok(outcome));
        }
    }

    fn written(&self, token: u64, now: Instant) {
        if let Some(caller) = self.state().taken.get(&token) {
            *caller.phase() = Phase::Written(now);
        }
    }

    fn unreachable(&self, cause: &ConnectError) {
        let waiting = std::mem::take(&mut self.state().waiting);
        for ticket in waiting {
            ticket
                .caller
                .answer(Err(Failed::Unreachable(cause.clone())));
        }
    }
}

impl Caller {
    /// Marks the request as taken, unless the caller has gone.
    fn take(&self) -> bool {
        let mut phase = self.phase();
        if *phase == Phase::Waiting && !self.reply.is_closed() {
            *phase = Phase::Taken;
            return true;
        }
        false
    }

    fn is_gone(&self) -> bool {
        self.reply.is_closed()
    }

    /// A caller that has gone does not get its answer, and that is all right: I5.
    fn answer(self, result: Result<Outcome, Failed>) {
        drop(self.reply.send(result));
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts the correlation id into the first segment, which holds the header and is the frame's own.
fn stamp(mut segments: Vec<Bytes>, correlation_id: i32) -> Vec<Bytes> {
    if let Some(first) = segments.first_mut() {
        let mut head = std::mem::take(first)
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        if let Some(place) = head.get_mut(CORRELATION_ID) {
            place.copy_from_slice(&correlation_id.to_be_bytes());
        }
        *first = head.freeze();
    }
    segments
}

#[cfg(test)]
mod tests;
