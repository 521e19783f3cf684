//! The fuzz targets' committed seeds, made from the golden vectors.

use milena_auth::server::{ServerMechanism, ServerStep};
use milena_auth::{Mechanism, ScramHash, Step};
use milena_codec::messages::{
    ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, RequestHeader,
};
use milena_codec::{ApiKey, EncodeError, Message, Request, encode, frame};

use crate::dice::XorShift;
use crate::fuzz::message;
use crate::fuzz::packed as packed_frames;
use crate::fuzz::sasl::{Role, packed, store};
use crate::messages::{Vector, golden};
use crate::{BATCHES, hex};

/// The largest seed.
const MAX_SEED: usize = 600;

/// The APIs whose messages make seeds; a fuzzer finds the others by itself.
const APIS: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::AddPartitionsToTxn,
    ApiKey::DescribeConfigs,
    ApiKey::DescribeQuorum,
    ApiKey::ConsumerGroupHeartbeat,
    ApiKey::ShareFetch,
    ApiKey::StreamsGroupHeartbeat,
];

/// A seed.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The target it is for.
    pub target: &'static str,
    /// The name of its file.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// All seeds, the same ones each time.
pub fn all() -> Vec<Seed> {
    let mut seeds = message_seeds();
    seeds.extend(frame_seeds());
    seeds.extend(fetch_seeds());
    seeds.extend(batch_seeds());
    seeds.extend((1..=8).map(|seed| {
        let bytes = XorShift::new(seed).bytes(40 * seed as usize);
        new("batch_builder", &format!("random-{seed}"), bytes)
    }));
    seeds.extend(sasl_seeds());
    seeds.extend(broker_seeds());
    seeds.push(opening_seed());
    seeds
}

fn new(target: &'static str, name: &str, bytes: Vec<u8>) -> Seed {
    Seed {
        target,
        name: name.to_owned(),
        bytes,
    }
}

/// For each message the longest golden body of its newest version.
fn message_seeds() -> Vec<Seed> {
    let mut chosen: Vec<Vector> = Vec::new();
    for vector in golden() {
        let wanted = vector.entry.api.is_none_or(|api| APIS.contains(&api));
        if !wanted || vector.version != vector.entry.versions.max || vector.body.len() > MAX_SEED {
            continue;
        }
        match chosen.last_mut() {
            Some(last) if last.entry.name == vector.entry.name => {
                if last.body.len() < vector.body.len() {
                    *last = vector;
                }
            }
            _ => chosen.push(vector),
        }
    }
    let seed = |vector: Vector| {
        let (target, bytes) = message::input(&vector.entry, vector.version, &vector.body);
        new(target, vector.entry.name, bytes)
    };
    chosen.into_iter().map(seed).collect()
}

fn frame_seeds() -> Vec<Seed> {
    let seeds = [
        request_frame("api-versions-request", &ApiVersionsRequest::default(), 3),
        request_frame("metadata-request-1", &MetadataRequest::default(), 1),
        request_frame("metadata-request-13", &MetadataRequest::default(), 13),
        response_frame(
            "api-versions-response",
            &ApiVersionsResponse::default(),
            ApiKey::ApiVersions,
            3,
        ),
    ];
    let seeds: Result<Vec<Seed>, EncodeError> = seeds.into_iter().collect();
    let mut seeds = seeds.expect("these messages encode");
    let golden = golden().filter(|vector| vector.entry.name == "MetadataResponse");
    let body = golden.last().expect("there is one").body;
    let key = index(ApiKey::Metadata);
    let bytes = [&[1, key, 13][..], &7_i32.to_be_bytes(), &[0], &body].concat();
    seeds.push(new("frames", "metadata-response-13", bytes));
    seeds
}

/// The longest golden answer of each version that names its topics differently, and of the newest.
fn fetch_seeds() -> Vec<Seed> {
    let answers = golden().filter(|vector| vector.entry.name == "FetchResponse");
    let answers: Vec<Vector> = answers.collect();
    let newest = ApiKey::Fetch.stable_versions().max;
    let seed = |version: i16| {
        let same = answers.iter().filter(|vector| vector.version == version);
        let longest = same.max_by_key(|vector| vector.body.len());
        let mut bytes = vec![version as u8, 100, 200];
        if ApiKey::Fetch.response_header_version(version) > 0 {
            bytes.push(0);
        }
        bytes.extend_from_slice(&longest.expect("every version has vectors").body);
        new("fetch_answers", &format!("version-{version}"), bytes)
    };
    [4, 11, 12, 13, newest].into_iter().map(seed).collect()
}

