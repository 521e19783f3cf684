use milena_auth::server::{CredentialStore, PlainServer, ScramServer, ServerMechanism, ServerStep};
use milena_auth::{PlainCredentials, ScramCredential, ScramCredentials, ScramHash, Secret};
use milena_codec::messages::api_versions_response::ApiVersion;
use milena_codec::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use milena_codec::{Message, VersionRange};

use super::*;

fn identity() -> ClientIdentity {
    ClientIdentity {
        client_id: Some(Str::from_static("test")),
        software_name: Str::from_static("milena"),
        software_version: Str::from_static("1.2.3"),
    }
}

fn nonce() -> Nonce {
    Nonce::from_random([3; 24])
}

/// The one request of an action: correlation id, version, body.
fn sent<R: Request>(action: Action) -> (i32, i16, R) {
    let Action::Send(frame) = action else {
        panic!("nothing is sent: {action:?}");
    };
    let bytes = frame.into_bytes().slice(4..);
    let (header, body) = frame::read_request(bytes).unwrap();
    assert_eq!(header.request_api_key, R::KEY.code());
    assert_eq!(header.client_id.as_deref(), Some("test"));
    let version = header.request_api_version;
    (
        header.correlation_id,
        version,
        decode(body, version).unwrap(),
    )
}

fn answer<M: Message>(key: ApiKey, version: i16, id: i32, message: &M) -> Bytes {
    frame::response(message, key, version, id)
        .unwrap()
        .into_bytes()
        .slice(4..)
}

fn listing(error: ErrorCode, apis: &[(ApiKey, i16, i16)]) -> ApiVersionsResponse {
    let api = |(key, min, max): &(ApiKey, i16, i16)| ApiVersion {
        api_key: key.code(),
        min_version: *min,
        max_version: *max,
        ..ApiVersion::default()
    };
    ApiVersionsResponse {
        error_code: error.code(),
        api_keys: apis.iter().map(api).collect(),
        ..ApiVersionsResponse::default()
    }
}

fn versions_answer(version: i16, id: i32, message: &ApiVersionsResponse) -> Bytes {
    answer(ApiKey::ApiVersions, version, id, message)
}

#[test]
fn the_newest_version_is_asked_first_and_names_the_library() {
    let mut opening = Opening::new(identity(), None);
    let (id, version, request) = sent::<ApiVersionsRequest>(opening.start().unwrap());
    assert_eq!((id, version), (0, 4));
    assert_eq!(request.client_software_name, "milena");
    assert_eq!(request.client_software_version, "1.2.3");
    let listed = listing(ErrorCode::None, &[(ApiKey::Metadata, 0, 13)]);
    let done = opening
        .handle_frame(versions_answer(4, 0, &listed))
        .unwrap();
    let Action::Done(opened) = done else {
        panic!("{done:?}")
    };
    assert_eq!(opened.next_id, 1);
    assert_eq!(
        opened.versions.range(ApiKey::Metadata),
        Some(VersionRange::new(0, 13))
    );
    assert_eq!(opened.versions.range(ApiKey::Fetch), None);
}

/// What the second request's version is, after error 35 with `apis`.
fn retried(apis: &[(ApiKey, i16, i16)]) -> Result<i16, OpeningError> {
    let mut opening = Opening::new(identity(), None);
    opening.start().unwrap();
    let refusal = listing(ErrorCode::UnsupportedVersion, apis);
    let action = opening.handle_frame(versions_answer(0, 0, &refusal))?;
    let (id, version, _) = sent::<ApiVersionsRequest>(action);
    assert_eq!(id, 1);
    let done = opening.handle_frame(versions_answer(version, 1, &listing(ErrorCode::None, &[])))?;
    assert!(matches!(done, Action::Done(_)));
    Ok(version)
}

#[test]
fn a_refusal_that_lists_versions_is_answered_with_the_newest_of_them() {
    assert_eq!(retried(&[(ApiKey::ApiVersions, 0, 3)]), Ok(3));
    assert_eq!(retried(&[(ApiKey::ApiVersions, 0, 2)]), Ok(2));
    assert_eq!(
        retried(&[(ApiKey::ApiVersions, 0, 4)]),
        Ok(3),
        "4 has just been refused"
    );
}

#[test]
fn a_refusal_that_lists_nothing_is_answered_with_version_0() {
    assert_eq!(retried(&[]), Ok(0));
}

