use milena_codec::messages::create_topics_request::CreatableTopicConfig;
use milena_codec::messages::delete_topics_request::DeleteTopicState;
use milena_codec::messages::describe_configs_request::DescribeConfigsResource;
use milena_codec::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use milena_codec::messages::*;
use milena_codec::{ApiKey, Uuid};

use super::*;
use crate::testing::{Client, settings};

fn new_topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic {
        name: name.into(),
        num_partitions,
        replication_factor,
        ..CreatableTopic::default()
    }
}

fn create_one(client: &mut Client, topic: CreatableTopic, version: i16) -> CreatableTopicResult {
    let request = CreateTopicsRequest {
        topics: vec![topic],
        ..CreateTopicsRequest::default()
    };
    client.call(&request, version).topics.remove(0)
}

fn config(name: &str, value: Option<&str>) -> CreatableTopicConfig {
    CreatableTopicConfig {
        name: name.into(),
        value: value.map(Into::into),
        ..CreatableTopicConfig::default()
    }
}

#[test]
fn topics_are_created_and_deleted_at_every_version() {
    let mut client = Client::of(settings(3));
    for version in ApiKey::CreateTopics.stable_versions().iter() {
        let name = format!("new-{version}");
        let mut topic = new_topic(&name, 4, 2);
        topic.configs = vec![config("retention.bytes", Some("5"))];
        let answer = create_one(&mut client, topic, version);
        assert_eq!(answer.error_code, 0);
        let found = client.model.topics.by_name(&name).unwrap();
        assert_eq!(
            (found.partitions.len(), found.partitions[0].replicas.len()),
            (4, 2)
        );
        assert_eq!(
            answer.topic_id,
            if version >= 7 { found.id } else { Uuid::ZERO }
        );
        if version >= 5 {
            let configs = answer.configs.unwrap();
            let set = configs
                .iter()
                .find(|config| &*config.name == "retention.bytes")
                .unwrap();
            assert_eq!((set.value.as_deref(), set.config_source), (Some("5"), 1));
            assert_eq!((answer.num_partitions, answer.replication_factor), (4, 2));
        }
        let again = create_one(&mut client, new_topic(&name, 1, 1), version);
        assert_eq!(
            ErrorCode::from(again.error_code),
            ErrorCode::TopicAlreadyExists
        );
    }
    for version in ApiKey::DeleteTopics.stable_versions().iter() {
        client.model.create_topic("x", 1).unwrap();
        let by_name = DeleteTopicState {
            name: Some("x".into()),
            ..DeleteTopicState::default()
        };
        let mut request = DeleteTopicsRequest::default();
        if version >= 6 {
            request.topics = vec![by_name];
        } else {
            request.topic_names = vec!["x".into()];
        }
        for expected in [ErrorCode::None, ErrorCode::UnknownTopicOrPartition] {
            let answer = client.call(&request, version).responses.remove(0);
            assert_eq!(ErrorCode::from(answer.error_code), expected, "v{version}");
        }
    }
}

#[test]
fn topics_are_deleted_by_id_and_by_nothing_else_at_once() {
    let mut client = Client::new();
    let id = client.topic_id();
    let state = |name: Option<&str>, topic_id| DeleteTopicState {
        name: name.map(Into::into),
        topic_id,
        ..DeleteTopicState::default()
    };
    let topics = vec![
        state(Some("t"), id),
        state(None, Uuid::ZERO),
        state(None, Uuid([1; 16])),
        state(None, id),
    ];
    let request = DeleteTopicsRequest {
        topics,
        ..DeleteTopicsRequest::default()
    };
    let answer = client.call(&request, 6);
    let codes: Vec<i16> = answer
        .responses
        .iter()
        .map(|response| response.error_code)
        .collect();
    assert_eq!(codes, [42, 42, 100, 0]);
    assert_eq!(answer.responses[3].name.as_deref(), Some("t"));
    client.model.create_topic("t", 1).unwrap();
    assert_ne!(client.topic_id(), id, "a recreated topic has another id");
}

