//! The producer id: asked for before the first idempotent batch, of any broker.

use std::sync::Arc;
use std::time::Instant;

use milena_codec::ErrorCode;
use milena_codec::messages::InitProducerIdRequest;
use milena_net::Lane;
use milena_proto::backoff::Backoff;
use milena_proto::sequence::Identity;
use milena_rpc::{CallError, Target, Verdict};

use super::{Driver, Event};
use crate::ProducerConfig;
use crate::failed::{DeliveryCause, LastError};
use crate::shared::Shared;

/// An answer, or the lack of one.
pub(super) type Granted = Result<Identity, Denied>;

/// Why there is no producer id.
pub(super) enum Denied {
    Answer(ErrorCode),
    Call(CallError),
}

/// What is known of the producer id.
pub(super) struct Identification {
    idempotent: bool,
    identity: Option<Identity>,
    asking: bool,
    retry_at: Option<Instant>,
    backoff: Backoff,
}

impl Identification {
    pub(super) fn new(config: &ProducerConfig) -> Self {
        Self {
            idempotent: config.is_idempotent(),
            identity: None,
            asking: false,
            retry_at: None,
            backoff: Backoff::new(config.retry_backoff, config.retry_backoff_max),
        }
    }

    /// `used` is no longer good enough: the next look asks for another.
    pub(super) fn renew(&mut self, used: Option<Identity>) {
        if self.identity == used {
            self.identity = None;
        }
    }
}

impl Driver {
    /// The identity to stamp with, `None` without idempotence. If there is none yet it is asked
    /// for, and the error says when to look again, unless an event will tell.
    pub(super) fn identity(&mut self, now: Instant) -> Result<Option<Identity>, Option<Instant>> {
        let known = &mut self.identification;
        if !known.idempotent {
            return Ok(None);
        }
        if known.identity.is_some() {
            return Ok(known.identity);
        }
        if known.asking {
            return Err(None);
        }
        if let Some(at) = known.retry_at.filter(|at| *at > now) {
            return Err(Some(at));
        }
        known.asking = true;
        let shared = Arc::clone(&self.shared);
        let deadline = now + shared.config.request_timeout;
        self.work.push(Box::pin(async move {
            Event::Identified(ask(&shared, deadline).await)
        }));
        Err(None)
    }

    pub(super) fn handle_identified(&mut self, granted: Granted) {
        self.identification.asking = false;
        match granted {
            Ok(identity) => {
                self.identification.identity = Some(identity);
                self.identification.retry_at = None;
                self.identification.backoff.reset();
                tracing::debug!(
                    producer_id = identity.producer_id,
                    epoch = identity.epoch,
                    "got a producer id"
                );
            }
            Err(Denied::Call(error)) if error.is_retriable() => self.ask_later(error),
            Err(Denied::Call(error)) => self.fail_all(&DeliveryCause::Call(Arc::new(error))),
            Err(Denied::Answer(code)) => self.fail_all(&DeliveryCause::NoProducerId(code)),
        }
    }

    fn ask_later(&mut self, error: CallError) {
        tracing::warn!(%error, "no producer id yet");
        let env = self.shared.cluster.env();
        let wait = self.identification.backoff.next(env.random.next_u64());
        self.identification.retry_at = Some(env.now() + wait);
        let error = Arc::new(error);
        for slot in &self.busy {
            if let Some(lane) = self.lanes.get_mut(slot) {
                lane.last_error = Some(LastError::NoProducerId(Arc::clone(&error)));
            }
        }
    }

    /// Fails everything that waits to be sent. What is in flight has its identity already.
    fn fail_all(&mut self, cause: &DeliveryCause) {
        for slot in &self.busy {
            let Some(lane) = self.lanes.get_mut(slot) else {
                continue;
            };
            if let super::Stage::Held(_) = lane.stage {
                let fate = lane.sequence.handle_expired();
                lane.fail_head(&self.shared, fate, cause.clone());
            }
            while let Some(closed) = lane.partition.queue.take() {
                self.shared
                    .fail_unsent(&lane.partition, closed, cause.clone());
            }
        }
    }
}

async fn ask(shared: &Shared, deadline: Instant) -> Granted {
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
