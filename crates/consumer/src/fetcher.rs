//! One broker's fetcher: asks, takes the answer in, asks again, for as long as the broker leads an
//! assigned partition. One request is under way at a time.
//!
//! Not for the user: it never waits for one except through the memory share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use milena_codec::messages::{FetchRequest, FetchResponse};
use milena_codec::{ApiKey, Str};
use milena_net::Reply;
use milena_proto::backoff::Backoff;
use milena_proto::fetch_session::{FetchSession, SessionFault, SessionRequest, TOPIC_IDS_FROM};
use milena_rpc::caps::{self, CapContext};
use milena_rpc::{BrokerInfo, CallError, RefreshReason, Target};
use tokio::sync::watch;

use crate::intake::Intake;
use crate::plan::{Fetch, Patience, Plan};
use crate::shared::Shared;
use crate::{ConsumeError, ConsumerEvent};

/// What the fetchers report when they end.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) running: AtomicUsize,
    pub(crate) sessions_closed: AtomicUsize,
}

/// Counts a fetcher for as long as it lives.
struct Running(Arc<Tally>);

impl Running {
    fn new(tally: &Arc<Tally>) -> Self {
        tally.running.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(tally))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Fetches from `node` until it leads no assigned partition, or the consumer closes.
pub(crate) async fn run(shared: Arc<Shared>, node: i32, tally: Arc<Tally>) -> i32 {
    let running = Running::new(&tally);
    let mut fetcher = Fetcher {
        work: shared.watch_work(),
        backoff: shared.backoff(),
        patience: Patience::new(),
        session: Mutex::new(FetchSession::new()),
        starved: false,
        shared,
        node,
    };
    if fetcher.fetch_all(&tally).await {
        tally.sessions_closed.fetch_add(1, Ordering::Relaxed);
    }
    drop(running);
    node
}

struct Fetcher {
    shared: Arc<Shared>,
    node: i32,
    work: watch::Receiver<u64>,
    backoff: Backoff,
    patience: Patience,
    session: Mutex<FetchSession>,
    starved: bool,
}

impl Fetcher {
    /// Returns whether a session was closed at the end.
    async fn fetch_all(&mut self, tally: &Tally) -> bool {
        loop {
            self.work.mark_unchanged();
            if self.shared.with(|state| state.closed) {
                return self.close_session().await;
            }
            match self.plan(tally.running.load(Ordering::Relaxed)) {
                Plan::Leave => return self.close_session().await,
                Plan::Wait(until) => self.wait(until).await,
                Plan::Fetch(fetch) => {
                    if !self.fetch(fetch).await {
                        return false;
                    }
                }
            }
        }
    }

    fn plan(&mut self, fetchers: usize) -> Plan {
        let now = self.shared.now();
        let snapshot = self.shared.cluster.snapshot();
        let shared = &self.shared;
        let node = self.node;
        let (plan, full) = shared.with(|state| {
            let plan = state.plan(node, &snapshot, &shared.config, fetchers, now);
            let used = state.buffered.saturating_add(state.reserved);
            (
                plan,
                (used >= shared.config.fetch_memory).then_some(state.buffered),
            )
        });
        let starved = matches!(plan, Plan::Wait(_)) && full.is_some();
        if let (true, false, Some(buffered)) = (starved, self.starved, full) {
            shared.report(&ConsumerEvent::MemoryFull { node, buffered });
        }
        self.starved = starved;
        plan
    }

    async fn wait(&mut self, until: Option<std::time::Instant>) {
        match until {
            // Either way the plan is made anew.
            Some(until) => {
                let _ = tokio::time::timeout_at(until.into(), self.work.changed()).await;
            }
            // The sender lives as long as `shared`.
            None => {
                let _ = self.work.changed().await;
            }
        }
    }

    /// One request and its answer, or its failure. Returns false if the consumer closed meanwhile:
    /// the broker holds the connection until it has answered, so the session is left to it.
    async fn fetch(&mut self, fetch: Fetch) -> bool {
        let reservation = Reservation {
            shared: Arc::clone(&self.shared),
            bytes: fetch.reserved,
        };
        let outcome = {
            let drained = self.shared.with(|state| state.drained);
            let longest = self.shared.config.fetch_max_wait;
            let max_wait = self.patience.next(fetch.left_out, drained, longest);
            let shared = Arc::clone(&self.shared);
            let mut work = self.work.clone();
            let call = self.call(&fetch, max_wait);
            tokio::select! {
                biased;
                () = closed(&shared, &mut work) => None,
                outcome = call => Some(outcome),
            }
        };
        match outcome {
            None => return false,
            Some(Ok(reply)) => self.take_in(&fetch, reply, reservation),
            Some(Err(error)) => {
                drop(reservation);
                self.session().handle_lost();
                self.fail(error).await;
            }
        }
        true
    }

