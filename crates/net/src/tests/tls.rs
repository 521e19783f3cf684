//! TLS, with certificates made on the spot.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::DuplexStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::peer::{Bench, Peer, SECOND};
use crate::{CallError, ConnectError, NetConfig, Stage, TlsConfig, TlsConfigBuilder};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = format!("authority {}", NEXT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key.
    fn issue(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A broker of this name, which asks for a client certificate if `clients` says of whom.
    fn acceptor(&self, name: &str, clients: Option<&Self>) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .unwrap(),
                )
            }
        };
        let (certificate, key) = self.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = builder.with_single_cert(vec![certificate.der().clone()], key);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

fn trusting(authority: &Authority) -> TlsConfigBuilder {
    TlsConfig::builder().ca_pem(authority.pem())
}

fn bench(tls: TlsConfigBuilder) -> Bench {
    Bench::with(NetConfig {
        tls: Some(tls.build().unwrap()),
        ..NetConfig::default()
    })
}

async fn accept(
    bench: &mut Bench,
    acceptor: TlsAcceptor,
) -> std::io::Result<Peer<TlsStream<DuplexStream>>> {
    let raw = bench.accept_raw().await;
    Ok(Peer(acceptor.accept(raw.0).await?))
}

/// A call over TLS that should succeed.
async fn works(tls: TlsConfigBuilder, acceptor: TlsAcceptor) {
    works_on(bench(tls), acceptor).await;
}

async fn works_on(mut bench: Bench, acceptor: TlsAcceptor) {
    let asked = bench.ask(&"long ".repeat(20_000), 10 * SECOND);
    let mut peer = accept(&mut bench, acceptor).await.unwrap();
    peer.negotiate().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "secret").await;
    let reply = asked.await.unwrap().unwrap();
    assert_eq!(reply.message.cluster_id.as_deref(), Some("secret"));
}

/// Why a call over TLS fails.
async fn fails(tls: TlsConfigBuilder, acceptor: TlsAcceptor) -> ConnectError {
    let mut bench = bench(tls);
    let asked = bench.ask("a", 10 * SECOND);
    let _peer = accept(&mut bench, acceptor).await;
    let error = asked.await.unwrap().unwrap_err();
    let CallError::Connect { cause, .. } = error else {
        panic!("{error}");
    };
    cause
}

#[tokio::test(start_paused = true)]
async fn a_trusted_broker_with_the_right_name_is_spoken_to() {
    let authority = Authority::new();
    let acceptor = authority.acceptor("broker.test", None);
    works(trusting(&authority), acceptor).await;
}

#[tokio::test(start_paused = true)]
async fn an_untrusted_certificate_says_which_file_to_give() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let error = fails(trusting(&ours), theirs.acceptor("broker.test", None)).await;
    assert!(matches!(error, ConnectError::Tls { .. }));
    assert!(!error.is_retriable());
    assert!(error.to_string().contains("CA file"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_for_another_name_says_both_names() {
    let authority = Authority::new();
    let error = fails(trusting(&authority), authority.acceptor("other.test", None)).await;
    let shown = error.to_string();
    assert!(matches!(error, ConnectError::Tls { .. }));
    assert!(
        shown.contains("broker.test") && shown.contains("other.test"),
        "{shown}"
    );
    assert!(shown.contains("set the server name"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn the_server_name_may_be_set() {
    let authority = Authority::new();
    let acceptor = authority.acceptor("other.test", None);
    works(trusting(&authority).server_name("other.test"), acceptor).await;
}

#[tokio::test(start_paused = true)]
async fn behind_a_tunnel_the_advertised_name_is_verified_unless_the_way_has_another() {
    let authority = Authority::new();
    let through = |map: &str| {
        Bench::with(NetConfig {
            tls: Some(trusting(&authority).build().unwrap()),
            address_map: map.parse().unwrap(),
            ..NetConfig::default()
        })
    };
    let bench = through("broker.test=tunnel.test:19092");
    works_on(bench, authority.acceptor("broker.test", None)).await;
    let bench = through("broker.test=tunnel.test:19092@other.test");
    works_on(bench, authority.acceptor("other.test", None)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_certificate_is_presented() {
    let (brokers, clients) = (Authority::new(), Authority::new());
    let (certificate, key) = clients.issue("client.test", ExtendedKeyUsagePurpose::ClientAuth);
    let tls = trusting(&brokers).identity_pem(certificate.pem(), key.serialize_pem());
    works(tls, brokers.acceptor("broker.test", Some(&clients))).await;
}

#[tokio::test(start_paused = true)]
async fn a_required_client_certificate_that_is_missing_is_asked_for() {
    let (brokers, clients) = (Authority::new(), Authority::new());
    let acceptor = brokers.acceptor("broker.test", Some(&clients));
    let error = fails(trusting(&brokers), acceptor).await;
    let shown = error.to_string();
    assert!(matches!(error, ConnectError::Tls { .. }), "{shown}");
    assert!(shown.contains("client certificate"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn tls_to_a_plain_port_says_so() {
    let authority = Authority::new();
    let mut closing = bench(trusting(&authority));
    let asked = closing.ask("a", 10 * SECOND);
    drop(closing.accept_raw().await);
    let error = asked.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("probably not TLS"), "{error}");

    let mut talking = bench(trusting(&authority));
    let asked = talking.ask("a", 10 * SECOND);
    talking
        .accept_raw()
        .await
        .send(b"HTTP/1.1 400 Bad Request\r\n")
        .await;
    let error = asked.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
    assert!(error.is_fatal());
}

#[tokio::test(start_paused = true)]
async fn a_stalled_handshake_ends_with_the_setup_timeout() {
    let authority = Authority::new();
    let mut bench = bench(trusting(&authority));
    let asked = bench.ask("a", 60 * SECOND);
    let _silent = bench.accept_raw().await;
    let error = asked.await.unwrap().unwrap_err();
    let CallError::Connect { cause, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(
        cause,
        ConnectError::TimedOut {
            stage: Stage::Tls,
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_plain_client_at_a_tls_port_is_told_to_turn_tls_on() {
    let mut bench = Bench::new();
    let asked = bench.ask("a", 10 * SECOND);
    let acceptor = Authority::new().acceptor("broker.test", None);
    assert!(accept(&mut bench, acceptor).await.is_err());
    let error = asked.await.unwrap().unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.contains("turn TLS on") || shown.contains("may expect TLS"),
        "{shown}"
    );
}
