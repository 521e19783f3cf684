//! The producer id: asked for before the first idempotent batch, of any broker.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use milena_codec::ErrorCode;
use milena_codec::messages::InitProducerIdRequest;
use milena_net::Lane;
use milena_proto::backoff::Backoff;
use milena_proto::sequencer::Identity;
use milena_rpc::{CallError, Target, Verdict};

use super::Driver;
use crate::ProducerConfig;
use crate::failed::{DeliveryCause, LastError};
use crate::flight::Travelling;
use crate::partition::Partition;
use crate::shared::{Shared, lock};

/// An answer, or the lack of one.
pub(super) type Granted = Result<Identity, Denied>;

/// Why there is no producer id.
pub(super) enum Denied {
    Answer(ErrorCode),
    Call(CallError),
}

/// What is known of the producer id.
pub(super) struct Identification {
    /// Whether it is the driver who asks: the id of a transactional producer comes from its
    /// coordinator.
    asks: bool,
    retry_at: Option<Instant>,
    backoff: Backoff,
    /// The one known when the driver last looked.
    seen: Option<Identity>,
    /// Who waits for one.
    waiting: Vec<Arc<Partition>>,
}

impl Identification {
    pub(super) fn new(config: &ProducerConfig, transactional: bool) -> Self {
        Self {
            asks: config.is_idempotent() && !transactional,
            retry_at: None,
            backoff: Backoff::new(config.retry_backoff, config.retry_backoff_max),
            seen: None,
            waiting: Vec::new(),
        }
    }

    /// When to ask again, if somebody waits.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at.filter(|_| !self.waiting.is_empty())
    }
}

impl Driver {
    /// A partition cannot go on without an identity, other than `exhausted`.
    pub(super) fn await_identity(
        &mut self,
        partition: Arc<Partition>,
        exhausted: Option<Identity>,
    ) {
        let asks = self.identification.asks;
        let used_up = |known: Identity| match exhausted {
            Some(left) if asks => known.producer_id == left.producer_id,
            left => Some(known) == left,
        };
        match self.shared.identity() {
            // It has come meanwhile.
            Some(known) if !used_up(known) => self.line_up_again(&partition),
            Some(_) if self.identification.asks => {
                self.shared.set_identity(None);
                self.identification.waiting.push(partition);
            }
            Some(_) => self.identification.waiting.push(partition),
            None => self.identification.waiting.push(partition),
        }
    }

    /// Lets those go on who wait for an identity that has come by other ways.
    pub(super) fn heed_identity(&mut self) {
        let known = self.shared.identity();
        if !self.identification.asks && known != self.identification.seen {
            self.identification.seen = known;
            for partition in std::mem::take(&mut self.identification.waiting) {
                self.line_up_again(&partition);
            }
        }
    }

    /// Asks for a producer id if one is needed and it is time.
    pub(super) fn ask(&mut self, now: Instant) {
        let known = &self.identification;
        let early = known.retry_at.is_some_and(|at| at > now);
        if !known.asks || known.waiting.is_empty() || self.asking.is_some() || early {
            return;
        }
        // While it is under way nothing is due: the driver would look again and again.
        self.identification.retry_at = None;
        let shared = Arc::clone(&self.shared);
        let deadline = now + shared.config.request_timeout;
        self.asking = Some(ask(shared, deadline).boxed());
    }

    pub(super) fn handle_granted(&mut self, granted: Granted) {
        match granted {
            Ok(identity) => {
                tracing::debug!(
                    producer_id = identity.producer_id,
                    epoch = identity.epoch,
                    "got a producer id"
                );
                self.shared.set_identity(Some(identity));
                self.identification.retry_at = None;
                self.identification.backoff.reset();
                for partition in std::mem::take(&mut self.identification.waiting) {
                    self.line_up_again(&partition);
                }
            }
            Err(Denied::Call(error)) if error.is_retriable() => self.ask_later(error),
            Err(Denied::Call(error)) => self.fail_waiting(&DeliveryCause::Call(Arc::new(error))),
            Err(Denied::Answer(code)) => self.fail_waiting(&DeliveryCause::NoProducerId(code)),
        }
    }

    fn ask_later(&mut self, error: CallError) {
        tracing::warn!(%error, "no producer id yet");
        let wait = self.identification.backoff.next(self.shared.random());
        self.identification.retry_at = Some(self.shared.now() + wait);
        let error = Arc::new(error);
        for partition in &self.identification.waiting {
            let error = LastError::NoProducerId(Arc::clone(&error));
            lock(&partition.flight).last_error = Some(error);
        }
    }

    /// Fails everything that waits for one. What is in flight has its identity already.
    fn fail_waiting(&mut self, cause: &DeliveryCause) {
        for partition in std::mem::take(&mut self.identification.waiting) {
            partition.fail(&self.shared, Travelling::is_idle, |_| cause.clone());
        }
    }
}

async fn ask(shared: Arc<Shared>, deadline: Instant) -> Granted {
    let prepare = |_| InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    let reply = shared.cluster.call(
        Target::Any,
        Lane::Main,
        prepare,
        |answer| Verdict::of(answer.error_code.into()),
        deadline,
    );
    let answer = reply.await.map_err(Denied::Call)?.message;
    match ErrorCode::from(answer.error_code) {
        ErrorCode::None => Ok(Identity {
            producer_id: answer.producer_id,
            epoch: answer.producer_epoch,
        }),
        code => Err(Denied::Answer(code)),
    }
}
