//! A broker that does what a test says.

use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use milena_codec::frame;
use milena_codec::messages::api_versions_response::ApiVersion;
use milena_codec::messages::metadata_request::MetadataRequestTopic;
use milena_codec::messages::{
    ApiVersionsResponse, MetadataRequest, MetadataResponse, RequestHeader,
};
use milena_codec::{ApiKey, Bytes, Message, Request, Str, decode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;

use crate::{
    Address, BoxFuture, BoxedTransport, CallError, Connector, Environment, Lane, NetConfig, Pool,
    Reply, Transport,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Hands the other end of each connection to the test.
#[derive(Debug)]
pub(super) struct TestConnector {
    accepted: mpsc::UnboundedSender<DuplexStream>,
    dials: Mutex<Vec<(Address, Instant)>>,
    mood: Mutex<Mood>,
    buffer: usize,
}

/// What the network does with a connection attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mood {
    Accept,
    Refuse,
    Hang,
}

impl Connector for TestConnector {
    fn connect(
        &self,
        address: &Address,
        _deadline: Instant,
    ) -> BoxFuture<'static, io::Result<BoxedTransport>> {
        let now = tokio::time::Instant::now().into_std();
        self.dials.lock().unwrap().push((address.clone(), now));
        let mood = *self.mood.lock().unwrap();
        let (ours, theirs) = duplex(self.buffer);
        if matches!(mood, Mood::Accept) {
            drop(self.accepted.send(theirs));
        }
        Box::pin(async move {
            match mood {
                Mood::Accept => Ok(Box::new(ours) as BoxedTransport),
                Mood::Refuse => Err(io::ErrorKind::ConnectionRefused.into()),
                Mood::Hang => pending().await,
            }
        })
    }
}

/// A pool and the network it lives in.
pub(super) struct Bench {
    pub(super) pool: Pool,
    pub(super) connector: Arc<TestConnector>,
    pub(super) accepted: mpsc::UnboundedReceiver<DuplexStream>,
    pub(super) address: Address,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(NetConfig::default())
    }

    pub(super) fn with(config: NetConfig) -> Self {
        Self::with_buffer(config, 64 * 1024)
    }

    pub(super) fn with_buffer(config: NetConfig, buffer: usize) -> Self {
        let (sender, accepted) = mpsc::unbounded_channel();
        let connector = Arc::new(TestConnector {
            accepted: sender,
            dials: Mutex::default(),
            mood: Mutex::new(Mood::Accept),
            buffer,
        });
        let env = Environment::seeded(1, Arc::clone(&connector) as Arc<dyn Connector>);
        Self {
            pool: Pool::new(config, env),
            connector,
            accepted,
            address: Address::new("broker.test", 9092),
        }
    }

    pub(super) fn mood(&self, mood: Mood) {
        *self.connector.mood.lock().unwrap() = mood;
    }

    pub(super) fn dials(&self) -> Vec<Instant> {
        let dials = self.connector.dials.lock().unwrap();
        dials.iter().map(|(_, at)| *at).collect()
    }

    /// Where connections were opened to, in order.
    pub(super) fn targets(&self) -> Vec<String> {
        let dials = self.connector.dials.lock().unwrap();
        dials.iter().map(|(to, _)| to.to_string()).collect()
    }

    pub(super) fn now(&self) -> Instant {
        self.pool.env().now()
    }

    /// The next connection, as it is.
    pub(super) async fn accept_raw(&mut self) -> Peer<DuplexStream> {
        Peer(self.accepted.recv().await.expect("the pool lives"))
    }

    /// The next connection, with its versions negotiated.
    pub(super) async fn accept(&mut self) -> Peer<DuplexStream> {
        let mut peer = self.accept_raw().await;
        peer.negotiate().await;
        peer
    }

    /// Asks for the metadata of a topic on the main lane, in a task of its own.
    pub(super) fn ask(&self, topic: &str, timeout: Duration) -> Asked {
        self.ask_on(Lane::Main, topic, timeout)
    }

    pub(super) fn ask_on(&self, lane: Lane, topic: &str, timeout: Duration) -> Asked {
        let (pool, to) = (self.pool.clone(), self.address.clone());
        let topic = Str::from(topic);
        let deadline = self.now() + timeout;
        tokio::spawn(async move {
            let versions = ApiKey::Metadata.stable_versions();
            let prepare = |_| metadata(&topic);
            pool.call(&to, lane, versions, prepare, deadline).await
        })
    }
}

pub(super) type Asked = tokio::task::JoinHandle<Result<Reply<MetadataResponse>, CallError>>;

pub(super) fn metadata(topic: &str) -> MetadataRequest {
    MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(Str::from(topic)),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    }
}

/// Waits until every task has nothing left to do at the present time.
pub(super) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// The broker's end of a connection.
pub(super) struct Peer<T>(pub(super) T);

impl<T: Transport> Peer<T> {
    /// The next request, or `None` if the client has closed the connection.
    pub(super) async fn request(&mut self) -> Option<(RequestHeader, Bytes)> {
        let size = self.0.read_u32().await.ok()?;
        let mut frame = vec![0; size as usize];
        self.0.read_exact(&mut frame).await.ok()?;
        Some(frame::read_request(frame.into()).unwrap())
    }

    /// The next request, which must be an `R`.
    pub(super) async fn expect<R: Request>(&mut self) -> (RequestHeader, R) {
        let (header, body) = self.request().await.expect("a request comes");
        assert_eq!(header.request_api_key, R::KEY.code());
        let request = decode(body, header.request_api_version).unwrap();
        (header, request)
    }

    /// The topic that the next metadata request asks for.
    pub(super) async fn asked(&mut self) -> (RequestHeader, String) {
        let (header, request) = self.expect::<MetadataRequest>().await;
        let name = request.topics.unwrap().remove(0).name.unwrap();
        (header, name.to_string())
    }

    pub(super) async fn answer<M: Message>(&mut self, to: &RequestHeader, message: &M) {
        let key = ApiKey::from_code(to.request_api_key).unwrap();
        let version = to.request_api_version;
        let frame = frame::response(message, key, version, to.correlation_id).unwrap();
        self.send(&frame.into_bytes()).await;
    }

    /// Answers a metadata request; the cluster id says which.
    pub(super) async fn tell(&mut self, to: &RequestHeader, cluster_id: &str) {
        let message = MetadataResponse {
            cluster_id: Some(Str::from(cluster_id)),
            ..MetadataResponse::default()
        };
        self.answer(to, &message).await;
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Answers ApiVersions as a broker with everything would.
    pub(super) async fn negotiate(&mut self) {
        let (header, _) = self.request().await.expect("ApiVersions comes");
        assert_eq!(header.request_api_key, ApiKey::ApiVersions.code());
        self.answer(&header, &everything()).await;
    }
}

/// What a broker with all APIs of this library answers.
pub(super) fn everything() -> ApiVersionsResponse {
    ApiVersionsResponse {
        api_keys: ApiKey::ALL.iter().map(|key| listed(*key)).collect(),
        ..ApiVersionsResponse::default()
    }
}

pub(super) fn listed(key: ApiKey) -> ApiVersion {
    let range = key.stable_versions();
    ApiVersion {
        api_key: key.code(),
        min_version: range.min,
        max_version: range.max,
        ..ApiVersion::default()
    }
}