#[test]
fn a_refusal_without_a_common_version_ends_the_opening() {
    let error = retried(&[(ApiKey::ApiVersions, 5, 9)]).unwrap_err();
    assert!(matches!(error, OpeningError::NoCommonVersion { .. }));
}

#[test]
fn a_broker_that_refuses_everything_is_not_asked_for_ever() {
    let mut opening = Opening::new(identity(), None);
    opening.start().unwrap();
    let refusal = listing(
        ErrorCode::UnsupportedVersion,
        &[(ApiKey::ApiVersions, 0, 3)],
    );
    let again = opening.handle_frame(versions_answer(0, 0, &refusal));
    assert!(matches!(again, Ok(Action::Send(_))));
    let end = opening.handle_frame(versions_answer(0, 1, &refusal));
    assert!(matches!(end, Err(OpeningError::NoCommonVersion { .. })));
}

#[test]
fn an_answer_with_another_correlation_id_is_refused() {
    let mut opening = Opening::new(identity(), None);
    opening.start().unwrap();
    let answer = versions_answer(4, 5, &listing(ErrorCode::None, &[]));
    let error = opening.handle_frame(answer).unwrap_err();
    let OpeningError::Wire { error, .. } = error else {
        panic!("{error}")
    };
    assert!(matches!(
        error,
        WireError::Correlation {
            expected: 0,
            found: 5,
            ..
        }
    ));
}

#[test]
fn extra_and_missing_bytes_are_malformed() {
    let whole = versions_answer(
        4,
        0,
        &listing(ErrorCode::None, &[(ApiKey::Metadata, 0, 13)]),
    );
    for cut in 0..whole.len() {
        let mut opening = Opening::new(identity(), None);
        opening.start().unwrap();
        assert!(opening.handle_frame(whole.slice(..cut)).is_err(), "{cut}");
    }
    let mut longer = whole.to_vec();
    longer.push(0);
    let mut opening = Opening::new(identity(), None);
    opening.start().unwrap();
    assert!(opening.handle_frame(longer.into()).is_err());
}

#[test]
fn an_answer_with_any_bit_flipped_is_read_or_refused_but_never_a_panic() {
    let whole = versions_answer(
        4,
        0,
        &listing(ErrorCode::None, &[(ApiKey::Metadata, 0, 13)]),
    );
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut opening = Opening::new(identity(), None);
        opening.start().unwrap();
        drop(opening.handle_frame(flipped.into()));
    }
}

struct Store(ScramCredential);

impl CredentialStore for Store {
    fn plain_password(&self, user: &str) -> Option<Secret> {
        (user == "alice").then(|| Secret::from("wonderland"))
    }

    fn scram_credential(&self, hash: ScramHash, user: &str) -> Option<ScramCredential> {
        (user == "alice" && hash == self.0.hash()).then(|| self.0.clone())
    }
}

/// A broker with SASL; `None` once it has refused.
fn log_in(
    credentials: &dyn Credentials,
    mut server: Box<dyn ServerMechanism>,
    newest_authenticate: i16,
) -> Result<Opened, OpeningError> {
    let password = Secret::from("wonderland");
    let credential = ScramCredential::derive(ScramHash::Sha256, &password, *b"salt", 4096);
    let store = Store(credential.unwrap());
    let mut opening = Opening::new(identity(), Some((credentials, nonce())));
    opening.start()?;
    let listed = listing(
        ErrorCode::None,
        &[
            (ApiKey::SaslHandshake, 0, 1),
            (ApiKey::SaslAuthenticate, 0, newest_authenticate),
        ],
    );
    let action = opening.handle_frame(versions_answer(4, 0, &listed))?;
    assert_eq!(opening.stage(), OpeningStage::SaslHandshake);
    let (id, version, request) = sent::<SaslHandshakeRequest>(action);
    let mut response = SaslHandshakeResponse {
        mechanisms: vec![Str::from_static(server.name()), Str::from_static("OTHER")],
        ..SaslHandshakeResponse::default()
    };
    if request.mechanism != server.name() {
        response.error_code = ErrorCode::UnsupportedSaslMechanism.code();
    }
    let mut action = opening.handle_frame(answer(ApiKey::SaslHandshake, version, id, &response))?;
    loop {
        assert_eq!(opening.stage(), OpeningStage::SaslAuthenticate);
        let Action::Step(exchange) = action else {
            panic!("{action:?}")
        };
        action = match opening.handle_stepped(exchange.run())? {
            Action::Done(opened) => return Ok(opened),
            action => action,
        };
        let (id, version, request) = sent::<SaslAuthenticateRequest>(action);
        assert_eq!(version, newest_authenticate);
        let mut response = SaslAuthenticateResponse::default();
        match server.step(&request.auth_bytes, &store) {
            Ok(ServerStep::Continue(answer)) => response.auth_bytes = answer.into(),
            Ok(ServerStep::Done { answer, .. }) => {
                response.auth_bytes = answer.into();
                response.session_lifetime_ms = if version > 0 { 60_000 } else { 0 };
            }
            Err(error) => {
                response.error_code = ErrorCode::SaslAuthenticationFailed.code();
                response.error_message = Some(error.to_string().into());
            }
        }
        action = opening.handle_frame(answer(ApiKey::SaslAuthenticate, version, id, &response))?;
    }
}

