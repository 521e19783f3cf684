//! Logging in, against `milena-auth`'s side of the broker.

use std::sync::Arc;

use milena_auth::server::{CredentialStore, PlainServer, ScramServer, ServerMechanism, ServerStep};
use milena_auth::{
    Credentials, Nonce, PlainCredentials, ScramCredential, ScramCredentials, ScramHash, Secret,
};
use milena_codec::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use milena_codec::{ErrorCode, Str};

use super::peer::{Bench, Peer, SECOND};
use crate::{CallError, ConnectError, NetConfig, Stage, Transport};

struct Users(ScramHash, u32);

impl CredentialStore for Users {
    fn plain_password(&self, user: &str) -> Option<Secret> {
        (user == "alice").then(|| Secret::from("wonderland"))
    }

    fn scram_credential(&self, _: ScramHash, user: &str) -> Option<ScramCredential> {
        let password = Secret::from("wonderland");
        let derived = ScramCredential::derive(self.0, &password, *b"0123456789abcdef", self.1);
        (user == "alice").then(|| derived.unwrap())
    }
}

fn bench(credentials: impl Credentials + 'static) -> Bench {
    Bench::with(NetConfig {
        credentials: Some(Arc::new(credentials)),
        ..NetConfig::default()
    })
}

/// The broker's side of a login. False if it refused.
async fn authenticate<T: Transport>(
    peer: &mut Peer<T>,
    mut server: Box<dyn ServerMechanism>,
    users: &Users,
    lifetime_ms: i64,
) -> bool {
    let (header, request) = peer.expect::<SaslHandshakeRequest>().await;
    assert_eq!(header.request_api_version, 1);
    let known = request.mechanism == server.name();
    let error = if known {
        ErrorCode::None
    } else {
        ErrorCode::UnsupportedSaslMechanism
    };
    let response = SaslHandshakeResponse {
        error_code: error.code(),
        mechanisms: vec![Str::from_static(server.name())],
    };
    peer.answer(&header, &response).await;
    if !known {
        return false;
    }
    loop {
        let (header, request) = peer.expect::<SaslAuthenticateRequest>().await;
        let step = server.step(&request.auth_bytes, users);
        let done = !matches!(step, Ok(ServerStep::Continue(_)));
        let accepted = step.is_ok();
        let mut response = SaslAuthenticateResponse {
            session_lifetime_ms: lifetime_ms,
            ..SaslAuthenticateResponse::default()
        };
        match step {
            Ok(ServerStep::Continue(answer) | ServerStep::Done { answer, .. }) => {
                response.auth_bytes = answer.into();
            }
            Err(error) => {
                response.error_code = ErrorCode::SaslAuthenticationFailed.code();
                response.error_message = Some(error.to_string().into());
            }
        }
        peer.answer(&header, &response).await;
        if done {
            return accepted;
        }
    }
}

fn plain(password: &str) -> PlainCredentials {
    PlainCredentials::new("alice", password).unwrap()
}

