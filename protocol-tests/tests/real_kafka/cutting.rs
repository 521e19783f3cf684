//! TCP connections that can be cut from outside.

use std::convert::Infallible;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use milena::{Address, Connector};
use milena_net::{BoxFuture, BoxedTransport};
use tokio::time::{interval, timeout_at};

/// Opens plain TCP connections and keeps a handle of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cutting(Arc<State>);

#[derive(Debug, Default)]
struct State {
    open: Mutex<Vec<TcpStream>>,
    cuts: AtomicUsize,
}

impl Cutting {
    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> usize {
        self.0.cuts.load(Ordering::Relaxed)
    }

    /// Cuts all connections each `period`, for as long as it is polled.
    pub(crate) async fn cut_every(&self, period: Duration) -> Infallible {
        let mut ticks = interval(period);
        ticks.tick().await; // The first is at once.
        loop {
            ticks.tick().await;
            self.cut();
        }
    }

    /// What was written still reaches the broker; its answers are lost.
    fn cut(&self) {
        let open = std::mem::take(&mut *self.0.open.lock().unwrap());
        // One that either side has closed already cannot be shut down.
        let cut = open.iter().filter(|it| it.shutdown(Shutdown::Both).is_ok());
        self.0.cuts.fetch_add(cut.count(), Ordering::Relaxed);
    }
}

impl Connector for Cutting {
    fn connect(
        &self,
        address: &Address,
        deadline: Instant,
    ) -> BoxFuture<'static, io::Result<BoxedTransport>> {
        let (state, address) = (Arc::clone(&self.0), address.clone());
        Box::pin(async move {
            let to = (&*address.host, address.port);
            let stream = timeout_at(deadline.into(), tokio::net::TcpStream::connect(to)).await??;
            stream.set_nodelay(true)?;
            let stream = stream.into_std()?;
            state.open.lock().unwrap().push(stream.try_clone()?);
            Ok(Box::new(tokio::net::TcpStream::from_std(stream)?) as BoxedTransport)
        })
    }
}