fn plain(password: &str) -> PlainCredentials {
    PlainCredentials::new("alice", password).unwrap()
}

#[test]
fn plain_logs_in_and_the_lifetime_of_the_session_is_noted() {
    let opened = log_in(&plain("wonderland"), Box::new(PlainServer::new()), 2).unwrap();
    assert_eq!(opened.session_lifetime_ms, Some(60_000));
    assert_eq!(opened.next_id, 3);
    let opened = log_in(&plain("wonderland"), Box::new(PlainServer::new()), 0).unwrap();
    assert_eq!(opened.session_lifetime_ms, None);
}

#[test]
fn scram_logs_in() {
    let credentials = ScramCredentials::new(ScramHash::Sha256, "alice", "wonderland").unwrap();
    let server = ScramServer::new(ScramHash::Sha256, Nonce::from_random([9; 24]));
    let opened = log_in(&credentials, Box::new(server), 2).unwrap();
    assert_eq!(opened.next_id, 4);
}

#[test]
fn a_wrong_password_is_reported_in_the_brokers_words_and_never_shown() {
    let error = log_in(&plain("queen"), Box::new(PlainServer::new()), 2).unwrap_err();
    assert!(matches!(
        error,
        OpeningError::Denied {
            mechanism: "PLAIN",
            ..
        }
    ));
    let shown = format!("{error} {error:?}");
    assert!(
        shown.contains("invalid credentials") && !shown.contains("queen"),
        "{shown}"
    );
}

#[test]
fn a_mechanism_that_is_not_offered_names_those_that_are() {
    let server = ScramServer::new(ScramHash::Sha512, nonce());
    let error = log_in(&plain("wonderland"), Box::new(server), 2).unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.contains("PLAIN") && shown.contains("SCRAM-SHA-512, OTHER"),
        "{shown}"
    );
}

#[test]
fn a_listener_without_sasl_is_told_apart() {
    let credentials = plain("wonderland");
    let mut opening = Opening::new(identity(), Some((&credentials, nonce())));
    opening.start().unwrap();
    let listed = listing(ErrorCode::None, &[(ApiKey::SaslHandshake, 0, 0)]);
    let error = opening.handle_frame(versions_answer(4, 0, &listed));
    assert_eq!(error.unwrap_err(), OpeningError::NoSasl);
}

#[test]
fn a_broker_that_keeps_asking_is_left_after_a_bounded_number_of_rounds() {
    #[derive(Debug)]
    struct Endless;
    impl Mechanism for Endless {
        fn name(&self) -> &'static str {
            "ENDLESS"
        }
        fn step(&mut self, _: Option<&[u8]>) -> Result<Step, AuthError> {
            Ok(Step::Send(Secret::from("again")))
        }
    }
    impl Credentials for Endless {
        fn mechanism_name(&self) -> &'static str {
            "ENDLESS"
        }
        fn start(&self, _: Nonce) -> Box<dyn Mechanism> {
            Box::new(Self)
        }
    }
    #[derive(Debug)]
    struct EndlessServer;
    impl ServerMechanism for EndlessServer {
        fn name(&self) -> &'static str {
            "ENDLESS"
        }
        fn step(
            &mut self,
            _: &[u8],
            _: &dyn CredentialStore,
        ) -> Result<ServerStep, milena_auth::server::ServerAuthError> {
            Ok(ServerStep::Continue(Vec::new()))
        }
    }
    let error = log_in(&Endless, Box::new(EndlessServer), 2).unwrap_err();
    assert!(
        matches!(error, OpeningError::TooManyRounds { .. }),
        "{error}"
    );
}
