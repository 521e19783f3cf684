//! Reading configuration.

use std::fmt;
use std::time::Instant;

use futures_util::future::join_all;
use milena_codec::Str;
use milena_codec::messages::DescribeConfigsRequest;
use milena_codec::messages::describe_configs_request::DescribeConfigsResource;
use milena_codec::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use milena_net::Lane;
use milena_rpc::{CallError, Target, Verdict};

use crate::{Admin, AdminError, ItemError};

/// What has a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConfigResource {
    /// A topic.
    Topic(Str),
    /// The broker with this node id; it answers for itself.
    Broker(i32),
    /// What applies to all brokers that set nothing else.
    DefaultBroker,
    /// A group (KIP-848).
    Group(Str),
}

impl ConfigResource {
    const fn code(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) | Self::DefaultBroker => 4,
            Self::Group(_) => 32,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Topic(_) => "topic",
            Self::Broker(_) => "broker",
            Self::DefaultBroker => "the default of all brokers",
            Self::Group(_) => "group",
        }
    }

    fn name(&self) -> Str {
        match self {
            Self::Topic(name) | Self::Group(name) => name.clone(),
            Self::Broker(node) => node.to_string().into(),
            Self::DefaultBroker => Str::new(),
        }
    }

    const fn target(&self) -> Target {
        match self {
            Self::Broker(node) => Target::Node(*node),
            _ => Target::Any,
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultBroker => f.write_str(self.kind()),
            _ => write!(f, "{} {}", self.kind(), self.name()),
        }
    }
}

/// One resource's part of the result.
#[derive(Clone, Debug)]
pub struct DescribedConfigs {
    /// The resource.
    pub resource: ConfigResource,
    /// Its settings by ascending name, or why they cannot be read.
    pub result: Result<Vec<ConfigEntry>, ItemError>,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name, such as `retention.ms`.
    pub name: Str,
    /// Its value; `None` if it has none, or it is a secret.
    pub value: Option<Str>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it can be changed only in the brokers' files.
    pub read_only: bool,
    /// Whether it is a secret.
    pub is_sensitive: bool,
    /// What it is for, in the broker's words (from 2.6).
    pub documentation: Option<Str>,
}

/// Where a setting's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on the broker while it runs.
    DynamicBroker,
    /// Set on all brokers while they run.
    DynamicDefaultBroker,
    /// In the broker's file.
    StaticBroker,
    /// Kafka's default.
    Default,
    /// Set on the loggers of a broker.
    DynamicBrokerLogger,
    /// Set on the client metrics subscription.
    ClientMetrics,
    /// Set on the group.
    Group,
    /// A source this library does not know.
    Unknown(i8),
}

impl From<i8> for ConfigSource {
    fn from(code: i8) -> Self {
        match code {
            1 => Self::Topic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            6 => Self::DynamicBrokerLogger,
            7 => Self::ClientMetrics,
            8 => Self::Group,
            code => Self::Unknown(code),
        }
    }
}

impl Admin {
    /// The settings of topics, brokers and groups, in the order of `resources`.
    ///
    /// Cancel safe: it changes nothing.
    ///
    /// # Errors
    ///
    /// The first failure to ask, by `deadline`.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
        deadline: Instant,
    ) -> Result<Vec<DescribedConfigs>, AdminError> {
        // A broker answers for itself; the others can go in one request.
        let (brokers, others): (Vec<_>, Vec<_>) =
            (resources.iter()).partition(|resource| matches!(resource, ConfigResource::Broker(_)));
        let mut requests: Vec<Vec<&ConfigResource>> =
            brokers.into_iter().map(|broker| vec![broker]).collect();
        if !others.is_empty() {
            requests.push(others);
        }
        let calls = requests
            .iter()
            .map(|group| self.ask_configs(group, deadline));
        let mut answers = Vec::new();
        for answer in join_all(calls).await {
            answers.extend(answer?);
        }
        let described = resources.iter().map(|resource| DescribedConfigs {
            resource: resource.clone(),
            result: read(resource, &answers),
        });
        Ok(described.collect())
    }

    async fn ask_configs(
        &self,
        resources: &[&ConfigResource],
        deadline: Instant,
    ) -> Result<Vec<DescribeConfigsResult>, CallError> {
        let target = resources
            .first()
            .map_or(Target::Any, |first| first.target());
        let call = self.cluster.call(
            target,
            Lane::Main,
            |version| request(resources, version),
            |_| Verdict::Done,
            deadline,
        );
        Ok(call.await?.message.results)
    }
}

fn request(resources: &[&ConfigResource], version: i16) -> DescribeConfigsRequest {
    let resources = resources.iter().map(|resource| DescribeConfigsResource {
        resource_type: resource.code(),
        resource_name: resource.name(),
        configuration_keys: None,
        ..DescribeConfigsResource::default()
    });
    DescribeConfigsRequest {
        resources: resources.collect(),
        include_synonyms: false,
        include_documentation: version >= 3,
        ..DescribeConfigsRequest::default()
    }
}

fn read(
    resource: &ConfigResource,
    answers: &[DescribeConfigsResult],
) -> Result<Vec<ConfigEntry>, ItemError> {
    let (code, name) = (resource.code(), resource.name());
    let mut found = answers.iter();
    let answer = found
        .find(|answer| answer.resource_type == code && answer.resource_name == name)
        .ok_or_else(|| ItemError::unanswered(resource.kind(), &name))?;
    let message = answer.error_message.as_ref();
    ItemError::check(resource.kind(), &name, answer.error_code, message)?;
    let mut entries: Vec<ConfigEntry> = answer.configs.iter().map(entry).collect();
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

fn entry(answer: &DescribeConfigsResourceResult) -> ConfigEntry {
    ConfigEntry {
        name: answer.name.clone(),
        value: answer.value.clone(),
        source: answer.config_source.into(),
        read_only: answer.read_only,
        is_sensitive: answer.is_sensitive,
        documentation: answer.documentation.clone(),
    }
}
