//! Takes an answer in: bytes into the slots, errors into waits, faults or look-ups.
//!
//! - I1: every error code has one outcome, and none moves a position: that takes a look-up.
//! - I2: what was asked before a seek, or before another assignment, is dropped, with an event.

use std::collections::BTreeMap;
use std::time::Instant;

use milena_codec::messages::fetch_response::PartitionData;
use milena_codec::{Bytes, ErrorCode};
use milena_net::FetchedPart;
use milena_proto::fetch_session::{Answered, SessionKey};
use milena_proto::position::{FetchFrom, survey};
use milena_rpc::{BrokerInfo, RefreshReason};

use crate::fetcher::Reservation;
use crate::record::Bounds;
use crate::shared::Shared;
use crate::slot::{Chunk, Fault, Slot};
use crate::state::State;
use crate::{ConsumerEvent, TopicPartition};

pub(crate) struct Intake<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) asked: &'a BTreeMap<SessionKey, FetchFrom>,
    /// Where the leaders are that the answer names (KIP-951).
    pub(crate) endpoints: &'a [BrokerInfo],
}

/// What a partition's error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// There are records, or none yet.
    Fine,
    /// The offset is outside the log, says the broker.
    OutOfRange,
    /// Ask again later.
    Wait,
    /// Ask again later, with newer metadata.
    WaitForLeader,
    /// Nothing will change that.
    Refused,
}

/// One row per code; those not named are judged by what the protocol says of them. // I1
pub(crate) fn meaning(code: ErrorCode) -> Meaning {
    match code {
        ErrorCode::None => Meaning::Fine,
        ErrorCode::OffsetOutOfRange => Meaning::OutOfRange,
        ErrorCode::NotLeaderOrFollower
        | ErrorCode::FencedLeaderEpoch
        | ErrorCode::UnknownLeaderEpoch
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::UnknownTopicId
        | ErrorCode::InconsistentTopicId
        | ErrorCode::KafkaStorageError
        | ErrorCode::LeaderNotAvailable
        | ErrorCode::ReplicaNotAvailable
        | ErrorCode::ListenerNotFound => Meaning::WaitForLeader,
        // The broker's own trouble, of which it tells no more.
        ErrorCode::UnknownServerError | ErrorCode::OffsetNotAvailable => Meaning::Wait,
        // Damaged on the broker's disk: the same bytes would come again.
        ErrorCode::CorruptMessage => Meaning::Refused,
        code if code.refresh() == milena_codec::Refresh::Metadata => Meaning::WaitForLeader,
        code if code.is_retriable() => Meaning::Wait,
        _ => Meaning::Refused,
    }
}

/// Takes in records that came before the rest of their answer; `reserved` bytes of memory were set
/// aside for them.
pub(crate) fn take_part(
    shared: &Shared,
    key: &SessionKey,
    asked: FetchFrom,
    part: FetchedPart,
    reserved: usize,
) {
    let (now, random) = (shared.now(), shared.random());
    let name = TopicPartition {
        topic: key.topic.clone(),
        partition: key.partition,
    };
    let has_something = shared.with(|state| {
        state.settle(reserved);
        let slot = accepting(state, &name, key, asked);
        if let Some(slot) = slot.filter(|_| part.error_code == 0) {
            slot.unhold();
            slot.high_watermark = Some(part.high_watermark);
            let ends = (part.high_watermark, part.log_start_offset);
            take_bytes(state, &name, asked, ends, part.records, (now, random));
        } else {
            let (partition, bytes) = (name, part.records.len());
            state.event(ConsumerEvent::Dropped { partition, bytes }); // I2
        }
        state.has_something()
    });
    if has_something {
        shared.wake_user();
    }
}

/// The partition, if nothing has moved it since it was asked for.
fn accepting<'a>(
    state: &'a mut State,
    name: &TopicPartition,
    key: &SessionKey,
    asked: FetchFrom,
) -> Option<&'a mut Slot> {
    let slot = state.slots.get_mut(name)?;
    (slot.topic_id == key.topic_id && slot.core.accepts(asked)).then_some(slot)
}

