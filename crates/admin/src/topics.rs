//! Topics: create, delete, list, describe, grow.

use std::time::Instant;

use milena_codec::messages::create_partitions_request::CreatePartitionsTopic;
use milena_codec::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use milena_codec::messages::create_topics_response::CreatableTopicResult;
use milena_codec::messages::delete_topics_request::DeleteTopicState;
use milena_codec::messages::metadata_request::MetadataRequestTopic;
use milena_codec::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest,
};
use milena_codec::{ApiKey, ErrorCode, Str, Uuid, VersionRange};
use milena_net::{CallError as AttemptError, Lane};
use milena_rpc::{CallError, Partition, Target, Topic, Verdict};

use crate::{Admin, AdminError, ItemError};

const KIND: &str = "topic";
/// From this version on, brokers choose where -1 is given (KIP-464).
const BROKER_CHOOSES: i16 = 4;

/// One topic's part of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct PerTopic<T> {
    /// The topic's name.
    pub topic: Str,
    /// What came of it.
    pub result: Result<T, ItemError>,
}

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    name: Str,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
    assignment: Vec<Vec<i32>>,
    configs: Vec<(Str, Str)>,
}

impl NewTopic {
    /// A topic with the brokers' default number of partitions (`num.partitions`) and replicas
    /// (`default.replication.factor`), and no settings of its own.
    pub fn new(name: impl Into<Str>) -> Self {
        Self {
            name: name.into(),
            partitions: None,
            replication_factor: None,
            assignment: Vec::new(),
            configs: Vec::new(),
        }
    }

    /// With this many partitions.
    #[must_use]
    pub fn partitions(mut self, count: i32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// With this many replicas of each partition.
    #[must_use]
    pub fn replication_factor(mut self, count: i16) -> Self {
        self.replication_factor = Some(count);
        self
    }

    /// With one partition for each list, on the brokers with these node ids, the preferred leader
    /// first. Takes the place of the number of partitions and replicas.
    #[must_use]
    pub fn assignment(mut self, replicas: Vec<Vec<i32>>) -> Self {
        self.assignment = replicas;
        self
    }

    /// With a setting of its own, such as `retention.ms`.
    #[must_use]
    pub fn config(mut self, name: impl Into<Str>, value: impl Into<Str>) -> Self {
        self.configs.push((name.into(), value.into()));
        self
    }

    fn leaves_choice(&self) -> bool {
        self.assignment.is_empty()
            && (self.partitions.is_none() || self.replication_factor.is_none())
    }

    fn to_message(&self) -> CreatableTopic {
        let assigned = !self.assignment.is_empty();
        let assignments =
            (0..)
                .zip(&self.assignment)
                .map(|(index, brokers)| CreatableReplicaAssignment {
                    partition_index: index,
                    broker_ids: brokers.clone(),
                    ..CreatableReplicaAssignment::default()
                });
        let configs = self
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: name.clone(),
                value: Some(value.clone()),
                ..CreatableTopicConfig::default()
            });
        CreatableTopic {
            name: self.name.clone(),
            num_partitions: self.partitions.filter(|_| !assigned).unwrap_or(-1),
            replication_factor: self.replication_factor.filter(|_| !assigned).unwrap_or(-1),
            assignments: assignments.collect(),
            configs: configs.collect(),
            ..CreatableTopic::default()
        }
    }
}

/// A topic that was created, or would have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; [`Uuid::ZERO`] from brokers below 2.8, or if it was only validated.
    pub id: Uuid,
    /// How many partitions it has, if the broker says so (from 2.4).
    pub partitions: Option<i32>,
    /// How many replicas each has, if the broker says so (from 2.4).
    pub replication_factor: Option<i16>,
}

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicListing {
    /// Its name.
    pub name: Str,
    /// Its id; [`Uuid::ZERO`] from brokers below 2.8.
    pub id: Uuid,
    /// Whether it belongs to Kafka itself.
    pub is_internal: bool,
    /// How many partitions it has.
    pub partitions: usize,
}

/// A topic and its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: Str,
    /// Its id; [`Uuid::ZERO`] from brokers below 2.8.
    pub id: Uuid,
    /// Whether it belongs to Kafka itself.
    pub is_internal: bool,
    /// Its partitions by ascending index.
    pub partitions: Vec<Partition>,
}

