//! The names and wires between a client and embedded clusters.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use milena_broker::Broker;
use milena_net::{Address, BoxFuture, BoxedTransport, Connector};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

/// Where names lead, and what the wires do to bytes. Names that lead nowhere refuse.
#[derive(Debug, Default)]
pub(crate) struct Network {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    places: BTreeMap<String, (Arc<dyn Connector>, Address)>,
    dials: Vec<String>,
    wire: Wire,
}

/// What happens to the bytes of connections opened from now on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wire {
    /// How long bytes are under way, in each direction.
    pub(crate) delay: Duration,
    /// The broker's bytes end, and the connection with them, after so many.
    pub(crate) cut_after: Option<usize>,
}

impl Network {
    /// Every node's own name leads to it.
    pub(crate) fn of(broker: &Broker) -> Arc<Self> {
        let network = Arc::new(Self::default());
        for name in broker.bootstrap().split(',') {
            network.lead(name, broker, name);
        }
        network
    }

    /// From now on `name` leads to the node that listens at `place`.
    pub(crate) fn lead(&self, name: &str, broker: &Broker, place: &str) {
        let place = (broker.connector(), place.parse().unwrap());
        let mut state = self.state.lock().unwrap();
        state.places.insert(name.to_owned(), place);
    }

    /// From now on `name` leads nowhere. Open connections go on.
    pub(crate) fn remove(&self, name: &str) {
        self.state.lock().unwrap().places.remove(name);
    }

    pub(crate) fn wire(&self, wire: Wire) {
        self.state.lock().unwrap().wire = wire;
    }

    /// The names that connections were opened to since the last time.
    pub(crate) fn dials(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().dials)
    }
}

impl Connector for Network {
    fn connect(
        &self,
        address: &Address,
        deadline: Instant,
    ) -> BoxFuture<'static, io::Result<BoxedTransport>> {
        let mut state = self.state.lock().unwrap();
        state.dials.push(address.to_string());
        let wire = state.wire;
        let Some((connector, place)) = state.places.get(&address.to_string()).cloned() else {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        };
        drop(state);
        Box::pin(async move {
            let transport = connector.connect(&place, deadline).await?;
            Ok(match (wire.delay.is_zero(), wire.cut_after) {
                (true, None) => transport,
                _ => wire.through(transport),
            })
        })
    }
}

impl Wire {
    fn through(self, broker: BoxedTransport) -> BoxedTransport {
        let (ours, theirs) = tokio::io::duplex(256 * 1024);
        let (from_client, to_client) = tokio::io::split(theirs);
        let (from_broker, to_broker) = tokio::io::split(broker);
        let limit = self.cut_after.unwrap_or(usize::MAX);
        let up = carry(from_client, to_broker, self.delay, usize::MAX);
        let down = carry(from_broker, to_client, self.delay, limit);
        tokio::spawn(async move {
            // When one direction ends, so does the other.
            tokio::select! { biased; () = up => {}, () = down => {} }
        });
        Box::new(ours)
    }
}

/// Carries bytes, each of them `delay` later, in order, until there are no more or `limit` have
/// been carried.
async fn carry<R, W>(mut from: ReadHalf<R>, mut to: WriteHalf<W>, delay: Duration, limit: usize)
where
    R: tokio::io::AsyncRead,
    W: tokio::io::AsyncWrite,
{
    let (sender, mut under_way) = mpsc::channel(1_000);
    let read = async move {
        let mut left = limit;
        let mut buffer = vec![0; 16 * 1024];
        while left > 0 {
            let room = buffer.len().min(left);
            match from.read(&mut buffer[..room]).await {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    left -= count;
                    let due = tokio::time::Instant::now() + delay;
                    if sender.send((due, buffer[..count].to_vec())).await.is_err() {
                        break;
                    }
                }
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = under_way.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(read, write);
}
