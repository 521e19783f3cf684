//! Why a client could not be connected.

use milena_auth::AuthError;
use milena_net::{AddressError, TlsConfigError};
use milena_rpc::ConnectClusterError;
use thiserror::Error;

use crate::settings::SettingError;

/// Why a client could not be connected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No address was given.
    #[error("no broker is given: name at least one as host:port, or set bootstrap.servers")]
    NoBootstrap,
    /// The embedded broker is not part of this build.
    #[error("a mock:// address needs the embedded broker: turn on the feature `mock` of milena")]
    NoMock,
    /// An address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A setting does not fit.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Certificates or keys cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
    /// User or password cannot be used.
    #[error(transparent)]
    Credentials(#[from] AuthError),
    /// No broker could be reached, or none let us in.
    #[error(transparent)]
    Cluster(#[from] ConnectClusterError),
}
