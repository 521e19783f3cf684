//! The in-memory front: byte streams inside the process.

use std::io;
use std::sync::Weak;
use std::time::Instant;

use milena_net::{Address, BoxFuture, BoxedTransport, Connector};

use crate::broker::Inner;

/// How many bytes are under way in each direction before a writer waits.
const PIPE: usize = 256 * 1024;

/// Connects to the nodes of a broker in this process, by the addresses that it advertises or as
/// `node-1.mock:9092` and so on. Connections are refused once the broker is gone.
#[derive(Debug)]
pub(crate) struct MemoryConnector {
    pub(crate) broker: Weak<Inner>,
}

impl Connector for MemoryConnector {
    fn connect(
        &self,
        address: &Address,
        _deadline: Instant,
    ) -> BoxFuture<'static, io::Result<BoxedTransport>> {
        let (broker, address) = (self.broker.clone(), address.clone());
        Box::pin(async move {
            let refused = |why: &str| {
                io::Error::new(
                    io::ErrorKind::ConnectionRefused,
                    format!("{address}: {why}"),
                )
            };
            let broker = broker
                .upgrade()
                .ok_or_else(|| refused("the embedded broker is gone"))?;
            let node = broker
                .node_at(&address)
                .ok_or_else(|| refused("no node has this address"))?;
            let (ours, theirs) = tokio::io::duplex(PIPE);
            if !broker.serve(theirs, node) {
                return Err(refused("the node is down"));
            }
            Ok(Box::new(ours) as BoxedTransport)
        })
    }
}
