//! The incremental fetch session between one consumer and one broker (KIP-227): what the next
//! Fetch request has to carry, and what an answer means for the session.
//!
//! - I1: one request at a time; the epoch rises by one only after a good answer, and after
//!   2³¹ − 1 comes 1.
//! - I2: after anything lost, refused or inconsistent, the next request is full.
//! - I3: a session speaks either of topic names or of topic ids; a change starts a new session.
//! - I4: an answer names only partitions that the session holds, and a full answer all of them;
//!   otherwise it is a fault. (Records that came before the answer was whole are no less valid: they
//!   were asked for, and each batch is checked.)
//!
//! Not for positions, leaders or what the fetched bytes hold.

use std::collections::{BTreeMap, BTreeSet};

use milena_codec::messages::FetchResponse;
use milena_codec::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use milena_codec::messages::fetch_response::PartitionData;
use milena_codec::{ErrorCode, Str, Uuid};

/// The first version of Fetch with sessions.
const SESSIONS_FROM: i16 = 7;
/// The first version of Fetch that names topics by id (KIP-516).
pub const TOPIC_IDS_FROM: i16 = 13;
/// The epoch that asks for a full answer and a new session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch that closes the session, or asks for a full answer without one.
const FINAL_EPOCH: i32 = -1;

/// A partition in a session: the topic by both of its names, so that a recreated topic differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// The topic's name.
    pub topic: Str,
    /// The topic's id; zero when unknown.
    pub topic_id: Uuid,
    /// The partition's index.
    pub partition: i32,
}

/// A partition as a request names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WireKey {
    Name(Str, i32),
    Id(Uuid, i32),
}

impl SessionKey {
    fn on_wire(&self, naming: Naming) -> WireKey {
        match naming {
            Naming::Names => WireKey::Name(self.topic.clone(), self.partition),
            Naming::Ids => WireKey::Id(self.topic_id, self.partition),
        }
    }
}

/// What to ask of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The offset to fetch from.
    pub offset: i64,
    /// The leader epoch of the metadata that named the leader (KIP-320), or −1.
    pub leader_epoch: i32,
    /// At most so many bytes, save that one batch always fits.
    pub max_bytes: i32,
}

/// The session's part of a Fetch request.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SessionRequest {
    /// The session; 0 for none.
    pub session_id: i32,
    /// The session's epoch.
    pub session_epoch: i32,
    /// New and changed partitions, or all of them in a full request.
    pub topics: Vec<FetchTopic>,
    /// Partitions that leave the session.
    pub forgotten: Vec<ForgottenTopic>,
}

/// Why an answer cannot be used. Each of them makes the next request full.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionFault {
    /// The broker refused the whole request.
    #[error("the broker refused the fetch: {0}")]
    Refused(ErrorCode),
    /// An empty answer to a full request, with a throttle time (KIP-219): not an error.
    #[error("the broker throttled the fetch and sent nothing")]
    Throttled,
    /// A partition that the session does not hold.
    #[error("the answer names partition {partition} of topic {topic:?}, which was not asked for")]
    Unexpected {
        /// The topic's name, or its id in text.
        topic: String,
        /// The partition's index.
        partition: i32,
    },
    /// A full answer without a partition that was asked for.
    #[error("the full answer lacks partition {partition} of topic {topic:?}")]
    Missing {
        /// The topic's name.
        topic: String,
        /// The partition's index.
        partition: i32,
    },
    /// An answer while nothing had been asked.
    #[error("an answer came to no request")]
    Unasked,
}

/// One partition's part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The partition.
    pub key: SessionKey,
    /// The offset that had been asked for.
    pub offset: i64,
    /// What came.
    pub data: PartitionData,
}

/// How a session names its topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    Names,
    Ids,
}

/// What was asked and is not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Full,
    Incremental,
}

