//! Peers that are broken, slow, or not brokers at all.

use std::io::{Error, ErrorKind};

use milena_codec::ErrorCode;
use milena_codec::messages::ApiVersionsResponse;
use milena_proto::wire::{Foreign, WireError};
use tokio::io::AsyncReadExt;

use super::peer::{Bench, Mood, SECOND, settle};
use crate::{CallError, ConnectError, LostCause, NetConfig, Stage};

/// What a call fails with if the peer says `bytes` first and then nothing.
async fn greeted_with(bytes: &[u8]) -> ConnectError {
    let mut bench = Bench::new();
    let asked = bench.ask("a", 20 * SECOND);
    let mut peer = bench.accept_raw().await;
    peer.request().await;
    peer.send(bytes).await;
    let error = asked.await.unwrap().unwrap_err();
    assert!(!error.was_sent());
    let CallError::Connect { cause, .. } = error else {
        panic!("{error}");
    };
    cause
}

#[tokio::test(start_paused = true)]
async fn a_web_server_is_recognized() {
    let error = greeted_with(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
    assert!(matches!(
        &error,
        ConnectError::NotKafka {
            what: Foreign::Http(_)
        }
    ));
    assert!(error.to_string().contains("HTTP/1.1 400"), "{error}");
    assert!(!error.is_retriable());
}

#[tokio::test(start_paused = true)]
async fn a_tls_alert_on_a_plain_connection_says_to_turn_tls_on() {
    let error = greeted_with(&[0x15, 3, 3, 0, 2, 2, 0x50]).await;
    assert_eq!(error, ConnectError::NotKafka { what: Foreign::Tls });
    assert!(error.to_string().contains("turn TLS on"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn garbage_impossible_sizes_and_foreign_answers_are_typed_errors() {
    let garbage = greeted_with(b"\xff\xfe\xfd\xfc garbage").await;
    assert!(matches!(
        garbage,
        ConnectError::NotKafka {
            what: Foreign::Unknown(_)
        }
    ));
    let huge = greeted_with(&[0x7f, 0xff, 0xff, 0xff]).await;
    assert!(matches!(huge, ConnectError::NotKafka { .. }));
    let wrong_id = greeted_with(&[0, 0, 0, 6, 0, 0, 0, 9, 0, 0]).await;
    assert!(matches!(
        wrong_id,
        ConnectError::Protocol {
            stage: Stage::ApiVersions,
            ..
        }
    ));
    assert!(
        wrong_id
            .to_string()
            .contains("correlation id 9 instead of 0"),
        "{wrong_id}"
    );
    let short = greeted_with(&[0, 0, 0, 5, 0, 0, 0, 0, 0]).await;
    assert!(matches!(short, ConnectError::Protocol { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_drips_is_given_up_after_the_setup_timeout() {
    let mut bench = Bench::new();
    let start = bench.now();
    let asked = bench.ask("a", 60 * SECOND);
    let mut peer = bench.accept_raw().await;
    tokio::spawn(async move {
        peer.request().await;
        for byte in [0, 0, 1, 0].into_iter().chain(std::iter::repeat(0)) {
            tokio::time::sleep(SECOND).await;
            if tokio::io::AsyncWriteExt::write_u8(&mut peer.0, byte)
                .await
                .is_err()
            {
                return;
            }
        }
    });
    let error = asked.await.unwrap().unwrap_err();
    let waited = bench.now() - start;
    assert!(8 * SECOND <= waited && waited <= 13 * SECOND, "{waited:?}");
    let CallError::Connect { cause, .. } = error else {
        panic!("{error}")
    };
    assert!(matches!(
        cause,
        ConnectError::TimedOut {
            stage: Stage::ApiVersions,
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_fails_calls_at_their_deadline_and_spares_other_addresses() {
    let mut bench = Bench::new();
    bench.mood(Mood::Hang);
    let asked = bench.ask("a", 5 * SECOND);
    settle().await;
    bench.mood(Mood::Accept);
    let hole = std::mem::replace(&mut bench.address, crate::Address::new("other.test", 1));
    let start = bench.now();
    let other = bench.ask("b", SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "fine").await;
    assert!(other.await.unwrap().is_ok());
    assert_eq!(bench.now(), start);
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!(bench.now() - start, 5 * SECOND);
    let CallError::TimedOut {
        address,
        sent: false,
        ledger,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(address, hole);
    assert_eq!(ledger.stage, Some(Stage::Connect));
    assert_eq!(ledger.connection, 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_during_the_opening_is_told_with_the_stage() {
    let mut bench = Bench::new();
    let asked = bench.ask("a", 20 * SECOND);
    let mut peer = bench.accept_raw().await;
    peer.request().await;
    drop(peer);
    let error = asked.await.unwrap().unwrap_err();
    let CallError::Connect { cause, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(
        *cause,
        ConnectError::Closed {
            stage: Stage::ApiVersions
        }
    );
    assert!(error.to_string().contains("may expect TLS"), "{error}");
    assert!(error.is_retriable());
}

/// What a call fails with if its request is answered with `answer(correlation id)`.
async fn answered_with(answer: impl FnOnce(i32) -> Vec<u8>) -> CallError {
    let mut bench = Bench::with(NetConfig {
        max_response_bytes: 1 << 20,
        ..NetConfig::default()
    });
    let asked = bench.ask("a", 20 * SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.send(&answer(header.correlation_id)).await;
    let error = asked.await.unwrap().unwrap_err();
    assert!(error.was_sent());
    error
}

#[tokio::test(start_paused = true)]
async fn a_broken_answer_ends_the_connection_with_what_is_wrong() {
    let error = answered_with(|_| i32::to_be_bytes(-1).to_vec()).await;
    let CallError::Lost {
        cause: LostCause::Wire(cause),
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(
        cause,
        WireError::Size {
            size: -1,
            max: 1 << 20
        }
    );

    let error = answered_with(|_| i32::to_be_bytes((1 << 20) + 1).to_vec()).await;
    assert!(error.to_string().contains("1048577"), "{error}");

    let error = answered_with(|id| {
        [0, 0, 0, 5]
            .into_iter()
            .chain((id + 1).to_be_bytes())
            .chain([0])
            .collect()
    })
    .await;
    let CallError::Lost {
        cause: LostCause::Wire(cause),
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert!(matches!(cause, WireError::Correlation { .. }));

    let error = answered_with(|id| {
        [0, 0, 0, 6]
            .into_iter()
            .chain(id.to_be_bytes())
            .chain([0, 9])
            .collect()
    })
    .await;
    assert!(matches!(error, CallError::Malformed { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let mut bench = Bench::new();
    let asked = bench.ask("a", 20 * SECOND);
    let mut peer = bench.accept().await;
    let (header, _) = peer.asked().await;
    peer.tell(&header, "a").await;
    asked.await.unwrap().unwrap();
    peer.tell(&header, "a again").await;
    let mut rest = Vec::new();
    peer.0.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

/// Scenario 61: the downgrade ends.
#[tokio::test(start_paused = true)]
async fn a_broker_that_refuses_every_version_is_named_so() {
    let mut bench = Bench::new();
    let asked = bench.ask("a", 20 * SECOND);
    let mut peer = bench.accept_raw().await;
    for _ in 0..2 {
        let (mut header, _) = peer.request().await.unwrap();
        header.request_api_version = 0;
        let refusal = ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            ..ApiVersionsResponse::default()
        };
        peer.answer(&header, &refusal).await;
    }
    let error = asked.await.unwrap().unwrap_err();
    assert!(error.is_fatal());
    assert!(error.to_string().contains("2.1 and later"), "{error}");
    assert!(peer.request().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_errors_of_the_system_keep_their_meaning() {
    let reset = Error::from(ErrorKind::ConnectionReset);
    let stage = Stage::SaslAuthenticate;
    assert_eq!(
        ConnectError::from_io(stage, &reset),
        ConnectError::Closed { stage }
    );
    let denied = Error::from(ErrorKind::PermissionDenied);
    let error = ConnectError::from_io(Stage::Connect, &denied);
    assert!(matches!(
        error,
        ConnectError::Io {
            kind: ErrorKind::PermissionDenied,
            ..
        }
    ));
}
