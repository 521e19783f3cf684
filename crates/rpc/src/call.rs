//! A call to the cluster: route, attempt, judge, wait, again.

use std::time::{Duration, Instant};

use milena_codec::{ErrorCode, Refresh, Request, VersionRange};
use milena_metadata::RefreshReason;
use milena_net::{Address, Lane, Limit, Reply};

use crate::caps::{self, CapContext};
use crate::error::Journal;
use crate::{CallError, Cluster, Target};

/// What to make of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The caller takes it, whatever it says.
    Done,
    /// Try again after a pause, and after starting to renew what the error asks for
    /// ([`ErrorCode::refresh`]).
    Retry(ErrorCode),
}

impl Verdict {
    /// Tries again if the code is retriable, or cured by finding the controller or coordinator
    /// anew; otherwise the caller takes the answer.
    pub fn of(code: ErrorCode) -> Self {
        let lost = matches!(code.refresh(), Refresh::Controller | Refresh::Coordinator);
        if code.is_retriable() || lost {
            Self::Retry(code)
        } else {
            Self::Done
        }
    }
}

impl Cluster {
    /// Routes a request and makes one attempt. `prepare` builds the request once its version is
    /// known.
    ///
    /// Not cancel safe: when dropped, the request may have been sent or not.
    ///
    /// # Errors
    ///
    /// The route is not known, or the attempt failed.
    pub async fn call_once<R: Request>(
        &self,
        to: Target,
        lane: Lane,
        prepare: impl FnOnce(i16) -> R,
        deadline: Instant,
    ) -> Result<Reply<R::Response>, CallError> {
        let versions = caps::cap(R::KEY, CapContext::default());
        self.call_once_within(to, lane, versions, prepare, deadline)
            .await
    }

    /// As [`Cluster::call_once`], in one of `versions` (see [`caps::cap`]).
    ///
    /// Not cancel safe: when dropped, the request may have been sent or not.
    ///
    /// # Errors
    ///
    /// The route is not known, or the attempt failed.
    pub async fn call_once_within<R: Request>(
        &self,
        to: Target,
        lane: Lane,
        versions: VersionRange,
        prepare: impl FnOnce(i16) -> R,
        deadline: Instant,
    ) -> Result<Reply<R::Response>, CallError> {
        let begun = self.shared.now();
        let mut journal = Journal::default();
        let address = self.route(&to, lane, deadline).await?;
        if !self.unmuted(&address, lane, deadline, &mut journal).await {
            return Err(self.gave_up::<R>(journal, begun));
        }
        let shared = &self.shared;
        let outcome = shared
            .attempt(&address, lane, versions, prepare, deadline)
            .await;
        outcome.map_err(|error| {
            self.learn_from_failure(&to, &address, &error);
            error.into()
        })
    }

    /// Routes a request and sends it until `judge` takes the answer or the deadline passes, with
    /// growing pauses between the attempts, each of which has `request.timeout.ms` at most.
    ///
    /// The brokers may execute the request more than once, if an answer is lost; use
    /// [`Cluster::call_once`] where that matters.
    ///
    /// Not cancel safe: when dropped, the request may have been sent or not.
    ///
    /// # Errors
    ///
    /// An attempt failed in a way that is not worth repeating, or the deadline passed: then the
    /// error says where the time went, and the last failure of each broker.
    pub async fn call<R: Request>(
        &self,
        to: Target,
        lane: Lane,
        prepare: impl Fn(i16) -> R,
        judge: impl Fn(&R::Response) -> Verdict,
        deadline: Instant,
    ) -> Result<Reply<R::Response>, CallError> {
        let versions = caps::cap(R::KEY, CapContext::default());
        self.call_within(to, lane, versions, prepare, judge, deadline)
            .await
    }

