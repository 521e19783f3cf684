//! Brokers in memory that answer as a test's script says.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use milena_codec::messages::api_versions_response::ApiVersion;
use milena_codec::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use milena_codec::messages::{ApiVersionsResponse, MetadataRequest, MetadataResponse};
use milena_codec::{ApiKey, Bytes, ErrorCode, Message, Request, Str, Uuid, decode, frame};
use milena_net::{Address, BoxFuture, BoxedTransport, Connector, Environment};
use milena_rpc::{Cluster, ClusterConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// One request, as a broker sees it.
pub(crate) struct Ask {
    pub(crate) host: Str,
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) body: Bytes,
    correlation_id: i32,
}

impl Ask {
    pub(crate) fn request<R: Request>(&self) -> R {
        decode(self.body.clone(), self.version).unwrap()
    }

    pub(crate) fn answer<M: Message>(&self, message: &M) -> Option<Bytes> {
        let frame = frame::response(message, self.key, self.version, self.correlation_id);
        Some(frame.unwrap().into_bytes())
    }
}

type Script = dyn Fn(&Ask) -> Option<Bytes> + Send + Sync;

/// The hosts that exist, and how they answer. A script that returns `None` says nothing, for ever.
pub(crate) struct Peers {
    hosts: Mutex<Vec<Str>>,
    script: Box<Script>,
    log: Mutex<Vec<(Str, ApiKey, Instant)>>,
    open: AtomicUsize,
    opened: Mutex<Vec<Str>>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peers")
    }
}

#[derive(Debug)]
struct Memory(Arc<Peers>);

impl Connector for Memory {
    fn connect(
        &self,
        address: &Address,
        _: Instant,
    ) -> BoxFuture<'static, io::Result<BoxedTransport>> {
        let (peers, host) = (Arc::clone(&self.0), address.host.clone());
        Box::pin(async move {
            if !peers.hosts.lock().unwrap().contains(&host) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            peers.opened.lock().unwrap().push(host.clone());
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            tokio::spawn(serve(peers, host, theirs));
            Ok(Box::new(ours) as BoxedTransport)
        })
    }
}

async fn serve(peers: Arc<Peers>, host: Str, mut stream: DuplexStream) {
    peers.open.fetch_add(1, Ordering::SeqCst);
    while let Ok(size) = stream.read_i32().await {
        let mut bytes = vec![0; size as usize];
        if stream.read_exact(&mut bytes).await.is_err() {
            break;
        }
        if !peers.hosts.lock().unwrap().contains(&host) {
            break;
        }
        let (header, body) = frame::read_request(bytes.into()).unwrap();
        let key = ApiKey::from_code(header.request_api_key).unwrap();
        let ask = Ask {
            host: host.clone(),
            key,
            version: header.request_api_version,
            body,
            correlation_id: header.correlation_id,
        };
        let answer = if key == ApiKey::ApiVersions {
            ask.answer(&versions())
        } else {
            peers.note(&host, key);
            (peers.script)(&ask)
        };
        if let Some(answer) = answer
            && stream.write_all(&answer).await.is_err()
        {
            break;
        }
    }
    peers.open.fetch_sub(1, Ordering::SeqCst);
}

fn versions() -> ApiVersionsResponse {
    let keys = ApiKey::ALL.iter().map(|key| ApiVersion {
        api_key: key.code(),
        min_version: key.stable_versions().min,
        max_version: key.stable_versions().max,
        ..ApiVersion::default()
    });
    ApiVersionsResponse {
        api_keys: keys.collect(),
        ..ApiVersionsResponse::default()
    }
}

