//! What becomes of each request that arrives whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use milena_broker::{RequestInfo, Verdict};
use milena_codec::{ApiKey, ErrorCode};
use milena_producer::Acks;
use milena_sim::Dice;

use super::plan::{Load, Plan};

/// Shared with the run: when to leave requests alone, and what was done.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) calm: AtomicBool,
    /// Produce requests that run after their time-out.
    pub(crate) late: AtomicU64,
    /// Requests that met a fault.
    pub(crate) faults: AtomicU64,
}

/// The fault plan.
pub(crate) fn judge(
    seed: u64,
    plan: &Plan,
    trouble: Arc<Trouble>,
) -> impl FnMut(&RequestInfo) -> Verdict + Send + use<> {
    let mut dice = Dice::new(seed).fork(3);
    let plan = plan.clone();
    move |request| {
        let produce = request.api == ApiKey::Produce;
        let odds = if produce { plan.produce } else { plan.other };
        if trouble.calm.load(Ordering::Relaxed) || !dice.one_in(odds) {
            return Verdict::Pass;
        }
        trouble.faults.fetch_add(1, Ordering::Relaxed);
        let verdict = match request.api {
            ApiKey::Produce if plan.load == Load::Failing && !dice.one_in(3) => {
                failure(&mut dice, &plan)
            }
            ApiKey::Produce => fault(&mut dice, &plan),
            ApiKey::InitProducerId => no_id(&mut dice),
            _ => passing(&mut dice),
        };
        if produce && matches!(verdict, Verdict::Delay(time) if time > Duration::from_secs(2)) {
            trouble.late.fetch_add(1, Ordering::Relaxed);
        }
        verdict
    }
}

fn fault(dice: &mut Dice, plan: &Plan) -> Verdict {
    match dice.below(16) {
        0 | 1 => Verdict::ApplyThenDisconnect,
        2 => Verdict::Disconnect,
        3 => Verdict::Silence,
        4 => Verdict::Throttle(Duration::from_millis(dice.below(3_000))),
        5..=8 => Verdict::Delay(Duration::from_millis(
            dice.pick(&[10, 300, 1_900, 2_100, 2_500, 4_000, 9_000]) + dice.below(100),
        )),
        9..=11 => Verdict::Error(refusal(dice)),
        12 => failure(dice, plan),
        13 => Verdict::Error(dice.pick(&[
            ErrorCode::OutOfOrderSequenceNumber,
            ErrorCode::UnknownProducerId,
            ErrorCode::InvalidProducerEpoch,
            ErrorCode::MessageTooLarge,
        ])),
        _ => Verdict::ApplyThenError(doubt(dice, plan)),
    }
}

/// What may pass.
fn refusal(dice: &mut Dice) -> ErrorCode {
    dice.pick(&[
        ErrorCode::NotEnoughReplicas,
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::LeaderNotAvailable,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::CorruptMessage,
        ErrorCode::KafkaStorageError,
        ErrorCode::ThrottlingQuotaExceeded,
    ])
}

/// What a broker may say after the append.
fn doubt(dice: &mut Dice, plan: &Plan) -> ErrorCode {
    if plan.acks == Acks::All && dice.one_in(3) {
        return ErrorCode::NotLeaderOrFollower;
    }
    dice.pick(&[
        ErrorCode::RequestTimedOut,
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::KafkaStorageError,
    ])
}

/// What fails a batch.
fn failure(dice: &mut Dice, plan: &Plan) -> Verdict {
    if dice.one_in(2) {
        return Verdict::Error(dice.pick(&[
            ErrorCode::TopicAuthorizationFailed,
            ErrorCode::InvalidRecord,
            ErrorCode::InvalidTimestamp,
            ErrorCode::PolicyViolation,
            ErrorCode::UnsupportedCompressionType,
            ErrorCode::UnknownServerError,
        ]));
    }
    match dice.below(4) {
        0 => Verdict::ApplyThenError(ErrorCode::UnknownServerError),
        1 => Verdict::Silence,
        2 => Verdict::Delay(Duration::from_millis(2_000 + dice.below(8_000))),
        _ => Verdict::ApplyThenError(doubt(dice, plan)),
    }
}

fn no_id(dice: &mut Dice) -> Verdict {
    match dice.below(5) {
        0 => Verdict::Error(ErrorCode::ClusterAuthorizationFailed),
        1 => Verdict::Error(ErrorCode::UnknownServerError),
        2 => Verdict::Error(ErrorCode::CoordinatorLoadInProgress),
        3 => Verdict::Error(ErrorCode::NotCoordinator),
        _ => passing(dice),
    }
}

/// For look-ups and beginnings: nothing that a client could take for good.
fn passing(dice: &mut Dice) -> Verdict {
    match dice.below(5) {
        0 => Verdict::Disconnect,
        1 => Verdict::ApplyThenDisconnect,
        2 => Verdict::Silence,
        3 => Verdict::Delay(Duration::from_millis(dice.below(5_000))),
        _ => Verdict::Error(ErrorCode::LeaderNotAvailable),
    }
}