    /// As [`Cluster::call`], in one of `versions` (see [`caps::cap`]).
    ///
    /// Not cancel safe: when dropped, the request may have been sent or not.
    ///
    /// # Errors
    ///
    /// As [`Cluster::call`].
    pub async fn call_within<R: Request>(
        &self,
        to: Target,
        lane: Lane,
        versions: VersionRange,
        prepare: impl Fn(i16) -> R,
        judge: impl Fn(&R::Response) -> Verdict,
        deadline: Instant,
    ) -> Result<Reply<R::Response>, CallError> {
        let begun = self.shared.now();
        let mut journal = Journal::default();
        let mut backoff = self.shared.backoff();
        let mut unrouted = None;
        while self.shared.now() < deadline {
            let routing = self.shared.now();
            let routed = self.route(&to, lane, deadline).await;
            journal.spent.routing += self.since(routing);
            let address = match routed {
                Ok(address) => Some(address),
                Err(error @ CallError::UnknownNode { .. }) => {
                    unrouted = Some(error);
                    None
                }
                Err(CallError::TimedOut(inner)) => {
                    journal.failures.extend(inner.failures);
                    journal.last_answer = inner.last_answer;
                    break;
                }
                Err(error) => return Err(error),
            };
            if let Some(address) = address {
                if !self.unmuted(&address, lane, deadline, &mut journal).await {
                    break;
                }
                let attempt = (&to, &address, lane, versions);
                let outcome = self.try_once(attempt, &prepare, &judge, deadline, &mut journal);
                if let Some(outcome) = outcome.await {
                    return outcome;
                }
            }
            let pause = self.shared.pause(&mut backoff);
            journal.spent.backoff += self.shared.sleep(pause, deadline).await;
        }
        match unrouted {
            Some(error) if journal.attempts == 0 => Err(error),
            _ => Err(self.gave_up::<R>(journal, begun)),
        }
    }

    /// One attempt of several; `None` if another one is in order.
    async fn try_once<R: Request>(
        &self,
        (to, address, lane, versions): (&Target, &Address, Lane, VersionRange),
        prepare: impl FnOnce(i16) -> R,
        judge: impl FnOnce(&R::Response) -> Verdict,
        deadline: Instant,
        journal: &mut Journal,
    ) -> Option<Result<Reply<R::Response>, CallError>> {
        let sending = self.shared.now();
        let limit = Limit {
            deadline,
            patience: self.shared.config.net.request_timeout,
        };
        let shared = &self.shared;
        let outcome = shared
            .attempt(address, lane, versions, prepare, limit)
            .await;
        journal.spent.attempts += self.since(sending);
        journal.attempts += 1;
        match outcome {
            Ok(reply) => match judge(&reply.message) {
                Verdict::Done => Some(Ok(reply)),
                Verdict::Retry(code) => {
                    journal.last_answer = Some(code);
                    self.learn(to, address, code);
                    None
                }
            },
            Err(error) => {
                journal.failed(address, &error);
                self.learn_from_failure(to, address, &error);
                let another = error.is_retriable() && !self.shared.is_closed();
                (!another).then(|| Err(error.into()))
            }
        }
    }

    /// Waits until a throttled connection may be used; false if the deadline comes first.
    async fn unmuted(
        &self,
        to: &Address,
        lane: Lane,
        deadline: Instant,
        journal: &mut Journal,
    ) -> bool {
        while let Some(until) = self.shared.pool.muted_until(to, lane) {
            let remaining = until.saturating_duration_since(self.shared.now());
            journal.spent.throttled += self.shared.sleep(remaining, deadline).await;
            if self.shared.now() >= deadline {
                return false;
            }
        }
        true
    }

    /// An answer showed that something known is wrong.
    fn learn(&self, to: &Target, address: &Address, code: ErrorCode) {
        if let Target::Coordinator { kind, key } = to
            && code.refresh() == Refresh::Coordinator
        {
            self.shared.coordinators.invalidate(*kind, key, address);
        }
        match code.refresh() {
            Refresh::Metadata | Refresh::Controller | Refresh::Bootstrap => {
                self.shared.refresh(RefreshReason::Error(code));
            }
            _ => {}
        }
    }

    /// A broker that does not answer may not be where it was.
    fn learn_from_failure(&self, to: &Target, address: &Address, error: &milena_net::CallError) {
        if !error.is_retriable() || self.shared.is_closed() {
            return;
        }
        if let Target::Coordinator { kind, key } = to {
            self.shared.coordinators.invalidate(*kind, key, address);
        }
        self.shared.refresh(RefreshReason::Disconnected);
    }

    fn gave_up<R: Request>(&self, mut journal: Journal, begun: Instant) -> CallError {
        if self.shared.is_closed() {
            return CallError::Closed;
        }
        if journal.attempts == 0 {
            self.shared.add_failures(&mut journal);
        }
        CallError::TimedOut(journal.timed_out(R::KEY.name(), self.since(begun)))
    }

    pub(crate) fn since(&self, begun: Instant) -> Duration {
        self.shared.now().saturating_duration_since(begun)
    }
}
