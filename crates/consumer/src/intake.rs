//! Takes an answer in: bytes into the slots, errors into waits, faults or look-ups.
//!
//! - I1: every error code has one outcome, and none moves a position: that takes a look-up.
//! - I2: what was asked before a seek, or before another assignment, is dropped, with an event.

use std::collections::BTreeMap;
use std::time::Instant;

use milena_codec::messages::fetch_response::PartitionData;
use milena_codec::{Bytes, ErrorCode};
use milena_proto::fetch_session::{Answered, SessionKey};
use milena_proto::position::{FetchFrom, survey};
use milena_rpc::{BrokerInfo, RefreshReason};

use crate::fetcher::Reservation;
use crate::record::Bounds;
use crate::shared::Shared;
use crate::slot::{Chunk, Fault};
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

impl Intake<'_> {
    /// Takes in all of an answer, then gives the reservation back.
    pub(crate) fn take(&self, answered: Vec<Answered>, reservation: Reservation) {
        let now = self.shared.now();
        let with_records = answered
            .iter()
            .filter(|a| !records(&a.data).is_empty())
            .count();
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
            let bytes = own(records(&data), with_records);
            let random = self.shared.random();
            self.shared.with(|state| {
                let same = state
                    .slots
                    .get(&name)
                    .is_some_and(|slot| slot.topic_id == key.topic_id && slot.core.accepts(*asked));
                if same {
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
        self.shared.wake_tasks();
        self.shared.wake_user();
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

/// Bytes that pin nothing but themselves: an answer with several partitions is copied apart, so
/// that one that is read slowly does not keep the others' memory.
fn own(bytes: Bytes, partitions: usize) -> Bytes {
    if partitions > 1 {
        Bytes::copy_from_slice(&bytes)
    } else {
        bytes
    }
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
            return take_bytes(state, name, asked, data, bytes, (now, random));
        }
        Meaning::OutOfRange => {
            slot.core.handle_out_of_range(asked);
            // Should the log's bounds contradict the broker, this spaces its next chance.
            slot.hold(now, random);
            None
        }
        Meaning::Refused => {
            state.fail(name, Fault::Refused(code), now);
            return;
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
    event.into_iter().for_each(|event| state.event(event));
}

fn take_bytes(
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
        let (partition, offset) = (name.clone(), asked.offset);
        return state.event(ConsumerEvent::NoProgress { partition, offset });
    }
    slot.core.handle_fetched(asked, &seen);
    let bounds = Bounds {
        high_watermark: data.high_watermark,
        log_start_offset: data.log_start_offset,
        until: slot.core.stop_offset().unwrap_or(i64::MAX),
    };
    state.buffered = state.buffered.saturating_add(bytes.len());
    slot.push(Chunk::new(asked.token, bounds, bytes));
    slot.note(now);
    state.rotate_in(name);
}

#[cfg(test)]
mod tests;
