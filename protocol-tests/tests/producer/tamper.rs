//! Someone between client and brokers who changes what brokers say.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use milena_codec::{ApiKey, Request, decode, frame};
use milena_net::{Address, BoxFuture, BoxedTransport, Connector};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, split};
use tokio::sync::mpsc;

const PIPE: usize = 256 * 1024;

/// What becomes of an exchange: a request's API, version and whole frame, and the answer's body.
type Change = Arc<Mutex<dyn FnMut(ApiKey, i16, Bytes) -> Bytes + Send>>;

/// What to say instead of passing a request on to a broker: the answer's body.
type Instead = Arc<dyn Fn(ApiKey, i16, &Bytes) -> Option<Bytes> + Send + Sync>;

/// Connects through `broker`, with every answer to an `R` changed.
pub(crate) fn changing<R: Request>(
    broker: Arc<dyn Connector>,
    mut change: impl FnMut(&mut R::Response) + Send + 'static,
) -> Arc<dyn Connector> {
    let change = move |api, version, body: Bytes| {
        if api != R::KEY {
            return body;
        }
        let mut answer = decode::<R::Response>(body, version).unwrap();
        change(&mut answer);
        self::body(&answer, api, version)
    };
    Arc::new(Tampered {
        broker,
        change: Arc::new(Mutex::new(change)),
        instead: Arc::new(|_, _, _| None),
    })
}

/// Connects through `broker`, with requests answered by `instead` where that has an answer.
pub(crate) fn answering(
    broker: Arc<dyn Connector>,
    instead: impl Fn(ApiKey, i16) -> Option<Bytes> + Send + Sync + 'static,
) -> Arc<dyn Connector> {
    Arc::new(Tampered {
        broker,
        change: Arc::new(Mutex::new(|_, _, body| body)),
        instead: Arc::new(move |api, version, _| instead(api, version)),
    })
}

/// Connects through `broker`, with every request `R` shown.
pub(crate) fn watching<R: Request>(
    broker: Arc<dyn Connector>,
    watch: impl Fn(R) + Send + Sync + 'static,
) -> Arc<dyn Connector> {
    let instead = move |api, version, body: &Bytes| {
        if api == R::KEY {
            watch(decode::<R>(body.clone(), version).unwrap());
        }
        None
    };
    Arc::new(Tampered {
        broker,
        change: Arc::new(Mutex::new(|_, _, body| body)),
        instead: Arc::new(instead),
    })
}

/// An answer's bytes behind its header.
pub(crate) fn body<M: milena_codec::Message>(answer: &M, api: ApiKey, version: i16) -> Bytes {
    let frame = frame::response(answer, api, version, 0).unwrap();
    let frame = frame.into_bytes().slice(4..);
    frame::read_response(frame, api, version).unwrap().1
}

struct Tampered {
    broker: Arc<dyn Connector>,
    change: Change,
    instead: Instead,
}

impl std::fmt::Debug for Tampered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tampered")
    }
}

impl Connector for Tampered {
    fn connect(
        &self,
        address: &Address,
        deadline: Instant,
    ) -> BoxFuture<'static, io::Result<BoxedTransport>> {
        let connecting = self.broker.connect(address, deadline);
        let (change, instead) = (Arc::clone(&self.change), Arc::clone(&self.instead));
        Box::pin(async move {
            let broker = connecting.await?;
            let (client, ours) = tokio::io::duplex(PIPE);
            tokio::spawn(stand_between(ours, broker, change, instead));
            Ok(Box::new(client) as BoxedTransport)
        })
    }
}

/// Until either side closes. Every request has to have an answer, so not for acks=0.
async fn stand_between(
    client: DuplexStream,
    broker: BoxedTransport,
    change: Change,
    instead: Instead,
) {
    let asked = Mutex::new(VecDeque::new());
    let (mut from_client, mut to_client) = split(client);
    let (mut from_broker, mut to_broker) = split(broker);
    let (said, mut to_say) = mpsc::channel::<Vec<u8>>(1);
    let requests = async {
        while let Some(request) = read_frame(&mut from_client).await {
            let (header, body) = frame::read_request(request.clone()).unwrap();
            let api = ApiKey::from_code(header.request_api_key).unwrap();
            let version = header.request_api_version;
            if let Some(body) = instead(api, version, &body) {
                let answer = with_header(header.correlation_id, api, version, &body);
                said.send(answer).await.unwrap();
                continue;
            }
            asked.lock().unwrap().push_back((api, version));
            if to_broker.write_all(&sized(&request)).await.is_err() {
                return;
            }
        }
    };
    let answers = async {
        while let Some(answer) = read_frame(&mut from_broker).await {
            let (api, version) = asked.lock().unwrap().pop_front().unwrap();
            let (id, body) = frame::read_response(answer, api, version).unwrap();
            let body = (change.lock().unwrap())(api, version, body);
            said.send(with_header(id, api, version, &body))
                .await
                .unwrap();
        }
    };
    let writing = async {
        while let Some(answer) = to_say.recv().await {
            if to_client.write_all(&answer).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = writing => {}
        () = answers => {}
        () = requests => {}
    }
}

fn with_header(correlation_id: i32, api: ApiKey, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = correlation_id.to_be_bytes().to_vec();
    if api.response_header_version(version) > 0 {
        frame.push(0); // no tagged fields
    }
    frame.extend_from_slice(body);
    sized(&frame)
}

fn sized(frame: &[u8]) -> Vec<u8> {
    let size = u32::try_from(frame.len()).unwrap();
    [&size.to_be_bytes()[..], frame].concat()
}

async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> Option<Bytes> {
    let size = from.read_u32().await.ok()?;
    let mut frame = vec![0; size as usize];
    from.read_exact(&mut frame).await.ok()?;
    Some(frame.into())
}