#[tokio::test(start_paused = true)]
async fn plain_logs_in_before_the_first_call() {
    let mut bench = bench(plain("wonderland"));
    let asked = bench.ask("a", SECOND);
    let mut peer = bench.accept().await;
    let users = Users(ScramHash::Sha256, 4096);
    assert!(authenticate(&mut peer, Box::new(PlainServer::new()), &users, 0).await);
    let (header, _) = peer.asked().await;
    peer.tell(&header, "a").await;
    asked.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn scram_logs_in_with_light_and_heavy_credentials() {
    for (hash, iterations) in [(ScramHash::Sha256, 4096), (ScramHash::Sha512, 20_000)] {
        let mut bench = bench(ScramCredentials::new(hash, "alice", "wonderland").unwrap());
        let asked = bench.ask("a", SECOND);
        let mut peer = bench.accept().await;
        let users = Users(hash, iterations);
        let server = ScramServer::new(hash, Nonce::from_random([5; 24]));
        assert!(authenticate(&mut peer, Box::new(server), &users, 0).await);
        let (header, _) = peer.asked().await;
        peer.tell(&header, "a").await;
        asked.await.unwrap().unwrap();
    }
}

/// What a call fails with.
async fn refused(
    credentials: impl Credentials + 'static,
    server: Box<dyn ServerMechanism>,
) -> CallError {
    let mut bench = bench(credentials);
    let asked = bench.ask("a", SECOND);
    let mut peer = bench.accept().await;
    let users = Users(ScramHash::Sha256, 4096);
    assert!(!authenticate(&mut peer, server, &users, 0).await);
    asked.await.unwrap().unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_fatal_and_named_without_being_shown() {
    let error = refused(plain("queen"), Box::new(PlainServer::new())).await;
    assert!(error.is_fatal());
    let CallError::Connect { cause, .. } = &error else {
        panic!("{error}")
    };
    let code = Some(ErrorCode::SaslAuthenticationFailed.code());
    assert!(matches!(cause, ConnectError::Authentication { code: c, .. } if *c == code));
    let shown = format!("{error} {error:?}");
    assert!(
        shown.contains("SASL PLAIN") && shown.contains("invalid credentials"),
        "{shown}"
    );
    assert!(!shown.contains("queen"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_mechanism_that_the_broker_lacks_names_what_it_has() {
    let server = ScramServer::new(ScramHash::Sha512, Nonce::from_random([5; 24]));
    let error = refused(plain("wonderland"), Box::new(server)).await;
    assert!(error.is_fatal());
    assert!(error.to_string().contains("but SCRAM-SHA-512"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_stalls_or_is_cut_says_at_which_stage() {
    let mut stalled = bench(plain("wonderland"));
    let asked = stalled.ask("a", 60 * SECOND);
    let mut peer = stalled.accept().await;
    peer.expect::<SaslHandshakeRequest>().await;
    let error = asked.await.unwrap().unwrap_err();
    let CallError::Connect { cause, .. } = error else {
        panic!("{error}")
    };
    assert!(matches!(
        cause,
        ConnectError::TimedOut {
            stage: Stage::SaslHandshake,
            ..
        }
    ));

    let mut cut = bench(plain("wonderland"));
    let asked = cut.ask("a", 60 * SECOND);
    let mut peer = cut.accept().await;
    let (header, _) = peer.expect::<SaslHandshakeRequest>().await;
    peer.answer(&header, &SaslHandshakeResponse::default())
        .await;
    peer.expect::<SaslAuthenticateRequest>().await;
    drop(peer);
    let error = asked.await.unwrap().unwrap_err();
    assert!(
        error.to_string().contains("check the credentials"),
        "{error}"
    );
    let CallError::Connect { cause, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(
        cause,
        ConnectError::Closed {
            stage: Stage::SaslAuthenticate
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_is_replaced_before_it_expires() {
    let mut bench = bench(plain("wonderland"));
    let asked = bench.ask("a", 100 * SECOND);
    let mut peer = bench.accept().await;
    let users = Users(ScramHash::Sha256, 4096);
    authenticate(&mut peer, Box::new(PlainServer::new()), &users, 60_000).await;
    let start = bench.now();
    let (header, _) = peer.asked().await;
    tokio::time::sleep(58 * SECOND).await;
    let late = bench.ask("b", 100 * SECOND);
    peer.tell(&header, "a").await;
    asked.await.unwrap().unwrap();
    assert!(
        peer.request().await.is_none(),
        "nothing more goes out on the old session"
    );
    let mut peer = bench.accept().await;
    authenticate(&mut peer, Box::new(PlainServer::new()), &users, 60_000).await;
    let (header, topic) = peer.asked().await;
    assert_eq!(topic, "b");
    peer.tell(&header, "b").await;
    late.await.unwrap().unwrap();
    assert!(bench.now() - start < 60 * SECOND);
    assert!(peer.request().await.is_none());
    let renewed = bench.now() - start;
    assert!(
        renewed >= 109 * SECOND && renewed < 116 * SECOND,
        "{renewed:?}"
    );
}
