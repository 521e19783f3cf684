//! How connections behave.

use std::sync::Arc;
use std::time::Duration;

use milena_auth::Credentials;
use milena_codec::Str;

use crate::{AddressMap, TlsConfig};

/// The settings of a [`Pool`](crate::Pool). Defaults are those of Kafka's Java client where it has
/// the setting; the names it uses are given.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// `client.id`, for quotas and the broker's logs. Default `milena`.
    pub client_id: Option<Str>,
    /// The library's name, for the broker's metrics (KIP-511): letters, digits, `-` and `.`.
    pub client_software_name: Str,
    /// The library's version, for the broker's metrics (KIP-511).
    pub client_software_version: Str,
    /// TLS (`security.protocol=SSL` or `SASL_SSL`). Default off.
    pub tls: Option<TlsConfig>,
    /// SASL (`security.protocol=SASL_PLAINTEXT` or `SASL_SSL`). Default off.
    pub credentials: Option<Arc<dyn Credentials>>,
    /// Where to connect to instead of where brokers say they are: for clusters behind tunnels,
    /// forwarded ports and proxies. Default nowhere else.
    pub address_map: AddressMap,
    /// `socket.connection.setup.timeout.ms`: how long one attempt may take, from the name's
    /// resolution to the login. Doubles with each failure in a row (KIP-601). Default 10 s.
    pub connection_setup_timeout: Duration,
    /// `socket.connection.setup.timeout.max.ms`: where that ends. Default 30 s.
    pub connection_setup_timeout_max: Duration,
    /// `request.timeout.ms`: what layers above use where they have no deadline. Default 30 s.
    pub request_timeout: Duration,
    /// `connections.max.idle.ms`: a socket unused for this long is closed. Default 3 min instead of
    /// Java's 9, because common load balancers silently drop idle connections after 4.
    pub idle_close: Duration,
    /// `max.in.flight.requests.per.connection`: unanswered requests on one socket. Default 5.
    pub max_in_flight: usize,
    /// Calls waiting on one lane behind those in flight; more callers wait for a place. Default 64.
    pub max_queued: usize,
    /// `reconnect.backoff.ms`: the wait after the first failure to connect to an address; doubles
    /// with each, with 20 % jitter. Default 50 ms.
    pub reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms`: where that ends. Default 1 s.
    pub reconnect_backoff_max: Duration,
    /// The largest answer accepted; `receive.message.max.bytes` in librdkafka. Default 100 MB.
    pub max_response_bytes: usize,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            client_id: Some(Str::from_static("milena")),
            client_software_name: Str::from_static("milena"),
            client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
            tls: None,
            credentials: None,
            address_map: AddressMap::new(),
            connection_setup_timeout: Duration::from_secs(10),
            connection_setup_timeout_max: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            idle_close: Duration::from_secs(3 * 60),
            max_in_flight: 5,
            max_queued: 64,
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            max_response_bytes: 100_000_000,
        }
    }
}
