//! One broker's fetcher: an [`Outbox`] that asks, takes the answer in, and asks again within the
//! socket's own task, for as long as the broker leads an assigned partition and memory is left.
//!
//! - I1: one request is under way at a time, and none before the answer to the last one is taken in.
//! - I2: the user is never waited for: who has nothing to ask is woken when memory is given back.
//! - I3: nothing here waits. What has to be done at a later time is the driver's to wake for.
//!
//! Not for deciding what to fetch ([`plan`](crate::plan)) or what an answer means
//! ([`intake`]).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_codec::messages::{FetchRequest, FetchResponse};
use milena_codec::{ApiKey, Str, decode, frame};
use milena_net::{
    CallError, ConnectError, FetchBlocks, FetchedPart, LaneHandle, Ledger, Outbox, Outcome,
    Outgoing, Turn,
};
use milena_proto::backoff::Backoff;
use milena_proto::fetch_session::{
    FetchSession, SessionFault, SessionKey, SessionRequest, TOPIC_IDS_FROM,
};
use milena_proto::position::FetchFrom;
use milena_rpc::caps::{self, CapContext};
use milena_rpc::{BrokerInfo, RefreshReason};

use crate::intake::{self, Intake};
use crate::plan::{Fetch, Patience, Plan};
use crate::shared::Shared;
use crate::{ConsumeError, ConsumerEvent};

/// The fetcher of one broker.
pub(crate) struct Fetcher {
    shared: Arc<Shared>,
    node: i32,
    core: Mutex<Core>,
}

struct Core {
    lane: LaneHandle,
    session: FetchSession,
    backoff: Backoff,
    patience: Patience,
    /// Whether the memory share was full when last asked for.
    starved: bool,
    phase: Phase,
    last_token: u64,
    /// After a failure: nothing before then.
    retry_at: Option<Instant>,
    /// Nothing more is to be asked.
    leaving: bool,
}

/// Whether there is a request.
enum Phase {
    Free,
    UnderWay(Flight),
    /// Its answer is being taken in.
    Landed,
}

/// A request under way.
struct Flight {
    token: u64,
    asked: BTreeMap<SessionKey, FetchFrom>,
    version: i16,
    since: Instant,
    reservation: Reservation,
}

impl Flight {
    /// The partition that `part` is of.
    fn asked_for(&self, part: &FetchedPart) -> Option<(SessionKey, FetchFrom)> {
        let by_id = self.version >= TOPIC_IDS_FROM;
        let mut keys = self.asked.keys();
        let same = |key: &&SessionKey| match by_id {
            true => key.topic_id == part.topic_id,
            false => key.topic == part.topic,
        };
        let mut key = keys.find(same)?.clone();
        key.partition = part.partition;
        let asked = *self.asked.get(&key)?;
        Some((key, asked))
    }
}

impl Fetcher {
    pub(crate) fn new(shared: Arc<Shared>, node: i32, lane: LaneHandle) -> Arc<Self> {
        let core = Core {
            lane,
            session: FetchSession::new(),
            backoff: shared.backoff(),
            patience: Patience::new(),
            starved: false,
            phase: Phase::Free,
            last_token: 0,
            retry_at: None,
            leaving: false,
        };
        Arc::new(Self {
            shared,
            node,
            core: Mutex::new(core),
        })
    }

    /// The broker leads an assigned partition; the driver attached the fetcher to `lane`.
    pub(crate) fn stay(&self, lane: &LaneHandle) {
        let mut core = self.core();
        core.leaving = false;
        core.lane = lane.clone();
    }

    /// The broker leads none any more: asks nothing more. True once nothing is under way; until
    /// then the driver is woken when that ends.
    pub(crate) fn leave(&self) -> bool {
        let mut core = self.core();
        core.leaving = true;
        matches!(core.phase, Phase::Free)
    }

    /// When it asks again after a failure, if that is later than `now`.
    pub(crate) fn retry_at(&self, now: Instant) -> Option<Instant> {
        self.core().retry_at.filter(|at| *at > now)
    }

    /// What tells the broker that the session is not used any more, if there is one and nothing is
    /// under way: the broker holds the connection until it has answered that.
    pub(crate) fn closing_request(&self) -> Option<SessionRequest> {
        let mut core = self.core();
        match core.phase {
            Phase::Free => core.session.closing_request(),
            _ => None,
        }
    }

