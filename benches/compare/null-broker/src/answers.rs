//! Answers, and those to the requests that are not about records.

use std::io;
use std::net::TcpStream;

use anyhow::{Result, bail};
use bytes::{BufMut as _, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, FindCoordinatorRequest, FindCoordinatorResponse,
    InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest,
    MetadataResponse, ProducerId,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use rustix::net::SendFlags;

use crate::Cli;
use crate::input::{Input, Request, write};

/// The end of every log: far away.
pub(crate) const END: i64 = 1 << 50;

const NODE: BrokerId = BrokerId(1);
const HOST: &str = "127.0.0.1";
const APIS: [(ApiKey, i16); 7] = [
    (ApiKey::Produce, 12),
    (ApiKey::Fetch, 12),
    (ApiKey::ListOffsets, 8),
    (ApiKey::Metadata, 9),
    (ApiKey::FindCoordinator, 4),
    (ApiKey::ApiVersions, 3),
    (ApiKey::InitProducerId, 4),
];

/// An answer to be: room for its size, and its header.
pub(crate) fn begin(request: Request, flexible: bool) -> BytesMut {
    let mut answer = BytesMut::with_capacity(1024);
    answer.put_i32(0);
    answer.put_i32(request.correlation);
    if flexible {
        answer.put_u8(0);
    }
    answer
}

/// Sends an answer behind which `more` bytes come.
pub(crate) fn set_size(answer: &mut BytesMut, more: usize) -> io::Result<()> {
    let size = i32::try_from(answer.len() - 4 + more).map_err(io::Error::other)?;
    answer[..4].copy_from_slice(&size.to_be_bytes());
    Ok(())
}

/// Answers what is neither Produce nor Fetch.
pub(crate) fn answer(cli: &Cli, input: &mut Input<'_>, request: Request) -> Result<()> {
    let body = input.rest()?;
    let (stream, version) = (input.stream, request.version);
    match request.api {
        ApiKey::ApiVersions => {
            let known = version <= 3;
            let request = Request {
                version: if known { version } else { 0 },
                ..request
            };
            send(stream, request, &api_versions(known))
        }
        ApiKey::Metadata => {
            let asked = MetadataRequest::decode(&mut body.clone(), version)?;
            send(stream, request, &metadata(cli, asked))
        }
        ApiKey::InitProducerId => {
            let answer = InitProducerIdResponse::default().with_producer_id(ProducerId(4711));
            send(stream, request, &answer.with_producer_epoch(0))
        }
        ApiKey::FindCoordinator => {
            let asked = FindCoordinatorRequest::decode(&mut body.clone(), version)?;
            send(stream, request, &coordinators(cli, asked, version))
        }
        ApiKey::ListOffsets => {
            let asked = ListOffsetsRequest::decode(&mut body.clone(), version)?;
            send(stream, request, &offsets(asked, version))
        }
        other => bail!("{other:?} is not offered"),
    }
}

fn send<T: Encodable + HeaderVersion>(
    stream: &TcpStream,
    request: Request,
    message: &T,
) -> Result<()> {
    let flexible = T::header_version(request.version) >= 1 && request.api != ApiKey::ApiVersions;
    let mut answer = begin(request, flexible);
    message.encode(&mut answer, request.version)?;
    set_size(&mut answer, 0)?;
    Ok(write(stream, &answer, SendFlags::empty())?)
}

fn api_versions(known: bool) -> ApiVersionsResponse {
    let apis = APIS.iter().map(|(api, max)| {
        ApiVersion::default()
            .with_api_key(*api as i16)
            .with_max_version(*max)
    });
    let unsupported_version = 35;
    ApiVersionsResponse::default()
        .with_error_code(if known { 0 } else { unsupported_version })
        .with_api_keys(apis.collect())
}

/// Every topic that is asked for exists.
fn metadata(cli: &Cli, asked: MetadataRequest) -> MetadataResponse {
    let partition = |index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![NODE])
            .with_isr_nodes(vec![NODE])
    };
    let names = asked.topics.unwrap_or_default().into_iter();
    let topics = names.filter_map(|topic| topic.name).map(|name| {
        MetadataResponseTopic::default()
            .with_name(Some(name))
            .with_partitions((0..cli.partitions).map(partition).collect())
    });
    let broker = MetadataResponseBroker::default()
        .with_node_id(NODE)
        .with_host(StrBytes::from_static_str(HOST))
        .with_port(cli.advertised().into());
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(StrBytes::from_static_str("null")))
        .with_controller_id(NODE)
        .with_topics(topics.collect())
}

fn coordinators(cli: &Cli, asked: FindCoordinatorRequest, version: i16) -> FindCoordinatorResponse {
    let (host, port) = (StrBytes::from_static_str(HOST), cli.advertised().into());
    let answer = FindCoordinatorResponse::default();
    if version < 4 {
        return answer.with_node_id(NODE).with_host(host).with_port(port);
    }
    let coordinators = asked.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_node_id(NODE)
            .with_host(host.clone())
            .with_port(port)
    });
    answer.with_coordinators(coordinators.collect())
}

fn offsets(asked: ListOffsetsRequest, version: i16) -> ListOffsetsResponse {
    let latest = -1;
    let topics = asked.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            let offset = if partition.timestamp == latest {
                END
            } else {
                0
            };
            let answer = ListOffsetsPartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_offset(offset);
            match version {
                4.. => answer.with_leader_epoch(0),
                _ => answer,
            }
        });
        ListOffsetsTopicResponse::default()
            .with_name(topic.name)
            .with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}
