//! TLS 1.2 and 1.3 through rustls.
//!
//! Not for older versions, for encrypted keys, nor for certificates without a subject alternative
//! name, which rustls does not accept.

mod explain;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use milena_codec::Str;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

pub(crate) use self::explain::explain;
use crate::{Address, BoxedTransport};

/// How to speak TLS to brokers. Cheap to clone.
#[derive(Clone)]
pub struct TlsConfig {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl TlsConfig {
    /// Begins a configuration with the `ring` provider and the platform's trusted roots.
    #[cfg(feature = "tls-ring")]
    pub fn builder() -> TlsConfigBuilder {
        Self::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
    }

    /// Begins a configuration with a provider of the caller's. No process-wide provider is ever
    /// used or installed.
    pub fn builder_with_provider(provider: Arc<CryptoProvider>) -> TlsConfigBuilder {
        TlsConfigBuilder {
            provider,
            authorities: Vec::new(),
            identity: None,
            server_name: None,
        }
    }

    /// TLS on top of a transport. The name to verify is the one of the way there if it has one,
    /// else the one that was configured for all, else the advertised host.
    pub(crate) async fn handshake(
        &self,
        address: &Address,
        of_way: Option<&Str>,
        transport: BoxedTransport,
    ) -> std::io::Result<BoxedTransport> {
        let parse = |name: &Str| {
            ServerName::try_from(name.to_string())
                .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))
        };
        let name = match (of_way, &self.server_name) {
            (Some(name), _) => parse(name)?,
            (None, Some(name)) => name.clone(),
            (None, None) => parse(&address.host)?,
        };
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(name, transport).await?;
        Ok(Box::new(stream))
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// Builds a [`TlsConfig`]. Nothing is read before [`build`](Self::build).
#[derive(Clone)]
pub struct TlsConfigBuilder {
    provider: Arc<CryptoProvider>,
    authorities: Vec<Pem>,
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
}

impl TlsConfigBuilder {
    /// Trusts the certificates in a PEM file, and no longer the platform's roots
    /// (`ssl.ca.location`). May be repeated.
    #[must_use]
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Self {
        self.authorities.push(Pem::File(path.as_ref().to_owned()));
        self
    }

    /// As [`ca_file`](Self::ca_file), from memory.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(Pem::Bytes(pem.into()));
        self
    }

    /// Presents a client certificate: PEM files with the certificate chain, leaf first, and its
    /// unencrypted key as PKCS#8, PKCS#1 or SEC1 (`ssl.certificate.location`,
    /// `ssl.key.location`).
    #[must_use]
    pub fn identity_files(mut self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        let (chain, key) = (chain.as_ref().to_owned(), key.as_ref().to_owned());
        self.identity = Some((Pem::File(chain), Pem::File(key)));
        self
    }

    /// As [`identity_files`](Self::identity_files), from memory.
    #[must_use]
    pub fn identity_pem(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((Pem::Bytes(chain.into()), Pem::Bytes(key.into())));
        self
    }

    /// Expects this name in every broker's certificate instead of the host that was connected to.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Reads the files and checks that everything fits together. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// [`TlsConfigError`], naming the file or setting.
    pub fn build(self) -> Result<TlsConfig, TlsConfigError> {
        let server_name = match self.server_name {
            None => None,
            Some(name) => Some(
                ServerName::try_from(name.clone())
                    .map_err(|_| TlsConfigError::ServerName { name })?,
            ),
        };
        let roots = if self.authorities.is_empty() {
            platform_roots()?
        } else {
            roots(&self.authorities)?
        };
        let config = ClientConfig::builder_with_provider(self.provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsConfigError::Provider {
                reason: error.to_string(),
            })?
            .with_root_certificates(roots);
        let config = match self.identity {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                let certificates = chain.certificates()?;
                let private_key = key.private_key()?;
                config
                    .with_client_auth_cert(certificates, private_key)
                    .map_err(|error| TlsConfigError::Identity {
                        chain: chain.to_string(),
                        key: key.to_string(),
                        reason: error.to_string(),
                    })?
            }
        };
        Ok(TlsConfig {
            config: Arc::new(config),
            server_name,
        })
    }
}

impl fmt::Debug for TlsConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfigBuilder")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// Why a TLS configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read, or has nothing of what it should have.
    #[error(
        "{source_name} is not a PEM file with {wanted}: {reason}{}",
        encrypted_hint(reason)
    )]
    Pem {
        /// The file's path, or "the given PEM text".
        source_name: String,
        /// What was looked for.
        wanted: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A certificate authority's certificate cannot be used.
    #[error("{source_name} has a certificate that cannot be used as a root: {reason}")]
    Root {
        /// The file's path, or "the given PEM text".
        source_name: String,
        /// What is wrong.
        reason: String,
    },
    /// No certificate authority was given and the platform has none.
    #[error("the platform has no trusted root certificates{reason}; name a CA file")]
    NoPlatformRoots {
        /// What the platform said.
        reason: String,
    },
    /// Certificate and key cannot be used, or do not belong together.
    #[error("the certificate of {chain} and the key of {key} cannot be used: {reason}")]
    Identity {
        /// Where the certificate is from.
        chain: String,
        /// Where the key is from.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// Not a host name or IP address.
    #[error("{name:?} is not a host name or IP address, so no certificate can be for it")]
    ServerName {
        /// The name.
        name: String,
    },
    /// The provider has no cipher suites for TLS 1.2 or 1.3.
    #[error("the cryptography provider cannot do TLS: {reason}")]
    Provider {
        /// What is missing.
        reason: String,
    },
}

fn encrypted_hint(reason: &str) -> &'static str {
    if reason.contains("no items found") {
        "; an encrypted key has to be decrypted first (openssl pkey)"
    } else {
        ""
    }
}

/// PEM text, and where it is from.
#[derive(Clone)]
enum Pem {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Pem {
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
        let wanted = "certificates";
        let read = match self {
            Self::File(path) => {
                CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>)
            }
            Self::Bytes(bytes) => CertificateDer::pem_slice_iter(bytes).collect(),
        };
        match read {
            Ok(found) if found.is_empty() => Err(self.error(wanted, &"it has none")),
            Ok(found) => Ok(found),
            Err(error) => Err(self.error(wanted, &error)),
        }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
        match self {
            Self::File(path) => PrivateKeyDer::from_pem_file(path),
            Self::Bytes(bytes) => PrivateKeyDer::from_pem_slice(bytes),
        }
        .map_err(|error| self.error("an unencrypted private key", &error))
    }

    fn error(&self, wanted: &'static str, reason: &impl ToString) -> TlsConfigError {
        TlsConfigError::Pem {
            source_name: self.to_string(),
            wanted,
            reason: reason.to_string(),
        }
    }
}

impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Bytes(_) => f.write_str("the given PEM text"),
        }
    }
}

fn roots(authorities: &[Pem]) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for pem in authorities {
        for certificate in pem.certificates()? {
            roots
                .add(certificate)
                .map_err(|error| TlsConfigError::Root {
                    source_name: pem.to_string(),
                    reason: error.to_string(),
                })?;
        }
    }
    Ok(roots)
}

fn platform_roots() -> Result<RootCertStore, TlsConfigError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Platforms ship certificates that rustls cannot use; the others are what is asked for.
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let reasons: Vec<_> = found.errors.iter().map(|e| format!(": {e}")).collect();
        return Err(TlsConfigError::NoPlatformRoots {
            reason: reasons.concat(),
        });
    }
    Ok(roots)
}

#[cfg(all(test, feature = "tls-ring"))]
mod tests;
