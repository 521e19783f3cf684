//! The embedded broker as an object: made, reached, closed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use milena_net::{Address, Clock, Connector, SystemClock};
use tokio::io::DuplexStream;
use tokio::task::JoinSet;

use crate::front::memory::MemoryConnector;
use crate::front::{Shared, connection, tcp};
use crate::model::fault::{FaultPlan, RequestInfo, Verdict};
use crate::model::profile::KafkaVersion;
use crate::model::settings::{ClusterSettings, NodeAddress};
use crate::model::{AdminError, ClusterModel};

/// An embedded Kafka cluster. Clones are handles to the same cluster; it ends with the last one,
/// or when it is closed.
#[derive(Clone, Debug)]
pub struct Broker {
    inner: Arc<Inner>,
}

/// What a broker's handles share.
#[derive(Debug)]
pub(crate) struct Inner {
    shared: Arc<Shared>,
    addresses: Vec<NodeAddress>,
    max_request: usize,
    /// Listeners and in-memory connections; ended when this is dropped.
    tasks: Mutex<Tasks>,
}

#[derive(Debug)]
struct Tasks {
    running: JoinSet<()>,
    closed: bool,
}

/// Why a broker cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A broker needs at least one node.
    #[error("a cluster needs at least one node")]
    NoNodes,
    /// The port is taken.
    #[error(
        "cannot listen on {address}: the port is in use; choose another, or port 0 for any free one"
    )]
    PortInUse {
        /// Where.
        address: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// Where.
        address: String,
        /// Why not.
        cause: io::Error,
    },
    /// A topic that the cluster was to start with.
    #[error(transparent)]
    Topic(#[from] AdminError),
}

/// The clusters of this process by their names in `mock://NAME`.
static SHARED: Mutex<BTreeMap<String, Weak<Inner>>> = Mutex::new(BTreeMap::new());

impl Broker {
    /// A cluster of one node that is reached within this process only, through
    /// [`Self::connector`].
    pub fn start() -> Self {
        let settings = ClusterSettings::default();
        Self::launch(settings, Arc::new(SystemClock), Vec::new())
    }

    /// To choose what the cluster is like.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::default()
    }

    /// The cluster of this name in this process: all who ask for a name share one, as long as one
    /// of them keeps a handle.
    pub fn shared(name: &str) -> Self {
        let mut known = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, inner| inner.strong_count() > 0);
        if let Some(inner) = known.get(name).and_then(Weak::upgrade) {
            return Self { inner };
        }
        let broker = Self::start();
        known.insert(name.to_owned(), Arc::downgrade(&broker.inner));
        broker
    }

    /// The nodes' addresses as clients are told them, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        let one =
            |address: &NodeAddress| Address::new(address.host.clone(), address.port).to_string();
        self.inner
            .addresses
            .iter()
            .map(one)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Connects clients of this process without sockets. It does not keep the broker alive.
    pub fn connector(&self) -> Arc<dyn Connector> {
        Arc::new(MemoryConnector {
            broker: Arc::downgrade(&self.inner),
        })
    }

    /// Looks at the cluster, or does something to it: creates topics, stops nodes, moves leaders.
    /// Clients are served again when this returns.
    pub fn with_model<R>(&self, change: impl FnOnce(&mut ClusterModel) -> R) -> R {
        self.inner.shared.with(change)
    }

    /// Sets the fault plan; see [`Verdict`].
    pub fn faults(&self, plan: impl FnMut(&RequestInfo) -> Verdict + Send + 'static) {
        self.with_model(|model| model.set_faults(Some(Box::new(plan))));
    }

    /// Closes listeners and connections and waits until their tasks have ended. Later connections
    /// are refused, those through other handles too.
    ///
    /// Cancel safety: when dropped, everything is closed all the same, without waiting.
    pub async fn close(self) {
        let mut running = {
            let mut tasks = self.inner.tasks();
            tasks.closed = true;
            std::mem::take(&mut tasks.running)
        };
        running.shutdown().await;
    }

    fn launch(
        mut settings: ClusterSettings,
        clock: Arc<dyn Clock>,
        listeners: Vec<tokio::net::TcpListener>,
    ) -> Self {
        settings.start_millis = clock.wall_millis();
        let addresses = settings.nodes.clone();
        let max_request = settings.max_request_bytes;
        let shared = Arc::new(Shared::new(ClusterModel::new(settings), clock));
        let mut running = JoinSet::new();
        for (node, listener) in (1..).zip(listeners) {
            running.spawn(tcp::accept(listener, shared.clone(), node, max_request));
        }
        let tasks = Mutex::new(Tasks {
            running,
            closed: false,
        });
        Self {
            inner: Arc::new(Inner {
                shared,
                addresses,
                max_request,
                tasks,
            }),
        }
    }
}

