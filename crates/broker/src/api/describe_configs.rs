//! DescribeConfigs for topics and brokers.

use milena_codec::messages::describe_configs_request::DescribeConfigsResource;
use milena_codec::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use milena_codec::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use milena_codec::{ErrorCode, Str};

use super::Call;
use crate::model::ClusterModel;
use crate::model::config::{BROKER, Definition, TOPIC, TopicConfig};
use crate::model::topics::check_name;

/// Resource types.
pub(super) const TOPIC_RESOURCE: i8 = 2;
pub(super) const BROKER_RESOURCE: i8 = 4;
/// Where a value comes from: the topic, the broker's start-up settings, Kafka's defaults.
pub(super) const TOPIC_SOURCE: i8 = 1;
const STATIC_SOURCE: i8 = 4;
pub(super) const DEFAULT_SOURCE: i8 = 5;

type Refusal = (ErrorCode, String);

pub(super) fn handle(
    model: &ClusterModel,
    call: &Call,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let synonyms = request.include_synonyms;
    let results = request.resources.into_iter().map(|resource| {
        let wanted = |name: &str| {
            let keys = resource.configuration_keys.as_ref();
            // An empty list asks for nothing less than null does.
            keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| **key == *name))
        };
        let described = match resource.resource_type {
            TOPIC_RESOURCE => topic(model, &resource, synonyms, &wanted),
            BROKER_RESOURCE => broker(model, call, &resource, synonyms, &wanted),
            _ => {
                let message = "This broker has settings of topics and brokers only";
                Err((ErrorCode::InvalidRequest, message.to_owned()))
            }
        };
        result(resource, described)
    });
    DescribeConfigsResponse {
        results: results.collect(),
        ..DescribeConfigsResponse::default()
    }
}

fn result(
    resource: DescribeConfigsResource,
    described: Result<Vec<DescribeConfigsResourceResult>, Refusal>,
) -> DescribeConfigsResult {
    let (code, message, configs) = match described {
        Ok(configs) => (ErrorCode::None, String::new(), configs),
        Err((code, message)) => (code, message, Vec::new()),
    };
    DescribeConfigsResult {
        error_code: code.code(),
        error_message: Some(message.into()),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        configs,
        ..DescribeConfigsResult::default()
    }
}

fn topic(
    model: &ClusterModel,
    resource: &DescribeConfigsResource,
    synonyms: bool,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = &resource.resource_name;
    check_name(name).map_err(|message| (ErrorCode::InvalidTopicException, message))?;
    let topic = model.topics.by_name(name);
    let topic = topic.ok_or((ErrorCode::UnknownTopicOrPartition, String::new()))?;
    let chosen = TOPIC.iter().filter(|definition| wanted(definition.name));
    Ok(chosen
        .map(|definition| topic_config(&topic.config, definition, synonyms))
        .collect())
}

fn topic_config(
    config: &TopicConfig,
    definition: &'static Definition,
    synonyms: bool,
) -> DescribeConfigsResourceResult {
    let set = config.overridden(definition.name);
    let mut origins = Vec::new();
    if synonyms {
        origins.extend(set.map(|value| synonym(definition.name, value.clone(), TOPIC_SOURCE)));
        let default = Str::from_static(definition.default);
        origins.extend(
            definition
                .broker_name
                .map(|name| synonym(name, default, DEFAULT_SOURCE)),
        );
    }
    DescribeConfigsResourceResult {
        name: Str::from_static(definition.name),
        value: Some(config.value(definition)),
        read_only: false,
        config_source: if set.is_some() {
            TOPIC_SOURCE
        } else {
            DEFAULT_SOURCE
        },
        synonyms: origins,
        config_type: definition.kind as i8,
        ..DescribeConfigsResourceResult::default()
    }
}

fn synonym(name: &'static str, value: Str, source: i8) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym {
        name: Str::from_static(name),
        value: Some(value),
        source,
        ..DescribeConfigsSynonym::default()
    }
}

fn broker(
    model: &ClusterModel,
    call: &Call,
    resource: &DescribeConfigsResource,
    synonyms: bool,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = &*resource.resource_name;
    // The dynamic default of all brokers: nothing was ever set there.
    if name.is_empty() {
        return Ok(Vec::new());
    }
    let invalid = |message| (ErrorCode::InvalidRequest, message);
    let id: i32 = name
        .parse()
        .map_err(|_| invalid(format!("Broker id must be an integer, but it is: {name}")))?;
    if id != call.node {
        return Err(invalid(format!(
            "Unexpected broker id, expected {} or empty string, but received {name}",
            call.node
        )));
    }
    let mut all = own_settings(model, id);
    let defaults = BROKER.iter().map(|definition| {
        (
            definition.name,
            definition.kind as i8,
            Str::from_static(definition.default),
            DEFAULT_SOURCE,
        )
    });
    all.extend(defaults);
    all.extend(TOPIC.iter().filter_map(|definition| {
        let default = Str::from_static(definition.default);
        Some((
            definition.broker_name?,
            definition.kind as i8,
            default,
            DEFAULT_SOURCE,
        ))
    }));
    all.sort_by_key(|(name, ..)| *name);
    let chosen = all.into_iter().filter(|(name, ..)| wanted(name));
    Ok(chosen
        .map(
            |(name, config_type, value, source)| DescribeConfigsResourceResult {
                name: Str::from_static(name),
                value: Some(value.clone()),
                read_only: true,
                config_source: source,
                synonyms: if synonyms {
                    vec![synonym(name, value, source)]
                } else {
                    Vec::new()
                },
                config_type,
                ..DescribeConfigsResourceResult::default()
            },
        )
        .collect())
}

/// What the cluster was started with.
fn own_settings(model: &ClusterModel, id: i32) -> Vec<(&'static str, i8, Str, i8)> {
    let settings = &model.settings;
    let own = |name, kind: i8, value: String| (name, kind, Str::from(value), STATIC_SOURCE);
    let (boolean, int) = (1, 3);
    vec![
        own(
            "auto.create.topics.enable",
            boolean,
            settings.auto_create_topics.to_string(),
        ),
        own("broker.id", int, id.to_string()),
        own(
            "default.replication.factor",
            int,
            settings.default_replication_factor().to_string(),
        ),
        own("node.id", int, id.to_string()),
        own("num.partitions", int, settings.partitions.to_string()),
    ]
}
