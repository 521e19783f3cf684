//! An open connection: reads and writes together, until it ends.

mod reading;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use milena_codec::ApiKey;
use milena_proto::wire::{
    BrokerVersions, Expiry, FetchBlocks, FrameReader, Opened, Pipeline, Sent, WireError,
};
use tokio::time::Sleep;
use tracing::debug;

use super::behind;
use crate::lane::{Ended, LaneShared};
use crate::pool::PoolShared;
use crate::write::Writer;
use crate::{BoxedTransport, LostCause, Outbox, Outcome, Outgoing, Turn};

/// Requests are taken while fewer bytes than this wait for the transport.
const HIGH_WATER: usize = 256 * 1024;
/// Rounds of reading and writing before other tasks get their turn.
const ROUNDS: usize = 16;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// Unused for the configured time.
    Idle,
    /// The broker closed it while it was unused, which brokers do.
    PeerIdle,
    /// The login is about to expire (KIP-368); the next connection logs in anew.
    SessionEnding,
    /// The lane was stopped.
    Stopped,
    Lost(LostCause),
}

/// The state of an open connection.
pub(super) struct Running<'a> {
    lane: &'a LaneShared,
    pool: &'a PoolShared,
    transport: BoxedTransport,
    reader: FrameReader,
    writer: Writer,
    versions: Arc<BrokerVersions>,
    pipeline: Pipeline,
    /// What is in the pipeline, in the same order.
    routes: VecDeque<Route>,
    /// What has not been written to its end, in order.
    unwritten: VecDeque<Unwritten>,
    outboxes: Vec<Arc<dyn Outbox>>,
    /// Which outbox's turn it is; the lane's own calls are number zero.
    turn: usize,
    used_at: Instant,
    session_ends: Option<Instant>,
    answered: bool,
    /// The request that took the connection with it.
    unanswered: Option<Sent>,
    sleep: Pin<Box<Sleep>>,
}

/// Whose request it is. The lane's own calls have no outbox of their own.
#[derive(Debug)]
struct Owner {
    outbox: Option<Arc<dyn Outbox>>,
    token: u64,
}

#[derive(Debug)]
struct Route {
    request: Sent,
    owner: Owner,
    end: u64,
    /// Until the reader has them.
    blocks: Option<FetchBlocks>,
    /// Whether its owner was told that its time is up.
    abandoned: bool,
}

