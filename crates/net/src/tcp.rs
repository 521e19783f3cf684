//! TCP sockets.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use crate::{Address, BoxFuture, BoxedTransport, Connector};

/// A silent peer is asked for a sign of life this often, so that dead connections are found and
/// middleboxes keep the live ones.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Finds the IP addresses of a host.
pub trait Resolver: Send + Sync + Debug {
    /// All addresses of `address`, best first. Called for each connect; must not remember names
    /// for longer than they are valid.
    fn resolve(&self, address: &Address) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The operating system's resolver, on tokio's blocking threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, address: &Address) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let (host, port) = (address.host.clone(), address.port);
        Box::pin(async move { Ok(tokio::net::lookup_host((&*host, port)).await?.collect()) })
    }
}

/// Opens TCP connections: resolves the name on each connect (KIP-302), tries all IP addresses in
/// turn, the time divided among those left, sends without delay (`TCP_NODELAY`) and keeps alive
/// after 60 s of silence.
#[derive(Clone, Debug)]
pub struct TcpConnector {
    resolver: Arc<dyn Resolver>,
}

impl TcpConnector {
    /// With the operating system's resolver.
    pub fn new() -> Self {
        Self::with_resolver(Arc::new(SystemResolver))
    }

    /// With a resolver of the caller's.
    pub fn with_resolver(resolver: Arc<dyn Resolver>) -> Self {
        Self { resolver }
    }
}

impl Default for TcpConnector {
    fn default() -> Self {
        Self::new()
    }
}

impl Connector for TcpConnector {
    fn connect(
        &self,
        address: &Address,
        deadline: Instant,
    ) -> BoxFuture<'static, io::Result<BoxedTransport>> {
        let (resolver, address) = (Arc::clone(&self.resolver), address.clone());
        Box::pin(async move {
            let candidates = resolve(&*resolver, &address, deadline).await?;
            let stream = first_open(&candidates, deadline).await?;
            stream.set_nodelay(true)?;
            SockRef::from(&stream).set_tcp_keepalive(
                &TcpKeepalive::new()
                    .with_time(KEEP_ALIVE)
                    .with_interval(KEEP_ALIVE / 4),
            )?;
            Ok(Box::new(stream) as BoxedTransport)
        })
    }
}

async fn resolve(
    resolver: &dyn Resolver,
    address: &Address,
    deadline: Instant,
) -> io::Result<Vec<SocketAddr>> {
    let failed = |kind, reason: String| {
        let host = address.host.to_string();
        io::Error::new(kind, ResolveError { host, reason })
    };
    match timeout_at(deadline.into(), resolver.resolve(address)).await {
        Ok(Ok(found)) if found.is_empty() => Err(failed(
            io::ErrorKind::NotFound,
            "it has no IP address".to_owned(),
        )),
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(failed(error.kind(), error.to_string())),
        Err(_) => Err(failed(
            io::ErrorKind::TimedOut,
            "the resolver did not answer in time".to_owned(),
        )),
    }
}

async fn first_open(candidates: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut failures = Vec::new();
    let mut worst = io::ErrorKind::ConnectionRefused;
    for (tried, candidate) in candidates.iter().enumerate() {
        let now = tokio::time::Instant::now();
        let left = u32::try_from(candidates.len() - tried).unwrap_or(u32::MAX);
        let share = tokio::time::Instant::from(deadline).saturating_duration_since(now) / left;
        let error = match timeout_at(now + share, TcpStream::connect(candidate)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {share:?}")),
        };
        if error.kind() == io::ErrorKind::ConnectionRefused {
            // The kind says it all.
            failures.push(candidate.to_string());
        } else {
            worst = error.kind();
            failures.push(format!("{candidate}: {error}"));
        }
    }
    Err(io::Error::new(worst, failures.join("; ")))
}

/// A name that could not be resolved, inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve {host:?}: {reason}")]
pub(crate) struct ResolveError {
    pub(crate) host: String,
    pub(crate) reason: String,
}

#[cfg(test)]
mod tests;
