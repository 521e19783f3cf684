//! Against a real broker.

use milena_codec::ApiKey;
use milena_codec::messages::MetadataRequest;

use crate::{Address, Environment, Lane, NetConfig, Pool};

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn a_real_broker_answers_metadata() {
    let address = std::env::var("MILENA_TEST_KAFKA").expect("MILENA_TEST_KAFKA is host:port");
    let address: Address = address.parse().unwrap();
    let pool = Pool::new(NetConfig::default(), Environment::system());
    let deadline = pool.env().now() + pool.config().request_timeout;
    let versions = pool.versions(&address, Lane::Main, deadline).await.unwrap();
    assert!(versions.range(ApiKey::Produce).is_some());
    let cap = ApiKey::Metadata.stable_versions();
    let prepare = |_| MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let calls = (0..20).map(|_| pool.call(&address, Lane::Main, cap, prepare, deadline));
    for reply in futures_util::future::join_all(calls).await {
        let reply = reply.unwrap();
        assert!(!reply.message.brokers.is_empty());
        assert_eq!(Some(reply.version), versions.newest(ApiKey::Metadata, cap));
    }
    pool.close(deadline).await;
}
