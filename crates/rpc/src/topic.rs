//! Looking a topic up.

use std::sync::Arc;
use std::time::Instant;

use milena_codec::{ErrorCode, Str};
use milena_metadata::{AutoCreate, Topic};

use crate::error::Journal;
use crate::{Cluster, TopicError};

impl Cluster {
    /// The topic, as soon as at least one of its partitions has a leader; at once if that is known
    /// already. Other partitions may still have none.
    ///
    /// A topic that the brokers do not know is looked up again for `unknown_topic_timeout`
    /// (5 s), because one that was just created is not known everywhere yet. With
    /// [`AutoCreate::Allow`] the look-up may create it, if the brokers and
    /// `allow_auto_create_topics` allow it, but never again once it was seen.
    ///
    /// Cancel safe: dropping it gives up waiting; the look-up, and a creation, may take place.
    ///
    /// # Errors
    ///
    /// The topic does not exist, may not be seen, or has no leader until `deadline`.
    pub async fn topic(
        &self,
        name: &str,
        create: AutoCreate,
        deadline: Instant,
    ) -> Result<Arc<Topic>, TopicError> {
        let name = Str::from(name);
        let create = self.auto_create(create);
        let begun = self.shared.now();
        let missing_at = begun + self.shared.config.unknown_topic_timeout;
        let mut changes = self.changes();
        let mut looked = false;
        loop {
            changes.mark_unchanged();
            if self.shared.is_closed() {
                return Err(TopicError::Closed);
            }
            let pending = self.shared.peek_cache(|cache| cache.is_pending(&name));
            let known = self.shared.snapshot().topic(&name).cloned();
            match known.map_or(Found::Nothing, judge) {
                Found::Ready(topic) => {
                    self.touch(&name);
                    return Ok(topic);
                }
                Found::Error(code) if looked && !pending => self.check(&name, code, missing_at)?,
                _ => {}
            }
            if !pending {
                self.shared
                    .with_cache(|cache, now| cache.want(&name, create, now));
            }
            looked = true;
            let changed = tokio::time::timeout_at(deadline.into(), changes.changed());
            if changed.await.is_err() {
                return Err(self.topic_timed_out(&name, begun));
            }
        }
    }

    /// Whether an error ends the look-up.
    fn check(&self, name: &Str, code: ErrorCode, missing_at: Instant) -> Result<(), TopicError> {
        let name = name.clone();
        match code {
            ErrorCode::UnknownTopicOrPartition if self.shared.now() < missing_at => Ok(()),
            ErrorCode::UnknownTopicOrPartition => Err(self.unknown(name)),
            ErrorCode::TopicAuthorizationFailed => Err(TopicError::NotAuthorized { name }),
            ErrorCode::InvalidTopicException => Err(TopicError::InvalidName { name }),
            code if code.is_retriable() => Ok(()),
            code => Err(TopicError::Refused { name, code }),
        }
    }

    fn unknown(&self, name: Str) -> TopicError {
        let similar = self.shared.snapshot().similar(&name);
        TopicError::Unknown { name, similar }
    }

    fn topic_timed_out(&self, name: &Str, begun: Instant) -> TopicError {
        let snapshot = self.shared.snapshot();
        let topic = snapshot.topic(name);
        let last_answer = topic.and_then(|topic| match topic.error {
            Some(code) => Some(code),
            None => topic
                .partitions
                .iter()
                .find_map(|partition| partition.error),
        });
        if last_answer == Some(ErrorCode::UnknownTopicOrPartition) {
            return self.unknown(name.clone());
        }
        let mut journal = Journal {
            last_answer,
            ..Journal::default()
        };
        journal.spent.routing = self.since(begun);
        self.shared.add_failures(&mut journal);
        let what = match topic {
            Some(topic) if topic.error.is_none() => {
                format!("waiting for a leader of any partition of topic {name}")
            }
            _ => format!("looking up topic {name}"),
        };
        TopicError::TimedOut(journal.timed_out(what, self.since(begun)))
    }
}

enum Found {
    Ready(Arc<Topic>),
    Error(ErrorCode),
    Nothing,
}

fn judge(topic: Arc<Topic>) -> Found {
    match topic.error {
        Some(code) => Found::Error(code),
        None if topic.has_leader() => Found::Ready(topic),
        None => Found::Nothing,
    }
}
