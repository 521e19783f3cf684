//! The caller's side of one attempt.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use milena_codec::{ApiKey, Request, VersionRange, frame};
use milena_proto::wire::BrokerVersions;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::queue::{Caller, Failed, Phase, Ticket};
use crate::lane::{Ended, LaneShared};
use crate::{CallError, ConnectError, Environment, Ledger, LostCause, NetConfig, Outcome};

/// One attempt of one call at one broker, with its clock running.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) lane: Arc<LaneShared>,
    pub(crate) env: &'a Environment,
    pub(crate) config: &'a NetConfig,
    pub(crate) api: ApiKey,
    /// When the caller goes.
    pub(crate) deadline: Instant,
    /// When the broker's time is up, unless it throttles us.
    pub(crate) due: Instant,
    pub(crate) started: Instant,
}

/// An answer's body, empty if there is none, with the version that was used.
#[derive(Debug)]
pub(crate) struct Exchanged {
    pub(crate) body: Bytes,
    pub(crate) version: i16,
}

impl Attempt<'_> {
    /// Waits for the connection, asks for one if there is none, and says what the broker can do.
    ///
    /// Fails with the first attempt to connect that fails from now on.
    pub(crate) async fn versions(&self) -> Result<Arc<BrokerVersions>, CallError> {
        let Some(link) = self.in_time(self.lane.settled()).await else {
            return Err(self.no_connection_in_time());
        };
        match (link.ended, link.up, link.last_error) {
            (Some(why), ..) => Err(self.ended(why)),
            (None, Some(versions), _) => Ok(versions),
            (None, None, Some(cause)) => Err(self.cannot_connect(cause)),
            (None, None, None) => Err(self.ended(Ended::Failed)),
        }
    }

    /// Sends one request and waits for its answer, or until it is written if it has none.
    pub(crate) async fn exchange<R: Request>(
        &self,
        versions: VersionRange,
        prepare: impl FnOnce(i16) -> R,
        expects_answer: bool,
    ) -> Result<Exchanged, CallError> {
        let broker = self.versions().await?;
        let connected = self.env.now();
        let version = broker
            .newest(R::KEY, versions)
            .ok_or_else(|| self.unsupported(&broker, versions))?;
        // The socket's task knows the correlation id and puts it in.
        let frame = frame::request(&prepare(version), version, 0, self.config.client_id.clone())?;
        let place = match self.in_time(self.lane.calls.place()).await {
            Some(Some(place)) => place,
            Some(None) => return Err(self.ended(self.lane.stopped().unwrap_or(Ended::Failed))),
            None => return Err(self.timed_out(connected, Phase::Waiting)),
        };
        let (reply, outcome) = oneshot::channel();
        let phase = Arc::new(Mutex::new(Phase::Waiting));
        let caller = Caller {
            reply,
            phase: Arc::clone(&phase),
        };
        let pushed = self.lane.calls.push(Ticket {
            frame,
            key: R::KEY,
            version,
            deadline: self.due,
            expects_answer,
            caller,
            place,
        });
        pushed.map_err(|why| self.ended(why))?;
        self.lane.waker.wake();
        let (outcome, phase) = self.outcome(outcome, &phase).await;
        match outcome {
            Some(Ok(Ok(outcome))) => self.judge(outcome, version, connected, phase),
            Some(Ok(Err(Failed::Unreachable(cause)))) => Err(self.cannot_connect(cause)),
            Some(Ok(Err(Failed::Ended(why)))) => Err(self.ended(why)),
            // The queue drops a call only when its deadline has passed.
            Some(Err(_)) | None => Err(self.timed_out(connected, phase)),
        }
    }

    /// Waits until the request is due, and if it was sent by then until the socket's task gives it
    /// up, which may be later because of a throttle; but never beyond the caller's deadline.
    async fn outcome<F: Future + Unpin>(
        &self,
        mut outcome: F,
        phase: &Mutex<Phase>,
    ) -> (Option<F::Output>, Phase) {
        let give_up = || {
            let mut phase = phase.lock().unwrap_or_else(PoisonError::into_inner);
            let reached = *phase;
            if reached == Phase::Waiting {
                *phase = Phase::Cancelled; // I3: from here on it cannot be sent
            }
            reached
        };
        let known = timeout_at(self.due.into(), &mut outcome).await.ok();
        let reached = give_up();
        if known.is_some() || reached == Phase::Waiting {
            return (known, reached);
        }
        let known = timeout_at(self.deadline.into(), outcome).await.ok();
        (known, give_up())
    }

    fn judge(
        &self,
        outcome: Outcome,
        version: i16,
        connected: Instant,
        phase: Phase,
    ) -> Result<Exchanged, CallError> {
        match outcome {
            Outcome::Answer(body) => Ok(Exchanged { body, version }),
            Outcome::Written => Ok(Exchanged {
                body: Bytes::new(),
                version,
            }),
            Outcome::TimedOut { sent } => Err(CallError::TimedOut {
                address: self.lane.address.clone(),
                api: self.api,
                sent,
                ledger: self.ledger(connected, phase),
            }),
            Outcome::Lost { sent, cause } => Err(self.lost(sent, cause)),
        }
    }

    async fn in_time<F: Future>(&self, future: F) -> Option<F::Output> {
        timeout_at(self.due.into(), future).await.ok()
    }

    fn no_connection_in_time(&self) -> CallError {
        let link = self.lane.link().clone();
        match link.last_error {
            Some(cause) => self.cannot_connect(cause),
            None => CallError::TimedOut {
                address: self.lane.address.clone(),
                api: self.api,
                sent: false,
                ledger: Ledger {
                    connection: self.env.now().saturating_duration_since(self.started),
                    stage: link.stage,
                    ..Ledger::default()
                },
            },
        }
    }

    fn timed_out(&self, connected: Instant, phase: Phase) -> CallError {
        CallError::TimedOut {
            address: self.lane.address.clone(),
            api: self.api,
            sent: matches!(phase, Phase::Taken | Phase::Written(_)),
            ledger: self.ledger(connected, phase),
        }
    }

    fn ledger(&self, connected: Instant, phase: Phase) -> Ledger {
        let now = self.env.now();
        let written = match phase {
            Phase::Written(at) => at,
            Phase::Waiting | Phase::Cancelled | Phase::Taken => now,
        };
        Ledger {
            connection: connected.saturating_duration_since(self.started),
            queue: written.saturating_duration_since(connected),
            in_flight: now.saturating_duration_since(written),
            stage: None,
        }
    }

    fn cannot_connect(&self, cause: ConnectError) -> CallError {
        CallError::Connect {
            address: self.lane.address.clone(),
            cause,
        }
    }

    fn ended(&self, why: Ended) -> CallError {
        match why {
            Ended::Closed => CallError::Closed,
            Ended::Forgotten => self.lost(false, LostCause::Forgotten),
            Ended::Failed => self.lost(false, LostCause::TaskFailed),
        }
    }

    fn lost(&self, sent: bool, cause: LostCause) -> CallError {
        CallError::Lost {
            address: self.lane.address.clone(),
            api: self.api,
            sent,
            cause,
        }
    }

    fn unsupported(&self, broker: &BrokerVersions, ours: VersionRange) -> CallError {
        CallError::Unsupported {
            address: self.lane.address.clone(),
            api: self.api,
            ours,
            theirs: broker.range(self.api),
        }
    }
}
