//! TLS and SASL: what gets in, and what is said to what does not.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use milena::settings::{Settings, Source};
use milena::{
    Address, Client, ConnectClusterError, ConnectError, Connector, Environment, NetCallError,
};
use milena_net::{
    BoxFuture, BoxedTransport, ConnectError as Refusal, Foreign, LostCause, Stage, TcpConnector,
};
use protocol_tests::real_kafka::variable;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use crate::world::{assert_same, produce, read, topic};

const RECORDS: usize = 100_000;
/// A client that may try again does so for this long.
const PATIENCE: Duration = Duration::from_secs(2);

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn records_pass_with_scram_sha_512_over_tls() {
    round_trip("scram-512", &properties("client.properties")).await;
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn records_pass_with_scram_sha_256_over_tls() {
    let mut settings = properties("client.properties");
    set(&mut settings, "sasl.mechanism", "SCRAM-SHA-256");
    round_trip("scram-256", &settings).await;
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn records_pass_with_plain_over_tls() {
    round_trip("plain", &properties("client-plain.properties")).await;
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn records_pass_with_a_client_certificate() {
    round_trip("mutual-tls", &properties("client-ssl.properties")).await;
}

async fn round_trip(name: &str, settings: &Settings) {
    let client = Client::builder().settings(settings);
    let client = client.connect().await.unwrap();
    let topic = topic(&client, name, 1).await;
    let values = || (0..RECORDS).map(|n| format!("{name} {n}"));
    produce(client.producer(), &topic, values()).await;
    assert_same(read(&client, &topic).await.remove(0), values());
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn a_wrong_password_is_an_error_at_once_after_one_connection() {
    for (file, mechanism) in [
        ("client.properties", "SCRAM-SHA-512"),
        ("client.properties", "SCRAM-SHA-256"),
        ("client-plain.properties", "PLAIN"),
    ] {
        let mut settings = properties(file);
        set(&mut settings, "sasl.mechanism", mechanism);
        set(&mut settings, "sasl.password", "wrong");
        let connector = Arc::new(Counting::default());
        let environment = Environment::system().with_connector(connector.clone());
        let client = Client::builder().settings(&settings);
        let client = client.environment(environment.clone());
        let begun = environment.now();
        let error = client.connect().await.unwrap_err();
        let elapsed = environment.now() - begun;
        assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
        assert_eq!(connector.count.load(Ordering::Relaxed), 1, "{error}");

        assert!(
            matches!(&error, ConnectError::Cluster(error) if error.is_authentication()),
            "{error:?}"
        );
        let text = error.to_string();
        let address = variable("MILENA_TEST_KAFKA_SASL_SSL");
        assert!(
            text.contains(&address) && text.contains(mechanism),
            "{text}"
        );
        assert!(!text.contains("wrong"), "{text}");
    }
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn a_certificate_of_another_authority_is_refused() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let other = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let mut settings = Settings::new();
    set(&mut settings, "security.protocol", "SSL");
    set(&mut settings, "ssl.truststore.certificates", &other.pem());

    let address = variable("MILENA_TEST_KAFKA_SSL");
    let (cause, text) = refusal(&settings, &address).await;
    assert!(matches!(cause, Refusal::Tls { .. }), "{cause:?}");
    assert!(text.contains(&address) && text.contains("TLS"), "{text}");
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn a_client_without_tls_is_told_so_by_a_tls_listener() {
    let address = variable("MILENA_TEST_KAFKA_SSL");
    let (cause, text) = refusal(&Settings::new(), &address).await;
    let Refusal::NotKafka { what } = &cause else {
        panic!("{cause:?}");
    };
    assert_eq!(*what, Foreign::Tls);
    assert!(text.contains(&address), "{text}");
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn a_client_with_tls_is_told_so_by_a_plaintext_listener() {
    let address = variable("MILENA_TEST_KAFKA");
    let settings = properties("client-ssl.properties");
    let (cause, text) = refusal(&settings, &address).await;
    assert_eq!(cause, Refusal::Closed { stage: Stage::Tls });
    assert!(text.contains(&address) && text.contains("TLS"), "{text}");
}

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn a_client_without_sasl_is_told_so_by_a_sasl_listener() {
    let address = variable("MILENA_TEST_KAFKA_SASL_SSL");
    let settings = properties("client-ssl.properties");
    let (cause, text) = failure(&settings, &address).await;
    let NetCallError::Lost { cause, .. } = cause else {
        panic!("{cause:?}");
    };
    assert_eq!(cause, LostCause::ClosedUnanswered);
    assert!(text.contains(&address) && text.contains("SASL"), "{text}");
}

/// Why no connection could be opened, and the text of the whole error.
async fn refusal(settings: &Settings, address: &str) -> (Refusal, String) {
    match failure(settings, address).await {
        (NetCallError::Connect { cause, .. }, text) => (cause, text),
        (other, _) => panic!("{other:?}"),
    }
}

/// Why the one address was of no use, and the text of the whole error.
async fn failure(settings: &Settings, address: &str) -> (NetCallError, String) {
    let client = Client::builder().settings(settings).bootstrap(address);
    let error = client.timeout(PATIENCE).connect().await.unwrap_err();
    let text = error.to_string();
    let ConnectError::Cluster(ConnectClusterError::Unreachable { mut failures }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(failures.len(), 1, "{text}");
    (failures.remove(0).cause, text)
}

/// The settings in a file that the cluster made for its clients.
fn properties(file: &str) -> Settings {
    let path = Path::new(&variable("MILENA_TEST_KAFKA_DIR")).join(file);
    let mut settings = Settings::new();
    for (name, value) in java_properties::read(File::open(&path).unwrap()).unwrap() {
        let source = Source::File(path.display().to_string());
        settings.set(&name, value, source).unwrap();
    }
    settings
}

fn set(settings: &mut Settings, name: &str, value: &str) {
    settings.set(name, value, Source::Code).unwrap();
}

/// Counts how often a connection is opened.
#[derive(Debug, Default)]
struct Counting {
    tcp: TcpConnector,
    count: AtomicUsize,
}

impl Connector for Counting {
    fn connect(
        &self,
        address: &Address,
        deadline: Instant,
    ) -> BoxFuture<'static, io::Result<BoxedTransport>> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.tcp.connect(address, deadline)
    }
}
