//! What a partition's leader does about transactions before it looks at a batch: it asks their
//! coordinator (KIP-890), and waits a moment for the transaction before to be over.

use std::time::Duration;

use milena_codec::messages::ProduceRequest;
use milena_codec::{Bytes, ErrorCode, Str};
use milena_records::{BatchHeader, MAGIC};

use super::{Call, Place, Refusal, Reply};
use crate::model::transactions::Producer;
use crate::model::{ClusterModel, Parked, Waiting};

/// `TRANSACTION_ABORTABLE` is answered from this version on (KIP-890).
const ABORTABLE_FROM: i16 = 11;
/// Partitions join their transaction by themselves from this version on (KIP-890).
pub(super) const ADDS_FROM: i16 = 12;
/// Kafka's `add.partitions.to.txn.retry.backoff.max.ms`.
const CONCURRENT_FOR: Duration = Duration::from_millis(100);
/// Kafka's `add.partitions.to.txn.retry.backoff.ms`.
const CONCURRENT_AGAIN: Duration = Duration::from_millis(20);

/// A Produce that comes before the markers of its producer's last transaction.
#[derive(Debug)]
pub(crate) struct EarlyProduce {
    request: ProduceRequest,
    until: Duration,
}

/// Carries a request out, or lets it wait for the markers of the transaction before.
pub(crate) fn begin(model: &mut ClusterModel, call: &Call, request: ProduceRequest) -> Reply {
    if is_early(model, call, &request) {
        return wait(call, request, call.now.saturating_add(CONCURRENT_FOR));
    }
    super::carry_out(model, call, request)
}

/// Looks again whether the markers of the producer's last transaction are written.
pub(crate) fn resume(model: &mut ClusterModel, call: &Call, early: EarlyProduce) -> Reply {
    let EarlyProduce { request, until } = early;
    if call.now < until && is_early(model, call, &request) {
        return wait(call, request, until);
    }
    super::carry_out(model, call, request)
}

/// Whether the request begins a transaction while the markers of the last one are still to be
/// written. The leader then asks the coordinator again and again for a while, instead of answering
/// `CONCURRENT_TRANSACTIONS` at once (KIP-890).
fn is_early(model: &ClusterModel, call: &Call, request: &ProduceRequest) -> bool {
    let id = request.transactional_id.as_deref();
    let known = id.and_then(|id| model.transactions.find(id));
    if call.version < ADDS_FROM || !known.is_some_and(|known| known.state.is_prepared()) {
        return false;
    }
    let partitions = request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data);
    let mut headers = partitions.filter_map(|data| BatchHeader::read(data.records.as_ref()?));
    headers.any(|header| header.attributes.is_transactional())
}

fn wait(call: &Call, request: ProduceRequest, until: Duration) -> Reply {
    let again = call.now.saturating_add(CONCURRENT_AGAIN);
    Reply::Park(Box::new(Waiting {
        parked: Parked::Early(call.clone(), Box::new(EarlyProduce { request, until })),
        deadline: Some(again.min(until)),
    }))
}

/// What fails the whole request before anything else is looked at: a transaction without an id, or
/// with two producers.
pub(super) fn of_transactions(
    anonymous: bool,
    asked: &[(Place, Option<Bytes>)],
) -> Option<ErrorCode> {
    let headers = asked.iter().filter_map(|(_, records)| {
        BatchHeader::read(records.as_ref()?).filter(|header| header.magic == MAGIC)
    });
    let mut producers = headers
        .filter(|header| header.attributes.is_transactional())
        .map(|header| (header.producer_id, header.producer_epoch));
    let first = producers.next()?;
    if anonymous {
        Some(ErrorCode::TransactionalIdAuthorizationFailed)
    } else {
        let other = producers.any(|producer| producer != first);
        other.then_some(ErrorCode::InvalidProducerIdMapping)
    }
}

/// Makes sure that the partition is in the transaction; from version 12 on it is added (KIP-890).
pub(super) fn verify(
    model: &mut ClusterModel,
    call: &Call,
    id: &str,
    place: (Str, i32),
    header: &BatchHeader,
) -> Result<(), Refusal> {
    let who = Producer {
        id: header.producer_id,
        epoch: header.producer_epoch,
    };
    let topic = model.topics.by_name(&place.0);
    let partition = topic.and_then(|topic| topic.partition(place.1));
    let open = partition.is_some_and(|found| found.producers.is_open(who.id, who.epoch));
    if open || who.id < 0 {
        return Ok(());
    }
    let adds = call.version >= ADDS_FROM;
    let outcome = model.reach_coordinator(id).and_then(|()| {
        if adds {
            model.add_to_transaction(call.now, id, who, [place])
        } else {
            model.verify_in_transaction(id, who, &place)
        }
    });
    outcome.map_err(|code| match code {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch.into(),
        ErrorCode::TransactionAbortable if call.version < ABORTABLE_FROM => {
            let message = "Partition was not added to the transaction";
            Refusal::new(ErrorCode::InvalidTxnState, message)
        }
        ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable => {
            unverified(code)
        }
        ErrorCode::ConcurrentTransactions if !adds => unverified(code),
        code => code.into(),
    })
}

/// What older clients would not retry is given a code that they do.
fn unverified(code: ErrorCode) -> Refusal {
    let message = format!(
        "Unable to verify the partition has been added to the transaction. Underlying error: {}",
        code.name()
    );
    Refusal::new(ErrorCode::NotEnoughReplicas, message)
}