impl Intake<'_> {
    /// Takes in all of an answer, then gives the reservation back.
    pub(crate) fn take(&self, answered: Vec<Answered>, reservation: Reservation) {
        let now = self.shared.now();
        let mut refresh = None;
        for Answered { key, data, .. } in answered {
            let Some(asked) = self.asked.get(&key) else {
                continue;
            };
            let name = TopicPartition {
                topic: key.topic.clone(),
                partition: key.partition,
            };
            let code = ErrorCode::from(data.error_code);
            if meaning(code) == Meaning::WaitForLeader && !self.take_hint(&name, &data) {
                refresh = Some(code);
            }
            let bytes = records(&data);
            let random = self.shared.random();
            self.shared.with(|state| {
                if accepting(state, &name, &key, *asked).is_some() {
                    take_partition(state, &name, *asked, &data, bytes, (now, random));
                } else if !bytes.is_empty() {
                    let (partition, bytes) = (name, bytes.len());
                    state.event(ConsumerEvent::Dropped { partition, bytes }); // I2
                }
            });
        }
        drop(reservation);
        if let Some(code) = refresh {
            self.shared.cluster.refresh(RefreshReason::Error(code));
        }
        if self.shared.with(|state| state.has_something()) {
            self.shared.wake_user();
        }
    }

    /// Whether the answer named a newer leader that can be asked at once.
    fn take_hint(&self, name: &TopicPartition, data: &PartitionData) -> bool {
        let (leader, epoch) = (
            data.current_leader.leader_id,
            data.current_leader.leader_epoch,
        );
        if leader < 0 || epoch < 0 {
            return false;
        }
        let endpoint = self
            .endpoints
            .iter()
            .find(|broker| broker.id == leader)
            .cloned();
        let cluster = &self.shared.cluster;
        cluster.leader_changed(&name.topic, name.partition, (leader, epoch), endpoint)
    }
}

fn records(data: &PartitionData) -> Bytes {
    data.records.clone().unwrap_or_default()
}

fn take_partition(
    state: &mut State,
    name: &TopicPartition,
    asked: FetchFrom,
    data: &PartitionData,
    bytes: Bytes,
    (now, random): (Instant, u64),
) {
    let Some(slot) = state.slots.get_mut(name) else {
        return;
    };
    let code = ErrorCode::from(data.error_code);
    let event = match meaning(code) {
        Meaning::Fine => {
            slot.unhold();
            slot.high_watermark = Some(data.high_watermark);
            slot.note(now);
            let ends = (data.high_watermark, data.log_start_offset);
            return take_bytes(state, name, asked, ends, bytes, (now, random));
        }
        Meaning::OutOfRange => {
            slot.core.handle_out_of_range(asked);
            // Should the log's bounds contradict the broker, this spaces its next chance.
            slot.hold(now, random);
            None
        }
        Meaning::Refused => {
            return state.fail(name, Fault::Refused(code), now);
        }
        wait => {
            let retry_in = slot.hold(now, random);
            let news = wait == Meaning::Wait || slot.await_leader();
            let partition = name.clone();
            news.then_some(ConsumerEvent::Waiting {
                partition,
                code,
                retry_in,
            })
        }
    };
    slot.note(now);
    state.call_driver();
    event.into_iter().for_each(|event| state.event(event));
}

fn take_bytes(
    state: &mut State,
    name: &TopicPartition,
    asked: FetchFrom,
    (high_watermark, log_start_offset): (i64, i64),
    bytes: Bytes,
    (now, random): (Instant, u64),
) {
    let Some(slot) = state.slots.get_mut(name) else {
        return;
    };
    if bytes.is_empty() {
        return;
    }
    let seen = survey(&bytes, asked.offset);
    if seen.batches == 0 && !seen.damaged {
        let bytes = bytes.len();
        return state.fail(name, Fault::Cut { bytes }, now);
    }
    if seen.next_offset == asked.offset && !seen.damaged {
        slot.hold(now, random);
        slot.note(now);
        state.call_driver();
        let (partition, offset) = (name.clone(), asked.offset);
        return state.event(ConsumerEvent::NoProgress { partition, offset });
    }
    slot.core.handle_fetched(asked, &seen);
    let bounds = Bounds {
        high_watermark,
        log_start_offset,
        until: slot.core.stop_offset().unwrap_or(i64::MAX),
    };
    state.buffered = state.buffered.saturating_add(bytes.len());
    slot.push(Chunk::new(asked.token, bounds, bytes));
    slot.note(now);
    state.rotate_in(name);
}

#[cfg(test)]
mod tests;