/// Whole sessions: what a client asks first, and every kind of request the broker carries out.
fn broker_seeds() -> Vec<Seed> {
    let asked = |vector: &Vector| {
        let api = vector.entry.api?;
        (vector.entry.name.ends_with("Request") && APIS.contains(&api)).then_some(api)
    };
    let mut seeds = Vec::new();
    for vector in golden() {
        let Some(api) = asked(&vector) else { continue };
        if vector.version != api.stable_versions().max || vector.body.len() > MAX_SEED {
            continue;
        }
        let header = RequestHeader {
            request_api_key: api.code(),
            request_api_version: vector.version,
            correlation_id: 7,
            ..RequestHeader::default()
        };
        let header = encode(&header, api.request_header_version(vector.version));
        let frame = [&header.expect("a header encodes")[..], &vector.body].concat();
        let metadata = frame::request(&MetadataRequest::default(), 12, 6, None);
        let metadata = metadata.expect("it encodes").into_bytes().slice(4..);
        let input = packed_frames(&[metadata.to_vec(), frame]);
        seeds.push(new(
            "broker_model",
            &format!("{}-{}", api.name(), vector.version),
            input,
        ));
    }
    seeds.dedup_by(|one, other| one.name == other.name);
    seeds
}

/// A broker's first answer, in one piece.
fn opening_seed() -> Seed {
    let answer = ApiVersionsResponse::default();
    let frame = frame::response(&answer, ApiKey::ApiVersions, 4, 0);
    let frame = frame.expect("it encodes").into_bytes();
    let length = [frame.len() as u8 - 1];
    new(
        "opening",
        "api-versions",
        [&[0][..], &length, &frame].concat(),
    )
}

fn request_frame<R: Request>(name: &str, message: &R, version: i16) -> Result<Seed, EncodeError> {
    let frame = frame::request(message, version, 7, Some("milena".into()))?.into_bytes();
    Ok(new("frames", name, [&[0], &frame[4..]].concat()))
}

fn response_frame<M: Message>(
    name: &str,
    message: &M,
    key: ApiKey,
    version: i16,
) -> Result<Seed, EncodeError> {
    let frame = frame::response(message, key, version, 7)?.into_bytes();
    let bytes = [&[1, index(key), version as u8][..], &frame[4..]].concat();
    Ok(new("frames", name, bytes))
}

fn index(key: ApiKey) -> u8 {
    let index = ApiKey::ALL.iter().position(|other| *other == key);
    index.expect("every API is listed") as u8
}

/// The two shortest golden batches of several records in each codec, and the control batches.
fn batch_seeds() -> Vec<Seed> {
    let vectors = BATCHES.split("vector ").skip(1).map(|vector| {
        let (name, rest) = vector.split_once(' ').expect("a name");
        let (bytes, text) = rest.split_once('\n').expect("bytes");
        let bytes = hex::decode(bytes).expect("the golden batches are well formed");
        (name, bytes, text.lines().count())
    });
    let mut chosen: Vec<(&str, Vec<u8>)> = vectors
        .filter(|(name, _, lines)| *lines > 3 || name.starts_with("control"))
        .map(|(name, bytes, _)| (name, bytes))
        .collect();
    chosen.sort_by_key(|(name, bytes)| (codec(name), bytes.len()));
    let mut seeds: Vec<Seed> = Vec::new();
    for (name, bytes) in chosen {
        let same = seeds.iter().filter(|seed| codec(&seed.name) == codec(name));
        if same.count() < 2 {
            seeds.push(new("record_batches", name, bytes));
        }
    }
    seeds
}

fn codec(name: &str) -> &str {
    name.split('-').next().unwrap_or_default()
}

/// Whole exchanges, seen from either side.
fn sasl_seeds() -> Vec<Seed> {
    let pairs = [
        (Role::PlainClient, Role::PlainServer),
        scram(ScramHash::Sha256),
        scram(ScramHash::Sha512),
    ];
    pairs.into_iter().flat_map(exchange).collect()
}

fn scram(hash: ScramHash) -> (Role, Role) {
    (Role::ScramClient(hash), Role::ScramServer(hash))
}

fn exchange((client_role, server_role): (Role, Role)) -> [Seed; 2] {
    let mut client = client_role.client().expect("a client");
    let mut server = server_role.server().expect("a server");
    let (questions, answers) = talk(&mut *client, &mut *server);
    let name = client.name().to_ascii_lowercase();
    [
        new(
            "sasl",
            &format!("{name}-client"),
            packed(client_role, &answers),
        ),
        new(
            "sasl",
            &format!("{name}-server"),
            packed(server_role, &questions),
        ),
    ]
}

/// What the client and what the server said.
fn talk(
    client: &mut dyn Mechanism,
    server: &mut dyn ServerMechanism,
) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut questions, mut answers) = (Vec::new(), Vec::new());
    let mut step = client.step(None).expect("an exchange starts");
    while let Step::Send(message) = step {
        let answer = server
            .step(message.expose(), store())
            .expect("the password is right");
        let (ServerStep::Continue(answer) | ServerStep::Done { answer, .. }) = answer;
        questions.push(message.expose().to_vec());
        step = client.step(Some(&answer)).expect("the server is authentic");
        answers.push(answer);
    }
    (questions, answers)
}