impl Inner {
    /// The node that answers at an address.
    pub(crate) fn node_at(&self, address: &Address) -> Option<i32> {
        let advertised =
            |node: &NodeAddress| node.host == address.host && node.port == address.port;
        let found = self.addresses.iter().position(advertised);
        let found = found.or_else(|| {
            (0..self.addresses.len()).find(|index| memory_address(*index).host == address.host)
        })?;
        i32::try_from(found + 1).ok()
    }

    /// Serves an in-memory connection; false if the node is down or the broker closed.
    pub(crate) fn serve(&self, stream: DuplexStream, node: i32) -> bool {
        if !self.shared.with(|model| model.is_up(node)) {
            return false;
        }
        let mut tasks = self.tasks();
        if tasks.closed {
            return false;
        }
        while let Some(ended) = tasks.running.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a connection's task failed");
            }
        }
        let served = connection::serve(stream, self.shared.clone(), node, self.max_request);
        tasks.running.spawn(served);
        true
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn memory_address(index: usize) -> NodeAddress {
    NodeAddress {
        host: format!("node-{}.mock", index + 1).into(),
        port: 9092,
    }
}

/// Chooses what an embedded cluster is like. [`ClusterSettings`] has the defaults.
#[derive(Default)]
pub struct BrokerBuilder {
    settings: ClusterSettings,
    nodes: Option<usize>,
    listen: Option<String>,
    advertise: Option<String>,
    topics: Vec<(String, i32)>,
    clock: Option<Arc<dyn Clock>>,
    faults: Option<FaultPlan>,
}

impl BrokerBuilder {
    /// The number of nodes, whose ids count from 1. Default 1.
    #[must_use]
    pub fn nodes(mut self, count: usize) -> Self {
        self.nodes = Some(count);
        self
    }

    /// Listens on TCP, `host:port`: one port a node, counted up from this one; with port 0, any
    /// free ones. Default: no sockets.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// The host that clients are told, when it is not the one listened on (containers).
    #[must_use]
    pub fn advertise(mut self, host: impl Into<String>) -> Self {
        self.advertise = Some(host.into());
        self
    }

    /// A topic to start with.
    #[must_use]
    pub fn topic(mut self, name: impl Into<String>, partitions: i32) -> Self {
        self.topics.push((name.into(), partitions));
        self
    }

    /// Partitions of topics created without a number (`num.partitions`). Default 1.
    #[must_use]
    pub fn partitions(mut self, count: i32) -> Self {
        self.settings.partitions = count;
        self
    }

    /// Where ids come from. Default 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// The Kafka release to pass for: its API versions. Default 4.3.1.
    #[must_use]
    pub fn as_version(mut self, version: KafkaVersion) -> Self {
        self.settings.version = version;
        self
    }

    /// The finalized `transaction.version`, 0 to 2 (KIP-890). Default 2.
    #[must_use]
    pub fn transaction_version(mut self, level: i16) -> Self {
        self.settings.transaction_version = level;
        self
    }

    /// Everything else; node addresses are set by [`Self::start`].
    #[must_use]
    pub fn settings(mut self, change: impl FnOnce(&mut ClusterSettings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// The fault plan from the first request on.
    #[must_use]
    pub fn faults(mut self, plan: impl FnMut(&RequestInfo) -> Verdict + Send + 'static) -> Self {
        self.faults = Some(Box::new(plan));
        self
    }

    /// The clock; it must agree with tokio's. Default the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Starts the cluster.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(mut self) -> Result<Broker, StartError> {
        let nodes = self.nodes.unwrap_or(1);
        if nodes == 0 {
            return Err(StartError::NoNodes);
        }
        self.settings.nodes = (0..nodes).map(memory_address).collect();
        let mut listeners = Vec::new();
        if let Some(address) = &self.listen {
            let bound = tcp::listen(address, nodes).await.map_err(not_listening)?;
            self.settings.nodes.clear();
            for (listener, local) in bound {
                let host = self
                    .advertise
                    .clone()
                    .unwrap_or_else(|| reachable(local.ip()));
                let port = local.port();
                self.settings.nodes.push(NodeAddress {
                    host: host.into(),
                    port,
                });
                listeners.push(listener);
            }
        }
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let broker = Broker::launch(self.settings, clock, listeners);
        broker.with_model(|model| {
            model.set_faults(self.faults);
            self.topics.iter().try_for_each(|(name, partitions)| {
                model.create_topic(name, *partitions).map(|_| ())
            })
        })?;
        Ok(broker)
    }
}

impl std::fmt::Debug for BrokerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerBuilder")
            .field("nodes", &self.nodes)
            .field("listen", &self.listen)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What a client on this machine can connect to.
fn reachable(ip: std::net::IpAddr) -> String {
    if ip.is_unspecified() {
        "localhost".into()
    } else {
        ip.to_string()
    }
}

fn not_listening((address, cause): (String, io::Error)) -> StartError {
    if cause.kind() == io::ErrorKind::AddrInUse {
        StartError::PortInUse { address }
    } else {
        StartError::Listen { address, cause }
    }
}

#[cfg(test)]
mod tests;