/// The session with one broker.
#[derive(Clone, Debug, Default)]
pub struct FetchSession {
    id: i32,
    epoch: i32,
    naming: Option<Naming>,
    held: BTreeMap<SessionKey, Wanted>,
    asked: Option<Asked>,
}

impl FetchSession {
    /// No session yet: the first request asks for one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The session's id; 0 while there is none.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Whether the next request carries changes only.
    #[must_use]
    pub fn is_incremental(&self) -> bool {
        self.epoch > INITIAL_EPOCH
    }

    /// The next request in `version`, for exactly the partitions `wanted`.
    ///
    /// A request that is still unanswered counts as lost. // I1
    pub fn next_request(
        &mut self,
        wanted: BTreeMap<SessionKey, Wanted>,
        version: i16,
    ) -> SessionRequest {
        self.handle_lost();
        let naming = if version >= TOPIC_IDS_FROM {
            Naming::Ids
        } else {
            Naming::Names
        };
        if self.naming.is_some_and(|held| held != naming) {
            self.restart(); // I3
        }
        self.naming = Some(naming);
        let request = if version < SESSIONS_FROM {
            (self.id, self.epoch) = (0, INITIAL_EPOCH);
            self.full(&wanted, FINAL_EPOCH)
        } else if self.is_incremental() {
            self.incremental(&wanted, naming)
        } else {
            self.full(&wanted, INITIAL_EPOCH)
        };
        self.held = wanted;
        request
    }

    /// The request that closes the session, if there is one to close.
    pub fn closing_request(&mut self) -> Option<SessionRequest> {
        let id = std::mem::take(&mut self.id);
        *self = Self::new();
        (id != 0).then(|| SessionRequest {
            session_id: id,
            session_epoch: FINAL_EPOCH,
            ..SessionRequest::default()
        })
    }

    /// The answer to the last request: its partitions, unless it cannot be used. A partition that
    /// an incremental answer leaves out has not changed.
    ///
    /// # Errors
    /// [`SessionFault`]; the next request is then full.
    pub fn handle_answer(&mut self, answer: FetchResponse) -> Result<Vec<Answered>, SessionFault> {
        let asked = self.asked.take().ok_or(SessionFault::Unasked)?;
        let code = ErrorCode::from(answer.error_code);
        if !code.is_ok() {
            self.handle_refused(code);
            return Err(SessionFault::Refused(code));
        }
        if asked == Asked::Full
            && answer.responses.is_empty()
            && answer.throttle_time_ms > 0
            && !self.held.is_empty()
        {
            self.forget();
            return Err(SessionFault::Throttled);
        }
        let session_id = answer.session_id;
        let found = self.resolve(answer, asked).inspect_err(|_| {
            self.restart(); // I2, I4
        })?;
        self.renew(session_id, asked);
        Ok(found)
    }

    /// No answer will come: time-out, cut connection, cancelled call. Changes nothing when no
    /// request was made. // I2
    pub fn handle_lost(&mut self) {
        if self.asked.take().is_some() {
            self.restart();
        }
    }

    /// The broker answered with an error for the whole request.
    fn handle_refused(&mut self, code: ErrorCode) {
        if code == ErrorCode::FetchSessionIdNotFound {
            self.forget();
        } else {
            self.restart();
        }
    }

    /// The next request closes this session, if any, and asks for another.
    fn restart(&mut self) {
        self.epoch = INITIAL_EPOCH;
        self.held.clear();
    }

    /// The broker holds no session of ours.
    fn forget(&mut self) {
        self.id = 0;
        self.restart();
    }

    /// A good answer: the epoch goes on, unless the broker has no session for us. // I1
    fn renew(&mut self, session_id: i32, asked: Asked) {
        if session_id == 0 {
            (self.id, self.epoch) = (0, INITIAL_EPOCH);
            return;
        }
        let same = std::mem::replace(&mut self.id, session_id) == session_id;
        match asked {
            Asked::Full => self.epoch = 1,
            Asked::Incremental if same => self.epoch = self.epoch.checked_add(1).unwrap_or(1),
            Asked::Incremental => self.restart(), // I2
        }
    }