impl Peers {
    pub(crate) fn new(
        hosts: &[&str],
        script: impl Fn(&Ask) -> Option<Bytes> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            hosts: Mutex::new(hosts.iter().map(|host| Str::from(*host)).collect()),
            script: Box::new(script),
            log: Mutex::default(),
            open: AtomicUsize::new(0),
            opened: Mutex::default(),
        })
    }

    /// From now on exactly these hosts exist.
    pub(crate) fn set_hosts(&self, hosts: &[&str]) {
        *self.hosts.lock().unwrap() = hosts.iter().map(|host| Str::from(*host)).collect();
    }

    /// How many requests of this kind came, to all hosts or one.
    pub(crate) fn count(&self, key: ApiKey, host: Option<&str>) -> usize {
        self.times(key, host).len()
    }

    /// When requests of this kind came, to all hosts or one.
    pub(crate) fn times(&self, key: ApiKey, host: Option<&str>) -> Vec<Instant> {
        let log = self.log.lock().unwrap();
        let fits = |to: &Str, api| api == key && host.is_none_or(|host| *to == *host);
        let fitting = log.iter().filter(|(to, api, _)| fits(to, *api));
        fitting.map(|(_, _, at)| *at).collect()
    }

    fn note(&self, host: &Str, key: ApiKey) {
        let entry = (host.clone(), key, within(0));
        self.log.lock().unwrap().push(entry);
    }

    /// How many connections there were to a host.
    pub(crate) fn opened(&self, host: &str) -> usize {
        let opened = self.opened.lock().unwrap();
        opened.iter().filter(|to| **to == *host).count()
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn env(self: &Arc<Self>) -> Environment {
        self.env_of(7)
    }

    pub(crate) fn env_of(self: &Arc<Self>, seed: u64) -> Environment {
        Environment::seeded(seed, Arc::new(Memory(Arc::clone(self))))
    }

    pub(crate) async fn connect(self: &Arc<Self>, bootstrap: &[&str]) -> Cluster {
        let config = config(bootstrap);
        Cluster::connect(config, self.env(), within(10))
            .await
            .unwrap()
    }
}

pub(crate) fn config(bootstrap: &[&str]) -> ClusterConfig {
    ClusterConfig::new(
        bootstrap
            .iter()
            .map(|host| Address::new(*host, 9092))
            .collect(),
    )
}

pub(crate) fn within(seconds: u64) -> Instant {
    tokio::time::Instant::now().into_std() + Duration::from_secs(seconds)
}

/// A cluster as its brokers describe it.
#[derive(Clone)]
pub(crate) struct Picture {
    pub(crate) brokers: Vec<(i32, &'static str)>,
    /// Topics by name, with each partition's leader and epoch.
    pub(crate) topics: Vec<(&'static str, Vec<(i32, i32)>)>,
    pub(crate) cluster_id: &'static str,
}

impl Picture {
    /// The answer to a metadata request.
    pub(crate) fn answer(&self, ask: &Ask) -> Option<Bytes> {
        let request: MetadataRequest = ask.request();
        let names = request.topics.unwrap_or_default().into_iter();
        let brokers = self
            .brokers
            .iter()
            .map(|(id, host)| MetadataResponseBroker {
                node_id: *id,
                host: (*host).into(),
                port: 9092,
                ..MetadataResponseBroker::default()
            });
        ask.answer(&MetadataResponse {
            brokers: brokers.collect(),
            cluster_id: Some(self.cluster_id.into()),
            controller_id: self.brokers[0].0,
            topics: names.map(|topic| self.topic(topic.name.unwrap())).collect(),
            ..MetadataResponse::default()
        })
    }

    fn topic(&self, name: Str) -> MetadataResponseTopic {
        let Some((_, partitions)) = self.topics.iter().find(|(known, _)| **known == *name) else {
            return MetadataResponseTopic {
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
                name: Some(name),
                ..MetadataResponseTopic::default()
            };
        };
        let partitions =
            (0..)
                .zip(partitions)
                .map(|(index, (leader, epoch))| MetadataResponsePartition {
                    partition_index: index,
                    leader_id: *leader,
                    leader_epoch: *epoch,
                    replica_nodes: vec![*leader],
                    isr_nodes: vec![*leader],
                    ..MetadataResponsePartition::default()
                });
        MetadataResponseTopic {
            name: Some(name),
            topic_id: Uuid([3; 16]),
            partitions: partitions.collect(),
            ..MetadataResponseTopic::default()
        }
    }
}