impl Admin {
    /// Creates topics, or with `validate_only` says whether they could be created. Results are in
    /// the order of `topics`.
    ///
    /// If an answer is lost the request is repeated, and a topic that the lost one created is
    /// reported as existing already. A topic just created takes a moment to be known to all
    /// brokers.
    ///
    /// Not cancel safe: when dropped, the topics may be created or not.
    ///
    /// # Errors
    ///
    /// The cluster could not be asked by `deadline`, or is too old to choose numbers that were left
    /// to it.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
        deadline: Instant,
    ) -> Result<Vec<PerTopic<CreatedTopic>>, AdminError> {
        let stable = ApiKey::CreateTopics.stable_versions();
        let undecided = topics.iter().find(|topic| topic.leaves_choice());
        let min = undecided.map_or(stable.min, |_| BROKER_CHOOSES);
        let timeout_ms = self.broker_timeout_ms(deadline);
        let prepare = |_| CreateTopicsRequest {
            topics: topics.iter().map(NewTopic::to_message).collect(),
            timeout_ms,
            validate_only,
            ..CreateTopicsRequest::default()
        };
        let call = self.cluster.call_within(
            Target::Controller,
            Lane::Slow,
            VersionRange::new(min, stable.max),
            prepare,
            |answer| judge(answer.topics.iter().map(|topic| topic.error_code)),
            deadline,
        );
        let reply = call.await.map_err(|error| match (undecided, error) {
            (
                Some(topic),
                CallError::Attempt(AttemptError::Unsupported {
                    theirs: Some(_), ..
                }),
            ) => AdminError::DefaultsUnsupported {
                topic: topic.name.clone(),
            },
            (_, error) => error.into(),
        })?;
        let names = topics.iter().map(|topic| &topic.name);
        let answers = &reply.message.topics;
        let created = names.map(|name| {
            let found = answers.iter().find(|answer| answer.name == *name);
            per_topic(name, found, created)
        });
        Ok(created.collect())
    }

    /// Deletes topics and all their records. Results are in the order of `topics`.
    ///
    /// If an answer is lost the request is repeated, and a topic that the lost one deleted is
    /// reported as unknown.
    ///
    /// Not cancel safe: when dropped, the topics may be deleted or not.
    ///
    /// # Errors
    ///
    /// The cluster could not be asked by `deadline`.
    pub async fn delete_topics(
        &self,
        topics: &[Str],
        deadline: Instant,
    ) -> Result<Vec<PerTopic<()>>, AdminError> {
        let timeout_ms = self.broker_timeout_ms(deadline);
        let prepare = |version| delete_request(topics, timeout_ms, version);
        let call = self.cluster.call(
            Target::Controller,
            Lane::Slow,
            prepare,
            |answer| judge(answer.responses.iter().map(|topic| topic.error_code)),
            deadline,
        );
        let answers = call.await?.message.responses;
        let deleted = topics.iter().map(|name| {
            let found = answers
                .iter()
                .find(|answer| answer.name.as_ref() == Some(name));
            per_topic(name, found, |name, answer| {
                let message = answer.error_message.as_ref();
                ItemError::check(KIND, name, answer.error_code, message)
            })
        });
        Ok(deleted.collect())
    }

    /// Gives topics more partitions: `topics` has each one's new total. Results are in the same
    /// order.
    ///
    /// Keys move to other partitions: records with the same key are in two of them from then on.
    ///
    /// Not cancel safe: when dropped, the partitions may be created or not.
    ///
    /// # Errors
    ///
    /// The cluster could not be asked by `deadline`.
    pub async fn create_partitions(
        &self,
        topics: &[(Str, i32)],
        validate_only: bool,
        deadline: Instant,
    ) -> Result<Vec<PerTopic<()>>, AdminError> {
        let timeout_ms = self.broker_timeout_ms(deadline);
        let prepare = |_| CreatePartitionsRequest {
            topics: topics.iter().map(growing).collect(),
            timeout_ms,
            validate_only,
            ..CreatePartitionsRequest::default()
        };
        let call = self.cluster.call(
            Target::Controller,
            Lane::Slow,
            prepare,
            |answer| judge(answer.results.iter().map(|topic| topic.error_code)),
            deadline,
        );
        let answers = call.await?.message.results;
        let grown = topics.iter().map(|(name, _)| {
            let found = answers.iter().find(|answer| answer.name == *name);
            per_topic(name, found, |name, answer| {
                let message = answer.error_message.as_ref();
                ItemError::check(KIND, name, answer.error_code, message)
            })
        });
        Ok(grown.collect())
    }

    /// All topics that this user may see, by ascending name, Kafka's internal ones included.
    ///
    /// Cancel safe: it changes nothing.
    ///
    /// # Errors
    ///
    /// The cluster could not be asked by `deadline`.
    pub async fn list_topics(&self, deadline: Instant) -> Result<Vec<TopicListing>, AdminError> {
        let topics = self.ask_metadata(None, deadline).await?;
        let mut listed: Vec<TopicListing> = (topics.into_iter())
            .filter(|topic| topic.error.is_none())
            .map(|topic| TopicListing {
                name: topic.name,
                id: topic.id,
                is_internal: topic.is_internal,
                partitions: topic.partitions.len(),
            })
            .collect();
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listed)
    }

    /// Topics with their partitions, leaders and replicas, in the order of `topics`. Never creates
    /// one.
    ///
    /// Cancel safe: it changes nothing.
    ///
    /// # Errors
    ///
    /// The cluster could not be asked by `deadline`.
    pub async fn describe_topics(
        &self,
        topics: &[Str],
        deadline: Instant,
    ) -> Result<Vec<PerTopic<TopicDescription>>, AdminError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.ask_metadata(Some(topics), deadline).await?;
        let described = topics.iter().map(|name| {
            let found = found.iter().find(|topic| topic.name == *name);
            per_topic(name, found, described)
        });
        Ok(described.collect())
    }

    /// `None` asks for all topics.
    async fn ask_metadata(
        &self,
        names: Option<&[Str]>,
        deadline: Instant,
    ) -> Result<Vec<Topic>, AdminError> {
        // Below 4 a request by name creates topics; 0 has another form for "all".
        let min = if names.is_some() { 4 } else { 1 };
        let versions = VersionRange::new(min, ApiKey::Metadata.stable_versions().max);
        let call = self.cluster.call_within(
            Target::Any,
            Lane::Main,
            versions,
            |version| metadata_request(names, version),
            |answer| Verdict::of(answer.error_code.into()),
            deadline,
        );
        let reply = call.await?;
        let topics = reply.message.topics.into_iter();
        Ok(topics
            .filter_map(|topic| Topic::from_answer(topic, reply.version))
            .collect())
    }
}