#[test]
fn impossible_topics_are_refused() {
    let mut client = Client::new();
    client.model.create_topic("dotted.name", 1).unwrap();
    let with = |name, value| CreatableTopic {
        configs: vec![config(name, value)],
        ..new_topic("new", 1, 1)
    };
    let table = [
        (new_topic("a b", 1, 1), ErrorCode::InvalidTopicException),
        (
            new_topic("dotted_name", 1, 1),
            ErrorCode::InvalidTopicException,
        ),
        (new_topic("new", 0, 1), ErrorCode::InvalidPartitions),
        (new_topic("new", i32::MAX, 1), ErrorCode::InvalidPartitions),
        (new_topic("new", 1, 2), ErrorCode::InvalidReplicationFactor),
        (new_topic("new", 1, 0), ErrorCode::InvalidReplicationFactor),
        (with("nope", Some("1")), ErrorCode::InvalidConfig),
        (with("retention.ms", None), ErrorCode::InvalidConfig),
        (with("retention.ms", Some("x")), ErrorCode::InvalidConfig),
        (
            with("cleanup.policy", Some("nope")),
            ErrorCode::InvalidConfig,
        ),
    ];
    for (topic, expected) in table {
        let what = format!("{topic:?}");
        let answer = create_one(&mut client, topic, 7);
        assert_eq!(ErrorCode::from(answer.error_code), expected, "{what}");
        assert!(answer.error_message.is_some() && answer.configs == Some(Vec::new()));
    }
    let request = CreateTopicsRequest {
        topics: vec![new_topic("new", 1, 1), new_topic("new", 1, 1)],
        ..CreateTopicsRequest::default()
    };
    let answer = client.call(&request, 7);
    assert_eq!((answer.topics.len(), answer.topics[0].error_code), (1, 42));
    let dry = CreateTopicsRequest {
        topics: vec![new_topic("new", -1, -1)],
        validate_only: true,
        ..CreateTopicsRequest::default()
    };
    assert_eq!(client.call(&dry, 7).topics[0].error_code, 0);
    assert!(client.model.topics.by_name("new").is_none());
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let mut client = Client::new();
    for (at, version) in (0..).zip(ApiKey::CreatePartitions.stable_versions().iter()) {
        let grow = |name: &str, count| {
            let topic = CreatePartitionsTopic {
                name: name.into(),
                count,
                assignments: None,
                ..CreatePartitionsTopic::default()
            };
            CreatePartitionsRequest {
                topics: vec![topic],
                ..CreatePartitionsRequest::default()
            }
        };
        let mut code =
            |request: CreatePartitionsRequest| client.call(&request, version).results[0].error_code;
        assert_eq!(code(grow("t", 3 + at)), 0);
        assert_eq!(code(grow("t", 3 + at)), ErrorCode::InvalidPartitions.code());
        assert_eq!(code(grow("t", 1)), ErrorCode::InvalidPartitions.code());
        assert_eq!(
            code(grow("no", 9)),
            ErrorCode::UnknownTopicOrPartition.code()
        );
        let count = client.model.topics.by_name("t").unwrap().partitions.len();
        assert_eq!(i32::try_from(count), Ok(3 + at));
    }
}

#[test]
fn settings_are_described_and_changed() {
    let mut client = Client::new();
    let describe = |kind, name: &str, key: &str| DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: Some(vec![key.into()]),
            ..DescribeConfigsResource::default()
        }],
        include_synonyms: true,
        ..DescribeConfigsRequest::default()
    };
    let alter = |name: &str, operation, value: &str| IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 2,
            resource_name: "t".into(),
            configs: vec![AlterableConfig {
                name: name.into(),
                config_operation: operation,
                value: Some(value.into()),
                ..AlterableConfig::default()
            }],
            ..AlterConfigsResource::default()
        }],
        ..IncrementalAlterConfigsRequest::default()
    };
    for version in ApiKey::IncrementalAlterConfigs.stable_versions().iter() {
        let mut code = |request: IncrementalAlterConfigsRequest| {
            client.call(&request, version).responses[0].error_code
        };
        assert_eq!(code(alter("max.message.bytes", 0, "77")), 0);
        assert_eq!(code(alter("cleanup.policy", 2, "compact")), 0);
        assert_eq!(code(alter("cleanup.policy", 3, "delete")), 0);
        assert_eq!(
            code(alter("max.message.bytes", 0, "-1")),
            ErrorCode::InvalidConfig.code()
        );
        assert_eq!(code(alter("max.message.bytes", 9, "1")), -1);
    }
    for version in ApiKey::DescribeConfigs.stable_versions().iter() {
        let mut one = |kind, name, key| {
            client
                .call(&describe(kind, name, key), version)
                .results
                .remove(0)
        };
        let set = one(2, "t", "max.message.bytes").configs.remove(0);
        assert_eq!((set.value.as_deref(), set.config_source), (Some("77"), 1));
        assert_eq!(set.synonyms.len(), 2);
        let policy = one(2, "t", "cleanup.policy").configs.remove(0);
        assert_eq!(policy.value.as_deref(), Some("compact"));
        let default = one(2, "t", "retention.ms").configs.remove(0);
        assert_eq!(
            (default.value.as_deref(), default.config_source),
            (Some("604800000"), 5)
        );
        let broker = one(4, "1", "message.max.bytes").configs.remove(0);
        assert_eq!(broker.value.as_deref(), Some("1048588"));
        assert_eq!(one(4, "1", "num.partitions").configs[0].config_source, 4);
        assert_eq!(
            one(4, "7", "x").error_code,
            ErrorCode::InvalidRequest.code()
        );
        assert_eq!(
            one(2, "no", "x").error_code,
            ErrorCode::UnknownTopicOrPartition.code()
        );
    }
    let replaced = AlterConfigsRequest {
        resources: vec![alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: "t".into(),
            ..alter_configs_request::AlterConfigsResource::default()
        }],
        ..AlterConfigsRequest::default()
    };
    assert_eq!(client.call(&replaced, 2).responses[0].error_code, 0);
    let found = client.model.topics.by_name("t").unwrap();
    assert_eq!(found.config.max_message_bytes(), 1_048_588);
}