    async fn call(
        &self,
        fetch: &Fetch,
        max_wait: Duration,
    ) -> Result<Reply<FetchResponse>, CallError> {
        let shared = &self.shared;
        let versions = caps::cap(
            ApiKey::Fetch,
            CapContext {
                topic_id_unknown: fetch.without_ids,
                ..CapContext::default()
            },
        );
        let prepare = |version| {
            let session = self.session().next_request(fetch.wanted.clone(), version);
            self.request(session, version, max_wait, fetch.reserved)
        };
        let deadline = shared.now() + shared.cluster.config().net.request_timeout;
        let to = Target::Node(self.node);
        let cluster = &shared.cluster;
        cluster
            .call_once_within(to, shared.lane, versions, prepare, deadline)
            .await
    }

    fn request(
        &self,
        session: SessionRequest,
        version: i16,
        max_wait: Duration,
        max_bytes: usize,
    ) -> FetchRequest {
        let mut topics = session.topics;
        if version >= TOPIC_IDS_FROM {
            topics.iter_mut().for_each(|topic| topic.topic = Str::new());
        }
        FetchRequest {
            max_wait_ms: i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: self.shared.config.fetch_min_bytes,
            max_bytes: i32::try_from(max_bytes).unwrap_or(i32::MAX),
            session_id: session.session_id,
            session_epoch: session.session_epoch,
            topics,
            forgotten_topics_data: session.forgotten,
            ..FetchRequest::default()
        }
    }

    fn take_in(&mut self, fetch: &Fetch, reply: Reply<FetchResponse>, reservation: Reservation) {
        let mut answer = reply.message;
        let endpoints = std::mem::take(&mut answer.node_endpoints);
        let found = self.session().handle_answer(answer);
        match found {
            Ok(answered) => {
                self.backoff.reset();
                let endpoints: Vec<BrokerInfo> = endpoints
                    .into_iter()
                    .filter_map(|endpoint| {
                        Some(BrokerInfo {
                            id: endpoint.node_id,
                            host: endpoint.host,
                            port: u16::try_from(endpoint.port).ok()?,
                            rack: endpoint.rack,
                        })
                    })
                    .collect();
                Intake {
                    shared: &self.shared,
                    asked: &fetch.asked,
                    endpoints: &endpoints,
                }
                .take(answered, reservation);
            }
            Err(SessionFault::Throttled) => {}
            Err(fault) => self.session_failed(&fault),
        }
    }

    /// The answer as a whole is of no use: the next request is a full one.
    fn session_failed(&mut self, fault: &SessionFault) {
        self.shared.report(&ConsumerEvent::SessionReset {
            node: self.node,
            reason: fault.to_string(),
        });
        if let SessionFault::Refused(code) = fault
            && code.refresh() == milena_codec::Refresh::Metadata
        {
            self.shared.cluster.refresh(RefreshReason::Error(*code));
        }
    }

    async fn fail(&mut self, error: CallError) {
        let retry_in = self.backoff.next(self.shared.random());
        self.shared.report(&ConsumerEvent::FetchFailed {
            node: self.node,
            reason: error.to_string(),
            retry_in,
        });
        if error.is_fatal() {
            let node = self.node;
            let fault = ConsumeError::Broker { node, cause: error };
            self.shared.with(|state| state.fail_broker(node, fault));
            self.shared.wake_user();
        }
        let again = self.shared.now() + retry_in;
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            biased;
            () = closed(&shared, &mut self.work) => {}
            () = tokio::time::sleep_until(again.into()) => {}
        }
    }

    /// Tells the broker that the session is not used any more. A failure is no loss: the broker
    /// drops idle sessions by itself.
    async fn close_session(&mut self) -> bool {
        let Some(session) = self.session().closing_request() else {
            return false;
        };
        let shared = &self.shared;
        let deadline = shared.now() + shared.cluster.config().net.request_timeout;
        let prepare = |version| self.request(session, version, Duration::ZERO, 0);
        let to = Target::Node(self.node);
        let closed = shared
            .cluster
            .call_once(to, shared.lane, prepare, deadline)
            .await;
        closed.is_ok()
    }

    /// Nobody else holds this lock; it lets the request be built inside the call.
    fn session(&self) -> std::sync::MutexGuard<'_, FetchSession> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when the consumer closes.
async fn closed(shared: &Shared, work: &mut watch::Receiver<u64>) {
    while !shared.with(|state| state.closed) {
        if work.changed().await.is_err() {
            return;
        }
    }
}

/// Memory taken from the share; given back when dropped.
pub(crate) struct Reservation {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let bytes = self.bytes;
        self.shared.with(|state| state.unreserve(bytes));
        self.shared.wake_tasks();
    }
}