fn metadata_request(names: Option<&[Str]>, version: i16) -> MetadataRequest {
    let by_name = |name: &Str| MetadataRequestTopic {
        name: Some(name.clone()),
        ..MetadataRequestTopic::default()
    };
    MetadataRequest {
        topics: names.map(|names| names.iter().map(by_name).collect()),
        allow_auto_topic_creation: version < 4,
        ..MetadataRequest::default()
    }
}

fn delete_request(topics: &[Str], timeout_ms: i32, version: i16) -> DeleteTopicsRequest {
    let base = DeleteTopicsRequest {
        timeout_ms,
        ..DeleteTopicsRequest::default()
    };
    if version < 6 {
        return DeleteTopicsRequest {
            topic_names: topics.to_vec(),
            ..base
        };
    }
    let by_name = |name: &Str| DeleteTopicState {
        name: Some(name.clone()),
        ..DeleteTopicState::default()
    };
    DeleteTopicsRequest {
        topics: topics.iter().map(by_name).collect(),
        ..base
    }
}

fn growing((name, total): &(Str, i32)) -> CreatePartitionsTopic {
    CreatePartitionsTopic {
        name: name.clone(),
        count: *total,
        assignments: None,
        ..CreatePartitionsTopic::default()
    }
}

/// A broker that is not the controller says so for every item; then another one has to be asked.
fn judge(mut codes: impl Iterator<Item = i16>) -> Verdict {
    match codes.find(|code| ErrorCode::from(*code) == ErrorCode::NotController) {
        Some(_) => Verdict::Retry(ErrorCode::NotController),
        None => Verdict::Done,
    }
}

fn per_topic<A, T>(
    name: &Str,
    answer: Option<&A>,
    read: impl FnOnce(&Str, &A) -> Result<T, ItemError>,
) -> PerTopic<T> {
    PerTopic {
        topic: name.clone(),
        result: match answer {
            Some(answer) => read(name, answer),
            None => Err(ItemError::unanswered(KIND, name)),
        },
    }
}

fn created(name: &Str, answer: &CreatableTopicResult) -> Result<CreatedTopic, ItemError> {
    ItemError::check(KIND, name, answer.error_code, answer.error_message.as_ref())?;
    Ok(CreatedTopic {
        id: answer.topic_id,
        partitions: Some(answer.num_partitions).filter(|count| *count > 0),
        replication_factor: Some(answer.replication_factor).filter(|count| *count > 0),
    })
}

fn described(name: &Str, topic: &Topic) -> Result<TopicDescription, ItemError> {
    let code = topic.error.map_or(0, ErrorCode::code);
    ItemError::check(KIND, name, code, None)?;
    Ok(TopicDescription {
        name: name.clone(),
        id: topic.id,
        is_internal: topic.is_internal,
        partitions: topic.partitions.clone(),
    })
}

#[cfg(test)]
mod tests;
