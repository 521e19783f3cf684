use milena_codec::ApiKey;
use milena_net::{ConnectError, Stage};

use super::*;

fn refused(port: u16) -> BrokerFailure {
    let address = Address::new("kafka", port);
    let cause = milena_net::CallError::Connect {
        address: address.clone(),
        cause: ConnectError::TimedOut {
            stage: Stage::Tls,
            after: Duration::from_secs(3),
        },
    };
    BrokerFailure { address, cause }
}

#[test]
fn a_failed_connect_names_every_address_with_its_cause() {
    let error = ConnectClusterError::Unreachable {
        failures: vec![refused(1), refused(2)],
    };
    let text = error.to_string();
    assert!(
        text.contains("kafka:1: TLS handshake: no answer after 3s"),
        "{text}"
    );
    assert!(text.contains("kafka:2: "), "{text}");
    assert_eq!(text.matches("kafka:1").count(), 1, "{text}");
}

#[test]
fn a_time_out_never_says_only_that() {
    let mut journal = Journal {
        attempts: 2,
        last_answer: Some(ErrorCode::NotController),
        ..Journal::default()
    };
    journal.spent.attempts = Duration::from_millis(1500);
    journal.spent.backoff = Duration::from_millis(500);
    let failure = refused(1);
    journal.failed(&failure.address, &failure.cause);
    let text = journal
        .timed_out("CreateTopics", Duration::from_secs(2))
        .to_string();
    assert!(text.starts_with(
        "CreateTopics timed out after 2.0 s (1.5 s in attempts, 0.5 s in backoff; 2 attempts)"
    ));
    assert!(
        text.contains("NOT_CONTROLLER") && text.contains("kafka:1: TLS"),
        "{text}"
    );
    let bare = Journal::default()
        .timed_out("Fetch", Duration::ZERO)
        .to_string();
    assert!(bare.contains("no time was left to try") && bare.contains("slow or silent"));
}

#[test]
fn running_out_of_time_does_not_hide_an_earlier_failure() {
    let failure = refused(1);
    let mut journal = Journal::default();
    journal.failed(&failure.address, &failure.cause);
    let vague = milena_net::CallError::TimedOut {
        address: failure.address.clone(),
        api: ApiKey::Metadata,
        sent: false,
        ledger: milena_net::Ledger::default(),
    };
    journal.failed(&failure.address, &vague);
    assert_eq!(journal.failures, [failure]);
}

#[test]
fn an_unknown_topic_is_named_with_similar_ones() {
    let error = TopicError::Unknown {
        name: "order".into(),
        similar: vec!["orders".into()],
    };
    assert_eq!(
        error.to_string(),
        "topic order does not exist (similar: orders); create it, or correct the name"
    );
}