    fn plan(&self, core: &mut Core, now: Instant) -> Option<Fetch> {
        let snapshot = self.shared.cluster.snapshot();
        let config = &self.shared.config;
        let (plan, drained, full) = self.shared.with(|state| {
            if state.closed {
                return (Plan::Leave, 0, None);
            }
            let plan = state.plan(self.node, &snapshot, config, now);
            if matches!(plan, Plan::Wait) {
                state.await_memory(self.node, core.lane.clone()); // I2
            }
            let used = state.buffered.saturating_add(state.reserved);
            let full = (used >= config.fetch_memory).then_some(state.buffered);
            (plan, state.drained, full)
        });
        let starved = matches!(plan, Plan::Wait) && full.is_some();
        if let (true, false, Some(buffered)) = (starved, core.starved, full) {
            let node = self.node;
            self.shared
                .report(&ConsumerEvent::MemoryFull { node, buffered });
        }
        core.starved = starved;
        match plan {
            Plan::Fetch(mut fetch) => {
                let longest = config.fetch_max_wait;
                fetch.max_wait = core.patience.next(fetch.left_out, drained, longest);
                Some(fetch)
            }
            Plan::Wait | Plan::Leave => None,
        }
    }

    fn begin(&self, core: &mut Core, fetch: Fetch, turn: &Turn<'_>) -> Result<Outgoing, CallError> {
        let reservation = Reservation {
            shared: Arc::clone(&self.shared),
            bytes: fetch.reserved,
        };
        let context = CapContext {
            topic_id_unknown: fetch.without_ids,
            ..CapContext::default()
        };
        let ours = caps::cap(ApiKey::Fetch, context);
        let Some(version) = turn.versions.newest(ApiKey::Fetch, ours) else {
            return Err(CallError::Unsupported {
                address: core.lane.address().clone(),
                api: ApiKey::Fetch,
                ours,
                theirs: turn.versions.range(ApiKey::Fetch),
            });
        };
        let session = core.session.next_request(fetch.wanted, version);
        let request = request(
            &self.shared,
            session,
            version,
            fetch.max_wait,
            fetch.reserved,
        );
        let client = turn.client_id.cloned();
        let frame = frame::request(&request, version, turn.correlation_id, client)?;
        core.last_token += 1;
        let token = core.last_token;
        core.phase = Phase::UnderWay(Flight {
            token,
            asked: fetch.asked,
            version,
            since: turn.now,
            reservation,
        });
        let deadline = turn.now + self.shared.cluster.config().net.request_timeout;
        Ok(Outgoing {
            segments: frame.segments,
            key: ApiKey::Fetch,
            version,
            deadline,
            latest: deadline,
            expects_answer: true,
            token,
        })
    }