#[derive(Debug)]
struct Unwritten {
    owner: Owner,
    key: ApiKey,
    end: u64,
    deadline: Instant,
    expects_answer: bool,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        lane: &'a LaneShared,
        pool: &'a PoolShared,
        transport: BoxedTransport,
        reader: FrameReader,
        opened: Opened,
    ) -> Self {
        let now = pool.env.now();
        Self {
            lane,
            pool,
            transport,
            reader,
            writer: Writer::default(),
            versions: opened.versions,
            pipeline: Pipeline::new(opened.next_id, pool.config.max_in_flight),
            routes: VecDeque::new(),
            unwritten: VecDeque::new(),
            outboxes: Vec::new(),
            turn: 0,
            used_at: now,
            session_ends: opened
                .session_lifetime_ms
                .and_then(|lifetime| now.checked_add(early(lifetime, pool.env.random.next_u64()))),
            answered: false,
            unanswered: None,
            sleep: Box::pin(tokio::time::sleep_until(now.into())),
        }
    }

    /// Whether the broker has answered anything since the opening.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }

    /// Moves what can be moved; ready when the connection has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match self.poll_end(cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(self.explain(end)),
        }
    }

    /// A listener that asks for a login tells its versions to anyone, and then says nothing.
    fn explain(&self, end: End) -> End {
        let login = self.pool.config.credentials.is_some();
        match end {
            End::Lost(LostCause::PeerClosed) if !self.answered && !login => {
                End::Lost(LostCause::ClosedUnanswered)
            }
            end => end,
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        self.lane.waker.register(cx.waker());
        let stop = self.obey();
        if stop == Some(Ended::Forgotten) {
            return Err(End::Stopped);
        }
        for _ in 0..ROUNDS {
            // One reading of the clock a round: what is read before a deadline counts as in time.
            let now = self.pool.env.now();
            let read = self.poll_read(cx, now)?;
            self.heed_mute(now); // what was read may throttle
            self.fill(now, stop);
            let written = self.poll_write(cx, now)?;
            self.expire(now)?;
            let oldest = self.pipeline.oldest_sent_at();
            self.lane.flights.note(self.pipeline.len(), oldest);
            if read || written {
                self.used_at = now;
                continue;
            }
            self.end_if_unused(now, stop)?;
            let Some(next) = self.next_timeout() else {
                return Ok(());
            };
            // A timer that is early costs less than moving it with every request.
            if self.sleep.is_elapsed() || self.sleep.deadline() > next.into() {
                self.sleep.as_mut().reset(next.into());
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Does what the lane's users ask for, and says whether to stop.
    fn obey(&mut self) -> Option<Ended> {
        let control = self.lane.control();
        if control.outboxes.len() != self.outboxes.len() || !same(&control.outboxes, &self.outboxes)
        {
            self.outboxes.clone_from(&control.outboxes);
        }
        control.stop
    }

    fn heed_mute(&mut self, now: Instant) {
        if let Some(until) = self.lane.news_of_mute()
            && until > now
        {
            debug!(event = "throttled", time = ?(until - now));
            self.pipeline.mute(now, until);
        }
    }

    /// Takes requests, each outbox in turn, while there is room.
    fn fill(&mut self, now: Instant, stop: Option<Ended>) {
        if self.session_ends.is_some_and(|end| end <= now) {
            return;
        }
        let sources = match stop {
            None => self.outboxes.len() + 1,
            Some(_) => 1, // only what was accepted before
        };
        let mut empty = 0;
        while empty < sources && self.writer.queued() < HIGH_WATER && self.pipeline.has_room(now) {
            let source = self.turn % sources;
            self.turn = (source + 1) % sources;
            match self.take(source, now) {
                Some((outgoing, outbox)) => {
                    self.accept(outgoing, outbox.as_ref(), now);
                    empty = 0;
                }
                None => empty += 1,
            }
        }
    }

    fn take(&self, source: usize, now: Instant) -> Option<(Outgoing, Option<Arc<dyn Outbox>>)> {
        let turn = Turn {
            versions: &self.versions,
            now,
            room: HIGH_WATER - self.writer.queued().min(HIGH_WATER),
            correlation_id: self.pipeline.next_id(),
            client_id: self.pool.config.client_id.as_ref(),
        };
        match source.checked_sub(1) {
            None => Some((self.lane.calls.take(&turn)?, None)),
            Some(index) => {
                let outbox = self.outboxes.get(index)?;
                Some((outbox.take(&turn)?, Some(Arc::clone(outbox))))
            }
        }
    }

    fn accept(&mut self, outgoing: Outgoing, outbox: Option<&Arc<dyn Outbox>>, now: Instant) {
        let Outgoing {
            segments,
            key,
            version,
            deadline,
            expects_answer,
            token,
        } = outgoing;
        let end = self.writer.push(segments);
        let request = self
            .pipeline
            .handle_sent(key, version, expects_answer, now, deadline);
        let owner = || Owner {
            outbox: outbox.cloned(),
            token,
        };
        if expects_answer {
            self.routes.push_back(Route {
                request,
                owner: owner(),
                end,
                blocks: outbox.and_then(|outbox| outbox.blocks(token)),
                abandoned: false,
            });
        }
        self.unwritten.push_back(Unwritten {
            owner: owner(),
            key,
            end,
            deadline,
            expects_answer,
        });
    }

    /// Writes once. True if something went out.
    fn poll_write(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, End> {
        match self.writer.poll_write(&mut self.transport, cx) {
            Poll::Pending | Poll::Ready(Ok(false)) => return Ok(false),
            Poll::Ready(Ok(true)) => {}
            Poll::Ready(Err(error)) => {
                // Answers that came before the end still count.
                while self.poll_read(cx, now).is_ok_and(|read| read) {}
                return Err(lost(&error));
            }
        }
        let written = self.writer.written();
        while self
            .unwritten
            .front()
            .is_some_and(|frame| frame.end <= written)
        {
            let Some(frame) = self.unwritten.pop_front() else {
                break;
            };
            self.outbox(&frame.owner).written(frame.owner.token, now);
            if !frame.expects_answer {
                self.tell(&frame.owner, Outcome::Written);
            }
        }
        Ok(true)
    }

    /// Abandons the calls whose time is up, and the connection if its oldest request's is.
    fn expire(&mut self, now: Instant) -> Result<(), End> {
        while let Some(expiry) = self.pipeline.handle_timeout(now) {
            match expiry {
                Expiry::Abandon(request) => self.abandon(request),
                Expiry::Close(request) => {
                    self.unanswered = Some(request);
                    return Err(End::Lost(LostCause::Unanswered { api: request.key }));
                }
            }
        }
        // A request without an answer has no place in the pipeline, but must not wait for ever.
        match self.unwritten.front() {
            Some(frame) if !frame.expects_answer && frame.deadline <= now => {
                Err(End::Lost(LostCause::Unanswered { api: frame.key }))
            }
            _ => Ok(()),
        }
    }

    fn abandon(&mut self, request: Sent) {
        let mut routes = self.routes.iter();
        let Some(at) = routes.position(|route| route.request == request) else {
            return;
        };
        self.routes[at].abandoned = true;
        let route = &self.routes[at];
        let sent = route_sent(route, self.writer.written());
        self.tell(&route.owner, Outcome::TimedOut { sent });
    }

    fn end_if_unused(&self, now: Instant, stop: Option<Ended>) -> Result<(), End> {
        if !self.is_unused() {
            return Ok(());
        }
        if stop.is_some() && !self.lane.calls.has_work() {
            return Err(End::Stopped);
        }
        if self.session_ends.is_some_and(|end| end <= now) {
            return Err(End::SessionEnding);
        }
        if self.used_at + self.pool.config.idle_close <= now {
            return Err(End::Idle);
        }
        Ok(())
    }

    fn is_unused(&self) -> bool {
        self.pipeline.is_empty() && self.writer.is_idle()
    }

    fn next_timeout(&self) -> Option<Instant> {
        let stuck = self.unwritten.front().filter(|frame| !frame.expects_answer);
        let idle = self
            .is_unused()
            .then(|| self.used_at + self.pool.config.idle_close);
        let session = self.session_ends.filter(|_| self.is_unused());
        self.pipeline
            .poll_timeout()
            .into_iter()
            .chain(stuck.map(|frame| frame.deadline))
            .chain(idle)
            .chain(session)
            .min()
    }

    /// Tells everybody whose request is still here, and gives the transport back.
    pub(super) fn finish(mut self, end: &End) -> BoxedTransport {
        let written = self.writer.written();
        let cause = behind(end);
        while let Some((request, awaited)) = self.pipeline.poll_lost() {
            let route = self.routes.pop_front();
            let Some(route) = route.filter(|_| awaited) else {
                continue;
            };
            let sent = route_sent(&route, written);
            let outcome = if self.unanswered == Some(request) {
                Outcome::TimedOut { sent }
            } else {
                let cause = cause.clone();
                Outcome::Lost { sent, cause }
            };
            self.tell(&route.owner, outcome);
        }
        for frame in std::mem::take(&mut self.unwritten) {
            if !frame.expects_answer {
                let (sent, cause) = (false, cause.clone());
                self.tell(&frame.owner, Outcome::Lost { sent, cause });
            }
        }
        self.transport
    }

    fn tell(&self, owner: &Owner, outcome: Outcome) {
        self.outbox(owner).finish(owner.token, outcome);
    }

    fn outbox<'b>(&'b self, owner: &'b Owner) -> &'b dyn Outbox {
        owner.outbox.as_deref().unwrap_or(&self.lane.calls)
    }
}

/// Before its last byte is written no broker can execute a request: I3.
fn route_sent(route: &Route, written: u64) -> bool {
    route.end <= written
}

fn same(left: &[Arc<dyn Outbox>], right: &[Arc<dyn Outbox>]) -> bool {
    left.iter().zip(right).all(|(l, r)| Arc::ptr_eq(l, r))
}

fn broken(error: WireError) -> End {
    End::Lost(error.into())
}

fn lost(error: &std::io::Error) -> End {
    End::Lost(LostCause::from(error))
}

/// 85 to 95 % of a lifetime.
fn early(lifetime_ms: u64, random: u64) -> Duration {
    let percent = 85 + random % 11;
    Duration::from_millis(lifetime_ms / 100 * percent)
}
