//! The task of one lane: connects when somebody wants it, keeps the socket going, and connects
//! again.
//!
//! - I1: whatever ends the task, a panic included, nobody is left waiting ([`LaneShared::end`]).
//! - I2: no attempt begins before the address's backoff is over.

mod running;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep_until, timeout};
use tracing::{Instrument, debug, info_span, warn};

use self::running::{End, Running};
use crate::backoff::Reconnect;
use crate::lane::LaneShared;
use crate::opening::{self, Ready};
use crate::pool::PoolShared;
use crate::{LostCause, Stage};

/// How long a peer may take to let us say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Runs until the lane is stopped or has no user left.
pub(crate) async fn run(lane: Arc<LaneShared>, pool: Arc<PoolShared>) {
    let lane = EndOnDrop(lane);
    let lane = &lane.0;
    while lane.stopped().is_none() {
        if wait_for_demand(lane, &pool).await {
            let span = info_span!("connection", address = %lane.address, lane = %lane.lane);
            connect_and_run(lane, &pool).instrument(span).await;
        } else if pool.retire(lane) {
            return;
        }
    }
}

/// I1
struct EndOnDrop(Arc<LaneShared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// True once somebody wants a connection; false if nobody did for the idle time, or the lane is
/// stopped.
async fn wait_for_demand(lane: &LaneShared, pool: &PoolShared) -> bool {
    let until = pool.env.now() + pool.config.idle_close;
    let demand = poll_fn(|cx| {
        lane.waker.register(cx.waker());
        match lane.stopped() {
            Some(_) => Poll::Ready(false),
            None if lane.has_demand() => Poll::Ready(true),
            None => Poll::Pending,
        }
    });
    tokio::time::timeout_at(until.into(), demand)
        .await
        .unwrap_or(false)
}

async fn connect_and_run(lane: &LaneShared, pool: &PoolShared) {
    let Some(ready) = unless_stopped(lane, connect(lane, pool)).await.flatten() else {
        return;
    };
    let started = pool.env.now();
    let Ready {
        transport,
        reader,
        opened,
    } = ready;
    let versions = Arc::clone(&opened.versions);
    let mut running = Running::new(lane, pool, transport, reader, opened);
    lane.up(versions);
    let end = poll_fn(|cx| running.poll(cx)).await;
    lane.down();
    let answered = running.has_answered();
    let transport = running.finish(&end);
    match end {
        End::Lost(cause) => {
            if !answered {
                note_failure(lane, pool, started);
            }
            warn!(event = "connection_lost", %cause);
        }
        end @ (End::Idle | End::PeerIdle | End::SessionEnding | End::Stopped) => {
            debug!(event = "connection_closed", reason = ?end);
            say_goodbye(transport).await;
        }
    }
}

/// Waits out the backoff and makes one attempt.
async fn connect(lane: &LaneShared, pool: &PoolShared) -> Option<Ready> {
    lane.at(Some(Stage::Backoff));
    // I2: another lane's failure may have moved it meanwhile.
    while let Some(not_before) = pool
        .reconnect(&lane.address, |known| known.not_before())
        .filter(|at| *at > pool.env.now())
    {
        sleep_until(not_before.into()).await;
    }
    let started = pool.env.now();
    let random = pool.env.random.next_u64();
    let patience = pool.reconnect(&lane.address, |known| known.patience(random));
    match opening::open(lane, pool, started + patience).await {
        Ok(ready) => {
            pool.reconnect(&lane.address, Reconnect::succeeded);
            debug!(event = "connection_open", took = ?pool.env.now() - started);
            Some(ready)
        }
        Err(cause) => {
            note_failure(lane, pool, started);
            // The same failure again is no news.
            if lane.link().last_error.as_ref() == Some(&cause) {
                debug!(event = "connection_failed", %cause);
            } else {
                warn!(event = "connection_failed", %cause);
            }
            lane.unreachable(&cause);
            None
        }
    }
}

fn note_failure(lane: &LaneShared, pool: &PoolShared, started: Instant) {
    let (now, random) = (pool.env.now(), pool.env.random.next_u64());
    pool.reconnect(&lane.address, |known| known.failed(started, now, random));
}

/// `future`'s output, or `None` as soon as the lane is stopped.
async fn unless_stopped<F: Future>(lane: &LaneShared, future: F) -> Option<F::Output> {
    let stopped = poll_fn(|cx| {
        lane.waker.register(cx.waker());
        match lane.stopped() {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        }
    });
    match select(stopped, pin!(future)).await {
        Either::Left(_) => None,
        Either::Right((output, _)) => Some(output),
    }
}

/// Closes both directions properly, so that TLS peers see no truncation.
async fn say_goodbye(mut transport: crate::BoxedTransport) {
    match timeout(GOODBYE, transport.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(event = "shutdown_failed", %error),
        Err(_) => debug!(event = "shutdown_timed_out"),
    }
}

/// The cause for requests behind the one that ended the connection.
fn behind(end: &End) -> LostCause {
    match end {
        End::Lost(cause) => cause.clone(),
        End::Idle | End::PeerIdle | End::SessionEnding => LostCause::PeerClosed,
        End::Stopped => LostCause::Forgotten,
    }
}