    fn full(&mut self, wanted: &BTreeMap<SessionKey, Wanted>, epoch: i32) -> SessionRequest {
        self.asked = Some(Asked::Full);
        SessionRequest {
            session_id: self.id,
            session_epoch: epoch,
            topics: topics(wanted.iter()),
            forgotten: Vec::new(),
        }
    }

    fn incremental(
        &mut self,
        wanted: &BTreeMap<SessionKey, Wanted>,
        naming: Naming,
    ) -> SessionRequest {
        self.asked = Some(Asked::Incremental);
        let changed = wanted
            .iter()
            .filter(|(key, want)| self.held.get(*key) != Some(*want));
        // By name, a recreated topic's partition takes the place of the old one, and to forget the
        // old would be to forget the new.
        let staying: BTreeSet<WireKey> = wanted.keys().map(|key| key.on_wire(naming)).collect();
        let gone = self
            .held
            .keys()
            .filter(|key| !staying.contains(&key.on_wire(naming)));
        SessionRequest {
            session_id: self.id,
            session_epoch: self.epoch,
            topics: topics(changed),
            forgotten: forgotten(gone),
        }
    }

    fn resolve(&self, answer: FetchResponse, asked: Asked) -> Result<Vec<Answered>, SessionFault> {
        let naming = self.naming.unwrap_or(Naming::Names);
        let mut open: BTreeMap<WireKey, (&SessionKey, i64)> = self
            .held
            .iter()
            .map(|(key, want)| (key.on_wire(naming), (key, want.offset)))
            .collect();
        let mut found = Vec::new();
        for topic in answer.responses {
            for data in topic.partitions {
                let named = SessionKey {
                    topic: topic.topic.clone(),
                    topic_id: topic.topic_id,
                    partition: data.partition_index,
                };
                let Some((key, offset)) = open.remove(&named.on_wire(naming)) else {
                    return Err(SessionFault::Unexpected {
                        topic: match naming {
                            Naming::Ids => named.topic_id.to_string(),
                            Naming::Names => named.topic.to_string(),
                        },
                        partition: named.partition,
                    });
                };
                let key = key.clone();
                found.push(Answered { key, offset, data });
            }
        }
        match open.into_values().next() {
            Some((key, _)) if asked == Asked::Full => Err(SessionFault::Missing {
                topic: key.topic.to_string(),
                partition: key.partition,
            }),
            _ => Ok(found),
        }
    }
}

/// Groups partitions by topic; equal topics are neighbours in the map's order.
fn topics<'a>(wanted: impl Iterator<Item = (&'a SessionKey, &'a Wanted)>) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (key, want) in wanted {
        let partition = FetchPartition {
            partition: key.partition,
            current_leader_epoch: want.leader_epoch,
            fetch_offset: want.offset,
            partition_max_bytes: want.max_bytes,
            ..FetchPartition::default()
        };
        match topics.last_mut() {
            Some(last) if last.topic == key.topic && last.topic_id == key.topic_id => {
                last.partitions.push(partition);
            }
            _ => topics.push(FetchTopic {
                topic: key.topic.clone(),
                topic_id: key.topic_id,
                partitions: vec![partition],
                ..FetchTopic::default()
            }),
        }
    }
    topics
}

fn forgotten<'a>(keys: impl Iterator<Item = &'a SessionKey>) -> Vec<ForgottenTopic> {
    let mut topics: Vec<ForgottenTopic> = Vec::new();
    for key in keys {
        match topics.last_mut() {
            Some(last) if last.topic == key.topic && last.topic_id == key.topic_id => {
                last.partitions.push(key.partition);
            }
            _ => topics.push(ForgottenTopic {
                topic: key.topic.clone(),
                topic_id: key.topic_id,
                partitions: vec![key.partition],
                ..ForgottenTopic::default()
            }),
        }
    }
    topics
}

#[cfg(test)]
mod tests;
