//! The TCP front: a listener for each node, a task for each connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Shared, connection};

/// How long to wait after the system refused to accept (out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listeners for `nodes` nodes: on the ports from that of `address` on, or on any if it is 0.
///
/// The error names the address that failed.
pub(crate) async fn listen(
    address: &str,
    nodes: usize,
) -> Result<Vec<(TcpListener, SocketAddr)>, (String, io::Error)> {
    let (host, port) = split(address).map_err(|error| (address.to_owned(), error))?;
    let mut listeners = Vec::new();
    for node in 0..nodes {
        let offset = if port == 0 {
            0
        } else {
            u16::try_from(node).unwrap_or(u16::MAX)
        };
        let port = port.checked_add(offset);
        let at = format!(
            "{host}:{}",
            port.map_or_else(|| "65536".into(), |port| port.to_string())
        );
        let bound = async {
            let port = port.ok_or_else(|| io::Error::other("there is no such port"))?;
            let listener = TcpListener::bind((host.trim_matches(['[', ']']), port)).await?;
            let local = listener.local_addr()?;
            Ok((listener, local))
        };
        listeners.push(bound.await.map_err(|error| (at, error))?);
    }
    Ok(listeners)
}

fn split(address: &str) -> io::Result<(&str, u16)> {
    let parts = address
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty());
    let port = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    port.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "write it as host:port"))
}

/// Accepts connections to a node until the task is aborted; its connections end with it.
pub(crate) async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    node: i32,
    max_request: usize,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(node, %error, "a connection's task failed");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    prepare(&stream);
                    connections.spawn(connection::serve(stream, shared.clone(), node, max_request));
                }
                Err(error) => {
                    tracing::warn!(node, %error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

fn prepare(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "answers may be delayed");
    }
}
