//! From settings to the configuration of connections.

use std::sync::Arc;

use milena_auth::{Credentials, PlainCredentials, ScramCredentials, ScramHash};
use milena_codec::Str;
use milena_net::{Address, AddressMapError, NetConfig, TlsConfig};
use milena_rpc::{ClusterConfig, MetadataRecovery};

use super::{Jaas, SettingError, Settings};
use crate::ConnectError;

impl Settings {
    /// Where to begin and how to connect. Reads the files that TLS settings name.
    pub(crate) fn cluster(&self, bootstrap: Vec<Address>) -> Result<ClusterConfig, ConnectError> {
        let mut config = ClusterConfig::new(bootstrap);
        config.net = self.net()?;
        put(&mut config.retry_backoff, self.millis("retry.backoff.ms")?);
        put(
            &mut config.retry_backoff_max,
            self.millis("retry.backoff.max.ms")?,
        );
        put(
            &mut config.metadata_max_age,
            self.millis("metadata.max.age.ms")?,
        );
        put(
            &mut config.rebootstrap_after,
            self.millis("metadata.recovery.rebootstrap.trigger.ms")?,
        );
        let strategy = "metadata.recovery.strategy";
        config.recovery = match self.value(strategy).map(str::to_ascii_lowercase).as_deref() {
            None | Some("rebootstrap") => MetadataRecovery::Rebootstrap,
            Some("none") => MetadataRecovery::None,
            Some(_) => return Err(self.invalid(strategy, "rebootstrap or none").into()),
        };
        put(
            &mut config.allow_auto_create_topics,
            self.boolean("allow.auto.create.topics")?,
        );
        Ok(config)
    }

    fn net(&self) -> Result<NetConfig, ConnectError> {
        let mut net = NetConfig::default();
        if let Some(id) = self.value("client.id") {
            net.client_id = Some(Str::from(id));
        }
        if let Some(map) = self.value("address.map") {
            net.address_map = map.parse().map_err(|error: AddressMapError| {
                let text = format!("ADVERTISED=TARGET,… ({:?}: {})", error.text, error.problem);
                self.invalid("address.map", &text)
            })?;
        }
        put(&mut net.request_timeout, self.millis("request.timeout.ms")?);
        put(&mut net.idle_close, self.millis("connections.max.idle.ms")?);
        put(
            &mut net.reconnect_backoff,
            self.millis("reconnect.backoff.ms")?,
        );
        put(
            &mut net.reconnect_backoff_max,
            self.millis("reconnect.backoff.max.ms")?,
        );
        let setup = "socket.connection.setup.timeout.ms";
        put(&mut net.connection_setup_timeout, self.millis(setup)?);
        let setup_max = "socket.connection.setup.timeout.max.ms";
        put(
            &mut net.connection_setup_timeout_max,
            self.millis(setup_max)?,
        );
        let (tls, sasl) = match self
            .value("security.protocol")
            .map(str::to_ascii_uppercase)
            .as_deref()
        {
            None | Some("PLAINTEXT") => (false, false),
            Some("SSL") => (true, false),
            Some("SASL_PLAINTEXT") => (false, true),
            Some("SASL_SSL") => (true, true),
            Some(_) => {
                let expected = "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL";
                return Err(self.invalid("security.protocol", expected).into());
            }
        };
        if tls {
            net.tls = Some(self.tls()?);
        }
        if sasl {
            net.credentials = Some(self.credentials()?);
        }
        Ok(net)
    }

    fn tls(&self) -> Result<TlsConfig, ConnectError> {
        for name in ["ssl.truststore.type", "ssl.keystore.type"] {
            if self
                .value(name)
                .is_some_and(|kind| !kind.eq_ignore_ascii_case("PEM"))
            {
                return Err(self
                    .invalid(
                        name,
                        "PEM (convert with `keytool -exportcert -rfc`, or `openssl pkcs12`)",
                    )
                    .into());
            }
        }
        let verification = "ssl.endpoint.identification.algorithm";
        if self
            .value(verification)
            .is_some_and(|name| !name.eq_ignore_ascii_case("https"))
        {
            return Err(self
                .invalid(verification, "https (certificates are always verified)")
                .into());
        }
        let mut tls = TlsConfig::builder();
        if let Some(path) = self.value("ssl.truststore.location") {
            tls = tls.ca_file(path);
        }
        if let Some(pem) = self.value("ssl.truststore.certificates") {
            tls = tls.ca_pem(pem);
        }
        // Java's PEM key store is one file with the chain and the key.
        let store = self.value("ssl.keystore.location");
        let chain = self.value("ssl.certificate.location").or(store);
        let key = self.value("ssl.key.location").or(store);
        let chain_pem = self.value("ssl.keystore.certificate.chain");
        tls = match (chain, key, chain_pem, self.value("ssl.keystore.key")) {
            (None, None, None, None) => tls,
            (Some(chain), Some(key), None, None) => tls.identity_files(chain, key),
            (None, None, Some(chain), Some(key)) => tls.identity_pem(chain, key),
            _ => {
                return Err(SettingError::Conflict(
                    "a client certificate needs its key and the other way round: set \
                     ssl.certificate.location with ssl.key.location, or ssl.keystore.location, or \
                     ssl.keystore.certificate.chain with ssl.keystore.key"
                        .into(),
                )
                .into());
            }
        };
        Ok(tls.build()?)
    }

    fn credentials(&self) -> Result<Arc<dyn Credentials>, ConnectError> {
        let jaas = match self.value("sasl.jaas.config") {
            Some(text) => Some(Jaas::parse(text).ok_or_else(|| {
                self.invalid(
                    "sasl.jaas.config",
                    "MODULE required username=\"…\" password=\"…\";",
                )
            })?),
            None => None,
        };
        let option = |setting, name| {
            let jaas = jaas.as_ref().and_then(|jaas| jaas.option(name));
            self.value(setting).or(jaas).ok_or_else(|| {
                let text = format!(
                    "security.protocol asks for SASL, but there is no {name}: set {setting}, or \
                     {name} in sasl.jaas.config"
                );
                ConnectError::from(SettingError::Conflict(text))
            })
        };
        let (user, password) = (
            option("sasl.username", "username")?,
            option("sasl.password", "password")?,
        );
        let is_token = jaas.as_ref().and_then(|jaas| jaas.option("tokenauth")) == Some("true");
        let scram = |hash| -> Result<Arc<dyn Credentials>, ConnectError> {
            Ok(Arc::new(if is_token {
                ScramCredentials::delegation_token(hash, user, password)?
            } else {
                ScramCredentials::new(hash, user, password)?
            }))
        };
        match self.value("sasl.mechanism") {
            Some("PLAIN") => Ok(Arc::new(PlainCredentials::new(user, password)?)),
            Some("SCRAM-SHA-256") => scram(ScramHash::Sha256),
            Some("SCRAM-SHA-512") => scram(ScramHash::Sha512),
            _ => {
                let expected = "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512";
                Err(self.invalid("sasl.mechanism", expected).into())
            }
        }
    }
}

/// Sets `target` if there is a value.
pub(crate) fn put<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}
