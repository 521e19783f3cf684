//! AlterConfigs and IncrementalAlterConfigs (KIP-339), for topics.

use milena_codec::messages::alter_configs_response::AlterConfigsResourceResponse;
use milena_codec::messages::incremental_alter_configs_request::AlterableConfig;
use milena_codec::messages::incremental_alter_configs_response as incremental_response;
use milena_codec::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use milena_codec::{ErrorCode, Str};

use super::Call;
use super::describe_configs::TOPIC_RESOURCE;
use crate::model::ClusterModel;
use crate::model::config::TopicConfig;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Refusal = (ErrorCode, String);

/// Replaces all settings of each topic by those given.
pub(super) fn replace(
    model: &mut ClusterModel,
    _call: &Call,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let validate_only = request.validate_only;
    let responses = request.resources.into_iter().map(|resource| {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let result = change(model, kind, &name, validate_only, |config| {
            *config = TopicConfig::default();
            let mut set = resource
                .configs
                .iter()
                .map(|item| config.set(&item.name, item.value.as_ref()));
            set.try_for_each(|set| set.map_err(|message| (ErrorCode::InvalidConfig, message)))
        });
        let (code, message) = parts(result);
        AlterConfigsResourceResponse {
            error_code: code,
            error_message: message,
            resource_type: kind,
            resource_name: name,
            ..AlterConfigsResourceResponse::default()
        }
    });
    AlterConfigsResponse {
        responses: responses.collect(),
        ..AlterConfigsResponse::default()
    }
}

/// Changes the settings given and leaves the others.
pub(super) fn incremental(
    model: &mut ClusterModel,
    _call: &Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let validate_only = request.validate_only;
    let responses = request.resources.into_iter().map(|resource| {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let result = change(model, kind, &name, validate_only, |config| {
            resource
                .configs
                .iter()
                .try_for_each(|item| apply(config, item))
        });
        let (code, message) = parts(result);
        incremental_response::AlterConfigsResourceResponse {
            error_code: code,
            error_message: message,
            resource_type: kind,
            resource_name: name,
            ..incremental_response::AlterConfigsResourceResponse::default()
        }
    });
    let responses = responses.collect();
    IncrementalAlterConfigsResponse {
        responses,
        ..IncrementalAlterConfigsResponse::default()
    }
}

fn apply(config: &mut TopicConfig, item: &AlterableConfig) -> Result<(), Refusal> {
    let operation = item.config_operation;
    if !(SET..=SUBTRACT).contains(&operation) {
        return Err((ErrorCode::UnknownServerError, String::new()));
    }
    let invalid = |message| (ErrorCode::InvalidConfig, message);
    if operation == DELETE {
        TopicConfig::definition(&item.name).map_err(invalid)?;
        config.unset(&item.name);
        return Ok(());
    }
    let Some(value) = &item.value else {
        let message = format!("Null value not supported for : {}", item.name);
        return Err((ErrorCode::InvalidRequest, message));
    };
    let changed = match operation {
        SET => config.set(&item.name, Some(value)),
        _ => config.edit_list(&item.name, value, operation == APPEND),
    };
    changed.map_err(invalid)
}

/// Works on a copy: a topic's settings change wholly or not at all.
fn change(
    model: &mut ClusterModel,
    kind: i8,
    name: &str,
    validate_only: bool,
    edit: impl FnOnce(&mut TopicConfig) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    if kind != TOPIC_RESOURCE {
        let message = "This broker changes settings of topics only";
        return Err((ErrorCode::InvalidRequest, message.into()));
    }
    let topic = model.topics.by_name_mut(name).ok_or_else(|| {
        let message = format!("The topic '{name}' does not exist.");
        (ErrorCode::UnknownTopicOrPartition, message)
    })?;
    let mut config = topic.config.clone();
    edit(&mut config)?;
    if !validate_only {
        topic.config = config;
    }
    Ok(())
}

fn parts(result: Result<(), Refusal>) -> (i16, Option<Str>) {
    match result {
        Ok(()) => (0, None),
        Err((code, message)) => (code.code(), (!message.is_empty()).then(|| message.into())),
    }
}
