//! One question about the cluster.

use milena_codec::messages::MetadataRequest;
use milena_codec::messages::metadata_request::MetadataRequestTopic;
use milena_codec::{ApiKey, Str, VersionRange};

use crate::RefreshReason;

/// A metadata request that is due. Give it back to the cache with its answer or its failure;
/// dropping it loses what it was to ask.
#[derive(Debug, PartialEq)]
#[must_use = "the cache counts on an answer or a failure"]
pub struct Lookup {
    pub(crate) topics: Vec<Str>,
    pub(crate) create: bool,
    /// Why everything is renewed; `None` if only single topics are looked up.
    pub(crate) refresh: Option<RefreshReason>,
    /// The refresh tickets that an answer fulfils.
    pub(crate) covers: u64,
}

impl Lookup {
    /// The names asked for, ascending; none means brokers only.
    pub fn topics(&self) -> &[Str] {
        &self.topics
    }

    /// Whether the broker may create topics that do not exist.
    pub fn may_create(&self) -> bool {
        self.create
    }

    /// Why everything wanted is asked for again; `None` if only single topics are looked up.
    pub fn refresh(&self) -> Option<RefreshReason> {
        self.refresh
    }

    /// The versions that can say exactly this: below 4 every look-up by name creates topics, and 0
    /// cannot ask for no topic at all, its empty list means every topic.
    pub fn versions(&self) -> VersionRange {
        let stable = ApiKey::Metadata.stable_versions();
        let min = match (self.topics.is_empty(), self.create) {
            (true, _) => 1,
            (false, false) => 4,
            (false, true) => 0,
        };
        VersionRange::new(min, stable.max)
    }

    /// The request in a version out of [`Lookup::versions`].
    pub fn request(&self, version: i16) -> MetadataRequest {
        let topic = |name: &Str| MetadataRequestTopic {
            name: Some(name.clone()),
            ..MetadataRequestTopic::default()
        };
        MetadataRequest {
            topics: Some(self.topics.iter().map(topic).collect()),
            // Below 4 the field does not exist and its meaning is "yes".
            allow_auto_topic_creation: self.create || version < 4,
            ..MetadataRequest::default()
        }
    }
}

#[cfg(test)]
mod tests;
