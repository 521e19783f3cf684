//! Fetch sessions (KIP-227) of one node.
//!
//! I1. A session belongs to its id, not to a connection.
//! I2. A request's epoch must be exactly the expected one; after 2³¹ − 1 comes 1.
//! I3. At most [`SLOTS`] sessions are kept; a full cache gives away only sessions idle for
//!     [`EVICT_AFTER`], and otherwise answers without a session.

use std::collections::BTreeMap;
use std::time::Duration;

use milena_codec::messages::fetch_request::FetchPartition;
use milena_codec::messages::{FetchRequest, fetch_response::PartitionData};
use milena_codec::{ErrorCode, Str, Uuid};

/// `max.incremental.fetch.session.cache.slots`.
const SLOTS: usize = 1000;
/// Sessions used within this time are not evicted.
const EVICT_AFTER: Duration = Duration::from_secs(120);

/// A partition as a fetch names it: by name below version 13, by topic id from there on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) topic: Str,
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
}

/// Where a fetch belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// No session.
    Sessionless,
    /// The first answer of a session: everything.
    Full(i32),
    /// Only what changed.
    Incremental(i32),
}

#[derive(Debug)]
struct Cached {
    position: u64,
    request: FetchPartition,
    high_watermark: i64,
    log_start_offset: i64,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    by_id: bool,
    used: Duration,
    next_position: u64,
    partitions: BTreeMap<Asked, Cached>,
}

/// The sessions of one node.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    sessions: BTreeMap<i32, Session>,
}

/// The partitions to read, in order, and the session they belong to.
pub(crate) type Opened = (Context, Vec<(Asked, FetchPartition)>);

impl Sessions {
    /// Finds or makes the session of a request. `fresh_id` is a random positive number.
    pub(crate) fn open(
        &mut self,
        now: Duration,
        version: i16,
        request: &FetchRequest,
        fresh_id: i32,
    ) -> Result<Opened, ErrorCode> {
        let by_id = version >= 13;
        match (request.session_id, request.session_epoch) {
            (id, -1) => {
                self.sessions.remove(&id);
                Ok((Context::Sessionless, asked(request).collect()))
            }
            (id, 0) => {
                self.sessions.remove(&id);
                let context = self.create(now, request, by_id, fresh_id);
                Ok((context, asked(request).collect()))
            }
            (id, epoch) => self.continued(now, request, by_id, id, epoch),
        }
    }

    fn create(&mut self, now: Duration, request: &FetchRequest, by_id: bool, id: i32) -> Context {
        if self.sessions.len() >= SLOTS {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used);
            match oldest.map(|(id, session)| (*id, session.used)) {
                Some((oldest, used)) if now.saturating_sub(used) >= EVICT_AFTER => {
                    self.sessions.remove(&oldest);
                }
                _ => return Context::Sessionless, // I3
            }
        }
        if self.sessions.contains_key(&id) {
            return Context::Sessionless;
        }
        let mut session = Session {
            epoch: 1,
            by_id,
            used: now,
            next_position: 0,
            partitions: BTreeMap::new(),
        };
        session.update(request);
        self.sessions.insert(id, session);
        Context::Full(id)
    }

    fn continued(
        &mut self,
        now: Duration,
        request: &FetchRequest,
        by_id: bool,
        id: i32,
        epoch: i32,
    ) -> Result<Opened, ErrorCode> {
        let session = self
            .sessions
            .get_mut(&id)
            .ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch); // I2
        }
        if session.by_id != by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.update(request);
        if session.partitions.is_empty() {
            self.sessions.remove(&id);
            return Ok((Context::Sessionless, Vec::new()));
        }
        session.epoch = if epoch == i32::MAX { 1 } else { epoch + 1 };
        session.used = now;
        Ok((Context::Incremental(id), session.in_order()))
    }

    /// Whether this answer of an incremental fetch has to be sent, and notes what the client then
    /// knows. A partition that delivered records goes behind the others.
    pub(crate) fn changed(&mut self, id: i32, asked: &Asked, data: &PartitionData) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return true;
        };
        let position = session.next_position;
        let Some(cached) = session.partitions.get_mut(asked) else {
            return true;
        };
        let delivered = data
            .records
            .as_ref()
            .is_some_and(|records| !records.is_empty());
        let changed = delivered
            || data.error_code != 0
            || data.diverging_epoch.epoch >= 0
            || data.high_watermark != cached.high_watermark
            || data.log_start_offset != cached.log_start_offset;
        // An error is answered until it is gone, and then what is true instead.
        let failed = data.error_code != 0;
        cached.high_watermark = if failed { -1 } else { data.high_watermark };
        cached.log_start_offset = data.log_start_offset;
        if delivered {
            cached.position = position;
            session.next_position += 1;
        }
        changed
    }
}

impl Session {
    fn update(&mut self, request: &FetchRequest) {
        for (key, partition) in asked(request) {
            if let Some(cached) = self.partitions.get_mut(&key) {
                cached.request = partition;
                continue;
            }
            let position = self.next_position;
            self.next_position += 1;
            let fresh = Cached {
                position,
                request: partition,
                high_watermark: -1,
                log_start_offset: -1,
            };
            self.partitions.insert(key, fresh);
        }
        for topic in &request.forgotten_topics_data {
            for partition in &topic.partitions {
                self.partitions.remove(&Asked {
                    topic: topic.topic.clone(),
                    topic_id: topic.topic_id,
                    partition: *partition,
                });
            }
        }
    }

    fn in_order(&self) -> Vec<(Asked, FetchPartition)> {
        let mut all: Vec<_> = self.partitions.iter().collect();
        all.sort_by_key(|(_, cached)| cached.position);
        all.into_iter()
            .map(|(asked, cached)| (asked.clone(), cached.request.clone()))
            .collect()
    }
}

fn asked(request: &FetchRequest) -> impl Iterator<Item = (Asked, FetchPartition)> {
    request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            let asked = Asked {
                topic: topic.topic.clone(),
                topic_id: topic.topic_id,
                partition: partition.partition,
            };
            (asked, partition.clone())
        })
    })
}