    /// Takes in what the answer says besides the records that came before it was whole.
    fn land(&self, flight: Flight, envelope: Bytes) {
        let mut answer: FetchResponse = match decode(envelope, flight.version) {
            Ok(answer) => answer,
            Err(cause) => {
                let address = self.core().lane.address().clone();
                return self.fail(CallError::Malformed { address, cause });
            }
        };
        let endpoints = std::mem::take(&mut answer.node_endpoints);
        let found = {
            let mut core = self.core();
            core.backoff.reset();
            let (from, lane) = (core.lane.address(), core.lane.lane());
            let cluster = &self.shared.cluster;
            cluster.heed_throttle::<FetchRequest>(from, lane, &answer, flight.version);
            core.session.handle_answer(answer)
        };
        match found {
            Ok(answered) => {
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
                    asked: &flight.asked,
                    endpoints: &endpoints,
                }
                .take(answered, flight.reservation);
            }
            Err(SessionFault::Throttled) => {}
            Err(fault) => self.session_failed(&fault),
        }
    }

    /// The answer as a whole is of no use: the next request is a full one.
    fn session_failed(&self, fault: &SessionFault) {
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

    /// A fetch failed as a whole, or could not be made.
    fn fail(&self, error: CallError) {
        let retry_in = {
            let mut core = self.core();
            core.session.handle_lost();
            let retry_in = core.backoff.next(self.shared.random());
            core.retry_at = Some(self.shared.now() + retry_in);
            retry_in
        };
        if self.shared.with(|state| state.closed) {
            return;
        }
        self.shared.report(&ConsumerEvent::FetchFailed {
            node: self.node,
            reason: error.to_string(),
            retry_in,
        });
        if error.is_retriable() {
            // The broker may not be where it was.
            self.shared.cluster.refresh(RefreshReason::Disconnected);
        } else {
            let node = self.node;
            let cause = error.into();
            let fault = ConsumeError::Broker { node, cause };
            self.shared.with(|state| state.fail_broker(node, fault));
            self.shared.wake_user();
        }
        self.shared.wake_driver(); // I3
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox for Fetcher {
    fn has_work(&self) -> bool {
        let now = self.shared.now();
        let core = self.core();
        let free = matches!(core.phase, Phase::Free) && !core.leaving;
        let waits = core.retry_at.is_some_and(|at| at > now);
        drop(core);
        let snapshot = self.shared.cluster.snapshot();
        let (node, config) = (self.node, &self.shared.config);
        let wants = || {
            self.shared
                .with(|state| state.wants(node, &snapshot, config, now))
        };
        free && !waits && wants()
    }

    fn take(&self, turn: &Turn<'_>) -> Option<Outgoing> {
        let begun = {
            let mut core = self.core();
            let waits = core.retry_at.is_some_and(|at| at > turn.now);
            if waits || core.leaving || !matches!(core.phase, Phase::Free) {
                return None; // I1
            }
            core.retry_at = None;
            let fetch = self.plan(&mut core, turn.now)?;
            self.begin(&mut core, fetch, turn)
        };
        begun.map_err(|error| self.fail(error)).ok()
    }

    fn blocks(&self, token: u64) -> Option<FetchBlocks> {
        match &self.core().phase {
            Phase::UnderWay(flight) if flight.token == token => Some(FetchBlocks {
                version: flight.version,
                credit: flight.reservation.bytes,
                pool: self.shared.blocks.clone(),
            }),
            _ => None,
        }
    }

    fn part(&self, token: u64, part: FetchedPart) {
        let (key, asked, reserved) = {
            let mut core = self.core();
            let Phase::UnderWay(flight) = &mut core.phase else {
                return;
            };
            let Some((key, asked)) = flight.asked_for(&part).filter(|_| flight.token == token)
            else {
                return; // The envelope names it too, which ends the session.
            };
            let reserved = flight.reservation.bytes.min(part.records.len());
            flight.reservation.bytes -= reserved;
            if part.error_code == 0 {
                // What else the answer says of it is known.
                flight.asked.remove(&key);
            }
            (key, asked, reserved)
        };
        intake::take_part(&self.shared, &key, asked, part, reserved);
    }

    fn finish(&self, token: u64, outcome: Outcome) {
        let (flight, address) = {
            let mut core = self.core();
            match std::mem::replace(&mut core.phase, Phase::Landed) {
                Phase::UnderWay(flight) if flight.token == token => {
                    (flight, core.lane.address().clone())
                }
                other => {
                    core.phase = other;
                    return;
                }
            }
        };
        let (api, now) = (ApiKey::Fetch, self.shared.now());
        match outcome {
            Outcome::Answer(envelope) => self.land(flight, envelope),
            Outcome::TimedOut { sent } => self.fail(CallError::TimedOut {
                address,
                api,
                sent,
                ledger: Ledger::of_flight(now.saturating_duration_since(flight.since)),
            }),
            Outcome::Lost { sent, cause } => self.fail(CallError::Lost {
                address,
                api,
                sent,
                cause,
            }),
            // No other outcome has an answer to a request that expects one.
            _ => self.core().session.handle_lost(),
        }
        let mut core = self.core();
        core.phase = Phase::Free;
        if core.leaving {
            drop(core);
            self.shared.wake_driver();
        }
    }

    fn unreachable(&self, cause: &ConnectError) {
        let core = self.core();
        if core.leaving || !matches!(core.phase, Phase::Free) {
            return;
        }
        let address = core.lane.address().clone();
        drop(core);
        let cause = cause.clone();
        self.fail(CallError::Connect { address, cause });
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetcher({})", self.node)
    }
}

pub(crate) fn request(
    shared: &Shared,
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
        min_bytes: shared.config.fetch_min_bytes,
        max_bytes: i32::try_from(max_bytes).unwrap_or(i32::MAX),
        session_id: session.session_id,
        session_epoch: session.session_epoch,
        topics,
        forgotten_topics_data: session.forgotten,
        ..FetchRequest::default()
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
    }
}
