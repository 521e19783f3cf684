//! The one handle to a cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_admin::Admin;
use milena_auth::Credentials;
use milena_codec::Str;
use milena_metadata::Snapshot;
use milena_net::{Address, AddressMap, Environment, TlsConfig};
use milena_rpc::{Cluster, ClusterEvent, ClusterEventHook};

use crate::consumer::ConsumerBuilder;
use crate::error::ConnectError;
use crate::producer::ProducerBuilder;
use crate::settings::{SettingError, Settings, Source, put};

/// How long [`ClientBuilder::connect`] tries unless told otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to a Kafka cluster, shared by the producers, consumers and administration made from
/// it. Clones are the same client.
///
/// Nothing blocks when it is dropped; [`Client::close`] ends it in an orderly way.
#[derive(Clone, Debug)]
pub struct Client {
    cluster: Cluster,
    settings: Arc<Settings>,
    #[cfg(feature = "mock")]
    _mock: Option<milena_broker::Broker>,
}

impl Client {
    /// Connects with default settings.
    ///
    /// `bootstrap` is one or more `host:port` with commas between them, or `mock://NAME` for an
    /// embedded broker of that name in this process (feature `mock`).
    ///
    /// # Errors
    /// [`ConnectError`], naming each address and why it could not be used.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    pub async fn connect(bootstrap: &str) -> Result<Self, ConnectError> {
        Self::builder().bootstrap(bootstrap).connect().await
    }

    /// A client with settings of its own.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            settings: Settings::new(),
            bootstrap: None,
            tls: None,
            credentials: None,
            environment: None,
            timeout: CONNECT_TIMEOUT,
            unknown_topic_timeout: None,
            address_map: None,
            on_event: None,
        }
    }

    /// A producer on this cluster.
    pub fn producer(&self) -> ProducerBuilder {
        ProducerBuilder::new(self.cluster.clone(), Arc::clone(&self.settings))
    }

    /// A consumer on this cluster.
    pub fn consumer(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(self.cluster.clone(), Arc::clone(&self.settings))
    }

    /// Administration of this cluster.
    pub fn admin(&self) -> Admin {
        Admin::new(self.cluster.clone())
    }

    /// What is known of the cluster now: brokers, and the topics in use.
    pub fn metadata(&self) -> Arc<Snapshot> {
        self.cluster.snapshot()
    }

    /// The layer below, for calls that have no method here.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Ends all connections, waiting until `deadline` for calls under way. Close producers and
    /// consumers first: they fail from then on.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the rest to be ended when the last clone is dropped.
    pub async fn close(self, deadline: Instant) {
        self.cluster.close(deadline).await;
    }
}

/// Settings of a [`Client`] to be.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    settings: Settings,
    bootstrap: Option<String>,
    tls: Option<TlsConfig>,
    credentials: Option<Arc<dyn Credentials>>,
    environment: Option<Environment>,
    timeout: Duration,
    unknown_topic_timeout: Option<Duration>,
    address_map: Option<AddressMap>,
    on_event: Option<ClusterEventHook>,
}

impl ClientBuilder {
    /// `bootstrap.servers`: one or more `host:port` with commas between them, or `mock://NAME`.
    #[must_use]
    pub fn bootstrap(mut self, bootstrap: impl Into<String>) -> Self {
        self.bootstrap = Some(bootstrap.into());
        self
    }

    /// Settings by Kafka's names; those set by other methods here count more.
    #[must_use]
    pub fn settings(mut self, settings: &Settings) -> Self {
        self.settings.merge(settings);
        self
    }

    /// One setting by Kafka's name, such as `client.id`.
    ///
    /// # Errors
    /// [`SettingError::Unknown`] when nothing reads a setting of that name.
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Result<Self, SettingError> {
        self.settings.set(name, value, Source::Code)?;
        Ok(self)
    }

    /// TLS, instead of what `security.protocol` and `ssl.*` say.
    #[must_use]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// SASL, instead of what `security.protocol` and `sasl.*` say.
    #[must_use]
    pub fn credentials(mut self, credentials: Arc<dyn Credentials>) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Time, chance and sockets, instead of the system's: for tests and for transports of one's own.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Where to connect to instead of where brokers say they are, instead of what `address.map` says:
    /// for clusters behind tunnels, forwarded ports and proxies.
    #[must_use]
    pub fn address_map(mut self, map: AddressMap) -> Self {
        self.address_map = Some(map);
        self
    }

    /// Called with each event of the cluster, in the task where it happens: it must return at once.
    #[must_use]
    pub fn on_event(mut self, hook: impl Fn(&ClusterEvent) + Send + Sync + 'static) -> Self {
        self.on_event = Some(ClusterEventHook::new(hook));
        self
    }

    /// How long [`connect`](Self::connect) tries. Default 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a topic that the brokers do not know is looked up again before that is an error: one
    /// that was just created is not known everywhere yet. Default 5 s.
    #[must_use]
    pub fn unknown_topic_timeout(mut self, timeout: Duration) -> Self {
        self.unknown_topic_timeout = Some(timeout);
        self
    }

    /// Connects to the first bootstrap server that answers and asks it for the cluster's brokers.
    ///
    /// # Errors
    /// [`ConnectError`]: settings that do not fit, or each address with why it could not be used.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let bootstrap = match (&self.bootstrap, self.settings.value("bootstrap.servers")) {
            (Some(given), _) => given.clone(),
            (None, Some(set)) => set.to_owned(),
            (None, None) => return Err(ConnectError::NoBootstrap),
        };
        if let Some(name) = bootstrap.strip_prefix("mock://") {
            return self.connect_mock(name).await;
        }
        let environment = self.environment.clone().unwrap_or_else(Environment::system);
        let cluster = self
            .connect_to(Address::parse_list(&bootstrap)?, environment)
            .await?;
        Ok(Client {
            cluster,
            settings: Arc::new(self.settings),
            #[cfg(feature = "mock")]
            _mock: None,
        })
    }

    async fn connect_to(
        &self,
        bootstrap: Vec<Address>,
        environment: Environment,
    ) -> Result<Cluster, ConnectError> {
        let mut config = self.settings.cluster(bootstrap)?;
        if let Some(tls) = &self.tls {
            config.net.tls = Some(tls.clone());
        }
        if let Some(credentials) = &self.credentials {
            config.net.credentials = Some(Arc::clone(credentials));
        }
        put(&mut config.net.address_map, self.address_map.clone());
        put(&mut config.on_event, self.on_event.clone().map(Some));
        put(
            &mut config.unknown_topic_timeout,
            self.unknown_topic_timeout,
        );
        config.net.client_software_name = Str::from_static("milena");
        let deadline = environment.now() + self.timeout;
        Ok(Cluster::connect(config, environment, deadline).await?)
    }

    #[cfg(feature = "mock")]
    async fn connect_mock(self, name: &str) -> Result<Client, ConnectError> {
        let broker = milena_broker::Broker::shared(name);
        let environment = self.environment.clone().unwrap_or_else(Environment::system);
        let environment = environment.with_connector(broker.connector());
        let bootstrap = Address::parse_list(&broker.bootstrap())?;
        let cluster = self.connect_to(bootstrap, environment).await?;
        Ok(Client {
            cluster,
            settings: Arc::new(self.settings),
            _mock: Some(broker),
        })
    }

    #[cfg(not(feature = "mock"))]
    #[allow(clippy::unused_async)]
    async fn connect_mock(self, _name: &str) -> Result<Client, ConnectError> {
        Err(ConnectError::NoMock)
    }
}
