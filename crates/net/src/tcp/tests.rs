use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{ResolveError, Resolver, TcpConnector};
use crate::{Address, BoxFuture, Connector};

/// Answers what it was told last, and counts.
#[derive(Debug, Default)]
struct Names {
    addresses: Mutex<Vec<SocketAddr>>,
    asked: Mutex<usize>,
}

impl Names {
    fn set(&self, addresses: &[SocketAddr]) {
        *self.addresses.lock().unwrap() = addresses.to_vec();
    }
}

impl Resolver for Names {
    fn resolve(&self, _: &Address) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        *self.asked.lock().unwrap() += 1;
        let addresses = self.addresses.lock().unwrap().clone();
        Box::pin(async move { Ok(addresses) })
    }
}

fn soon() -> Instant {
    tokio::time::Instant::now().into_std() + Duration::from_secs(10)
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port where nothing listens.
async fn closed_port() -> SocketAddr {
    listener().await.1
}

/// Scenario 57: testReconnectAfterAddressChange.
#[tokio::test]
async fn a_name_is_resolved_anew_on_each_connect() {
    let names = Arc::new(Names::default());
    let connector = TcpConnector::with_resolver(Arc::clone(&names) as Arc<dyn Resolver>);
    let broker = Address::new("broker.test", 9092);
    for round in 1..=2 {
        let (listener, address) = listener().await;
        names.set(&[address]);
        let mut ours = connector.connect(&broker, soon()).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        ours.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        theirs.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        assert_eq!(*names.asked.lock().unwrap(), round);
    }
}

/// Scenario 60: testFailedConnectionToFirstAddress.
#[tokio::test]
async fn addresses_are_tried_in_turn_until_one_accepts() {
    let names = Arc::new(Names::default());
    let (_listener, open) = listener().await;
    names.set(&[closed_port().await, open]);
    let connector = TcpConnector::with_resolver(names);
    let broker = Address::new("broker.test", 9092);
    assert!(connector.connect(&broker, soon()).await.is_ok());
}

#[tokio::test]
async fn when_all_addresses_refuse_each_is_named() {
    let names = Arc::new(Names::default());
    let (one, two) = (closed_port().await, closed_port().await);
    names.set(&[one, two]);
    let connector = TcpConnector::with_resolver(names);
    let result = connector.connect(&Address::new("broker.test", 9092), soon());
    let Err(error) = result.await else {
        panic!("nothing listens there");
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let shown = error.to_string();
    assert!(
        shown.contains(&one.to_string()) && shown.contains(&two.to_string()),
        "{shown}"
    );
}

/// Scenario 60: testDnsLookupFailure; 0136: a resolver of the caller's.
#[tokio::test]
async fn a_name_without_addresses_is_a_failure_to_resolve() {
    let connector = TcpConnector::with_resolver(Arc::new(Names::default()));
    let result = connector.connect(&Address::new("broker.test", 9092), soon());
    let Err(error) = result.await else {
        panic!("there is no address");
    };
    let inner = error.get_ref().unwrap();
    assert_eq!(
        inner.downcast_ref::<ResolveError>().unwrap().host,
        "broker.test"
    );
}
